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

-- Splits "2, 3, 'bf16'" into dims and dtype; a single list of dims is also accepted.
local function dims_of(...)
    local dims = { ... }
    local dtype = type(dims[#dims]) == "string" and table.remove(dims) or nil
    if type(dims[1]) == "table" then dims = dims[1] end
    return dims, dtype or "f32"
end

--- A tensor of zeros: bl.zeros(2, 3) or bl.zeros(2, 3, "bf16").
function bl.zeros(...)
    local dims, dtype = dims_of(...)
    local t = bl.tensor.new(dtype, dims, 2)
    return t
end

--- A tensor of ones.
function bl.ones(...)
    local dims, dtype = dims_of(...)
    local t = bl.tensor.new(dtype, dims, 2)
    return t:fill(1)
end

local seed, draws = 0, 0

--- Seed the random numbers that bl.randn draws.
function bl.seed(value)
    seed, draws = value, 0
end

--- A tensor of values from the normal distribution N(0, 1).
function bl.randn(...)
    local dims, dtype = dims_of(...)
    local t = bl.tensor.new(dtype, dims, 2)
    draws = draws + 1
    bl.ops.fill_normal(t, 0, 1, seed, draws)
    return t
end

--- A tensor with the values of a (nested) list or a number; f32 unless a dtype is given.
function bl.from(values, dtype)
    local t = bl.tensor.from(values, dtype, 2)
    return t
end

local names = { "load", "plot", "version" }
for _, name in ipairs(MODULES) do names[#names + 1] = name end
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
        elseif name == "plot" then
            value = require("bertlua.plot").plot
        elseif name == "load" then
            value = require("bertlua.encoder").load
        elseif name == "version" then
            value = require("bertlua.version").engine
        else
            return nil
        end
        rawset(self, name, value)
        return value
    end,
})
