--- Tables of bench/inference.lua.

local benchmark = require "bertlua.train.benchmark"

local M = {}

M.DEFINITIONS = [[
A step is from texts to vectors, each the mean over a text's tokens: tokenizing is
part of it, for every program. Texts of a batch have one length, so there is no
padding; the mix is embedded in one call, sorted by length, by batches of 32 in
the peers.
seq/s      texts of a step / median of its seconds: median of the processes.
p50, p99   of the seconds of a step, over all processes.
peak MiB   largest resident memory of a process, libraries and mapped files
           included: median of the processes.
start s    from before a process is started to its first vector, files in the page
           cache: median of the processes.
cosine     least cosine between a vector and bertlua's in fp32. Where it is not
           above 0.9999 in fp32, the row is marked wrong and not compared.]]

local LEAST_COSINE = 0.9999

local LABELS = { onnxruntime = "ONNX Runtime", openvino = "OpenVINO", torch = "PyTorch" }

local CLASSES = { "fp32", "half", "int8" }

local function cosine(x, y)
    local xy, xx, yy = 0, 0, 0
    for i = 1, #x do xy, xx, yy = xy + x[i] * y[i], xx + x[i] * x[i], yy + y[i] * y[i] end
    return xy / math.sqrt(xx * yy)
end

--- The least cosine of vectors with the reference's. NaN where one of them is.
local function agreement(vectors, reference)
    local least = 1
    for i, vector in ipairs(vectors) do
        local value = cosine(vector, reference[i])
        if value < least or value ~= value then least = value end
    end
    return least
end

local function label_of(result, program, asked)
    local name = ("%s %s"):format(LABELS[program] or program, result.version)
    if asked == "default" then return ("%s default (%s)"):format(name, result.precision) end
    return name .. " " .. asked
end

--- The processes of each program and precision as one row, in their order.
local function gathered(rows)
    local list, by_key = {}, {}
    for _, row in ipairs(rows) do
        local key, result = row.program .. " " .. row.asked, row.result
        local total = by_key[key]
        if not total then
            total = { program = row.program, class = row.class, rates = {}, seconds = {}, rss = {}, start = {},
                label = label_of(result, row.program, row.asked), vectors = result.vectors, asked = row.asked }
            by_key[key], list[#list + 1] = total, total
        end
        local seconds = {}
        for i, value in ipairs(result.seconds) do
            seconds[i], total.seconds[#total.seconds + 1] = value, value
        end
        local i = #total.rates + 1
        total.rates[i], total.rss[i], total.start[i] = row.texts / benchmark.median(seconds), result.rss, result.start
    end
    return list, by_key
end

--- Print the table of a point.
-- @return {name, rows}: rows with label, program, class, rate, memory, start_up, wrong
function M.point(point, raw)
    local list, by_key = gathered(raw)
    local reference = by_key["bertlua fp32"]
    print(("\n%-36s %10s %10s %10s %9s %8s %9s"):format(point.name, "seq/s", "p50 ms", "p99 ms", "peak MiB", "start s",
        "cosine"))
    for _, row in ipairs(list) do
        row.rate, row.start_up = benchmark.median(row.rates), benchmark.median(row.start)
        row.memory = benchmark.median(row.rss) / 2 ^ 20
        table.sort(row.seconds)
        local agrees = reference and agreement(row.vectors, reference.vectors)
        row.wrong = agrees and row.class == "fp32" and (agrees <= LEAST_COSINE or agrees ~= agrees)
        print(("%-36s %10.2f %10.2f %10.2f %9.0f %8.2f %9s%s"):format(row.label, row.rate,
            1e3 * benchmark.percentile(row.seconds, 50), 1e3 * benchmark.percentile(row.seconds, 99), row.memory,
            row.start_up, agrees and ("%.5f"):format(agrees) or "", row.wrong and " wrong" or ""))
    end
    return { name = point.name, rows = list }
end

--- The best of a class among ours, and among the peers.
local function best_of(rows, class)
    local own, peer
    for _, row in ipairs(rows) do
        if row.class == class and not row.wrong then
            if row.program == "bertlua" then own = row
            elseif not peer or row.rate > peer.rate then peer = row end
        end
    end
    return own, peer
end

local function least(rows, class, field)
    local value
    for _, row in ipairs(rows) do
        if row.program ~= "bertlua" and row.class == class and not row.wrong then
            value = math.min(value or math.huge, row[field])
        end
    end
    return value
end

--- For each point and class of precision: our sequences/s relative to the best peer's.
function M.ratios(tables)
    local lines = { ("%-14s %-5s %7s %9s %9s  %s"):format("bertlua", "", "seq/s", "peak MiB", "start", "best peer") }
    for _, entry in ipairs(tables) do
        for _, class in ipairs(CLASSES) do
            local own, peer = best_of(entry.rows, class)
            if own and peer then
                local memory, start_up = least(entry.rows, class, "memory"), least(entry.rows, class, "start_up")
                lines[#lines + 1] = ("%-14s %-5s %7.2f %9.2f %9.2f  %s"):format(entry.name, class,
                    own.rate / peer.rate, own.memory / memory, own.start_up / start_up, peer.label)
            end
        end
    end
    lines[#lines + 1] = "seq/s relative to the best peer's; peak MiB and start relative to the least of the peers'."
    return table.concat(lines, "\n")
end

return M
