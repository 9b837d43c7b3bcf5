--- Settings that a recipe gives as Lua: functions and tables. How they are shown to people, and what identifies them:
-- a function by its source text, so that a run can tell whether it resumes with the one that it began with.

local fault = require "bertlua.fault"
local storage = require "bertlua.storage"

local M = {}

-- Calls of the recipe that an error shows.
local FRAMES = 4

local THIS = debug.getinfo(1, "S").source

-- Folders of bertlua's own files: calls in them are not the user's.
local OWN = {}
for _, fn in ipairs { function() end, fault.raise } do
    local folder = debug.getinfo(fn, "S").source:match "^@(.*/)bertlua/"
    OWN[#OWN + 1] = folder and folder .. "bertlua/" or nil
end

--- Whether a function, or a call of a traceback, is bertlua's own and not the user's.
-- @param source "@PATH", as debug.getinfo has it
function M.is_own(source)
    for _, folder in ipairs(OWN) do
        if source:sub(2, #folder + 1) == folder then return true end
    end
    return source == "=[C]"
end

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

--- Source text of a function, and of the user's functions that it refers to as locals.
local function sources_of(fn, seen)
    seen[fn] = true
    local parts = { source_of(fn) }
    for i = 1, math.huge do
        local name, value = debug.getupvalue(fn, i)
        if not name then break end
        if type(value) == "function" and not seen[value] and not M.is_own(debug.getinfo(value, "S").source) then
            parts[#parts + 1] = sources_of(value, seen)
        end
    end
    return table.concat(parts, "\n")
end

-- @param above the tables that value is in, as a set
local function text_of(value, function_text, above)
    if type(value) == "function" then return function_text(value) end
    if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
    -- Such as a class, which is its own __index.
    if above[value] then return "{ itself }" end
    above[value] = true
    local keys, parts = {}, {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b)
        if type(a) == "number" and type(b) == "number" then return a < b end
        if type(a) == "number" or type(b) == "number" then return type(a) == "number" end
        return tostring(a) < tostring(b)
    end)
    for i, key in ipairs(keys) do
        local name = type(key) == "number" and "" or tostring(key) .. " = "
        parts[i] = name .. text_of(value[key], function_text, above)
    end
    above[value] = nil
    return #parts == 0 and "{ }" or "{ " .. table.concat(parts, ", ") .. " }"
end

--- Whether a value is given as Lua.
function M.is_lua(value)
    return type(value) == "function" or type(value) == "table"
end

--- What identifies a value from run to run: functions by a checksum of their source, with that of local functions that
-- they call. Texts, numbers and booleans are returned as they are.
function M.identity(value)
    if not M.is_lua(value) then return value end
    local function text(fn) return ("function %08x"):format(storage.crc32c(sources_of(fn, {}))) end
    return (text_of(value, text, {}))
end

--- The same for people: functions by file and line.
function M.shown(value)
    if not M.is_lua(value) then return value end
    return (text_of(value, function(fn)
        local info = debug.getinfo(fn, "S")
        return ("function at %s:%d"):format(info.short_src, info.linedefined)
    end, {}))
end

--- Values of settings with what is given as Lua in the form of M.identity or M.shown.
function M.flat(values, form)
    local list = {}
    for name, value in pairs(values) do list[name] = form(value) end
    return list
end

--- A message, and the calls in the user's files that led to it, innermost first. Where none is left, as after
-- `return f(x)`, which keeps no line of its own, the user's function.
local function with_calls(text, fn)
    local lines, level = { text }, 3
    while #lines <= FRAMES do
        local info = debug.getinfo(level, "Sl")
        -- From M.guarded on, the calls are those that led to the function, not to the mistake in it.
        if not info or info.source == THIS then break end
        local place = ("%s:%d"):format(info.short_src, info.currentline)
        if info.what ~= "main" and info.currentline > 0 and not M.is_own(info.source)
            and not text:find(place .. ":", 1, true) then
            lines[#lines + 1] = "called at " .. place
        end
        level = level + 1
    end
    local own = debug.getinfo(fn, "S")
    if #lines == 1 and not M.is_own(own.source) and not text:find(own.short_src .. ":", 1, true) then
        lines[2] = ("in the function at %s:%d"):format(own.short_src, own.linedefined)
    end
    return table.concat(lines, "\n")
end

--- A recipe's function whose errors name the user's file and line, with the calls in the user's files that led there.
-- What it costs per call is one protected call, so it may run in every step.
-- @param what it is for the message: "loss"
-- @return function that takes and returns what fn does (the first value)
function M.guarded(what, fn)
    local function handle(problem)
        -- Faults, and what ends the process, are bertlua's; a plain table is what the recipe passed to error().
        if type(problem) == "table" and getmetatable(problem) then return problem end
        if type(problem) ~= "string" and type(problem) ~= "number" then
            problem = problem == nil and "an error without a message" or "an error that is a " .. type(problem)
        end
        return (with_calls(("%s: %s"):format(what, problem), fn))
    end
    return function(...)
        local good, result = xpcall(fn, handle, ...)
        if good then return result end
        if type(result) == "table" then error(result, 0) end
        -- The user's matter: printed as it is, without a traceback through bertlua's own files.
        fault.raise(result)
    end
end

--- Call a recipe's function once, as guarded() does.
-- @param what it is for the message: "on_step, step 7"
-- @return the first value that it returns
function M.call(what, fn, ...)
    local result = M.guarded(what, fn)(...)
    return result
end

return M
