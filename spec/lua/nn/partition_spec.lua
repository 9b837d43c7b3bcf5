--- How flat buffers are cut into buckets and parts, and what a divided store keeps where.

local ParameterStore = require "bertlua.nn.parameters"
local Partition = require "bertlua.nn.partition"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local tensor = require "bertlua.tensor"

-- 2,048 elements of f32, and parts as the CPU has them, on any device.
local BUCKET, ALIGNMENT = 2048 / 2 ^ 18, 32

local function divided(rank, size)
    return Partition.new { rank = rank, size = size, divide = true, bucket_mib = BUCKET, alignment = ALIGNMENT }
end

local function build(partition, precision)
    local store = ParameterStore.new()
    store:register("word", { 104, 40 }, { init = "normal", low = true, rows = 100 })
    store:register("bias", { 40 }, { init = "ones", decay = false })
    store:register_joint({ "q", "k", "v" }, { 37, 19 }, { init = "normal", std = 0.5, low = true })
    store:register("gamma", { 19 }, { init = "ones", decay = false })
    return store:allocate { precision = precision, seed = 3, partition = partition }
end

describe("partition", function()
    it("cuts buckets from the end, and each into one part per rank", function()
        local partition = divided(1, 3)
        assert.are.equal(96, partition.multiple)
        assert.are.equal(2016, partition.bucket)
        local buckets = partition:cut { { offset = 0, count = 96 * 50, low = true }, { offset = 4800, count = 96 } }
        local seen = {}
        for i, b in ipairs(buckets) do seen[i] = { b.offset, b.count, b.part, b.own, b.state } end
        assert.are.same({ { 0, 768, 256, 256, 0 }, { 768, 2016, 672, 1440, 256 }, { 2784, 2016, 672, 3456, 928 },
            { 4800, 96, 32, 4832, 1600 } }, seen)
        assert.are.equal(1632, partition.state_count)
        assert.are.equal(true, buckets[1].low)
        assert.is_nil(buckets[4].low)
    end)

    it("leaves buckets whole where nothing is divided", function()
        local partition = Partition.new { rank = 1, size = 3, bucket_mib = BUCKET }
        for _, b in ipairs(partition:cut { { offset = 0, count = 5000 * 32 } }) do
            assert.are.same({ b.offset, b.count }, { b.own, b.part })
        end
        assert.are.equal(160000, partition.state_count)
    end)

    it("says what a rank owns of a range; together the ranks own all of it, once", function()
        local owners = {}
        for rank = 0, 2 do
            local partition = divided(rank, 3)
            partition:cut { { offset = 0, count = 4800 } }
            partition:owned(100, 4000, function(first, count, state)
                assert.is_true(state >= 0 and state + count <= partition.state_count)
                for i = first, first + count - 1 do
                    assert.is_nil(owners[i])
                    owners[i] = rank
                end
            end)
        end
        for i = 0, 4799 do assert.are.equal(i >= 100 and i < 4100, owners[i] ~= nil, i) end
    end)
end)

describe("a divided ParameterStore", function()
    local function each_rank(size, precision, visit)
        for rank = 0, size - 1 do
            tensor.scope(function()
                local partition = divided(rank, size)
                local store = build(partition, precision)
                visit(store, partition)
                store:free()
            end)
        end
    end

    it("keeps f32 values of vectors, a part of those of matrices, and the whole low copy", function()
        local plain = build(nil, "bf16")
        for _, size in ipairs { 1, 3, 4 } do
            each_rank(size, "bf16", function(store, partition)
                -- Matrices first, then vectors, each a multiple of what the ranks divide.
                assert.are.equal("word q k v bias gamma", (function()
                    local names = {}
                    for i, entry in ipairs(store.order) do names[i] = entry.name end
                    return table.concat(names, " ")
                end)())
                assert.are.equal(0, store.total % partition.multiple)
                assert.are.equal(0, store.divided_count % partition.multiple)
                assert.are.equal(store.divided_count / size + store.total - store.divided_count, store.values_count)
                assert.are.equal(4 * store.values_count, store:bytes().value)
                assert.is_nil(store:get("q").value)
                for _, entry in ipairs(store.list) do
                    assert.are.same(plain:get(entry.name).compute:tolist(), entry.compute:tolist())
                end
                assert.are.same(plain:get("gamma").value:tolist(), store:get("gamma").value:tolist())
                -- The parts hold the same values as the plain store.
                local rows = 100 * 40
                local expected = plain:get("word").value:view(-1):tolist()
                local master = store.master:tolist()
                partition:owned(store:get("word").offset, rows, function(first, count, state)
                    for i = 0, count - 1 do
                        assert.are.equal(expected[first - store:get("word").offset + i + 1], master[state + i + 1])
                    end
                end)
            end)
        end
        plain:free()
    end)

    it("keeps all values where ops read f32", function()
        local plain = build(nil, "fp32")
        each_rank(3, "fp32", function(store)
            assert.are.equal(store.total, store.values_count)
            for _, entry in ipairs(store.list) do
                assert.are.same(plain:get(entry.name).value:tolist(), entry.value:tolist())
            end
        end)
        plain:free()
    end)

    it("has one checksum on all ranks, another with other values", function()
        local sums = {}
        each_rank(4, "bf16", function(store)
            sums[#sums + 1] = store:checksum()
            local entry = store:get "k"
            store:put(entry, tensor.new("f32", entry.stored_dims):fill(0.25))
            assert.are_not.equal(sums[#sums], store:checksum())
            assert.are.equal(0.25, entry.compute:tolist()[37][19])
        end)
        for i = 2, 4 do assert.are.equal(sums[1], sums[i]) end
    end)

    it("needs memory that falls with the number of ranks, as predicted", function()
        local store = ParameterStore.new()
        store:register("w", { 1024, 1024 }, { init = "zeros", low = true })
        local n = 1024 * 1024
        assert.are.equal(16 * n, memory_plan.state_bytes(store, "fp32"))
        assert.are.equal(18 * n, memory_plan.state_bytes(store, "bf16"))
        assert.are.equal(9 * n, memory_plan.state_bytes(store, "fp32", 8))
        assert.are.equal(7.5 * n, memory_plan.state_bytes(store, "bf16", 8))
    end)
end)
