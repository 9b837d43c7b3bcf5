--- The final output of the demo: the loss curve, accuracies on held-out text
-- compared with chance, and predictions for masked words.

local chart = require "bertlua.util.chart"
local evaluate_job = require "bertlua.jobs.pretrain.evaluate"
local fault = require "bertlua.fault"
local fill_mask = require "bertlua.jobs.pretrain.fill_mask"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local term = require "bertlua.util.term"

local M = {}

local function say(format, ...)
    io.stdout:write(format:format(...), "\n")
    io.stdout:flush()
end

--- Losses by phase from a report file; a step logged twice (before and after a kill) counts once.
-- @return { phase1 = {x = steps, y = losses}, phase2 = ... }
function M.curves(report_file)
    local by_step, phase = { phase1 = {}, phase2 = {} }, "phase1"
    for line in fault.check(fs.read(report_file)):gmatch("[^\n]+") do
        local text = line:match("^DLLL (.*)$")
        local good, record = pcall(json.decode, text or "{}")
        record = good and type(record) == "table" and record or {}
        if record.step == "PARAMETER" then
            phase = record.data.phase2 and "phase2" or "phase1"
        elseif record.type == "LOG" and type(record.step) == "number" then
            by_step[phase][record.step] = record.data.loss
        end
    end
    local curves = {}
    for name, losses in pairs(by_step) do
        local x, y = {}, {}
        for step in pairs(losses) do x[#x + 1] = step end
        table.sort(x)
        for i, step in ipairs(x) do y[i] = losses[step] end
        curves[name] = { x = x, y = y }
    end
    return curves
end

--- The figure: phase 2 follows phase 1 on one axis of steps.
local function figure(curves, width)
    local series, offset = {}, 0
    for number, name in ipairs { "phase1", "phase2" } do
        local curve = curves[name]
        if #curve.x > 0 then
            local x = {}
            for i, step in ipairs(curve.x) do x[i] = step + offset end
            series[#series + 1] = { name = "phase " .. number, x = x, y = curve.y }
            offset = x[#x]
        end
    end
    return { title = "pre-training loss (MLM + NSP)", x_label = "update", y_label = "loss", series = series,
        width = width }
end

local function show_curves(paths)
    local curves = M.curves(paths.report)
    if #curves.phase1.x + #curves.phase2.x == 0 then return end
    say("")
    io.stdout:write(chart.terminal(figure(curves, math.min(term.columns("stdout"), 100))))
    fault.check(fs.write(paths.svg, chart.svg(figure(curves))))
    say("The same curve as SVG: %s", paths.svg)
end

local function show_accuracies(paths, parts)
    say("\nAccuracy on held-out documents")
    say("  %-8s %-6s %10s  %s", "", "", "accuracy", "without a model")
    for number, phase in ipairs { "phase1", "phase2" } do
        local opened = parts.model(phase)
        local report = evaluate_job.report(opened, { input_dir = paths.shards(phase, "test"), split = "all",
            batch_size = 16, pack_sequences = true })
        say("  phase %-2d %-6s %8.1f %%  %.1f %% (always %q), %.1f %% (and copying unmasked words)", number,
            "MLM", 100 * report.mlm_accuracy, 100 * report.mlm_chance, parts.tokenizer:token(report.mlm_token),
            100 * report.mlm_copy)
        say("  %-8s %-6s %8.1f %%  %.1f %% (always the same answer), %d samples", "", "NSP",
            100 * report.nsp_accuracy, 100 * report.nsp_chance, report.samples)
        opened.model.store:free()
    end
end

local function show_guesses(parts, paths)
    local opened = parts.model("phase2")
    say("\nThe model's predictions for [MASK] (held-out sentences)")
    for _, item in ipairs(parts.masked) do
        io.stdout:write(fill_mask.text(opened, parts.tokenizer, item.text, 5))
        say("    (the text has %q)", item.answer)
    end
    say("\nTry your own: bertlua fill_mask --checkpoint %s \"A [MASK] is a kind of computer.\"",
        paths.checkpoints("phase2"))
    opened.model.store:free()
end

--- Print the results.
-- @param paths the demo's
-- @param parts model(phase) -> opened checkpoint, tokenizer, masked = list of {text=, answer=}
function M.show(paths, parts)
    show_curves(paths)
    show_accuracies(paths, parts)
    show_guesses(parts, paths)
end

return M
