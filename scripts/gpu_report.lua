--- All checks that need a GPU in one go: specs, compute-sanitizer, demo steps compared with the CPU, benchmarks.
--
--     build/bertlua scripts/gpu_report.lua [--output gpu-report.md] [--python PATH]
--     make gpu-report                       builds first
--
-- Writes a Markdown fragment for docs/gpu.md after every step, so that a
-- run that ends early keeps what it measured. If a step fails, this is
-- recorded and the next one runs. --emulated does the same on the emulation
-- (no sanitizer, tiny benchmarks), to check that the report itself works.

local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local shell = require "bertlua.util.shell"

local quote = shell.quote

local spec = settings.define {
    { name = "output", type = "path", default = "gpu-report.md", help = "file for the Markdown" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "Python with PyTorch" },
    { name = "only", type = "string", help = "run only steps whose name contains this" },
    { name = "emulated", type = "boolean", default = false,
        help = "run on the emulation named by BERTLUA_CUDA_LIB instead of a GPU" },
    { name = "minutes", type = "number", above = 0, default = 20, help = "maximum minutes per step" },
    { name = "dry_run", type = "boolean", default = false, help = "only print the commands" },
}

-- Run under the sanitizers: a few training steps with dropout, op by op and replayed.
local SHORT_SPEC = "spec/cuda/training_spec.lua"

--- The steps: {name, command}. `program` is the running executable.
local function steps(values, program)
    local root = quote(paths.root())
    local function busted(files, prefix)
        return ("cd %s && BERTLUA_TEST_DEVICE=cuda %s busted -o plainTerminal %s"):format(root, prefix or "", files)
    end
    local function bench(name, arguments)
        return ("%s %s/bench/%s %s"):format(quote(program), root, name, arguments or "")
    end
    local python = "--python " .. quote(values.python)
    local function make(suite)
        return ("make -s -C %s test-%s-%s BUSTED_ARGS='-o plainTerminal'"):format(root,
            values.emulated and "emulated" or "cuda", suite)
    end
    local list = {
        { name = "Op specs on the device", command = make "ops" },
        { name = "Training specs on the device", command = make "training" },
    }
    if not values.emulated then
        table.insert(list, 1, { name = "GPU and driver", command = "nvidia-smi", plain = true })
        for _, tool in ipairs { "memcheck", "racecheck", "initcheck" } do
            list[#list + 1] = { name = "compute-sanitizer " .. tool, command = busted(SHORT_SPEC
                .. " --filter 'replays packed batches'", ("compute-sanitizer --tool %s --error-exitcode 9 "
                .. "--target-processes all"):format(tool)) }
        end
        list[#list + 1] = { name = "Matrix products", command = bench("gpu_linear.lua", python), plain = true }
        list[#list + 1] = { name = "Attention", command = bench("gpu_attention.lua", python), plain = true }
        list[#list + 1] = { name = "Memory-bound kernels", command = bench("gpu_kernels.lua", python),
            plain = true }
    end
    if fs.is_directory(paths.root() .. "/results/demo/shards") then
        list[#list + 1] = { name = "Demo corpus: GPU and CPU", markdown = true,
            command = ("cd %s && %s spec/peers/compare_devices.lua"):format(root, quote(program)) }
    end
    list[#list + 1] = { name = "BERT", command = bench("gpu_pretrain.lua", python
        .. (values.emulated and " --small --steps 2 --warmup 3 --peer false" or "")), markdown = true }
    return list
end

--- Exit code (124: ran out of time), output, seconds.
local function run(command, minutes)
    local begun = clock.monotonic()
    local text = shell.output(("timeout %d sh -c %s 2>&1; echo \"code $?\""):format(minutes * 60,
        quote(command)))
    local output, code = text:match "^(.*)code (%d+)%s*$"
    return tonumber(code), output, clock.monotonic() - begun
end

--- What a step adds to the report.
local function section(step, code, output, seconds)
    local lines = { ("## %s: %s"):format(step.name, code == 0 and "passed" or code == 124 and "ran out of time"
        or "failed with code " .. code), "", ("`%s`, %.0f s"):format(step.command:gsub("\n", " "), seconds), "" }
    if step.markdown and code == 0 then
        lines[#lines + 1] = output
    else
        -- Failures are reported at the end of a long output.
        local most = step.plain and 12000 or 3000
        lines[#lines + 1] = "```\n" .. output:sub(-most) .. "```"
    end
    return table.concat(lines, "\n") .. "\n"
end

local function main()
    local values = spec:parse(arg, {}, { program = "scripts/gpu_report.lua",
        description = "Run every check and measurement that needs a GPU." })
    if not values then return end
    local list = steps(values, paths.program())
    if values.dry_run then
        for _, step in ipairs(list) do print(("# %s\n%s\n"):format(step.name, step.command)) end
        return
    end
    local count, reason = context.count "cuda"
    if count == 0 then fault.raise(reason or "cuda: no GPU found: there is nothing to report") end
    context.open { device = "cuda" }
    local parts = { ("# Report of %s on %s\n"):format(os.date "!%Y-%m-%d %H:%M UTC", context.describe()) }
    if values.emulated then
        parts[#parts + 1] = "**Emulated on the CPU: results are checked, but times say nothing about a GPU.**\n"
    end
    local failed = 0
    for _, step in ipairs(list) do
        if not values.only or step.name:find(values.only, 1, true) then
            io.stderr:write(step.name, " ...\n")
            local code, output, seconds = run(step.command, values.minutes)
            if code ~= 0 then failed = failed + 1 end
            parts[#parts + 1] = section(step, code, output, seconds)
            fault.check(fs.write(values.output, table.concat(parts, "\n")))
        end
    end
    print(("%s: %d steps, %d failed"):format(values.output, #parts - (values.emulated and 2 or 1), failed))
    if failed > 0 then os.exit(1) end
end

main()
