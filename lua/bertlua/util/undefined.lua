--- Tells of globals that a program reads and nobody has set: nearly always a name that is misspelt, and as nil it is
-- taken for a setting that was left out.
--
-- Only the code of one file is watched, by an environment of its own, behind which the globals stay as they are: what
-- it sets is set there, and other files have theirs. `_G.name` asks without a word.
-- @module bertlua.util.undefined

local suggest = require "bertlua.util.suggest"

local M = {}

-- Lines that wait for a sign that the program goes on: an error about the same name says it all.
local pending = {}

local write

--- Write the lines that wait.
function M.flush()
    local lines = pending
    if #lines == 0 then return end
    pending = {}
    for _, entry in ipairs(lines) do write(entry.line) end
end

--- The program failed: a line that waits is left out where the error is about its name.
-- @param message of the error
function M.failed(message)
    local kept = {}
    for _, entry in ipairs(pending) do
        if not message:find(("global '%s' (a nil value)"):format(entry.name), 1, true) then
            kept[#kept + 1] = entry
        end
    end
    pending = kept
    M.flush()
end

--- What may have been meant: a local variable that the code sees there, or a global.
-- @param level of the function that reads the name, seen from here
local function closest(name, level)
    -- Short names resemble too many.
    if #name < 4 then return nil end
    local names, fn = {}, debug.getinfo(level, "f").func
    for i = 1, math.huge do
        local known = debug.getlocal(level, i)
        if not known then break end
        names[#names + 1] = known
    end
    for i = 1, math.huge do
        local known = debug.getupvalue(fn, i)
        if not known then break end
        names[#names + 1] = known
    end
    for known in pairs(_G) do names[#names + 1] = type(known) == "string" and known or nil end
    return suggest.closest(name, names)
end

--- Watch the code of a file.
-- @tparam function chunk of loadfile()
-- @tparam function warn writes a line
function M.watch(chunk, warn)
    local globals, told = _G, {}
    write = warn
    local function tell(name)
        told[name] = true
        local at = debug.getinfo(3, "Sl")
        -- Asked for by other means than by writing its name.
        if type(name) ~= "string" or at.currentline < 0 then return end
        local guess = closest(name, 4)
        pending[#pending + 1] = { name = name, line = ("%s:%d: %s is not defined, so it is nil%s"):format(
            at.short_src, at.currentline, name, guess and ("; did you mean %s?"):format(guess) or "") }
    end
    -- Metamethods that the program gives its globals are called in place of these here: their errors name its line.
    local function own(event)
        local meta = debug.getmetatable(globals)
        local method = meta and rawget(meta, event)
        return type(method) == "function" and method
    end
    setfenv(chunk, setmetatable({}, {
        __index = function(_, name)
            if pending[1] then M.flush() end
            local value = rawget(globals, name)
            if value ~= nil then return value end
            local method = own "__index"
            if method then return method(globals, name) end
            value = globals[name]
            if value == nil and not told[name] then tell(name) end
            return value
        end,
        __newindex = function(_, name, value)
            -- Nil on purpose, as of a cache that is to be filled.
            if value == nil then told[name] = true end
            local method = rawget(globals, name) == nil and own "__newindex"
            if method then return method(globals, name, value) end
            globals[name] = value
        end,
    }))
end

return M
