--- The same pre-training steps on the CPU and on a GPU, with real data: losses side by side, and an exact resume.
--
--     build/bertlua spec/peers/compare_devices.lua [--input-dir DIR --config-file FILE --vocab-file FILE]
--
-- Without options it uses what `make demo` leaves in results/demo. Each run is
-- recipes/pretrain_phase1.lua in a separate process. Prints a table and exits
-- with 1 if losses differ by more than the tolerance, or if the GPU's run in two
-- halves differs from its run in one.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local DEMO = "results/demo/"
local TOLERANCE = { fp32 = 1e-3, bf16 = 2e-2 }

local spec = settings.define {
    { name = "input_dir", type = "path", default = DEMO .. "shards/phase1/train", help = "shards" },
    { name = "config_file", type = "path", default = DEMO .. "config.json", help = "model" },
    { name = "vocab_file", type = "path", default = DEMO .. "vocab.txt", help = "vocabulary" },
    { name = "max_seq_length", type = "integer", min = 8, default = 64, help = "as in the shards" },
    { name = "max_predictions_per_seq", type = "integer", min = 1, default = 10, help = "as in the shards" },
    { name = "batch_size", type = "integer", min = 1, default = 32, help = "sequences per step" },
    { name = "steps", type = "integer", min = 2, default = 50, help = "steps to compare" },
    { name = "learning_rate", type = "number", above = 0, default = 1e-3, help = "peak" },
}

--- Run steps; raises a fault with the end of the output if that fails.
local function pretrain(values, folder, device, precision, name, last_step)
    local options = {
        ["bert-model"] = "custom", ["config-file"] = values.config_file, ["vocab-file"] = values.vocab_file,
        ["input-dir"] = values.input_dir, ["output-dir"] = folder .. "/" .. name, device = device,
        ["max-seq-length"] = values.max_seq_length, ["max-predictions-per-seq"] = values.max_predictions_per_seq,
        ["batch-size"] = values.batch_size, ["gradient-merge-steps"] = 1, ["max-steps"] = values.steps,
        ["steps-this-run"] = last_step, ["learning-rate"] = values.learning_rate, ["log-freq"] = 1,
        ["report-file"] = ("%s/%s.json"):format(folder, name), amp = precision == "bf16", ["amp-dtype"] = "bf16",
        ["scale-loss"] = 1, ["use-dynamic-loss-scaling"] = false, ["last-step-of-checkpoint"] = "auto",
        ["world-size"] = 1, ["show-config"] = false, ["tensorboard-dir"] = "none",
    }
    local words = { quote(paths.program()), quote(paths.root() .. "/recipes/pretrain_phase1.lua") }
    for option, value in pairs(options) do words[#words + 1] = ("--%s %s"):format(option, quote(value)) end
    local pipe = io.popen(table.concat(words, " ") .. " 2>&1; echo \"code $?\"")
    local text = pipe:read "*a"
    pipe:close()
    if not text:match "code 0%s*$" then fault.raisef("%s on %s failed: %s", precision, device, text:sub(-1500)) end
    local losses = {}
    for line in io.lines(options["report-file"]) do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" and type(record.step) == "number" then losses[record.step] = record.data.loss end
    end
    return losses
end

local function compare(values, folder, precision)
    local cpu = pretrain(values, folder, "cpu", precision, precision .. "-cpu", values.steps)
    local gpu = pretrain(values, folder, "cuda", precision, precision .. "-gpu", values.steps)
    pretrain(values, folder, "cuda", precision, precision .. "-halves", math.floor(values.steps / 2))
    local halves = pretrain(values, folder, "cuda", precision, precision .. "-halves", values.steps)
    local worst, exact = 0, true
    for step = 1, values.steps do
        worst = math.max(worst, math.abs(cpu[step] - gpu[step]))
        exact = exact and halves[step] == gpu[step]
    end
    local good = worst <= TOLERANCE[precision]
    print(("| %s | %.5f | %.5f | %.2e | %g | %s |"):format(precision, cpu[values.steps], gpu[values.steps], worst,
        TOLERANCE[precision], exact and "yes" or "NO"))
    return good and exact
end

local function main()
    local values = spec:parse(arg, {}, { program = "spec/peers/compare_devices.lua",
        description = "Compare pre-training steps on the CPU and on a GPU." })
    if not values then return end
    if not fs.is_directory(values.input_dir) then
        fault.raisef("%s: no such folder: run make demo first, or set --input-dir", values.input_dir)
    end
    local folder = fault.check(fs.temporary_folder "bertlua-devices")
    print(("%d steps on %s\n"):format(values.steps, values.input_dir))
    print "| | last loss, CPU | last loss, GPU | largest difference | allowed | two halves equal one run |"
    print "|---|---|---|---|---|---|"
    local good = true
    for _, precision in ipairs { "fp32", "bf16" } do good = compare(values, folder, precision) and good end
    fault.check(fs.remove(folder))
    if not good then os.exit(1) end
end

main()
