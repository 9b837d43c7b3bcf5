--- The routes: which function reads a request, which asks, which writes the answer.

local answers = require "bertlua.jobs.serve.answers"
local json = require "bertlua.util.json"
local problem = require "bertlua.jobs.serve.problem"
local requests = require "bertlua.jobs.serve.requests"
local text = require "bertlua.text"
local tokens = require "bertlua.jobs.serve.tokens"

local M = {}

local JSON = "application/json"

local Routes = {}
Routes.__index = Routes

--- A problem as a response.
-- @param found problem
-- @param form "openai", or nil
function M.response(found, form)
    return { status = found.status, type = JSON, body = found:body(form), headers = found.headers }
end

local function ok(body, kind)
    return { status = 200, type = kind or JSON, body = body }
end

local function info(self)
    local limits = self.limits
    local id2label, label2id = {}, {}
    for i, label in ipairs(self.labels) do id2label[tostring(i - 1)], label2id[label] = label, i - 1 end
    return {
        model_id = limits.model, model_sha = json.null, model_dtype = self.dtype, version = self.version,
        model_type = limits.classifies and { classifier = { id2label = id2label, label2id = label2id } }
            or { embedding = { pooling = limits.pooled } },
        max_concurrent_requests = limits.max_texts, max_input_length = limits.max_length,
        max_batch_tokens = limits.batch_tokens, max_batch_requests = limits.batch_texts,
        max_client_batch_size = limits.max_inputs, auto_truncate = limits.auto_truncate,
        tokenization_workers = limits.workers,
        routes = { embed = true, predict = limits.classifies, fill_mask = limits.fills_masks, answer = limits.answers },
    }
end

local function models(self)
    return { object = "list", data = json.array { self:model() } }
end

--- What stands in a list of models.
function Routes:model()
    return { id = self.limits.model, object = "model", created = self.started, owned_by = "bertlua" }
end

-- get: function(self) -> response; read and write: a question of the queue and its answer; own: an answer without the
-- queue; form: of problems.
local ROUTES = {
    ["/health"] = { get = function(self)
        if self.stopping then problem.raise(503, "Unhealthy", "unhealthy: the server is stopping") end
        return ok("", "text/plain")
    end },
    ["/info"] = { get = function(self) return ok(json.encode(info(self), { order = { "model_id" } })) end },
    ["/metrics"] = { get = function(self)
        return ok(self.metrics:text(self.waiting.queue:info(), self.state()),
            "text/plain; version=0.0.4; charset=utf-8")
    end },
    ["/embed"] = { read = requests.embed, write = answers.embed },
    ["/embed_all"] = { read = requests.embed_all, write = answers.embed_all },
    ["/predict"] = { read = requests.predict, write = answers.predict },
    ["/fill_mask"] = { read = requests.fill_mask, write = answers.fill_mask },
    ["/answer"] = { read = requests.answer, write = answers.answer },
    ["/tokenize"] = { read = requests.tokenize, own = function(self, question)
        return answers.tokenize(tokens.of_texts(self.tokenizer, question, self.context.pause), question)
    end },
    ["/v1/embeddings"] = { read = requests.openai_embeddings, write = answers.openai_embeddings, form = "openai" },
    ["/v1/models"] = { form = "openai", get = function(self) return ok(json.encode(models(self))) end },
}

--- @tparam table options limits (see requests; and model, max_length, max_texts, batch_texts, batch_tokens, workers),
--   labels, tokenizer, waiting, metrics, dtype, version, started, pause(), state() -> of metrics:text
function M.new(options)
    local self = setmetatable({}, Routes)
    for name, value in pairs(options) do self[name] = value end
    self.context = { limits = options.limits, labels = options.labels, pause = options.pause }
    return self
end

--- The route of a path, and its name for counting; nil and "other".
function Routes:find(path)
    if path == "/" then path = self.limits.classifies and "/predict" or "/embed" end
    local model = path:match "^/v1/models/(.+)$"
    if model then
        return { form = "openai", get = function()
            if model == self.limits.model then return ok(json.encode(self:model())) end
            problem.raise(404, "Validation", ("the model `%s` does not exist here; this server has `%s`"):format(
                problem.brief(model), self.limits.model), { code = "model_not_found", param = "model" })
        end }, "/v1/models"
    end
    if ROUTES[path] then return ROUTES[path], path end
    return nil, "other"
end

--- Refuse a request before its body is read: unknown paths and methods, other types than JSON, a server that stops.
-- @return response, or nil
function Routes:begin(head)
    local route = self:find(head.path)
    local form = route and route.form or head.path:find "^/v1/" and "openai" or nil
    local function refuse(...) return M.response(problem.new(...), form) end
    if not route then return refuse(404, "Validation", ("no route %s"):format(problem.brief(head.path))) end
    local method = route.get and "GET" or "POST"
    if head.method ~= method and not (method == "GET" and head.method == "HEAD") then
        return refuse(405, "Validation", ("%s takes %s"):format(head.path, method), { headers = { allow = method } })
    end
    if route.get then return nil end
    if self.stopping then return refuse(503, "Unhealthy", "the server is stopping") end
    local kind = (head.content_type or ""):lower():match "^%s*([^;%s]*)"
    if kind ~= JSON then
        return refuse(415, "Validation", ("the request's Content-Type is %s, expected %s"):format(
            kind == "" and "missing" or problem.brief(kind), JSON))
    end
    return nil
end

local REFUSALS = {
    full = { 429, "Overloaded", "the queue is full; try again later", { headers = { ["retry-after"] = "1" } } },
    stopped = { 503, "Unhealthy", "the server is stopping" },
}

--- A question, through the queue.
local function ask(self, route, question, client)
    local reply, why, message = self.waiting:ask(question, client)
    if why == "gone" then
        self.metrics.cancelled = self.metrics.cancelled + 1
        return nil
    elseif why == "refused" then
        problem.raise(413, "Validation", message)
    elseif why then
        problem.raise(unpack(REFUSALS[why]))
    end
    self.metrics:wait(reply.waited)
    local found = answers.problem_of(reply, self.limits)
    if found then
        reply:release()
        error(found, 0)
    end
    local written, body = pcall(route.write, reply, question, self.context)
    if not written or type(body) == "string" then reply:release() end
    if not written then error(body, 0) end
    if type(body) == "string" then return ok(body) end
    return { status = 200, type = JSON, pieces = function(emit)
        local done, trouble = pcall(body, emit)
        reply:release()
        if not done then error(trouble, 0) end
    end }
end

--- Answer a request whose body has been read.
-- @return response; nil if nobody waits for it
function Routes:handle(head)
    local route = self:find(head.path)
    local done, result = pcall(function()
        if route.get then return route.get(self) end
        local body = head.body or ""
        if text.invalid_utf8(body) then problem.raise(400, "Validation", "the body is not UTF-8") end
        local question = route.read(requests.decode(body), self.limits)
        if route.own then return ok(route.own(self, question)) end
        return ask(self, route, question, head.client)
    end)
    if done then return result end
    if not problem.is(result) then error(result, 0) end
    return M.response(result, route.form)
end

return M
