--- Started by the specs of many processes as every rank of a job: all run the checks below, rank 0 says
-- which passed. A failed check ends the job. Arguments: the device (cpu); "brief" for fewer updates and without
-- overlap, for emulated devices, whose timing means nothing.

package.path = "./?.lua;" .. package.path

local Gradients = require "bertlua.train.gradients"
local Optimizer = require "bertlua.train.optimizer"
local Ranks = require "bertlua.train.ranks"
local PartitionState = require "bertlua.train.partition_state"
local Partition = require "bertlua.nn.partition"
local Tape = require "bertlua.autograd.tape"
local clock = require "bertlua.util.clock"
local comm_module = require "bertlua.comm"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local launch = require "bertlua.distributed.launch"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local device, brief = arg[1] or "cpu", arg[2] == "brief"
local UPDATES = brief and 3 or 10
context.open { device = device, threads = 1 }
local comm = comm_module.open { device = device, launch = launch.detect() }
local ranks = Ranks.new(comm)
local rank, size = ranks.rank, ranks.size
local fixture = tiny.open "bert_tiny_steps"

local function passed(name)
    comm:barrier()
    comm:wait()
    if ranks.main then print("passed: " .. name) end
end

local function same(expected, got, what)
    assert(expected == got, ("%s: expected %s, got %s"):format(what, tostring(expected), tostring(got)))
end

--- A tiny BERT with the fixture's weights, divided for this job. About 90,000 parameters, 20 buckets.
local function model_of(precision, divide, changes, bucket_mib)
    local model = require("bertlua.models.bert").BertForPretraining.new(tiny.config(changes))
    local partition = Partition.new { rank = rank, size = size, divide = divide, bucket_mib = bucket_mib or 0.02 }
    model.store:allocate { precision = precision, seed = 1, partition = partition }
    return model
end

local function batch_of(step)
    return tiny.batch(tiny.samples(fixture, step), { max_length = 32, packed = true })
end

--- Accumulated forward and backward of the batches first, first + stride, ... up to last.
local function accumulate(model, tape, first, last, stride, gradients)
    model.store:zero_grad()
    for n = first, last, stride do
        tensor.scope(function()
            tape:start(1, n, true)
            local result = model:forward(tape, batch_of(n))
            tape:backward(result.loss, nil, n + stride > last and gradients or nil)
        end)
    end
end

local function check_messages()
    local all = ranks:exchange { rank, 2 ^ 31 + rank + 1, rank == 1 and 0 / 0 or -1.5, rank == 1 and math.huge or 1e-9 }
    for r = 0, size - 1 do
        same(r, all[r + 1][1], "rank")
        same(2 ^ 31 + r + 1, all[r + 1][2], "a number of 32 bits")
        if r == 1 then
            assert(all[r + 1][3] ~= all[r + 1][3], "NaN arrives")
            same(math.huge, all[r + 1][4], "inf")
        else
            same(-1.5, all[r + 1][3], "a fraction")
            assert(math.abs(all[r + 1][4] - 1e-9) < 1e-20, "a small number")
        end
    end
    for _, text in ipairs { "", "a", "ab\0cd\255efgh", ("long "):rep(500) } do
        same(text, ranks:broadcast_text(ranks.main and text or "other"), "text")
        same(text, ranks:broadcast_text(rank == size - 1 and text or "other", size - 1), "text of the last rank")
    end
    local calls = 0
    local answer = ranks:first(function()
        calls = calls + 1
        return { path = "a/b", step = 7, list = { 1, 2 }, flag = false }
    end)
    same(ranks.main and 1 or 0, calls, "calls")
    same("a/b", answer.path, "path")
    same(2, answer.list[2], "list")
    same(false, answer.flag, "flag")
    local function refused(expected, code, fn)
        local ok, problem = pcall(fn)
        assert(not ok and fault.is(problem), "a fault")
        same(expected, problem.message, "message")
        same(code, problem.code, "code")
    end
    refused("no such folder", 3, function() ranks:first(function() fault.raise("no such folder", 3) end) end)
    refused("rank 1: broken disk", 1, function()
        ranks:together(function() if rank == 1 then fault.raise "broken disk" end end)
    end)
    refused("bad setting", 1, function() ranks:together(function() fault.raise "bad setting" end) end)
    same(5, ranks:together(function() return 5 end), "result")
    ranks:require_equal(0xdeadbeef, "parameters", "")
    refused("parameters at the start: rank 1 differs from rank 0: look", 1, function()
        ranks:require_equal(rank == 1 and 4 or 0xffffffff, "parameters at the start", "look")
    end)
    passed "messages"
end

--- Sums over ranks of the gradients of 4 batches against those of one process.
local function check_gradients()
    for _, case in ipairs { { "fp32", 2e-6 }, { "bf16", 0.02 } } do
        for _, divide in ipairs { false, true } do
            local model, tape = model_of("fp32", divide), Tape.new {}
            local gradients = Gradients.new { store = model.store, comm = comm, dtype = case[1] }
            assert(#gradients.buckets > 10, "several buckets")
            accumulate(model, tape, 1 + rank, 4, size, gradients)
            gradients:finish()
            local got = tensor.new("f32", { model.store.total }):copy_from(model.store.grad)
            accumulate(model, tape, 1, 4, 1)
            local count = 0
            for _, bucket in ipairs(gradients.buckets) do
                local ours, theirs = got:slice(1, bucket.own + 1, bucket.own + bucket.part),
                    model.store.grad:slice(1, bucket.own + 1, bucket.own + bucket.part)
                local relative, absolute = tiny.distance(ours, theirs)
                assert(relative < case[2] or absolute < 1e-7, ("bucket at %d: %g"):format(bucket.offset, relative))
                count = count + bucket.part
            end
            same(divide and model.store.total / size or model.store.total, count, "elements of a rank")
            gradients:free()
            tape:close()
            model.store:free()
        end
    end
    passed "gradients"
end

local function train(kind, precision)
    local model, tape = model_of(precision, kind == "DistributedFusedLamb"), Tape.new {}
    local optimizer = Optimizer.new { kind = kind, store = model.store, comm = comm, accumulation = 4, loss_scale = 8 }
    local gradients = Gradients.new { store = model.store, comm = comm }
    for step = 1, UPDATES do
        model.store:zero_grad()
        for n = rank, 3, size do
            tensor.scope(function()
                tape:start(step, n, true)
                local result = model:forward(tape, batch_of((step + n) % 10 + 1))
                tape:backward(result.loss, optimizer.loss_scale_tensor, n + size > 3 and gradients or nil)
            end)
        end
        gradients:finish()
        optimizer:step(0.005)
    end
    tape:close()
    gradients:free()
    return model.store, optimizer
end

--- f32 values of a parameter, gathered from every rank if necessary.
local function values_of(store, entry)
    local values = entry.stored or store.gatherer:fetch(entry, store.master)
    return tensor.new("f32", values:dims()):copy_from(values)
end

local function check_updates()
    for _, precision in ipairs { "fp32", "bf16" } do
        local plain, lamb = train("Lamb", precision)
        local store, divided = train("DistributedFusedLamb", precision)
        same(UPDATES, divided:stats().step, "updates")
        local limit = precision == "fp32" and 1e-5 or 1e-3
        for i, entry in ipairs(plain.list) do
            -- The key bias has no effect and its gradient is 0: an update only normalises rounding noise.
            if not entry.name:match "%.key%.bias$" then
                tensor.scope(function()
                    local relative = tiny.distance(values_of(store, store.list[i]), entry.stored)
                    assert(relative < limit, ("%s of %s: %g"):format(entry.name, precision, relative))
                end)
            end
        end
        assert(math.abs(lamb:stats().grad_norm - divided:stats().grad_norm) < limit * lamb:stats().grad_norm, "norm")
        -- What ranks read is the same on all, and equals the master weights.
        ranks:require_equal(tonumber(store:checksum(), 16), "values", "")
        ranks:require_equal(tonumber(plain:checksum(), 16), "values", "")
        if precision == "bf16" then
            for _, entry in ipairs(store.list) do
                if entry.low then
                    tensor.scope(function()
                        local rounded = tensor.new("bf16", entry.stored_dims):copy_from(values_of(store, entry))
                        local low = tensor.new("bf16", entry.stored_dims):copy_from(store:low_of(entry))
                        local a, b = tensor.new("f32", entry.stored_dims):copy_from(rounded),
                            tensor.new("f32", entry.stored_dims):copy_from(low)
                        same(0, select(2, tiny.distance(a, b)), entry.name .. ": low copy")
                    end)
                end
            end
        end
        -- A rank's share of what is divided.
        same(8 * store.total / size, divided:bytes(), "bytes of moments")
        local vectors = precision == "bf16" and store.total - store.divided_count or 0
        local shared = precision == "bf16" and store.divided_count / size or store.total
        same(4 * (shared + vectors), store:bytes().value, "bytes of values")
        for _, one in ipairs { lamb, divided } do one:free() end
        plain:free()
        store:free()
    end
    passed "updates"
end

--- An inf in one rank's gradient skips the update on every rank.
local function check_overflow()
    for _, kind in ipairs { "Lamb", "DistributedFusedLamb" } do
        for _, dtype in ipairs { "fp32", "bf16" } do
            local model = model_of("bf16", kind == "DistributedFusedLamb")
            local store = model.store
            local optimizer = Optimizer.new { kind = kind, store = store, comm = comm, accumulation = size,
                loss_scale = 1024, dynamic = true }
            local gradients = Gradients.new { store = store, comm = comm, dtype = dtype }
            local before = store:checksum()
            ops.fill(store.grad, 1)
            if rank == size - 1 then ops.fill(store.grad:slice(1, 777, 777), math.huge) end
            gradients:finish()
            optimizer:step(0.1)
            local stats = optimizer:stats()
            same(true, stats.overflow, kind .. ": overflow")
            same(1, stats.skipped, kind .. ": skipped")
            same(512, stats.loss_scale, kind .. ": loss scale")
            same(before, store:checksum(), kind .. ": values")
            gradients:free()
            optimizer:free()
            store:free()
        end
    end
    passed "overflow"
end

--- Divided state is gathered into whole tensors and scattered again.
local function check_state()
    local model = model_of("bf16", true)
    local store = model.store
    local state = PartitionState.new(store, comm)
    local flat = tensor.new("f32", { store.partition.state_count })
    for i, entry in ipairs(store.list) do
        tensor.scope(function()
            local values = tensor.new("f32", entry.stored_dims)
            ops.fill_normal(values, 0, 1, 3, i)
            state:put(entry, flat, values)
        end)
    end
    for i, entry in ipairs(store.list) do
        tensor.scope(function()
            local values = tensor.new("f32", entry.stored_dims)
            ops.fill_normal(values, 0, 1, 3, i)
            same(0, select(2, tiny.distance(state:fetch(entry, flat), values)), entry.name)
        end)
    end
    state:free()
    store:free()
    passed "state"
end

--- Buckets are sent before the backward pass has ended. Cores may be busy elsewhere: ten tries.
local function check_overlap()
    local model = model_of("fp32", false, { num_hidden_layers = 8, hidden_size = 128, intermediate_size = 512 }, 0.5)
    local tape = Tape.new {}
    local gradients = Gradients.new { store = model.store, comm = comm }
    local overlapped = false
    for _ = 1, 10 do
        comm:spans()
        comm:record(true)
        local first, ended
        local watcher = {
            begin = function(_, nodes, count) gradients:begin(nodes, count) end,
            passed = function(_, i)
                gradients:passed(i)
                if not first and gradients.queued > 0 then first = clock.monotonic() end
                if i == 1 then ended = clock.monotonic() end
            end,
        }
        accumulate(model, tape, 1 + rank, 1 + rank, 1, watcher)
        local queued = gradients.queued
        gradients:finish()
        comm:record(false)
        local begun = 0
        for _, span in ipairs(comm:spans()) do
            if span.begin < ended then begun = begun + 1 end
        end
        assert(first and first < ended and queued >= #gradients.buckets - 1, "queued during the backward pass")
        for _, counts in ipairs(ranks:exchange { begun }) do overlapped = overlapped or counts[1] > 0 end
        if overlapped then break end
    end
    assert(overlapped, "no reduction began before the backward pass ended")
    gradients:free()
    passed "overlap"
end

if size > 1 then check_messages() end
check_gradients()
check_updates()
check_overflow()
check_state()
if size > 1 and not brief then check_overlap() end
