--- `:reload NAME`: load a module again after its file has changed.
--
-- The new fields go into the old table, so that whoever holds the module, and objects of a class, see the new functions
-- at once. What was copied out of it before, such as `local f = module.f`, stays old: that is told.

local plural = require "bertlua.util.plural"
local suggest = require "bertlua.util.suggest"

local M = {}

--- The loaded module that a name means: its full name, its last part, or the name of a variable that holds it.
local function find(name, names)
    if package.loaded[name] ~= nil then return name end
    local value = names[name]
    local by_value, by_ending
    for module, loaded in pairs(package.loaded) do
        if value ~= nil and loaded == value and type(value) == "table" then by_value = module end
        if module:sub(-#name - 1) == "." .. name then by_ending = module end
    end
    if by_value or by_ending then return by_value or by_ending end
    local all = {}
    for module in pairs(package.loaded) do all[#all + 1] = module end
    local guess = suggest.closest(name, all)
    return nil, ("no module %s is loaded%s"):format(name, guess and "; did you mean " .. guess .. "?" or "")
end

local function functions_of(t)
    local set = {}
    for key, value in pairs(t) do
        if type(value) == "function" then set[value] = key end
    end
    return set
end

--- Loaded modules that hold a value in a field, or as an upvalue of a function that is one.
-- @param holds function(value) that says which values
-- @param own name of the module itself
local function holders(holds, own)
    local list = {}
    local function in_function(f)
        for i = 1, math.huge do
            local name, value = debug.getupvalue(f, i)
            if not name then return false end
            if holds(value) then return true end
        end
    end
    for name, module in pairs(package.loaded) do
        if type(module) == "table" and name ~= own and name ~= "_G" then
            local found = false
            for _, value in pairs(module) do
                found = found or holds(value) or type(value) == "function" and in_function(value)
            end
            if found then list[#list + 1] = name end
        end
    end
    table.sort(list)
    return list
end

local function variables(names, test)
    local list = {}
    local function look(t)
        for name, value in pairs(t) do
            if type(name) == "string" and test(value) then list[#list + 1] = name end
        end
    end
    look(names)
    local meta = getmetatable(names)
    if meta and type(meta.__index) == "table" then look(meta.__index) end
    table.sort(list)
    return list
end

--- What changed, by name.
local function changes(before, now)
    local added, gone, count = {}, {}, 0
    for name, value in pairs(now) do
        if type(value) == "function" then count = count + 1 end
        if before[name] == nil then added[#added + 1] = tostring(name) end
    end
    for name in pairs(before) do
        if now[name] == nil then gone[#gone + 1] = tostring(name) end
    end
    table.sort(added)
    table.sort(gone)
    return count, added, gone
end

-- An environment that a module gave another value stays as it is.
local function replace_in_place(old, new)
    for key in pairs(old) do
        if new[key] == nil then old[key] = nil end
    end
    for key, value in pairs(new) do old[key] = value end
    -- A class whose objects look up their methods in the table itself must not lead them to the other one.
    if rawget(new, "__index") == new then old.__index = old end
    setmetatable(old, getmetatable(new))
end

--- Load a module again.
-- @param name of the module, its last part, or of a variable that holds it
-- @param names the session's names, looked through for copies
-- @return lines that tell what it affects; or nil and a message: then the old module is still in place
function M.reload(name, names)
    local module, problem = find(name, names)
    if not module then return nil, problem end
    local old = package.loaded[module]
    if not package.searchpath(module, package.path) then return nil, module .. " is not a Lua file" end
    package.loaded[module] = nil
    local ok, new = pcall(require, module)
    if not ok then
        package.loaded[module] = old
        return nil, ("%s stays as it was: %s"):format(module, tostring(new))
    end
    if type(old) ~= "table" or type(new) ~= "table" then
        return ("%s is loaded anew; what holds the old value keeps it: require it again\n"):format(module)
    end
    local functions = functions_of(old)
    local count, added, gone = changes(old, new)
    local lines = { ("%s is loaded anew: %s%s%s"):format(module, plural.count(count, "function"),
        #added > 0 and ", new: " .. table.concat(added, ", ") or "",
        #gone > 0 and ", gone: " .. table.concat(gone, ", ") or "") }
    replace_in_place(old, new)
    package.loaded[module] = old
    local function is_module(value) return value == old end
    local held = variables(names, is_module)
    for _, other in ipairs(holders(is_module, module)) do held[#held + 1] = other end
    lines[#lines + 1] = ("the new functions are used by %sobjects made of it"):format(
        #held > 0 and table.concat(held, ", ") .. " and " or "")
    -- Only functions that are no longer those of the module.
    for f in pairs(functions_of(old)) do functions[f] = nil end
    local function is_old(value) return functions[value] ~= nil end
    for _, other in ipairs(holders(is_old, module)) do
        lines[#lines + 1] = ("%s keeps old functions of it: :reload %s"):format(other, other)
    end
    for _, variable in ipairs(variables(names, is_old)) do
        lines[#lines + 1] = ("%s is an old function of it: set it again"):format(variable)
    end
    return table.concat(lines, "\n") .. "\n"
end

return M
