--- Parameters in files: duplicate names, and views of the optimizer's state.

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local weights = require "bertlua.train.weights"

describe("weights", function()
    it("refuse a file that holds one parameter under two names", function()
        local path = os.tmpname()
        local t = tensor.from({ 1 }, "f32")
        assert(storage.save(path, { { name = "bert.LayerNorm.gamma", tensor = t },
            { name = "bert.LayerNorm.weight", tensor = t } }))
        local file = weights.open(path)
        assert.error_matches(function() weights.match(file, {}, path, {}) end,
            "bert.LayerNorm.gamma and bert.LayerNorm.weight are the same parameter")
        fs.remove(path)
        assert.error_matches(function() weights.open(path) end, "cannot open: no such file")
    end)

    it("split the optimizer's flat state into tensors without the pad rows", function()
        local flat = tensor.new("f32", { 40 })
        for i = 1, 40 do flat:slice(1, i, i):fill(i) end
        local store = { list = {
            { name = "a", dims = { 8, 2 }, stored_dims = { 5, 2 }, offset = 0 },
            { name = "b", dims = { 3 }, offset = 16 },
        } }
        local list = weights.state(store, flat, "m.")
        assert.are.same({ "m.a", "m.b" }, { list[1].name, list[2].name })
        assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } }, list[1].tensor:tolist())
        assert.are.same({ 17, 18, 19 }, list[2].tensor:tolist())
        list[2].tensor:fill(0)
        assert.are.equal(0, flat:slice(1, 17, 17):item())
    end)
end)
