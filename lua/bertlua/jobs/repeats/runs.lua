--- The runs that `sweep`, `seeds` and `folds` ask for, as a list: names, and what each changes of the settings.
--
-- A point is a combination of values of a sweep; without a sweep there is one, which changes nothing. Each point is run
-- once, or once with each seed or fold. Nothing is run here.

local fault = require "bertlua.fault"
local help = require "bertlua.settings.help"
local lua_value = require "bertlua.util.lua_value"

local M = {}

-- What a sweep can't vary, and why.
local OWNED = {
    seeds = "it is a list of runs itself", folds = "it is a list of runs itself", sweep = "it is the sweep",
    sweep_processes = "it runs the sweep", seed = "use seeds", output_dir = "each run has a folder of its own",
    report_file = "each run has one of its own", dev_file = "figures of different texts can't be compared",
    test_file = "figures of different texts can't be compared",
    dev_share = "figures of different texts can't be compared",
    metric_for_best_model = "the runs are compared by it", from_checkpoint = "each run resumes by itself",
    last_step_of_checkpoint = "each run resumes by itself", benchmark = "it measures speed",
}

local function trimmed(text)
    return text:match "^%s*(.-)%s*$"
end

local function split(text, separator)
    local list = {}
    for part in (text .. separator):gmatch("(.-)" .. separator) do list[#list + 1] = trimmed(part) end
    return list
end

--- "learning_rate=2e-5,5e-5;epochs=2,3" as a table; a recipe's table as it is.
local function sweep_table(given)
    if type(given) == "table" then return given end
    local sweep = {}
    for _, part in ipairs(split(given, ";")) do
        local name, list = part:match "^([%w_%-]+)%s*=%s*(.+)$"
        if name then
            name = name:gsub("^%-%-", ""):gsub("-", "_")
            if sweep[name] then fault.raisef("--sweep: %s is there twice: give all its values in one list", name) end
            sweep[name] = split(list, ",")
        elseif part ~= "" then
            fault.raisef('--sweep: got %q, expected "name=value,value;name=value,value"', part)
        end
    end
    if next(sweep) == nil then fault.raise '--sweep: it is empty, expected "learning_rate=2e-5,5e-5"' end
    return sweep
end

--- A value as the command line of a run says it, and as names and tables do.
local function texts_of(value)
    local shown = help.value_text(value)
    -- The first that reads as the same number.
    local text = tonumber(shown) ~= value and type(value) == "number" and ("%.17g"):format(value) or shown
    return text, shown
end

--- A value of a sweep as the setting has it; a fault if it can't be one.
local function checked(spec, name, value)
    local scratch, sources = {}, spec.sources
    spec.sources = {}
    local good, problem = pcall(spec.assign, spec, scratch, name, value, "sweep", "sweep: " .. name)
    spec.sources = sources
    if not good then error(problem, 0) end
    return scratch[name]
end

--- The values of one setting, each {name, text, shown, value}.
local function axis(spec, name, given)
    local setting = spec.by_name[name]
    if OWNED[name] then fault.raisef("sweep: %s can't be varied: %s", name, OWNED[name]) end
    if setting.type == "lua" then
        fault.raisef("sweep: %s can't be varied: it has no value on the command line of a run", name)
    end
    if type(given) ~= "table" or #given == 0 then
        fault.raisef("sweep: %s: got %s, expected a list of values: { 2e-5, 5e-5 }", name,
            tostring(lua_value.shown(given)))
    end
    local list, seen = {}, {}
    for i, value in ipairs(given) do
        if type(value) == "table" or type(value) == "function" then
            fault.raisef("sweep: %s: got %s as a value, expected a number, a text or a boolean", name,
                tostring(lua_value.shown(value)))
        end
        local converted = checked(spec, name, value)
        local text, shown = texts_of(converted)
        if seen[text] then fault.raisef("sweep: %s has the value %s twice", name, shown) end
        seen[text] = true
        list[i] = { name = name, text = text, shown = shown, value = converted }
    end
    return list
end

--- The part of a folder's name that stands for a value; what can't be in one becomes "-".
local function in_name(text)
    return (text:gsub("[^%w%.%+%-_]", "-"))
end

--- The combinations of a sweep, in the order of the settings, the last one varying fastest.
-- @param spec settings.Spec of the task
-- @param given the setting: text or table
-- @return list of {name, changes = list of {name, text, shown, value}}; names of what varies
function M.points(spec, given)
    if given == nil then return { { changes = {} } }, {} end
    local sweep, points, names = sweep_table(given), { { changes = {} } }, {}
    for name in pairs(sweep) do
        if type(name) ~= "string" then
            fault.raise "sweep: expected values by the name of a setting: { learning_rate = { 2e-5, 5e-5 } }"
        end
        if not spec.by_name[name] then spec:unknown(name, name) end
    end
    for _, setting in ipairs(spec.list) do
        if sweep[setting.name] then
            names[#names + 1] = setting.name
            local longer = {}
            for _, point in ipairs(points) do
                for _, value in ipairs(axis(spec, setting.name, sweep[setting.name])) do
                    local changes = { unpack(point.changes) }
                    changes[#changes + 1] = value
                    longer[#longer + 1] = { changes = changes }
                end
            end
            points = longer
        end
    end
    local taken = {}
    for _, point in ipairs(points) do
        local parts = {}
        for i, change in ipairs(point.changes) do parts[i] = ("%s=%s"):format(change.name, in_name(change.shown)) end
        point.name = table.concat(parts, ",")
        -- Texts that differ only in what a name can't hold.
        taken[point.name] = (taken[point.name] or 0) + 1
        if taken[point.name] > 1 then point.name = ("%s.%d"):format(point.name, taken[point.name]) end
    end
    return points, names
end

--- The seeds as numbers.
local function seeds_of(given)
    local list, seen = {}, {}
    local texts = type(given) == "table" and given or split(given, ",")
    if #texts == 0 then fault.raise "seeds: the list is empty, expected numbers: { 1, 2, 3 }" end
    for i, text in ipairs(texts) do
        local seed = tonumber(text)
        if not seed or seed < 0 or seed % 1 ~= 0 or seed > 2 ^ 53 then
            fault.raisef("--seeds: got %q, expected integers of at least 0 with commas between them: 1,2,3",
                tostring(text))
        end
        if seen[seed] then fault.raisef("--seeds: %d is there twice", seed) end
        seen[seed], list[i] = true, seed
    end
    return list
end

--- All runs.
-- @param spec settings.Spec of the task
-- @param values resolved settings
-- @return list of {name: its folder below OUTPUT_DIR; point: number of its point; seed or fold, or neither; changes:
--   list as of a point, of all that differs from the other runs but for files}; the points; names of what a sweep
--   varies
function M.list(spec, values)
    local points, varied = M.points(spec, values.sweep)
    local members = { {} }
    if values.seeds then
        members = {}
        for i, seed in ipairs(seeds_of(values.seeds)) do
            members[i] = { seed = seed, name = ("seed-%d"):format(seed),
                change = { name = "seed", text = ("%d"):format(seed), shown = ("%d"):format(seed), value = seed } }
        end
    elseif values.folds then
        members = {}
        for fold = 1, values.folds do members[fold] = { fold = fold, name = ("fold-%d"):format(fold) } end
    end
    local list = {}
    for p, point in ipairs(points) do
        for _, member in ipairs(members) do
            local run = { point = p, seed = member.seed, fold = member.fold, changes = { unpack(point.changes) } }
            run.changes[#run.changes + 1] = member.change
            run.name = point.name and (member.name and point.name .. "/" .. member.name or point.name) or member.name
            list[#list + 1] = run
        end
    end
    return list, points, varied
end

return M
