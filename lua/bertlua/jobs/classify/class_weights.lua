--- The setting class_weights: how much a text of each label counts in the loss.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"

local M = {}

local FORM = '"balanced", "label=weight,label=weight" or a table of weights by label'

--- "negative=1,positive=2.5" as a table; a label may hold a comma or an equals sign that no number follows.
local function parsed(text)
    local weights, rest = {}, text
    while rest ~= "" do
        local label, number, after = rest:match "^%s*(.-)=%s*([%d.eE+-]+)%s*,(.*)$"
        if not label then label, number, after = rest:match "^%s*(.-)=%s*([%d.eE+-]+)%s*()$" end
        if not label or not tonumber(number) then
            fault.raisef("--class-weights: got %q, expected %s", text, FORM)
        end
        weights[label], rest = tonumber(number), type(after) == "string" and after or ""
    end
    return weights
end

--- Weights in the order of the labels: n / (labels * texts of the label), as scikit-learn's "balanced".
local function balanced(names, counts, where)
    local weights, total = {}, 0
    for _, name in ipairs(names) do total = total + (counts[name] or 0) end
    for i, name in ipairs(names) do
        if not counts[name] then
            fault.raisef("%s: no text has the label %q, so balanced class_weights give it none: give them by label",
                where, name)
        end
        weights[i] = total / (#names * counts[name])
    end
    return weights
end

--- The weights of a run's labels.
-- @param given the setting
-- @param names of the labels
-- @param counts how many texts each has
-- @param where the texts come from
-- @return list of numbers in the order of names
function M.of(given, names, counts, where)
    if given == "balanced" then return (balanced(names, counts, where)) end
    local table_of, weights, used = type(given) == "string" and parsed(given) or given, {}, {}
    -- A list has them in the order of the labels. One that starts at 0 names labels that are numbers.
    local is_list = #table_of == #names and table_of[0] == nil
    for i, name in ipairs(names) do
        local key = is_list and i or table_of[name] ~= nil and name or tonumber(name)
        local weight = table_of[key]
        if weight == nil then fault.raisef("class_weights: no weight for the label %q", name) end
        if type(weight) ~= "number" or not (weight > 0 and weight < math.huge) then
            fault.raisef("class_weights: got %s for the label %q, expected a number above 0",
                tostring(lua_value.shown(weight)), name)
        end
        weights[i], used[key] = weight, true
    end
    for key in pairs(table_of) do
        if not used[key] then
            fault.raisef("class_weights: no label is called %q; they are %s", tostring(key),
                table.concat(names, ", ", 1, math.min(#names, 8)) .. (#names > 8 and ", ..." or ""))
        end
    end
    return weights
end

--- "a 0.5, b 3", or for many labels "from 0.5 to 3".
function M.described(weights, names)
    local parts = {}
    if #names > 8 then
        return ("from %.3g to %.3g"):format(math.min(unpack(weights)), math.max(unpack(weights)))
    end
    for i, name in ipairs(names) do parts[i] = ("%s %.3g"):format(name, weights[i]) end
    return table.concat(parts, ", ")
end

return M
