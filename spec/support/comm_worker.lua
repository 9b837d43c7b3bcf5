--- What every rank of a communicator of any kind must do right. Run by
-- spec/engine/comm/comm_spec.lua in one or several processes; prints
-- "rank R of N: right" at the end, or fails.
--
--     bertlua spec/support/comm_worker.lua [KIND] [DEVICE]

local array = require "bertlua.array"
local comm = require "bertlua.comm"
local context = require "bertlua.context"
local launch = require "bertlua.distributed.launch"
local ops = require "bertlua.ops"
local posix_time = require "posix.time"
local tensor = require "bertlua.tensor"

local kind, device = arg[1], arg[2] or "cpu"
context.open { device = device }
local c = comm.open { kind = kind, device = device, launch = launch.detect(), timeout = 30 }

local function expect(condition, ...)
    if not condition then error(("rank %d: "):format(c.rank) .. string.format(...), 2) end
end

-- One number for each rank and element, of few bits for i64 and of many for floats.
local function input(dtype, rank, i)
    if dtype == "i64" then return (i * 7919 + rank * 104729) % 20011 - 10000 end
    return math.sin(i * 12.9898 + rank * 78.233) * 43758.5453 % 1 - 0.5
end

local round32 = array.float(1)
local function f32(x)
    round32[0] = x
    return round32[0]
end

--- Tensor of the device with these values; half precisions by way of f32.
local function make(dtype, values)
    if dtype == "i64" or dtype == "f32" then return tensor.from(values, dtype) end
    local t = tensor.new(dtype, { #values })
    ops.copy(t, tensor.from(values, "f32"))
    return t
end

local function contribution(dtype, rank, count)
    local values = {}
    for i = 1, count do values[i] = input(dtype, rank, i) end
    return make(dtype, values)
end

local COMBINE = {
    sum = function(a, b, dtype) return dtype == "i64" and a + b or f32(a + b) end,
    max = function(a, b) return math.max(a, b) end,
    min = function(a, b) return math.min(a, b) end,
}

-- In the order of the ranks, in f32, rounded once.
local function expected(dtype, op, count)
    local result = {}
    for rank = 0, c.size - 1 do
        for i, x in ipairs(contribution(dtype, rank, count):tolist()) do
            x = tonumber(x)
            result[i] = rank == 0 and x or COMBINE[op](result[i], x, dtype)
        end
    end
    return make(dtype, result):tolist()
end

local function expect_equal(what, t, values)
    local got = t:tolist()
    for i = 1, #values do
        expect(tonumber(got[i]) == tonumber(values[i]), "%s: element %d is %s, expected %s", what, i, tostring(got[i]),
            tostring(values[i]))
    end
end

-- 1, fewer than ranks, odd, and more than fits in one message.
local COUNTS, MORE = { 1, 3, 101 }, { 1, 3, 101, 5003 }

local function check_reductions(dtype, op)
    for _, n in ipairs(op == "sum" and MORE or COUNTS) do
        tensor.scope(function()
            local what = ("%s of %d %s"):format(op, n, dtype)
            local want = expected(dtype, op, n * c.size)
            local t = contribution(dtype, c.rank, n * c.size)
            c:all_reduce(t, op)
            c:wait()
            expect_equal("all_reduce " .. what, t, want)

            -- Both halves of an all-reduce, separate and in place.
            local x, out = contribution(dtype, c.rank, n * c.size), tensor.new(dtype, { n })
            local before = x:tolist()
            c:reduce_scatter(out, x, op)
            c:wait()
            expect_equal("the input of reduce_scatter " .. what, x, before)
            local whole = tensor.new(dtype, { n * c.size })
            c:all_gather(whole, out)
            local part = x:slice(1, c.rank * n + 1, (c.rank + 1) * n)
            c:reduce_scatter(part, x, op)
            c:all_gather(x, part)
            c:wait()
            expect_equal("reduce_scatter and all_gather " .. what, whole, want)
            expect_equal("the same in place " .. what, x, want)
        end)
    end
end

local function check_broadcast(dtype)
    for root = 0, c.size - 1 do
        for _, n in ipairs(COUNTS) do
            tensor.scope(function()
                local t = contribution(dtype, c.rank, n)
                c:broadcast(t, root)
                c:wait()
                expect_equal(("broadcast of %d %s"):format(n, dtype), t, contribution(dtype, root, n):tolist())
            end)
        end
    end
end

for _, dtype in ipairs { "f32", "bf16", "f16", "i64" } do
    for _, op in ipairs { "sum", "max", "min" } do check_reductions(dtype, op) end
    check_broadcast(dtype)
end

-- Order: each works on the result of the one before.
local t = tensor.from({ 1, 2, 3 }, "f32")
for _ = 1, 3 do c:all_reduce(t) end
c:barrier()
c:wait()
expect_equal("three in a row", t, { c.size ^ 3, 2 * c.size ^ 3, 3 * c.size ^ 3 })

-- Nothing is lost: a NaN or an infinity of any rank is in every rank's sum.
for rank = 0, c.size - 1 do
    t = tensor.from({ c.rank == rank and 0 / 0 or 1, c.rank == rank and math.huge or 1, 1 }, "f32")
    c:all_reduce(t)
    c:wait()
    local values = t:tolist()
    expect(values[1] ~= values[1] and values[2] == math.huge and values[3] == c.size, "a NaN or an infinity was lost")
    if c.kind ~= "nccl" then
        for _, op in ipairs { "max", "min" } do
            t = tensor.from({ c.rank == rank and 0 / 0 or 1 }, "f32")
            c:all_reduce(t, op)
            c:wait()
            expect(t:item() ~= t:item(), "%s lost a NaN", op)
        end
    end
end

-- More than fits one message or the scratch memory, and not evenly divisible.
tensor.scope(function()
    local big, extreme = tensor.new("f32", { 6000001 }), tensor.new("f32", { 1 })
    big:fill(c.rank + 1)
    c:all_reduce(big)
    c:broadcast(big, c.size - 1)
    c:wait()
    for _, reduction in ipairs { "max", "min" } do
        ops.reduce(extreme, big, reduction)
        expect(extreme:item() == c.size * (c.size + 1) / 2, "a large sum is %g", extreme:item())
    end
end)

-- Sending nothing is fine.
c:all_reduce(tensor.new("f32", { 0 }))
c:wait()

local function refused(fragment, fn, ...)
    local ok, message = pcall(fn, c, ...)
    expect(not ok and message:find(fragment, 1, true), "expected refusal %q, not %s", fragment, tostring(message))
end

refused("op is mean, expected sum, max or min", c.all_reduce, t, "mean")
refused("all_reduce: t is i32", c.all_reduce, tensor.new("i32", { 2 }))
refused("root is " .. c.size, c.broadcast, t, c.size)
refused("expected one dtype and " .. c.size .. " times the elements", c.all_gather, tensor.new("f32", { 7 * c.size }),
    tensor.new("f32", { 3 }))
if c.size > 1 then
    local x = tensor.new("f32", { 4 * c.size })
    refused("x overlaps out", c.all_gather, x, x:slice(1, 2, 5))
end

-- On a GPU wait() lets the device wait, not the host.
local function await()
    for _ = 1, 5000 do
        local queued, finished = c:counts()
        if queued == finished then break end
        posix_time.nanosleep { tv_sec = 0, tv_nsec = 1e6 }
    end
end

-- Spans say what ran, in order.
await()
c:record()
c:all_reduce(tensor.new("f32", { 64 }))
c:barrier()
c:wait()
await()
local spans = c:spans()
expect(#spans == 2 and spans[1].name == "all_reduce f32 64" and spans[1].bytes == 256 and spans[2].name == "barrier",
    "spans are wrong")
expect(spans[1].begin <= spans[1].finish and spans[1].finish <= spans[2].finish, "times of spans are wrong")
expect(#c:spans() == 0, "spans came twice")
local queued, finished = c:counts()
expect(queued == finished and queued == spans[2].number, "counts are wrong")

io.write(("rank %d of %d: %s is right\n"):format(c.rank, c.size, c.kind))
