--- The tables that bench/gpu_model.lua prints.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"

local gpus = dofile(paths.root() .. "/bench/model/gpus.lua")

local M = {}

local BEGIN, END = "<!-- model: begin -->", "<!-- model: end -->"
-- What is less of a step than this is summed up in one row.
local SMALL = 0.004

local function assume(changes)
    local copy = {}
    for key, value in pairs(gpus.assumed) do copy[key] = value end
    for key, value in pairs(changes or {}) do copy[key] = value end
    return copy
end

local function time_of(gpu, entry, assumed)
    if entry.is == "kernel" then return gpus.kernel_seconds(gpu, entry, entry.code, assumed) end
    if entry.is == "product" then return gpus.product_seconds(gpu, entry, assumed) end
    if entry.is == "copy" or entry.is == "memset" then return gpus.transfer_seconds(gpu, entry, assumed) end
    -- Transfers to and from the host run beside the step.
    return nil
end

--- Seconds of the micro-step and of the update.
local function step_seconds(one, changes)
    local assumed, seconds = assume(changes), { 0, 0 }
    for _, entry in ipairs(one.entries) do
        local time = time_of(one.gpu, entry, assumed)
        local part = entry.part == 2 and 2 or 1
        if time then seconds[part] = seconds[part] + time.seconds end
    end
    return seconds[1], seconds[2]
end

local function label_of(entry)
    if entry.is == "product" then
        local epilogue = gpus.epilogues[entry.epilogue]
        return ("product %d x %d x %d%s%s"):format(entry.m, entry.n, entry.k, entry.accumulates and ", added" or "",
            epilogue and ", " .. epilogue.label or "")
    end
    if entry.is == "kernel" then
        local name = entry.readable:gsub("_kernel", "")
        return "`" .. name .. "`"
    end
    return entry.is == "copy" and "copies" or "fills"
end

--- Rows by kernel: what a GPU spends on each, largest first.
local function rows_of(one)
    local rows, list, total = {}, {}, 0
    for _, entry in ipairs(one.entries) do
        local time = time_of(one.gpu, entry, gpus.assumed)
        if time then
            local label = label_of(entry)
            local row = rows[label]
            if not row then
                row = { label = label, calls = 0, seconds = 0, bytes = 0, flops = 0, issued = 0, bounds = {} }
                rows[label], list[#list + 1] = row, row
            end
            row.calls, row.seconds, row.bytes = row.calls + 1, row.seconds + time.seconds, row.bytes + time.bytes
            row.flops = row.flops + (time.flops or (entry.mma or 0) * 4096)
            if entry.code then
                local warps = math.ceil(entry.block[1] * entry.block[2] * entry.block[3] / 32)
                row.issued = row.issued + entry.blocks * warps * entry.code.counts.issued
                row.guessed = (row.guessed or 0) + entry.code.guessed
            end
            row.bounds[time.bound] = (row.bounds[time.bound] or 0) + time.seconds
            total = total + time.seconds
        end
    end
    for _, row in ipairs(list) do
        for bound, seconds in pairs(row.bounds) do
            if not row.bound or seconds > row.bounds[row.bound] then row.bound = bound end
        end
    end
    table.sort(list, function(a, b) return a.seconds > b.seconds or a.seconds == b.seconds and a.label < b.label end)
    return list, total
end

local function rate(case, seconds) return case.sequences / seconds end

local function overview(found, cases, title, add)
    local names = {}
    for _, gpu in ipairs(gpus.list) do names[#names + 1] = gpu.name end
    add(("| %s (ms of the micro-step + of the update) | %s |"):format(title, table.concat(names, " | ")))
    add("|---|" .. ("---|"):rep(#names))
    for _, case in ipairs(cases) do
        local each, merged = {}, {}
        for _, one in ipairs(found) do
            if one.case == case then
                local step, update = step_seconds(one)
                each[#each + 1] = ("%.0f (%.1f + %.1f)"):format(rate(case, step + update), 1e3 * step, 1e3 * update)
                merged[#merged + 1] = ("%.0f"):format(rate(case, step + update / case.merged))
            end
        end
        add(("| %s, an update each | %s |"):format(case.name, table.concat(each, " | ")))
        if case.merged > 1 then
            add(("| the same, an update every %d | %s |"):format(case.merged, table.concat(merged, " | ")))
        end
    end
end

-- What the assumptions are worth: one changed at a time.
local CHANGES = {
    { "products at 0.9, 1.1 of the assumed rate", { product_share = 0.9 }, { product_share = 1.1 } },
    { "memory at 0.9, 1.1", { memory = 0.9 }, { memory = 1.1 } },
    { "pipes at 0.6, 1.0 of their rate in place of 0.8", { pipe_share = 0.6 }, { pipe_share = 1.0 } },
    { "none, all of the smaller time hidden in place of 0.8", { overlap = 0 }, { overlap = 1 } },
    { "twice, half the time between launches", { gap = 2 }, { gap = 0.5 } },
}
local TANH_CHANGES = {
    { "products with GELU in the epilogue at 0.8, 0.9 of the others' rate", { epilogue_share = 0.8 },
        { epilogue_share = 0.9 } },
}

local function sensitivity(found, cases, changes, title, add)
    local gpu, names = gpus.list[1], {}
    for _, case in ipairs(cases) do names[#names + 1] = case.name end
    add(("| %s, %s with | %s |"):format(gpu.name, title, table.concat(names, " | ")))
    add("|---|" .. ("---|"):rep(#names))
    for _, change in ipairs(changes) do
        local cells = {}
        for _, one in ipairs(found) do
            if one.gpu.name == gpu.name then
                local pair = {}
                for n = 2, 3 do
                    local step, update = step_seconds(one, change[n])
                    pair[#pair + 1] = ("%.0f"):format(rate(one.case, step + update))
                end
                cells[#cells + 1] = table.concat(pair, ", ")
            end
        end
        add(("| %s | %s |"):format(change[1], table.concat(cells, " | ")))
    end
end

-- Of a program that does one op after another, what it reads and writes in a layer, forward and backward: matrices of
-- tokens by hidden size (biases, GELU, dropout with stored masks, residuals, normalisation, heads apart and together),
-- and scores of attention (scaled, masked, softmax, dropout, and their gradients), each in bf16.
local UNFUSED = { gpu = "A100", layers = 24, hidden = 1024, heads = 16, of_tokens = 77, of_scores = 20 }

--- What the same assumptions say of a program whose speed has been published.
local function check(found, add)
    add("| on an A100, sequences/s | products alone | op by op, predicted | published | published / predicted | ours, "
        .. "predicted |")
    add "|---|---|---|---|---|---|"
    for _, one in ipairs(found) do
        local case, gpu = one.case, one.gpu
        if gpu.name == UNFUSED.gpu then
            local products = 0
            for _, entry in ipairs(one.entries) do
                if entry.is == "product" then
                    products = products + gpus.product_seconds(gpu, entry, gpus.assumed).seconds
                end
            end
            local tokens = case.sequences * case.length
            local elements = UNFUSED.layers * (UNFUSED.of_tokens * tokens * UNFUSED.hidden
                + UNFUSED.of_scores * tokens * case.length * UNFUSED.heads)
            local step, update = step_seconds(one)
            local expected = rate(case, products + 2 * elements / gpu.memory + update / case.merged)
            add(("| %s | %.0f | %.0f | %d | %.2f | %.0f |"):format(case.name, rate(case, products), expected,
                case.published, case.published / expected, rate(case, step + update / case.merged)))
        end
    end
end

local function launches(one, add)
    local list, total = rows_of(one)
    add(("%s on an %s, a step with its update:"):format(one.case.name, one.gpu.name))
    add("")
    add "| launches of | calls | ms | share | GB | Tflop | instructions of warps, M | bound by |"
    add "|---|---|---|---|---|---|---|---|"
    local rest = { calls = 0, seconds = 0, bytes = 0, flops = 0, issued = 0 }
    local function row(label, r, bound)
        add(("| %s | %d | %.2f | %.1f %% | %.2f | %s | %s | %s |"):format(label, r.calls, 1e3 * r.seconds,
            100 * r.seconds / total, r.bytes / 1e9, r.flops > 0 and ("%.2f"):format(r.flops / 1e12) or "",
            r.issued > 0 and ("%.1f"):format(r.issued / 1e6) or "", bound))
    end
    for _, r in ipairs(list) do
        if r.seconds >= SMALL * total then
            row(r.label, r, r.bound)
        else
            for key, value in pairs(rest) do rest[key] = value + r[key] end
        end
    end
    row("others, each less than 0.4 %", rest, "")
    add(("| sum | %d | %.1f | | | | | |"):format(#one.entries, 1e3 * total))
end

--- All tables as Markdown.
-- @tparam table found of the model with GELU in its erf form: one of each GPU and case
-- @tparam table tanh the same of the tanh form, of which there are only speeds
-- @tparam table cases
function M.report(found, tanh, cases)
    local lines = {}
    local function add(line) lines[#lines + 1] = line end
    overview(found, cases, "predicted sequences/s", add)
    add ""
    overview(tanh, cases, "`gelu_pytorch_tanh`, predicted sequences/s", add)
    add ""
    sensitivity(found, cases, CHANGES, "predicted sequences/s", add)
    add ""
    sensitivity(tanh, cases, TANH_CHANGES, "`gelu_pytorch_tanh`, predicted sequences/s", add)
    add ""
    check(found, add)
    for _, one in ipairs(found) do
        if one.gpu.name == gpus.list[1].name then
            add ""
            launches(one, add)
        end
    end
    return table.concat(lines, "\n") .. "\n"
end

--- What was counted of every launch that differs from the others, a line each.
function M.kernels(found)
    local lines = {}
    for _, one in ipairs(found) do
        local seen = {}
        for _, entry in ipairs(one.entries) do
            if entry.is == "kernel" and not seen[entry.number] then
                seen[entry.number] = true
                local time = time_of(one.gpu, entry, gpus.assumed)
                local pipes = {}
                for name, n in pairs(entry.code.counts) do
                    if name:match "^%l" then pipes[#pipes + 1] = ("%s %.0f"):format(name, n) end
                end
                table.sort(pipes)
                lines[#lines + 1] = ("%s, %s: %s: %.1f us (memory %.1f, cache %.1f, pipes %.1f; %s), %d blocks of %d, "
                    .. "%.1f MB fetched, %.1f written, %.1f loaded, %.1f stored; walked %.1f, %.1f; a warp: %s; "
                    .. "%d branches guessed"):format(one.gpu.name, one.case.name, entry.readable, 1e6 * time.seconds,
                    1e6 * time.memory, 1e6 * time.cache, 1e6 * time.busy, time.bound, entry.blocks,
                    entry.block[1] * entry.block[2] * entry.block[3], entry.fetched / 1e6, entry.written / 1e6,
                    entry.loads / 1e6, entry.stores / 1e6, entry.code.loads * entry.blocks / 1e6,
                    entry.code.stores * entry.blocks / 1e6, table.concat(pipes, ", "), entry.code.guessed)
                for address, times in pairs(entry.code.where) do
                    lines[#lines] = lines[#lines] .. ("; %d at %x"):format(times, address)
                end
            end
        end
    end
    return table.concat(lines, "\n")
end

--- Put a text between the markers of a file.
function M.replace(path, text)
    local whole = fault.check(fs.read(path))
    local first, last = whole:find(BEGIN, 1, true), whole:find(END, 1, true)
    if not first or not last or last < first then fault.raisef("%s: no lines %s and %s", path, BEGIN, END) end
    fault.check(fs.write(path, whole:sub(1, first - 1) .. BEGIN .. "\n" .. text .. whole:sub(last)))
end

return M
