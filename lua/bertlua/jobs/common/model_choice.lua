--- Which model a run trains: a task's own, of a size that the recipe changes, or one that the recipe defines.
--
--     model = { base = "bert-base-uncased", num_hidden_layers = 4 }
--     model = function(config, store) return MyBert.new(config, store) end
--     model = { new = MyBert.new, base = "bert-base-uncased", gate = "gelu" }
--
-- The fields of the table change the configuration; with `new` it may have keys of its own. A table as config_file is
-- the same thing without `new`. A model of one's own is a Module (nn/module.lua) with forward(tape, batch), which
-- returns the results (train/objective.lua); the parameters of its store are saved and resumed. It may have
-- logits(tape, batch), for prediction; activation_bytes(shape), for the memory plan; parts whose class has
-- can_recompute, for activation checkpointing; a class field `architecture`, if transformers has that class and opens
-- its files.

local BertConfig = require "bertlua.models.bert_config"
local Objective = require "bertlua.train.objective"
local ParameterStore = require "bertlua.nn.parameters"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lua_value = require "bertlua.util.lua_value"
local paths = require "bertlua.paths"
local storage = require "bertlua.storage"
local vocabulary = require "bertlua.weights.vocabulary"

local M = {}

--- The setting in which a recipe changes the configuration, and the table; nil if it does not.
local function changes_of(values)
    local found
    for _, name in ipairs { "model", "config_file" } do
        if type(values[name]) == "table" then
            if found then fault.raisef("%s and config_file are both tables: give one of them", found) end
            found = name
        end
    end
    return found, found and values[found]
end

--- The config.json that a base names, and the vocabulary that goes with it (nil if there is none).
local function base_files(setting, base)
    if type(base) ~= "string" then fault.raisef("%s.base is %s, expected text", setting, lua_value.shown(base)) end
    if fs.is_directory(base) then
        local file = fs.join(base, "config.json")
        if not fs.is_file(file) then fault.raisef("%s.base %s: this folder holds no config.json", setting, base) end
        return file, (vocabulary.beside(base))
    end
    if fs.is_file(base) then return base, nil end
    local published = not base:find "/" and paths.find("config", base .. ".json")
    if not published then
        fault.raisef("%s.base %s: expected a model of bert_configs/, such as bert-base-uncased, a config.json, or a "
            .. "folder that holds one", setting, base)
    end
    return published, (paths.find("vocab", base .. "-vocab.txt"))
end

--- Settings that follow from a base: its vocabulary; and the run is called custom, since the model is another one.
-- Changes `values`; to be called once they are parsed.
-- @param sources where each came from
function M.settle(values, sources)
    local setting, given = changes_of(values)
    if not given or given.base == nil then return end
    local file, words = base_files(setting, given.base)
    if setting == "model" and not values.config_file then
        values.config_file = file
    elseif setting == "model" and sources.config_file ~= "command line" then
        fault.raise("model.base and config_file are both set: both name the configuration to start from")
    end
    values.vocab_file = values.vocab_file or words
    if not sources.bert_model then values.bert_model = "custom" end
end

--- The configuration of a run, as a plan holds it: a path; or, where a recipe has a say in it, a table {setting, file:
-- path to start from or nil, fields: those that the recipe gives, own: whether it defines the model}.
-- @param file path of the configuration as settings name it; nil if the recipe gives all of it
function M.config_file(values, file)
    local setting, given = changes_of(values)
    local own = M.is_own(values)
    if not given then return own and { setting = file, file = file, fields = {}, own = true } or file end
    local fields = {}
    for name, value in pairs(given) do
        if type(name) ~= "string" then
            fault.raisef("%s: got a list, expected fields by name: %s = { num_hidden_layers = 4 }", setting, setting)
        end
        if name ~= "base" and not (name == "new" and own) then fields[name] = value end
    end
    if given.base ~= nil and type(values.config_file) ~= "string" then file = base_files(setting, given.base) end
    return { setting = setting, file = file, fields = fields, own = own }
end

--- The configuration itself.
-- @param chosen of config_file()
-- @return BertConfig, what messages call it
function M.config(chosen)
    if type(chosen) == "string" then return BertConfig.load(chosen), chosen end
    local values = chosen.file and BertConfig.read(chosen.file) or {}
    for name, value in pairs(chosen.fields) do values[name] = value end
    return BertConfig.new(values, chosen.setting, { own = chosen.own, by_hand = chosen.fields }), chosen.setting
end

--- Whether the recipe gives a configuration as a table.
function M.has_table(values)
    return changes_of(values) ~= nil
end

--- The function of a recipe that makes the model; nil if it defines none.
local function maker_of(values)
    local given = values.model
    if type(given) ~= "table" then return given end
    if given.new ~= nil and type(given.new) ~= "function" then
        fault.raisef("model.new is %s, expected function(config, store)", tostring(lua_value.shown(given.new)))
    end
    return given.new
end

--- Whether the recipe defines the model.
function M.is_own(values)
    return maker_of(values) ~= nil
end

--- The functions of a model's classes that are not bertlua's, as a checksum.
local function classes_of(model)
    local parts, seen = {}, {}
    model:walk(function(module)
        local class = getmetatable(module)
        if seen[class] then return end
        seen[class] = true
        local names = {}
        for name, value in pairs(class) do
            if type(value) == "function" and not lua_value.is_own(debug.getinfo(value, "S").source) then
                names[#names + 1] = name
            end
        end
        table.sort(names)
        for _, name in ipairs(names) do
            parts[#parts + 1] = ("%s.%s %s"):format(class.class_name, name, lua_value.identity(class[name]))
        end
    end)
    return storage.crc32c(table.concat(parts, "\n"))
end

--- Refuse what is no model; the messages say what a model needs.
local function check(model, store)
    local function wrong(what) fault.raisef("model: %s", what) end
    if type(model) ~= "table" or type(model.walk) ~= "function" then
        wrong(("the function returned %s, expected a module: local self = Module.root(MyBert, store)"):format(
            type(model) == "table" and "a table that is no module" or tostring(model)))
    elseif type(model.forward) ~= "function" then
        wrong(("%s has no forward(tape, batch)"):format(model.class_name))
    elseif model.store ~= store then
        wrong(("the parameters of %s are in another store: pass on the one that the function is given"):format(
            model.class_name))
    elseif #store.list == 0 then
        wrong(("%s has no parameters"):format(model.class_name))
    end
end

local function build_own(job)
    local values, config, store = job.values, job.data.config, ParameterStore.new()
    local model = lua_value.call("model", maker_of(values), config, store)
    check(model, store)
    local run = job.run
    local predicts = job.task.predict and (run.work.predict or run.work.evaluate or run.evaluate)
    if predicts and type(model.logits) ~= "function" then
        fault.raisef("model: %s has no logits(tape, batch), which predicting needs", model.class_name)
    end
    model.config = model.config or config
    -- Only a class that says so is one of transformers'.
    config.own_class = not store.architecture and model.class_name or nil
    store.architecture, store.labeled = store.architecture or model.class_name, config.labels ~= nil
    -- The fields of its configuration are compared with those of config.json.
    run.effective.model = ("%s, classes %08x"):format(lua_value.identity(maker_of(values)), classes_of(model))
    return model
end

--- The model of a job, not allocated yet.
-- @param job with task, values, data, run; run.effective gets what identifies a model of the recipe's
-- @return model; what computes the results in its place in training (train/objective.lua), or nil
function M.build(job)
    local own, loss = M.is_own(job.values), job.values.loss
    local model = own and build_own(job) or job.task.model(job.data)
    if not job.run.work.train then return model end
    if loss then return model, Objective.of_loss(loss, model) end
    return model, own and Objective.of_model(model) or nil
end

--- Let a model's parts recompute their activations in the backward pass, where the setting asks for that.
function M.set_checkpointing(model, values)
    local found = false
    model:walk(function(module)
        if module.can_recompute then module.activation_checkpointing, found = values.activation_checkpointing, true end
    end)
    if values.activation_checkpointing and not found then
        fault.raisef("--activation-checkpointing: no part of %s can recompute its activations; drop the setting",
            model.class_name)
    end
end

--- Why the memory plan cannot know the activations of a step; nil if it can.
function M.unknown_activations(model, values)
    if values.loss then return "what the recipe's loss computes is not known" end
    if type(model.activation_bytes) ~= "function" then
        return ("%s has no activation_bytes(shape)"):format(model.class_name)
    end
    return nil
end

return M
