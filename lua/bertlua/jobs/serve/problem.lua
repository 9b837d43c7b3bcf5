--- Why a request is refused: an HTTP status, a kind, one line, and the field it is about.
--
-- Kinds and statuses are those of text-embeddings-inference; the two forms of JSON are its and OpenAI's.

local json = require "bertlua.util.json"
local printable = require "bertlua.printable"

local M = {}

-- Bytes of what a message repeats.
local LONGEST = 80

local Problem = {}
Problem.__index = Problem

function Problem:__tostring()
    return self.message
end

-- What OpenAI calls it.
local OPENAI_TYPES = { Overloaded = "rate_limit_exceeded", Unhealthy = "server_error", Backend = "server_error" }

--- A problem.
-- @tparam number status of HTTP
-- @tparam string kind Validation, Tokenizer, Empty, Overloaded, Backend or Unhealthy
-- @tparam string message one line
-- @tparam[opt] table more param: name of the field; code: OpenAI's name of the problem; headers: name to value
function M.new(status, kind, message, more)
    more = more or {}
    return setmetatable({ status = status, kind = kind, message = message, param = more.param, code = more.code,
        headers = more.headers }, Problem)
end

--- A name or value of a client's for a message: one line, not longer than it helps.
function M.brief(value)
    local text = printable.text(tostring(value))
    if #text <= LONGEST then return text end
    -- Not in the middle of a character.
    return (text:sub(1, LONGEST):gsub("[\192-\255][\128-\191]*$", "")) .. "..."
end

--- Throw one.
function M.raise(...)
    error(M.new(...), 0)
end

--- True if an error value is a problem.
function M.is(value)
    return getmetatable(value) == Problem
end

--- The body of the response, in the form that clients of the route expect.
-- @param form "openai", or nil
function Problem:body(form)
    if form ~= "openai" then
        return json.encode({ error = self.message, error_type = self.kind }, { order = { "error", "error_type" } })
    end
    return json.encode { error = { message = self.message, param = self.param or json.null,
        code = self.code or json.null, type = OPENAI_TYPES[self.kind] or "invalid_request_error" } }
end

return M
