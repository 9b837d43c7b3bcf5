--- Parameters that a run treats apart from the others, by their names: freeze, lr_scale, weight_decay_of; and, of
-- fine-tuning, freeze_embeddings, freeze_layers and layerwise_lr_decay, which come to the first two.
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

--- The patterns of `freeze`: a recipe's list, or text with commas between them; one inside [] is part of a set.
local function patterns_of(given)
    if type(given) ~= "string" then return given end
    local list, at, depth = {}, 1, 0
    for i = 1, #given + 1 do
        local byte = given:sub(i, i)
        depth = byte == "[" and 1 or byte == "]" and 0 or depth
        if (byte == "," and depth == 0) or byte == "" then
            list[#list + 1], at = given:sub(at, i - 1):match "^%s*(.-)%s*$", i + 1
        end
    end
    return list
end

--- All that is frozen, as patterns; an empty list if nothing is.
local function frozen_patterns(values)
    local list = {}
    for i, pattern in ipairs(patterns_of(values.freeze) or {}) do list[i] = pattern end
    if values.freeze_embeddings then list[#list + 1] = "embeddings" end
    for layer = 0, (values.freeze_layers or 0) - 1 do list[#list + 1] = ("encoder.layer.%d"):format(layer) end
    return list
end

--- Layers of a model's encoder, by the names of its parameters.
local function layers_of(names)
    local count = 0
    for _, name in ipairs(names) do
        local layer = name:match "%f[%w]encoder%.layer%.(%d+)%."
        if layer then count = math.max(count, tonumber(layer) + 1) end
    end
    return count
end

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
        fault.raisef("%s: got %s for %s, expected a finite number of at least 0", setting,
            tostring(lua_value.shown(value)), what)
    end
end

--- Check these settings as far as that is possible without a model; a fault for what is wrong.
function M.check(values)
    local list = patterns_of(values.freeze)
    if list then
        for key in pairs(list) do
            if type(key) ~= "number" then
                fault.raisef('freeze: unknown field %s, expected a list of patterns: { "embeddings" }', tostring(key))
            end
        end
        if #list == 0 then fault.raise 'freeze: the list is empty, expected patterns: { "embeddings" }' end
        for _, pattern in ipairs(list) do compiled("freeze", pattern) end
    end
    if values.layerwise_lr_decay and values.lr_scale then
        fault.raise "--layerwise-lr-decay and lr_scale are both set: give one of them"
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

--- Freeze what the settings say, before the store is allocated.
-- @param values settings
-- @param store ParameterStore
function M.freeze(values, store)
    local patterns = frozen_patterns(values)
    if #patterns == 0 then return end
    local names, frozen, count = names_of(store), {}, 0
    local layers = layers_of(names)
    if values.freeze_layers and values.freeze_layers > layers then
        fault.raisef("--freeze-layers %d, but the model's encoder has %d: choose %s", values.freeze_layers, layers,
            layers > 0 and ("1 to %d"):format(layers) or "parameters by --freeze")
    end
    for _, pattern in ipairs(patterns) do
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

--- The learning rate of each layer relative to the one above it: decay^(L-l) for layer l of 0 ... L-1, decay^(L+1) for
-- the embeddings, 1 for what is above the encoder, as in ELECTRA (arXiv 2003.10555, appendix B; its layers count from
-- 1, and the top one is below the task's by one decay, as here).
local function layerwise(decay, store)
    local layers = layers_of(names_of(store))
    if layers == 0 then
        fault.raise "--layerwise-lr-decay: the model has no encoder.layer.N: give rates by lr_scale"
    end
    return function(name)
        local layer = name:match "%f[%w]encoder%.layer%.(%d+)%."
        if layer then return decay ^ (layers - tonumber(layer)) end
        if name:find "%f[%w]embeddings%f[%W]" then return decay ^ (layers + 1) end
        return nil
    end
end

--- A recipe's numbers for each parameter, checked; called once per parameter that is trained.
-- @param setting "lr_scale" or "weight_decay_of"
-- @param store ParameterStore, with what is frozen marked
-- @return function(name) -> number or nil, nil where the recipe has none; all numbers as text, to compare them
function M.numbers(setting, values, store)
    local given = values[setting]
    if setting == "lr_scale" and values.layerwise_lr_decay then given = layerwise(values.layerwise_lr_decay, store) end
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
    local patterns = frozen_patterns(values)
    if #patterns == 0 then return nil end
    local frozen = store.numel - store:trained_numel()
    local text = store.numel < 1e5 and ("%d of %d parameters"):format(frozen, store.numel)
        or frozen < 1e5 and ("%d of %.1f million parameters"):format(frozen, store.numel / 1e6)
        or ("%.1f of %.1f million parameters"):format(frozen / 1e6, store.numel / 1e6)
    return ("%s (%s)"):format(text, table.concat(patterns, ", "))
end

return M
