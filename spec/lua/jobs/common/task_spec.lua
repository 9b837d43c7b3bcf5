--- What define() accepts as a task, and what it refuses, at the caller's line.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local settings = require "bertlua.settings"
local task = require "bertlua.jobs.common.task"

local function nothing() end

--- A task with changes, without the field named in `without`.
local function table_of(changes, without)
    local result = {
        name = "made_up", batch_setting = "batch_size", results = { { name = "loss" }, { name = "accuracy" } },
        settings = settings.define {
            { name = "batch_size", type = "integer", default = 1, help = "size" },
            { name = "color", type = "string", help = "color" },
            { name = "seed", type = "integer", default = 1, help = "seed" },
        },
        model = nothing, open = nothing,
    }
    for key, value in pairs(changes or {}) do result[key] = value end
    if without then result[without] = nil end
    return result
end

describe("a task whose files cannot be divided", function()
    it("does not show folds, but knows the setting", function()
        local function shows(changes)
            changes.settings = settings.define {
                { name = "batch_size", type = "integer", default = 1, help = "size" },
                { name = "folds", type = "integer", help = "parts", group = "Several" },
            }
            local defined = task.define(table_of(changes)).settings
            assert.are.equal(3, defined:parse({ "--folds", "3" }).folds)
            local shown = { defined:help({}), defined:table_markdown(), defined:format({ folds = 3 }) }
            return { not not shown[1]:find("--folds", 1, true), not not shown[2]:find("folds", 1, true),
                not not shown[3]:find("folds", 1, true) }
        end
        assert.are.same({ true, true, true }, shows { folds = nothing })
        assert.are.same({ false, false, false }, shows {})
    end)
end)

local function refused(message, value)
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, problem = pcall(function() task.define(value) end)
    assert.is_false(ok)
    assert.is_false(fault.is(problem))
    assert.is_truthy(problem:find(("task_spec.lua:%d: %s"):format(line, message), 1, true), problem)
end

local function task_names()
    local names = {}
    for _, name in ipairs(fs.list "lua/bertlua/jobs") do
        if name ~= "common" and fs.is_file(("lua/bertlua/jobs/%s/task.lua"):format(name)) then
            names[#names + 1] = name
        end
    end
    assert.is_true(#names >= 3)
    return names
end

describe("a task", function()
    it("is given back as it is", function()
        local whole = table_of { plan = nothing, predict = nothing, inference = nothing, summary = nothing,
            exports = true, exported = nothing }
        assert.are.equal(whole, task.define(whole))
        assert.are.same({ "loss", "accuracy" }, task.names(task.results(whole, {})))
    end)

    it("may let its settings decide its results, and shows those that a recipe computes", function()
        local alone = { { name = "loss", column = "loss" } }
        local whole = table_of { results_of = function(values) return values.alone and alone or nil end }
        assert.are.same({ "loss" }, task.names(task.results(whole, { alone = true })))
        assert.are.same({ "loss", "accuracy" }, task.names(task.results(whole, {})))
        local shown = task.describe(whole, { "loss", "accuracy", "margin" })
        assert.are.equal(whole.results[2], shown[2])
        assert.are.same({ name = "margin", column = "margin" }, shown[3])
    end)

    it("says everything required", function()
        for name, kind in pairs { settings = "table", batch_setting = "string", results = "table", model = "function",
            open = "function" } do
            refused(("task made_up: %s is missing, expected a %s"):format(name, kind), table_of({}, name))
        end
        refused("task nil: name is missing, expected a string", table_of({}, "name"))
        refused("task: got a nil, expected a table", nil)
    end)

    it("says nothing else, and each in its kind", function()
        refused('task made_up: unknown field "predcit"', table_of { predcit = nothing })
        refused("task made_up: model is a table, expected a function", table_of { model = {} })
        refused("task made_up: it says predict but not inference, which benchmark mode needs",
            table_of { predict = nothing })
        refused("task made_up: summary is a string, expected a function", table_of { summary = "text" })
    end)

    it("has its batch among its settings, and the loss first", function()
        refused("task made_up: batch_setting is size, which is not one of its settings",
            table_of { batch_setting = "size" })
        refused("task made_up: its first result is not the loss",
            table_of { results = { { name = "accuracy" }, { name = "loss" } } })
        refused("task made_up: its first result is not the loss", table_of { results = {} })
    end)

    it("is what every folder of a task holds", function()
        for _, name in ipairs(task_names()) do
            local job = require("bertlua.jobs." .. name .. ".task")
            assert.are.equal("loss", job.results[1].name)
        end
    end)
end)
