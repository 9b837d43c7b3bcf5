--- What nginx.conf calls in each worker process: opens a model, answers POST /embed.
--
--     {"inputs": "a text"} or {"inputs": ["a text", "another"]}   ->   [[0.1, ...], [0.2, ...]]

local cjson = require "cjson"
require "bertlua" -- puts its folders on the path
local encoder_api = require "bertlua.encoder_api"

local M = {}

-- A worker answers nothing else while it computes, so a request is small: milliseconds with a base model.
local MOST_TEXTS, MOST_TOKENS = 8, 128
local MEMORY = 64 * 2 ^ 20 -- working memory of a worker; parameters are not in it

local encoder, problem

--- fn(...), or nil and a message: what files or texts do not allow comes back, what a program should not ask is raised.
local function try(fn, ...)
    local ran, value, message = pcall(fn, ...)
    if ran then return value, message end
    return nil, (tostring(value):gsub("^[^:]+:%d+: ", ""))
end

--- Open the model; a failure is logged, and told to whoever asks.
function M.open(folder)
    if folder then
        encoder, problem = try(encoder_api.open, folder, { threads = 1, memory = MEMORY, refuse_long = true,
            share_parameters = true })
    else
        problem = "BERTLUA_MODEL is not set"
    end
    if problem then ngx.log(ngx.EMERG, "bertlua: ", problem) end
end

local function answer(status, value)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["X-Worker"] = ngx.worker.pid()
    ngx.print(cjson.encode(value))
end

local function refuse(status, message)
    return answer(status, { error = message })
end

--- The texts of a request's body; or nil and what is wrong with it.
local function texts_of(body)
    local read, request = pcall(cjson.decode, body or "")
    if not read or type(request) ~= "table" or request.inputs == nil then
        return nil, 'expected {"inputs": "a text"} or {"inputs": ["a text", ...]}'
    end
    local texts = type(request.inputs) == "string" and { request.inputs } or request.inputs
    if type(texts) ~= "table" or #texts == 0 then return nil, "inputs: expected a text or a list of texts" end
    if #texts > MOST_TEXTS then return nil, ("inputs: %d texts, at most %d"):format(#texts, MOST_TEXTS) end
    for i = 1, #texts do
        if type(texts[i]) ~= "string" or texts[i]:find("\0", 1, true) then
            return nil, ("inputs[%d]: expected a text"):format(i - 1)
        end
    end
    return texts
end

--- Vectors of texts, a list each; or nil and what is wrong with the texts.
local function vectors_of(texts)
    local lengths, message = encoder:lengths(texts)
    if not lengths then return nil, message end
    for i, length in ipairs(lengths) do
        if length > MOST_TOKENS then
            return nil, ("inputs[%d]: %d tokens, at most %d"):format(i - 1, length, MOST_TOKENS)
        end
    end
    local vectors
    vectors, message = encoder:embed(texts)
    return vectors and vectors:tolist(), message
end

--- POST /embed.
function M.embed()
    if ngx.req.get_method() ~= "POST" then
        ngx.header["Allow"] = "POST"
        return refuse(405, "expected POST")
    elseif not encoder then
        return refuse(503, problem)
    end
    ngx.req.read_body()
    local texts, message = texts_of(ngx.req.get_body_data())
    if not texts then return refuse(400, message) end
    local vectors
    vectors, message = try(vectors_of, texts)
    if not vectors then return refuse(422, message) end
    return answer(200, vectors)
end

--- GET /health.
function M.health()
    if not encoder then return refuse(503, problem) end
    return answer(200, { hidden_size = encoder:describe().hidden_size })
end

return M
