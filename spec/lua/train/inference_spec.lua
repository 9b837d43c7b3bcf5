--- Logits for every sequence, from a model whose logits are numbers in the batch: order, ends, types.

local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local inference = require "bertlua.train.inference"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

--- Sequences of 3 to 5 tokens; the first token of sequence s is 10 + s.
local function set_of(count)
    local offsets, ids, labels = { 0 }, {}, {}
    for s = 0, count - 1 do
        local length = 3 + s % 3
        for i = 1, length do ids[#ids + 1] = i == 1 and 10 + s or 1 end
        offsets[#offsets + 1] = #ids
        labels[s + 1] = s
    end
    return { count = count, ids = array.int32(ids), offsets = array.int32(offsets),
        first_length = array.int32(count), labels = { number = array.int32(labels) }, max_length = 8 }
end

describe("inference", function()
    local tape, starts
    setup(function() tape = Tape.new {} end)
    teardown(function() tape:close() end)
    before_each(function() starts = {} end)

    --- One logit per sequence: a constant per call. Records what it was given.
    local function model(dtype)
        return { logits = function(_, its_tape, batch)
            local value = its_tape:tensor(dtype or "f32", { batch.batch_size, 1 })
            starts[#starts + 1] = batch.batch_size
            ops.fill(value, #starts + 0.5)
            return { value = value }
        end }
    end

    local function run(count, options, dtype)
        local seen, logits = {}, {}
        options.cuda_graph = false
        local totals = inference.run(model(dtype), tape, set_of(count), options, function(batch, values)
            assert.are.equal("f32", values:dtype_name())
            for _, member in ipairs(batch.members) do seen[#seen + 1] = member end
            for _, row in ipairs(values:tolist()) do logits[#logits + 1] = row[1] end
        end)
        return totals, seen, logits
    end

    it("visits each sequence once, in order, with the logits of its batch", function()
        for _, packed in ipairs { true, false } do
            starts = {}
            local totals, seen, logits = run(5, { batch_size = 2, pack_sequences = packed })
            assert.are.same({ 0, 1, 2, 3, 4 }, seen)
            assert.are.same({ 1.5, 1.5, 2.5, 2.5, 3.5 }, logits)
            assert.are.same({ 2, 2, 1 }, starts)
            assert.are.same({ 5, 3 + 4 + 5 + 3 + 4 }, { totals.sequences, totals.tokens })
            assert.is_true(totals.seconds >= 0)
        end
    end)

    it("widens logits of low precision", function()
        local _, _, logits = run(3, { batch_size = 2 }, "bf16")
        assert.are.same({ 1.5, 1.5, 2.5 }, logits)
    end)

    it("stops where it is told to, and reports progress", function()
        local told = {}
        local totals, seen = run(7, { batch_size = 2, last_batch = 2,
            on_batch = function(done, seconds, batch)
                told[#told + 1] = { done, batch.batch_size }
                assert.is_true(seconds >= 0)
            end })
        assert.are.same({ 0, 1, 2, 3 }, seen)
        assert.are.same({ { 2, 2 }, { 4, 2 } }, told)
        assert.are.equal(4, totals.sequences)
    end)

    it("does nothing without sequences", function()
        assert.are.same({ { sequences = 0, tokens = 0, seconds = 0 }, {}, {} }, { run(0, { batch_size = 2 }) })
        assert.are.same({}, starts)
    end)

    it("is measured over as many whole batches as requested, after the warm-up", function()
        local steps = inference.measure(model(), tape, set_of(5), { batch_size = 2, warmup_steps = 1, steps = 4,
            cuda_graph = false })
        assert.are.equal(4, #steps)
        for _, step in ipairs(steps) do assert.are.equal(2, step.sequences) end
        -- The third batch of each pass is smaller; five whole ones end the work.
        assert.are.same({ 2, 2, 1, 2, 2, 1, 2 }, starts)
        -- A set smaller than one batch is measured as is.
        assert.are.equal(3, #inference.measure(model(), tape, set_of(1), { batch_size = 2, warmup_steps = 0, steps = 3,
            cuda_graph = false }))
    end)

    it("leaves no memory of its own behind", function()
        -- Twice: what a finalizer lets go, of other specs too, is collected the second time.
        local function held()
            collectgarbage()
            collectgarbage()
            return memory.held()
        end
        run(3, { batch_size = 1 })
        local before = held()
        run(3, { batch_size = 1 })
        assert.are.equal(before, held())
    end)
end)
