--- Which runs a sweep, seeds and folds make, and what is refused.

local fault = require "bertlua.fault"
local runs = require "bertlua.jobs.repeats.runs"
local spec = require "bertlua.jobs.classify.settings"

local function names(list)
    local found = {}
    for i, entry in ipairs(list) do found[i] = entry.name end
    return found
end

local function refused(message, values)
    local good, problem = pcall(runs.list, spec, values)
    assert.is_false(good)
    assert.is_true(fault.is(problem), tostring(problem))
    assert.are.equal(message, fault.message(problem))
end

describe("a sweep", function()
    it("is a grid in the order of the settings, alike from a recipe and from the command line", function()
        local points, varied = runs.points(spec, { learning_rate = { 2e-5, 5e-5 }, train_batch_size = { 16, 32 } })
        assert.are.same({
            "train_batch_size=16,learning_rate=2e-05", "train_batch_size=16,learning_rate=5e-05",
            "train_batch_size=32,learning_rate=2e-05", "train_batch_size=32,learning_rate=5e-05",
        }, names(points))
        assert.are.same({ "train_batch_size", "learning_rate" }, varied)
        assert.are.same(points, (runs.points(spec, "learning_rate=2e-5,5e-5; train-batch-size=16, 32")))
        local change = points[2].changes[2]
        assert.are.equal("5e-05", change.text)
        assert.are.equal(5e-5, change.value)
        assert.are.equal("5e-05", change.shown)
    end)

    it("varies words, booleans and whether a setting is set", function()
        local points = runs.points(spec, "optimizer=lamb,AdamW;pack_sequences=yes,no")
        assert.are.equal("optimizer=Lamb,pack_sequences=true", points[1].name)
        assert.are.equal("false", points[4].changes[2].text)
        points = runs.points(spec, { layerwise_lr_decay = { "none", 0.9 } })
        assert.are.same({ "layerwise_lr_decay=none", "layerwise_lr_decay=0.9" }, names(points))
        assert.are.equal("none", points[1].changes[1].text)
    end)

    it("keeps all digits of a number", function()
        local points = runs.points(spec, { learning_rate = { 1 / 3 } })
        assert.are.equal("learning_rate=0.33333333333333", points[1].name)
        assert.are.equal(1 / 3, tonumber(points[1].changes[1].text))
    end)

    it("has names that are folders, each its own", function()
        local points = runs.points(spec, { from_pretrained_params = { "a/b", "a b" } })
        assert.are.same({ "from_pretrained_params=a-b", "from_pretrained_params=a-b.2" }, names(points))
        assert.are.equal("a/b", points[1].changes[1].text)
    end)

    it("leaves what the settings remember of their sources as it was", function()
        spec:parse({}, { epochs = 2 })
        runs.points(spec, "learning_rate=1,2")
        assert.are.same({ epochs = "recipe" }, spec.sources)
    end)

    it("refuses what can't be meant", function()
        refused("unknown setting learning_rat; did you mean learning_rate?", { sweep = "learning_rat=1" })
        refused('sweep: learning_rate: got "x", expected a number above 0', { sweep = "learning_rate=x" })
        refused("sweep: learning_rate has the value 2e-05 twice", { sweep = "learning_rate=2e-5,0.00002" })
        refused("--sweep: learning_rate is there twice: give all its values in one list",
            { sweep = "learning_rate=1;learning_rate=2" })
        refused('--sweep: got "learning_rate", expected "name=value,value;name=value,value"',
            { sweep = "learning_rate" })
        refused("sweep: seed can't be varied: use seeds", { sweep = { seed = { 1, 2 } } })
        refused("sweep: lr_scale can't be varied: it has no value on the command line of a run",
            { sweep = { lr_scale = { 1 } } })
        refused("sweep: epochs: got 3, expected a list of values: { 2e-5, 5e-5 }", { sweep = { epochs = 3 } })
        refused("sweep: freeze: got { \"embeddings\" } as a value, expected a number, a text or a boolean",
            { sweep = { freeze = { { "embeddings" } } } })
        refused("sweep: expected values by the name of a setting: { learning_rate = { 2e-5, 5e-5 } }",
            { sweep = { { 1 } } })
        refused('--sweep: it is empty, expected "learning_rate=2e-5,5e-5"', { sweep = ";" })
    end)
end)

describe("seeds and folds", function()
    it("are runs of their own", function()
        local list = runs.list(spec, { seeds = "1, 20,3" })
        assert.are.same({ "seed-1", "seed-20", "seed-3" }, names(list))
        assert.are.same({ { name = "seed", text = "20", shown = "20", value = 20 } }, list[2].changes)
        assert.are.same(list, (runs.list(spec, { seeds = { 1, 20, 3 } })))
        list = runs.list(spec, { folds = 2 })
        assert.are.same({ "fold-1", "fold-2" }, names(list))
        assert.are.equal(2, list[2].fold)
        assert.are.same({}, list[2].changes)
    end)

    it("are run for each point of a sweep", function()
        local list, points, varied = runs.list(spec, { sweep = "epochs=1,2", seeds = "7,8" })
        assert.are.same({ "epochs=1/seed-7", "epochs=1/seed-8", "epochs=2/seed-7", "epochs=2/seed-8" }, names(list))
        assert.are.equal(2, list[3].point)
        assert.are.same({ "epochs=1", "epochs=2" }, names(points))
        assert.are.same({ "epochs" }, varied)
        local texts = {}
        for i, change in ipairs(list[4].changes) do texts[i] = change.name .. " " .. change.text end
        assert.are.same({ "epochs 2", "seed 8" }, texts)
    end)

    it("refuse what is no list of seeds", function()
        refused("--seeds: 1 is there twice", { seeds = "1,1" })
        refused('--seeds: got "1.5", expected integers of at least 0 with commas between them: 1,2,3',
            { seeds = "1,1.5" })
        refused('--seeds: got "", expected integers of at least 0 with commas between them: 1,2,3', { seeds = "1," })
        refused("seeds: the list is empty, expected numbers: { 1, 2, 3 }", { seeds = {} })
    end)
end)
