--- bertlua: train and use BERT from Lua.
--
--     local bl = require "bertlua"
--     local x = bl.randn(2, 3)
--     local config = bl.models.BertConfig.load "bert_configs/bert-base-uncased.json"
--
-- Modules are loaded when they are first used: bl.ops is require "bertlua.ops",
-- bl.train.trainer is require "bertlua.train.trainer".

require "bertlua.jit_guard"

local bl = {}

local MODULES = {
    "array", "context", "fault", "memory", "models", "nn", "ops", "optim", "paths", "recipe", "rng", "settings",
    "signal", "storage", "tensor",
}

-- Folders of modules; data and text also have the fields of the module of that name.
local FOLDERS = {
    autograd = { "functional", "tape" },
    data = { "create_pretraining", "loader", "sequences" },
    squad = { "dataset", "extraction", "features", "metrics", "predict", "reader" },
    text = { "tokenizer", "vocab_trainer" },
    train = {
        "benchmark", "checkpoint", "optimizer", "report", "schedule", "tensorboard", "trainer",
    },
    util = { "chart", "clock", "fs", "json", "progress", "suggest", "term" },
}

-- The module, or nil if there is none by this name. A failure inside it is an error.
local function optional(name)
    local found, module = pcall(require, name)
    if found then return module end
    if tostring(module):find("module '" .. name .. "' not found", 1, true) then return nil end
    error(module, 0)
end

local function folder(prefix, names)
    return setmetatable({}, {
        __names = names,
        __index = function(self, name)
            if type(name) ~= "string" then return nil end
            local value = optional(prefix .. "." .. name)
            if value == nil then
                local base = optional(prefix)
                value = type(base) == "table" and base[name] or nil
            end
            rawset(self, name, value)
            return value
        end,
    })
end

--- bl.models also has answer(): it comes from squad, which builds on models.
local function with_answer(models)
    return setmetatable(models, {
        __names = { "answer" },
        __index = function(_, name)
            if name == "answer" then return require("bertlua.squad.reader").answer end
        end,
    })
end

local is_module = {}
for _, name in ipairs(MODULES) do is_module[name] = true end

-- Functions of bertlua.creation that are fields of bl.
local FUNCTIONS = {
    "arange", "cat", "eye", "from", "linspace", "manual_seed", "ones", "rand", "randn", "where", "zeros",
}
local is_function = {}
for _, name in ipairs(FUNCTIONS) do is_function[name] = true end

local names = { "version" }
for _, list in ipairs { MODULES, FUNCTIONS } do
    for _, name in ipairs(list) do names[#names + 1] = name end
end
for name in pairs(FOLDERS) do names[#names + 1] = name end
table.sort(names)

return setmetatable(bl, {
    __names = names,
    __index = function(self, name)
        local value
        if FOLDERS[name] then
            value = folder("bertlua." .. name, FOLDERS[name])
        elseif is_module[name] then
            value = require("bertlua." .. name)
            if name == "models" then value = with_answer(value) end
        elseif is_function[name] then
            value = require("bertlua.creation")[name]
        elseif name == "version" then
            value = require("bertlua.version").engine
        else
            return nil
        end
        rawset(self, name, value)
        return value
    end,
})
