--- Whether parameters and optimizer state are numbers.

local Optimizer = require "bertlua.train.optimizer"
local ParameterStore = require "bertlua.nn.parameters"
local finite = require "bertlua.train.finite"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local NAN, INF = 0 / 0, math.huge

describe("finite", function()
    local store, optimizer

    before_each(function()
        store = ParameterStore.new()
        for _, name in ipairs { "a", "b", "c" } do store:register(name, { 5, 7 }, { init = "zeros" }) end
        store:freeze(function(name) return name == "a" end)
        store:allocate {}
        optimizer = Optimizer.new { store = store, kind = "Lamb" }
    end)

    it("finds nothing in a state of numbers, however large", function()
        assert.is_nil(finite.find { store = store, optimizer = optimizer })
        -- The norm of these is more than f32 holds.
        store.master:fill(3e38)
        optimizer.m:fill(-3e38)
        assert.is_nil(finite.find { store = store, optimizer = optimizer })
    end)

    it("names what holds an inf or NaN", function()
        for _, bad in ipairs { NAN, INF, -INF } do
            for i, name in ipairs { "a", "b", "c" } do
                local entry = store.list[i]
                entry.value:view(-1):slice(1, 35, 35):fill(bad)
                assert.are.equal("the value of " .. name, finite.find { store = store })
                entry.value:fill(0)
                if not entry.frozen then
                    for which, flat in pairs { first = optimizer.m, second = optimizer.v } do
                        flat:slice(1, entry.offset + 35, entry.offset + 35):fill(bad)
                        assert.are.equal(("the %s moment of %s"):format(which, name),
                            finite.find { store = store, optimizer = optimizer })
                        flat:fill(0)
                    end
                end
            end
            optimizer.scalars:slice(1, 2, 2):fill(bad)
            assert.are.equal("the optimizer's state", finite.find { store = store, optimizer = optimizer })
            optimizer.scalars:fill(1)
        end
        assert.is_nil(finite.find { store = store, optimizer = optimizer })
    end)

    it("finds the tensor of a file", function()
        local path = assert(fs.temporary_folder()) .. "/x.safetensors"
        finally(function() fs.remove(fs.dirname(path)) end)
        local good, bad = tensor.new("f32", { 3, 2 }), tensor.new("f32", { 4 })
        good:fill(1)
        bad:fill(2)
        assert(storage.save(path, { { name = "good", tensor = good }, { name = "bad", tensor = bad } }))
        assert.is_nil(finite.find_in_file(path))
        bad:slice(1, 4, 4):fill(NAN)
        assert(storage.save(path, { { name = "good", tensor = good }, { name = "bad", tensor = bad } }))
        assert.are.equal("bad", finite.find_in_file(path))
    end)
end)
