--- Benchmark mode: steps measured after a warm-up, reported with the definition of every figure.

local plural = require "bertlua.util.plural"

local M = {}

--- The p-th percentile (0..100) of a sorted list, interpolated linearly between neighbours.
function M.percentile(sorted, p)
    local position = 1 + (#sorted - 1) * p / 100
    local low = math.floor(position)
    local high = math.min(low + 1, #sorted)
    return sorted[low] + (sorted[high] - sorted[low]) * (position - low)
end

--- The middle of a list of numbers, which is sorted by this.
function M.median(list)
    table.sort(list)
    return M.percentile(list, 50)
end

--- Figures from the records of the measured steps (seconds, sequences, tokens of each).
function M.summary(steps)
    local seconds, total, sequences, tokens = {}, 0, 0, 0
    for i, step in ipairs(steps) do
        seconds[i] = step.seconds
        total = total + step.seconds
        sequences = sequences + step.sequences
        tokens = tokens + step.tokens
    end
    table.sort(seconds)
    return {
        steps = #steps, seconds = total,
        sequences_per_second = sequences / total, tokens_per_second = tokens / total,
        step_p50 = M.percentile(seconds, 50), step_p90 = M.percentile(seconds, 90),
        step_p95 = M.percentile(seconds, 95), step_p99 = M.percentile(seconds, 99), step_min = seconds[1],
        step_max = seconds[#seconds],
    }
end

--- The summary as text.
-- @param summary of summary()
-- @param setup { warmup_steps, batch_size, accumulation: micro-steps of all ranks together, ranks (1), max_seq_length,
--   precision, threads, device, packed; group: sequences of a sample, where it has several (data/sequences.lua) }
function M.text(summary, setup)
    local ranks, samples = setup.ranks or 1, setup.batch_size * setup.accumulation
    local lines = {
        ("Benchmark: %s after %d of warm-up; %s per step (%s%d x %d micro-steps), %d tokens long, %s, %s, %s on %s")
            :format(plural.count(summary.steps, "step"), setup.warmup_steps,
            (setup.group or 1) == 1 and plural.count(samples, "sequence")
                or ("%s of %d sequences"):format(plural.count(samples, "group"), setup.group),
            ranks > 1 and ranks .. " ranks x " or "", setup.batch_size, setup.accumulation / ranks,
            setup.max_seq_length, setup.precision,
            setup.packed and "packed" or "padded", plural.count(setup.threads, "thread"), setup.device),
        ("  throughput    %.2f sequences/s, %.0f tokens/s"):format(summary.sequences_per_second,
            summary.tokens_per_second),
        ("  step          p50 %.4f s, p90 %.4f s, p99 %.4f s, min %.4f s, max %.4f s"):format(summary.step_p50,
            summary.step_p90, summary.step_p99, summary.step_min, summary.step_max),
        "  A step is forward, backward, update and the wait for data. Throughput is all",
        "  sequences (or real tokens, padding not counted) of the measured steps divided",
        "  by their total time.",
    }
    return table.concat(lines, "\n") .. "\n"
end

local INFERENCE = [[
  A step builds one batch, computes its logits and copies them to the host; they
  are not interpreted. Throughput is all sequences (or real tokens, padding not
  counted) of the measured steps divided by their total time.
]]

--- Figures and text of inference steps.
-- @param steps list of {seconds, sequences, tokens}
-- @param setup as in text(), without accumulation and ranks
-- @return summary, text
function M.inference(steps, setup)
    local summary = M.summary(steps)
    local text = ("Benchmark of inference: %d batches of %d sequences after %d of warm-up; up to %d tokens, %s, %s, "
        .. "%s on %s\n"):format(summary.steps, setup.batch_size, setup.warmup_steps, setup.max_seq_length,
        setup.precision, setup.packed and "packed" or "padded", plural.count(setup.threads, "thread"), setup.device)
    text = text .. ("  throughput    %.2f sequences/s, %.0f tokens/s\n"):format(summary.sequences_per_second,
        summary.tokens_per_second)
    text = text .. ("  latency       p50 %.1f ms, p90 %.1f ms, p95 %.1f ms, p99 %.1f ms, min %.1f ms, max %.1f ms\n")
        :format(1e3 * summary.step_p50, 1e3 * summary.step_p90, 1e3 * summary.step_p95, 1e3 * summary.step_p99,
        1e3 * summary.step_min, 1e3 * summary.step_max)
    return summary, text .. INFERENCE
end

return M
