--- Faults in the user's input: one line that says what was wrong and how to fix it.
--
-- A fault is thrown as a table, so that the executable can tell it from a bug
-- in bertlua: it prints `bertlua: MESSAGE` and exits with the fault's code,
-- without a traceback (unless BL_DEBUG=1). Bugs stay plain error() strings.

local printable = require "bertlua.printable"

local M = {}

local Fault = { __name = "bertlua.fault" }
Fault.__index = Fault

function Fault:__tostring()
    return self.message
end

--- Throw a fault.
-- @param message one line: what, got ..., expected ...; the fix. Control characters, which names from files may have,
--   are escaped.
-- @param code exit code of the executable (default 1)
function M.raise(message, code)
    local line = tostring(message):gsub("%s*\n%s*", "; ")
    error(setmetatable({ message = printable.text(line), code = code or 1 }, Fault), 0)
end

--- Throw a fault whose message is built with string.format.
function M.raisef(format, ...)
    M.raise(format:format(...))
end

--- True if an error value is a fault.
function M.is(value)
    return getmetatable(value) == Fault
end

--- The text of any error value, without the "file:line:" that error() put in front.
function M.message(value)
    if M.is(value) then return value.message end
    return (tostring(value):gsub("^[^%s:]+%.lua:%d+: ", ""))
end

--- Return value, or throw message as a fault where value is nil or false.
-- For functions that return `nil, message`.
function M.check(value, message)
    if not value then M.raise(message or "unknown failure") end
    return value
end

return M
