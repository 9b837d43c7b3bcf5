--- Training on a GPU, or on its emulation: the CPU's losses, replayed steps equal to eager ones, exact resume.

local context = require "bertlua.context"

if context.device() ~= "cuda" then return end

local Feeder = require "bertlua.train.feeder"
local Graphs = require "bertlua.train.graphs"
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local Trainer = require "bertlua.train.trainer"
local bert = require "bertlua.models.bert"
local checkpoint = require "bertlua.train.checkpoint"
local fs = require "bertlua.util.fs"
local held_out = require "bertlua.jobs.pretrain.held_out"
local loader = require "bertlua.data.loader"
local shards = require "spec.support.shards"
local tiny = require "spec.support.tiny_bert"

local LENGTH, SLOTS, SAMPLES, BATCH = 16, 3, 24, 4

--- A run of a tiny BERT over the shards of a folder.
-- @param options device ("cuda"), precision, packed, first (1), last, accumulation (1), graphs, from, to: checkpoints,
--   checkpointing, learning_rate, loss_scale and dynamic, evaluate: after so many steps, with other shapes; frozen:
--   pattern of names, lr_scale, kind ("Lamb"), hidden_act
-- @return losses of every step; checksum of the parameters; the trainer's graphs; loss scales; results of evaluations
local function train(folder, options)
    local before = context.current()
    if options.device then context.open { device = options.device, threads = before.threads } end
    local model = bert.BertForPretraining.new(tiny.config { hidden_size = 32, num_hidden_layers = 1,
        num_attention_heads = 2, intermediate_size = 64, hidden_dropout_prob = 0.1,
        attention_probs_dropout_prob = 0.1, hidden_act = options.hidden_act })
    if options.frozen then model.store:freeze(function(name) return name:find(options.frozen) ~= nil end) end
    model.store:allocate { precision = options.precision or "fp32", seed = 5 }
    model.bert.encoder.activation_checkpointing = options.checkpointing
    local accumulation = options.accumulation or 1
    local optimizer = Optimizer.new { kind = options.kind or "Lamb", store = model.store, accumulation = accumulation,
        lr_scale = options.lr_scale,
        loss_scale = options.loss_scale, dynamic = options.dynamic }
    if options.from then checkpoint.load(options.from, { store = model.store, optimizer = optimizer }) end
    local graphs = Graphs.new { enabled = options.graphs or false, warn = function(text) error(text) end }
    local tape = Tape.new { seed = 6, accumulation = accumulation, capacity = 2 ^ 26 }
    local reader = loader.open { input_dir = folder, batch_size = BATCH, pack_sequences = options.packed ~= false,
        few_shapes = true, seed = 7 }
    local losses, scales, measured = {}, {}, {}
    local held_out_shards = loader.open { input_dir = folder, batch_size = 6, shuffle = false, few_shapes = true,
        pack_sequences = options.packed ~= false }
    local opened = { shards = held_out_shards, batches = 8, feeder = Feeder.new() }
    local job = { values = {}, parts = { model = model, tape = tape, results = { "loss", "mlm_loss", "nsp_loss",
        "mlm_accuracy", "nsp_accuracy" } } }
    Trainer.new({
        evaluation = options.evaluate and {
            is_due = function(step) return step % options.evaluate == 0 end,
            run = function()
                measured[#measured + 1] = held_out.run(job, opened, function() end)
                return {}
            end,
        },
        model = model, optimizer = optimizer, tape = tape, loader = reader, accumulation = accumulation,
        schedule = function(step) return (options.learning_rate or 0.01) * math.min(1, step / 10) end,
        first_step = options.first or 1, last_step = options.last, log_freq = 5, graphs = graphs,
        on_step = function(step, last) losses[step] = last.loss end,
        on_log = function(record) scales[#scales + 1] = record.loss_scale end,
    }):run()
    if options.to then
        assert(checkpoint.save(fs.dirname(options.to), tonumber(fs.basename(options.to)), { store = model.store,
            optimizer = optimizer, config = model.config, progress = { step = options.last } }))
    end
    local sum = model.store:checksum()
    graphs:free()
    held_out.close(opened)
    reader:close()
    tape:close()
    optimizer:free()
    model.store:free()
    if options.device then context.open { device = before.device, threads = before.threads } end
    return losses, sum, graphs, scales, measured
end

describe("training on a GPU", function()
    local folder

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-training")
        assert(fs.mkdirs(folder .. "/shards"))
        for i = 1, 2 do
            shards.write(("%s/shards/s_training_%d.hdf5"):format(folder, i),
                shards.values(SAMPLES, LENGTH, SLOTS, (i - 1) * SAMPLES))
        end
    end)

    teardown(function() assert(fs.remove(folder)) end)

    for precision, tolerance in pairs { fp32 = 1e-3, bf16 = 2e-2 } do
        it(("takes the CPU's course for 50 steps in %s"):format(precision), function()
            local options = { precision = precision, last = 50, learning_rate = 3e-3 }
            local here = train(folder .. "/shards", options)
            options.device = "cpu"
            local there = train(folder .. "/shards", options)
            assert.are.equal(50, #here)
            for step = 1, 50 do
                assert.is_true(math.abs(here[step] - there[step]) <= tolerance,
                    ("step %d: %.6f, on the CPU %.6f"):format(step, here[step], there[step]))
            end
        end)
    end

    it("accumulates as the CPU does", function()
        local options = { last = 4, accumulation = 5, learning_rate = 3e-3 }
        local here = train(folder .. "/shards", options)
        options.device = "cpu"
        local there = train(folder .. "/shards", options)
        for step = 1, 4 do assert.is_true(math.abs(here[step] - there[step]) <= 1e-3) end
    end)

    local function same_with_and_without_graphs(options)
        options.graphs = false
        local eager, eager_sum = train(folder .. "/shards", options)
        options.graphs = true
        local replayed, sum, graphs = train(folder .. "/shards", options)
        assert.are.same(eager, replayed)
        assert.are.equal(eager_sum, sum)
        assert.is_true(graphs.enabled)
        return graphs
    end

    it("replays what 20 eager steps compute, to the last bit", function()
        local graphs = same_with_and_without_graphs { last = 20, packed = false }
        -- One shape and the update: each ran once eagerly, then was replayed.
        assert.are.equal(2, graphs.records)
        assert.are.equal(2 * 19, graphs.replays)
    end)

    it("replays packed batches, one recording per shape", function()
        local graphs = same_with_and_without_graphs { last = 20, packed = true, precision = "bf16" }
        assert.is_true(graphs.replays >= 20)
    end)

    it("replays accumulation and recomputed layers", function()
        local graphs = same_with_and_without_graphs { last = 6, accumulation = 3, checkpointing = true, packed = false }
        assert.are.equal(2, graphs.records)
        assert.are.equal(17 + 5, graphs.replays)
    end)

    it("replays fp16 with a loss scale that adapts", function()
        local options = { last = 12, precision = "fp16", loss_scale = 2 ^ 24, dynamic = true, packed = false }
        same_with_and_without_graphs(options)
        local _, _, _, scales = train(folder .. "/shards", options)
        assert.is_true(scales[#scales] < 2 ^ 24, "the first scale is too large, so it falls")
    end)

    it("replays the same after evaluations, whose shapes are not those of the recordings", function()
        for _, packed in ipairs { true, false } do
            local options = { last = 14, packed = packed, graphs = true, precision = "bf16" }
            local alone, alone_sum = train(folder .. "/shards", options)
            options.evaluate = 3
            local losses, sum, graphs, _, measured = train(folder .. "/shards", options)
            assert.are.same(alone, losses)
            assert.are.equal(alone_sum, sum)
            assert.is_true(graphs.enabled and graphs.replays > 10)
            options.graphs = false
            local _, eager_sum, _, _, again = train(folder .. "/shards", options)
            assert.are.equal(alone_sum, eager_sum)
            assert.are.equal(4, #measured)
            assert.are.same(measured, again)
            assert.is_true(measured[4].loss < measured[1].loss)
        end
    end)

    it("replays a model whose lower part is frozen, with rates for each tensor", function()
        for _, kind in ipairs { "Lamb", "AdamW" } do
            local options = { last = 6, packed = false, precision = "bf16", kind = kind, frozen = "embeddings",
                lr_scale = function(name) return name:find "bias" and 0.5 or nil end }
            local graphs = same_with_and_without_graphs(options)
            assert.are.equal(2 * 5, graphs.replays)
            local here = train(folder .. "/shards", options)
            options.device, options.graphs = "cpu", false
            local there = train(folder .. "/shards", options)
            for step = 1, 6 do assert.is_true(math.abs(here[step] - there[step]) <= 2e-2) end
        end
    end)

    it("resumes from a checkpoint as if it had never stopped, with graphs and without", function()
        local whole, whole_sum = train(folder .. "/shards", { last = 12, graphs = true })
        train(folder .. "/shards", { last = 7, graphs = true, to = folder .. "/checkpoints/7" })
        for _, graphs in ipairs { true, false } do
            local rest, sum = train(folder .. "/shards", { first = 8, last = 12, graphs = graphs,
                from = folder .. "/checkpoints/7" })
            for step = 8, 12 do assert.are.equal(whole[step], rest[step]) end
            assert.are.equal(whole_sum, sum)
        end
    end)

    it("resumes exactly with timed matrix products, as long as their choices are kept", function()
        local choices = folder .. "/choices.txt"
        context.matmul_choices(choices)
        -- GELU in its tanh form has more to choose.
        local options = { precision = "bf16", last = 6, graphs = true, hidden_act = "gelu_new" }
        local _, whole = train(folder .. "/shards", options)
        local size = fs.size(choices)
        assert.is_true(size > 1000)
        options.last, options.to = 4, folder .. "/timed/4"
        train(folder .. "/shards", options)
        context.matmul_choices(nil)
        context.matmul_choices(choices) -- reread, as by another process
        local _, sum = train(folder .. "/shards", { precision = "bf16", first = 5, last = 6, graphs = true,
            hidden_act = "gelu_new", from = options.to })
        context.matmul_choices(nil)
        assert.are.equal(whole, sum)
        assert.are.equal(size, fs.size(choices))
    end)
end)
