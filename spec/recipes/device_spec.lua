--- A device that is missing or unknown: every recipe and benchmark says so in one line before anything
-- else, and leaves nothing on disk.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

-- What recipes require before they look at the device.
local REQUIRED = {
    answer = "--checkpoint missing --question who --context nobody",
    evaluate_pretraining = "--checkpoint missing --input-dir missing",
    fill_mask = "--checkpoint missing",
}

-- A machine without a GPU, whatever this one has.
local NO_GPU = "env -u BERTLUA_DEVICE BERTLUA_CUDA_LIB=/nowhere/libbertlua-cuda.so"
local LINE = "^bertlua: cuda: BERTLUA_CUDA_LIB is /nowhere/libbertlua%-cuda%.so: no such file; correct or unset it, "
    .. "or use %-%-device cpu\n$"

describe("a device that cannot be used", function()
    local recipes, folder = {}, nil

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-device")
        for _, file in ipairs(assert(fs.list(process.root .. "/recipes"))) do
            local text = assert(fs.read(process.root .. "/recipes/" .. file))
            -- recipe.main runs jobs that compute nothing and have no such setting.
            if not text:match "recipe%.main%(" then recipes[#recipes + 1] = file:match "^(.*)%.lua$" end
        end
        table.sort(recipes)
    end)
    teardown(function() assert(fs.remove(folder)) end)

    --- Run a program in the empty folder; what it said, its exit code.
    local function run(program, arguments, environment)
        local output, code = process.run(("cd %s && %s %s %s %s < /dev/null"):format(folder, environment or NO_GPU,
            process.quote(process.bertlua), process.quote(process.root .. "/" .. program), arguments))
        assert.are.same({}, assert(fs.list(folder)))
        return output, code
    end

    it("is the first and only thing every recipe reports", function()
        assert.is_true(#recipes >= 15)
        for _, name in ipairs(recipes) do
            local output, code = run(("recipes/%s.lua"):format(name), (REQUIRED[name] or "") .. " --device cuda")
            assert.matches(LINE, output, name)
            assert.are.equal(1, code)
        end
    end)

    it("is the first and only thing every recipe reports if its name is unknown", function()
        for _, name in ipairs(recipes) do
            local output, code = run(("recipes/%s.lua"):format(name), (REQUIRED[name] or "") .. " --device cuda:0")
            assert.are.equal('bertlua: --device: got "cuda:0", expected one of auto, cpu, cuda\n', output)
            assert.are.equal(1, code)
        end
    end)

    it("falls back to the CPU for auto, where the missing folder is the error", function()
        local output, code = run("recipes/pretrain_phase1.lua", "--device auto --threads 1 --show-config all "
            .. "--input-dir missing")
        assert.are.equal(1, code)
        assert.matches("^[^\n]*\n.*\n +device +auto", output)
        assert.matches("\nbertlua: %-%-input%-dir missing: no such folder\n$", output)
        output, code = run("recipes/answer.lua", REQUIRED.answer .. " --threads 1")
        assert.are.equal(1, code)
        assert.are.equal("bertlua: missing: no such file or folder\n", output)
    end)

    it("is opened with more threads than the process has processors, which is told", function()
        local function told(arguments, environment)
            local output, code = run("recipes/fill_mask.lua", "--device cpu --checkpoint missing " .. arguments,
                environment)
            assert.are.equal(1, code)
            return (output:gsub("\n%s+", " "))
        end
        local missing = "bertlua: %-%-checkpoint missing: no such folder\n$"
        local text = " is 4000, but this process has %d+ processors?: that many threads take turns, which is slower\n"
            .. missing
        assert.matches("^bertlua: warning: %-%-threads" .. text, told("--threads 4000", "env -u OMP_NUM_THREADS"))
        assert.matches("^bertlua: warning: OMP_NUM_THREADS" .. text, told("", "env OMP_NUM_THREADS=4000"))
        assert.matches("^" .. missing, told("--threads 1", "env OMP_NUM_THREADS=4000"))
        assert.matches("^" .. missing, told("", "env -u OMP_NUM_THREADS"))
    end)

    it("is given back by a run with all its processors, also by one that fails", function()
        local job = require("spec.support.classify").new()
        local script = process.temporary(([[
            local affinity, recipe = require "bertlua.affinity", require "bertlua.recipe"
            local context = require "bertlua.context"
            local cores = #affinity.get()
            local bound
            local function run(name, on_step)
                recipe.run("classify", { train_file = %q, bert_model = "custom", config_file = %q, vocab_file = %q,
                    text_column = "text", label_column = "label", max_seq_length = 16, train_batch_size = 8,
                    max_steps = 2, output_dir = %q .. name, show_config = false, on_step = on_step })
            end
            run("a", function() bound = #affinity.get() end)
            print("cores", bound, #affinity.get() == cores, context.current().pinned == nil)
            print("failed", pcall(run, "b", function() error "stop" end))
            run "c"
            print("cores", bound, #affinity.get() == cores)
            -- What the program pins itself stays so.
            local pinned = context.pin_threads()
            run "d"
            print("own", (context.current().pinned ~= nil) == pinned)
        ]]):format(job.train, job.config, job.vocab, job.dir .. "/"))
        local output, code = process.run(("cd %s && env -u OMP_NUM_THREADS %s --device cpu %s < /dev/null"):format(
            folder, process.quote(process.bertlua), script))
        os.remove(script)
        assert.are.equal(0, code, output)
        -- Pinned in the meantime, unless a quota gives the process fewer threads than cores.
        local quota = require("bertlua.process").quota()
        if not quota then assert.matches("cores\t1\ttrue\ttrue\n", output) end
        assert.matches("\nfailed\tfalse\t.*\ncores\t%d+\ttrue\n", output)
        assert.matches("\nown\ttrue\n", output)
        assert.is_nil(output:find("take turns", 1, true), output)
        job:close()
    end)

    it("is reported with the variable that names it", function()
        for _, name in ipairs { "pretrain_phase1", "answer" } do
            local output, code = run(("recipes/%s.lua"):format(name), REQUIRED[name] or "", "BERTLUA_DEVICE=tpu")
            assert.are.equal("bertlua: context: BERTLUA_DEVICE is tpu, expected cpu, cuda or auto\n", output)
            assert.are.equal(1, code)
        end
    end)

    it("is reported by GPU benchmarks without offering another device", function()
        for _, name in ipairs { "attention", "kernels", "linear" } do
            local output, code = run(("bench/gpu_%s.lua"):format(name), "")
            assert.matches("^bertlua: this benchmark needs a GPU: cuda: [^\n]* no such file; correct or unset it\n$",
                output)
            assert.are.equal(1, code)
        end
        local output, code = run("bench/gpu_pretrain.lua", "--no-peer")
        assert.matches(LINE, output)
        assert.are.equal(1, code)
    end)
end)
