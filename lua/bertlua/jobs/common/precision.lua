--- The precision of a run: what its settings ask for, what the CPU makes of that, and what a resumed run began with.
--
-- Mixed precision is asked for to save time, which bf16 does on a GPU and on a CPU that multiplies it faster than
-- fp32. On any other CPU a run that asks for amp, and names no dtype, computes in fp32 and says so. One that resumes
-- keeps what it began with, whatever it runs on: it ends in the same bits as one that never stopped.

local context = require "bertlua.context"
local fault = require "bertlua.fault"

local M = {}

local DTYPES = { bf16 = "bf16", fp16 = "f16" }

--- What the settings ask for, whatever the machine.
-- @param values resolved settings
-- @param sources where each came from, as Spec:parse returns it
-- @return "fp32", "bf16" or "fp16"
function M.asked(values, sources)
    local on_cpu = context.choose(values.device) == "cpu"
    if values.use_pure_fp16 and on_cpu then
        fault.raise("--use-pure-fp16 needs a GPU: on the CPU use --amp, which keeps fp32 master weights")
    end
    if values.precision == "tf32" and on_cpu then
        fault.raise("--precision tf32 needs a GPU: on the CPU use fp32 or --amp")
    end
    if values.use_pure_fp16 then
        if values.precision and values.precision ~= "amp" then
            fault.raisef("--use-pure-fp16 and --precision %s contradict each other: give one of them", values.precision)
        end
        return "fp16"
    end
    local amp = values.amp
    if values.precision then
        local wanted = values.precision == "amp"
        if sources.amp == "command line" and amp ~= wanted then
            fault.raisef("--amp %s and --precision %s contradict each other: give one of them", tostring(amp),
                values.precision)
        end
        amp = wanted
    end
    return amp and values.amp_dtype or "fp32"
end

--- Settle run.precision, and run.amp: whether mixed precision was asked for. Adds what there is to say to run.notes.
-- @param run plan with start, and notes to add to
-- @param values, sources as in asked()
-- @param before the precision of the run that this one resumes, where that asked for mixed precision; else nil
-- @param is_fast function(dtype) -> whether the device multiplies it at least as fast as f32; left out:
--   context.fast_dtype
function M.settle(run, values, sources, before, is_fast)
    is_fast = is_fast or context.fast_dtype
    local asked = M.asked(values, sources)
    local on_cpu = context.choose(values.device) == "cpu"
    local function note(text, ...) run.notes[#run.notes + 1] = text:format(...) end
    run.precision, run.amp = asked, asked ~= "fp32"
    if not run.amp then return end
    local chosen = sources.amp_dtype or values.use_pure_fp16
    if before and not chosen then run.precision = before end
    if run.precision == "fp32" then
        note("amp: %s began in fp32, as its CPU multiplied %s slower, and so this run goes on; --amp-dtype %s changes "
            .. "it", run.start.path, asked, asked)
    elseif on_cpu and not is_fast(DTYPES[run.precision]) then
        if chosen then
            note("amp: this CPU multiplies %s slower than fp32: without --amp-dtype %s a run computes in fp32 here",
                run.precision, run.precision)
        elseif before then
            note("amp: %s began in %s, and so this run goes on, though this CPU multiplies %s slower than fp32",
                run.start.path, run.precision, run.precision)
        else
            note("amp: this CPU multiplies %s slower than fp32, so this run computes in fp32; --amp-dtype %s forces it",
                asked, asked)
            run.precision = "fp32"
        end
    end
end

--- Warn of settings of mixed precision that have no effect, or a harmful one.
-- @param run plan with work, precision and amp; gets warnings
function M.warn(run, values, sources)
    local warning
    if not run.amp and sources.amp_dtype then
        warning = "amp_dtype has no effect without amp"
    elseif run.work.train and run.precision == "fp16" and values.scale_loss == 1
        and not values.use_dynamic_loss_scaling then
        warning = "fp16 without loss scaling: small gradients become 0; add --use-dynamic-loss-scaling"
    end
    run.warnings[#run.warnings + 1] = warning
end

return M
