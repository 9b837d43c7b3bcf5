--- Routes with a queue made by hand.

local cjson = require "cjson"
local metrics = require "bertlua.jobs.serve.metrics"
local routes = require "bertlua.jobs.serve.routes"

local function made(options)
    options = options or {}
    local reply = { status = "ok", count = 1, width = 1, tokens = 3, waited = 0, values = { [0] = 0.5 }, released = 0 }
    function reply.release() reply.released = reply.released + 1 end
    local self = routes.new { limits = { model = "m", max_inputs = 2, hidden_size = 1, max_length = 8,
        classifies = options.classifies }, labels = { "x" }, metrics = metrics.new(), pause = function() end,
        started = 1, version = "1", dtype = "float32",
        waiting = { ask = function() return unpack(options.ask or { reply }) end } }
    return self, reply
end

local function post(path, body)
    return { method = "POST", path = path, content_type = "application/json; charset=utf-8", body = body }
end

describe("routes", function()
    it("refuse what they do not know before a body is read", function()
        local self = made()
        local function status(head)
            local response = self:begin(head)
            return response and response.status
        end
        assert.is_nil(status(post "/embed"))
        assert.is_nil(status { method = "HEAD", path = "/health" })
        assert.are.equal(404, status(post "/nothing"))
        assert.are.equal(405, status { method = "GET", path = "/embed" })
        assert.are.equal(405, status { method = "POST", path = "/health" })
        assert.are.equal(415, status { method = "POST", path = "/embed", content_type = "text/plain" })
        self.stopping = true
        assert.are.equal(503, status(post "/embed"))
        assert.is_nil(status { method = "GET", path = "/health" })
        assert.are.equal(503, self:handle({ method = "GET", path = "/health" }).status)
    end)

    it("answer with what the queue says, and give its memory back", function()
        local self, reply = made()
        local response = self:handle(post("/embed", '{"inputs": "a"}'))
        assert.are.same({ 200, "[[0.5]]", 1 }, { response.status, response.body, reply.released })
        reply.values[0] = 0 / 0
        response = self:handle(post("/embed", '{"inputs": "a"}'))
        assert.are.same({ 424, 2 }, { response.status, reply.released })
        reply.status, reply.message = "argument", "no"
        response = self:handle(post("/embed", '{"inputs": "a"}'))
        assert.are.same({ 422, 3 }, { response.status, reply.released })
        reply.status, reply.values[0], reply.rows = "ok", 1, function() return 1 end
        response = self:handle(post("/embed_all", '{"inputs": "a"}'))
        assert.are.equal(3, reply.released)
        response.pieces(function() end)
        assert.are.equal(4, reply.released)
    end)

    it("tell what the queue refuses", function()
        local function status(...)
            local response = made({ ask = { nil, ... } }):handle(post("/v1/embeddings", '{"input": "a"}'))
            return response and response.status, response
        end
        local code, response = status "full"
        assert.are.same({ 429, "1" }, { code, response.headers["retry-after"] })
        assert.are.equal("the queue is full; try again later", cjson.decode(response.body).error.message)
        assert.are.equal(503, (status "stopped"))
        assert.are.equal(413, (status("refused", "too much")))
        assert.is_nil(status "gone")
    end)

    it("are chosen by the model for /, and named for counting", function()
        assert.are.equal("/embed", select(2, made():find "/"))
        assert.are.equal("/predict", select(2, made({ classifies = true }):find "/"))
        assert.are.equal("/v1/models", select(2, made():find "/v1/models/m"))
        assert.are.equal("other", select(2, made():find "/a/b"))
        assert.are.equal(404, made():handle({ method = "GET", path = "/v1/models/n" }).status)
        assert.are.equal("m", cjson.decode(made():handle({ method = "GET", path = "/v1/models" }).body).data[1].id)
        local info = cjson.decode(made({ classifies = true }):handle({ method = "GET", path = "/info" }).body)
        assert.are.same({ id2label = { ["0"] = "x" }, label2id = { x = 0 } }, info.model_type.classifier)
    end)

    it("let errors of their own through", function()
        assert.has_error(function() made { ask = {} }:handle(post("/embed", '{"inputs": "a"}')) end)
    end)
end)
