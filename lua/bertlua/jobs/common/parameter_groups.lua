--- Parameters that a recipe treats apart from the others, by their names: freeze, lr_scale, weight_decay_of.
--
-- Names are those of the checkpoint, "bert.encoder.layer.0.attention.self.query.weight"; patterns are those of
-- util/name_pattern.lua. A table gives numbers by pattern, a function by name.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local name_pattern = require "bertlua.util.name_pattern"

local M = {}

local EXAMPLES = {
    lr_scale = 'function(name) return number end, or { ["encoder.layer.0"] = 0.5, ... }',
    weight_decay_of = 'function(name) return number end, or { ["pooler"] = 0.1, ... }',
}

local function compiled(setting, pattern)
    if type(pattern) ~= "string" then
        fault.raisef("%s: got %s as a pattern, expected text", setting, tostring(lua_value.shown(pattern)))
    end
    local matches, reason = name_pattern.compile(pattern)
    if not matches then fault.raisef("%s: %q is not a pattern of names: %s", setting, pattern, reason) end
    return matches
end

local function check_number(setting, what, value)
    if type(value) ~= "number" or value ~= value or value < 0 or value == math.huge then
        fault.raisef("%s: got %s for %s, expected a number of at least 0", setting, tostring(lua_value.shown(value)),
            what)
    end
end

--- Check these settings as far as that is possible without a model; a fault for what is wrong.
function M.check(values)
    local list = values.freeze
    if list then
        for key in pairs(list) do
            if type(key) ~= "number" then
                fault.raisef('freeze: unknown field %s, expected a list of patterns: { "embeddings" }', tostring(key))
            end
        end
        if #list == 0 then fault.raise 'freeze: the list is empty, expected patterns: { "embeddings" }' end
        for _, pattern in ipairs(list) do compiled("freeze", pattern) end
    end
    for setting, example in pairs(EXAMPLES) do
        local given = values[setting]
        if type(given) == "table" then
            if next(given) == nil then fault.raisef("%s: the table is empty, expected %s", setting, example) end
            for pattern, value in pairs(given) do
                compiled(setting, pattern)
                check_number(setting, ("%q"):format(pattern), value)
            end
        end
    end
end

local function names_of(store)
    local names = {}
    for i, entry in ipairs(store.list) do names[i] = entry.name end
    return names
end

--- The names that a pattern matches, as a set; a fault if there are none.
local function matched(setting, pattern, names)
    local matches, set = compiled(setting, pattern), {}
    for _, name in ipairs(names) do
        if matches(name) then set[name] = true end
    end
    if next(set) == nil then
        fault.raisef("%s: %q matches no parameter; the nearest is %s (a pattern matches whole parts of a name)",
            setting, pattern, name_pattern.nearest(pattern, names))
    end
    return set
end

--- Freeze what a recipe says, before the store is allocated.
-- @param values settings
-- @param store ParameterStore
function M.freeze(values, store)
    if not values.freeze then return end
    local names, frozen, count = names_of(store), {}, 0
    for _, pattern in ipairs(values.freeze) do
        for name in pairs(matched("freeze", pattern, names)) do
            if not frozen[name] then count = count + 1 end
            frozen[name] = true
        end
    end
    if count == #names then
        fault.raise "freeze: these patterns freeze every parameter: leave at least one to train"
    end
    store:freeze(function(name) return frozen[name] end)
end

--- Numbers by pattern as a function of a name.
local function of_table(setting, given, store)
    local names, patterns, value_of, pattern_of = names_of(store), {}, {}, {}
    for pattern in pairs(given) do patterns[#patterns + 1] = pattern end
    table.sort(patterns)
    for _, pattern in ipairs(patterns) do
        local value, learns = given[pattern], false
        for name in pairs(matched(setting, pattern, names)) do
            if value_of[name] and value_of[name] ~= value then
                fault.raisef("%s: %s is %s by %q and %s by %q: let one pattern match it, or use a function", setting,
                    name, value_of[name], pattern_of[name], value, pattern)
            end
            value_of[name], pattern_of[name] = value, pattern
            learns = learns or not store:get(name).frozen
        end
        if not learns then
            fault.raisef("%s: %q matches nothing but frozen parameters: leave it out, or thaw them", setting, pattern)
        end
    end
    return function(name) return value_of[name] end
end

--- A recipe's numbers for each parameter, checked; called once per parameter that is trained.
-- @param setting "lr_scale" or "weight_decay_of"
-- @param store ParameterStore, with what is frozen marked
-- @return function(name) -> number or nil, nil where the recipe has none; all numbers as text, to compare them
function M.numbers(setting, values, store)
    local given = values[setting]
    if not given then return nil end
    local of = type(given) == "table" and of_table(setting, given, store) or nil
    local numbers = {}
    for _, entry in ipairs(store.list) do
        if not entry.frozen then
            local value
            if of then
                value = of(entry.name)
            else
                value = lua_value.call(("%s, %s"):format(setting, entry.name), given, entry.name)
            end
            if value ~= nil then check_number(setting, entry.name, value) end
            numbers[entry.name] = value
        end
    end
    local text = {}
    for i, entry in ipairs(store.list) do text[i] = ("%.17g"):format(numbers[entry.name] or -1) end
    return function(name) return numbers[name] end, table.concat(text, " ")
end

--- "5.2 of 11.2 million parameters (embeddings)": what is frozen, for the log; nil if nothing is.
function M.frozen_text(values, store)
    if not values.freeze then return nil end
    local frozen = store.numel - store:trained_numel()
    local text = store.numel < 1e5 and ("%d of %d parameters"):format(frozen, store.numel)
        or frozen < 1e5 and ("%d of %.1f million parameters"):format(frozen, store.numel / 1e6)
        or ("%.1f of %.1f million parameters"):format(frozen / 1e6, store.numel / 1e6)
    return ("%s (%s)"):format(text, table.concat(values.freeze, ", "))
end

return M
