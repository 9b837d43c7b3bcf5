--- Whole tensors from state divided over two ranks, both simulated here.

local ParameterStore = require "bertlua.nn.parameters"
local Partition = require "bertlua.nn.partition"
local PartitionState = require "bertlua.train.partition_state"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

local BUCKET = 2048 / 2 ^ 18

local function store_of(rank)
    local store = ParameterStore.new()
    store:register("word", { 104, 40 }, { init = "normal", low = true, rows = 100 })
    store:register("bias", { 40 }, { init = "ones", decay = false })
    store:register("dense", { 37, 19 }, { init = "normal", low = true })
    return store:allocate { seed = 3, partition = Partition.new { rank = rank, size = 2, divide = true,
        bucket_mib = BUCKET } }
end

describe("partition state", function()
    local stores, flats, states, gathered

    before_each(function()
        stores, flats, states, gathered = {}, {}, {}, 0
        for r = 1, 2 do
            stores[r] = store_of(r - 1)
            flats[r] = tensor.new("f32", { stores[r].partition.state_count })
        end
        for r = 1, 2 do
            states[r] = PartitionState.new(stores[r], {
                rank = r - 1, size = 2, wait = function() end,
                all_gather = function(_, out, x)
                    gathered = gathered + 1
                    local at, n = support.offset_in(x, flats[r]), x:numel()
                    for other = 1, 2 do
                        ops.copy(out:slice(1, (other - 1) * n + 1, other * n), flats[other]:slice(1, at + 1, at + n))
                    end
                end,
            })
        end
    end)
    after_each(function()
        for r = 1, 2 do
            states[r]:free()
            stores[r]:free()
        end
    end)

    local function values_of(entry, seed)
        local values = tensor.new("f32", entry.stored_dims)
        ops.fill_normal(values, 0, 1, seed, entry.offset)
        return values
    end

    local function put_all(seed)
        for r = 1, 2 do
            for _, entry in ipairs(stores[r].list) do
                tensor.scope(function() states[r]:put(entry, flats[r], values_of(entry, seed)) end)
            end
        end
    end

    it("returns what both ranks were given, whichever part each keeps", function()
        put_all(1)
        for r = 1, 2 do
            for _, entry in ipairs(stores[r].list) do
                tensor.scope(function()
                    local found = states[r]:fetch(entry, flats[r])
                    assert.are.same(values_of(entry, 1):tolist(), found:tolist())
                end)
            end
        end
        -- Without the vocabulary's pad rows.
        assert.are.equal(100, states[1]:fetch(stores[1].list[1], flats[1]):size(1))
    end)

    it("gathers a bucket once for all its parameters, until the state changes", function()
        put_all(1)
        local entry = stores[1].list[2]
        states[1]:fetch(entry, flats[1])
        local before = gathered
        states[1]:fetch(entry, flats[1])
        assert.are.equal(before, gathered)
        put_all(2)
        assert.are.same(values_of(entry, 2):tolist(), states[1]:fetch(entry, flats[1]):tolist())
        before = gathered
        states[1]:restart()
        states[1]:fetch(entry, flats[1])
        assert.is_true(gathered > before)
    end)

    it("lists what each rank updates: every value exactly once over the ranks", function()
        local seen = {}
        for r = 1, 2 do
            for _, row in ipairs(PartitionState.pieces(stores[r], function(flat) return flat end)) do
                local _, state, place, first, length = unpack(row)
                assert.are.equal(first, place)
                assert.is_true(state + length <= stores[r].partition.state_count)
                for i = first, first + length - 1 do
                    assert.is_nil(seen[i])
                    seen[i] = true
                end
            end
        end
        for _, entry in ipairs(stores[1].list) do
            for i = entry.offset, entry.offset + entry.numel - 1 do assert.is_true(seen[i]) end
        end
    end)
end)
