--- Settings that a recipe gives as Lua: functions and tables. How they are shown to people, and what identifies them:
-- a function by its source text, so that a run can tell whether it resumes with the one that it began with.

local fault = require "bertlua.fault"
local storage = require "bertlua.storage"

local M = {}

-- Calls of the recipe that an error shows.
local FRAMES = 4

--- Source text of a function: its lines, from the first to the last.
local function source_of(fn)
    local info = debug.getinfo(fn, "S")
    local path = info.source:match "^@(.*)$"
    local file = path and io.open(path, "rb")
    if path and not file then return path .. info.linedefined end
    local text = file and file:read "*a" or info.source
    if file then file:close() end
    local lines, number = {}, 0
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        number = number + 1
        if number >= info.linedefined and number <= info.lastlinedefined then lines[#lines + 1] = line end
    end
    return table.concat(lines, "\n")
end

local function text_of(value, function_text)
    if type(value) == "function" then return function_text(value) end
    if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
    local keys, parts = {}, {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b)
        if type(a) == type(b) then return a < b end
        return type(a) == "number"
    end)
    for i, key in ipairs(keys) do
        local name = type(key) == "number" and "" or tostring(key) .. " = "
        parts[i] = name .. text_of(value[key], function_text)
    end
    return #parts == 0 and "{ }" or "{ " .. table.concat(parts, ", ") .. " }"
end

--- Whether a value is given as Lua.
function M.is_lua(value)
    return type(value) == "function" or type(value) == "table"
end

--- What identifies a value from run to run: functions by a checksum of their source. Values that text, numbers and
-- booleans hold are returned as they are.
function M.identity(value)
    if not M.is_lua(value) then return value end
    return (text_of(value, function(fn) return ("function %08x"):format(storage.crc32c(source_of(fn))) end))
end

--- The same for people: functions by file and line.
function M.shown(value)
    if not M.is_lua(value) then return value end
    return (text_of(value, function(fn)
        local info = debug.getinfo(fn, "S")
        return ("function at %s:%d"):format(info.short_src, info.linedefined)
    end))
end

--- Values of settings with what is given as Lua in the form of M.identity or M.shown.
function M.flat(values, form)
    local list = {}
    for name, value in pairs(values) do list[name] = form(value) end
    return list
end

--- Call a recipe's function. An error in it names the user's file and line, with the calls inside the recipe that led
-- there.
-- @param what it is for the message: "on_step, step 7"
-- @return the first value that it returns
function M.call(what, fn, ...)
    local own = debug.getinfo(fn, "S").short_src
    local good, result = xpcall(fn, function(problem)
        if type(problem) == "table" then return problem end
        local lines = { ("%s: %s"):format(what, tostring(problem)) }
        for line in debug.traceback("", 2):gmatch "\n%s*([^\n]+)" do
            if line:find(own, 1, true) and #lines <= FRAMES then lines[#lines + 1] = line end
        end
        return table.concat(lines, "\n")
    end, ...)
    if good then return result end
    if type(result) == "table" then error(result, 0) end
    -- The user's matter: printed as it is, without a traceback through bertlua's own files.
    fault.raise(result)
end

return M
