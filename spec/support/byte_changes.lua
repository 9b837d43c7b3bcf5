--- What becomes of a file when one byte of it changes: refused with one line, told, read as it was, or read as other
-- data in silence. An error that is no message for users, and a message of several lines, count as failures.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local term = require "bertlua.util.term"

local M = {}

--- Call a reader, and note what it warns of.
-- @return what it returns; whether it warned; or nil, nil, the error that it raised
local function quietly(read)
    local warn, warned = term.warn, false
    term.warn = function() warned = true end
    local ok, value, told = pcall(read)
    term.warn = warn
    if ok then return value, warned or told end
    return nil, nil, value
end

local function put(file, at, byte)
    file:seek("set", at)
    file:write(string.char(byte))
    file:flush()
end

--- Change bytes of a file in place, one at a time, and read it after each.
-- @param path of the file; it is afterwards as it was
-- @param read function() -> text that stands for everything that was read, whether something was told; or nil and a
--   message. A fault that it raises is a message too. What it warns of is told.
-- @param options masks ({1}): what bytes are XORed with, in turn: each byte with all of them, or with `alternate` with
--   one; first (0), step (1): which bytes
-- @return {changes, refused, told, same, other, failed: numbers; first_other, first_failed: byte offsets or nil; why:
--   text of the first failure}
function M.run(path, read, options)
    local masks, bytes = options.masks or { 1 }, assert(fs.read(path))
    local expected, warned, problem = quietly(read)
    assert(expected and not warned, ("%s: cannot be read as it is: %s"):format(path, tostring(problem or warned)))
    local found = { changes = 0, refused = 0, told = 0, same = 0, other = 0, failed = 0 }
    local file = assert(io.open(path, "r+b"))
    local function try(at, mask)
        put(file, at, bit.bxor(bytes:byte(at + 1), mask))
        local got, told, raised = quietly(read)
        local message = raised
        if raised and fault.is(raised) then
            message = raised.message
        elseif not raised and not got then
            message, told = told, nil
        end
        local kind = got == expected and "same" or got and told and "told" or got and "other" or "refused"
        if kind == "refused" and (raised and not fault.is(raised) or type(message) ~= "string"
            or message == "" or message:find "\n") then
            kind = "failed"
            found.why = found.why or tostring(message)
        end
        found.changes, found[kind] = found.changes + 1, found[kind] + 1
        local first = "first_" .. kind
        if kind == "other" or kind == "failed" then found[first] = found[first] or at end
    end
    local number = 0
    for at = options.first or 0, #bytes - 1, options.step or 1 do
        for i, mask in ipairs(masks) do
            if not options.alternate or i == number % #masks + 1 then try(at, mask) end
        end
        number = number + 1
        put(file, at, bytes:byte(at + 1))
    end
    file:close()
    return found
end

return M
