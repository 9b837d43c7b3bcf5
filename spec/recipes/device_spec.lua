--- A device that is not there, or that nobody knows: every recipe and benchmark says so in one line before anything
-- else, and leaves nothing on disk.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

-- What recipes ask for before they look at a device.
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
            -- recipe.main runs what computes nothing and has no such setting.
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

    it("is said first and alone by every recipe", function()
        assert.is_true(#recipes >= 15)
        for _, name in ipairs(recipes) do
            local output, code = run(("recipes/%s.lua"):format(name), (REQUIRED[name] or "") .. " --device cuda")
            assert.matches(LINE, output, name)
            assert.are.equal(1, code)
        end
    end)

    it("is said first and alone by every recipe if its name is unknown", function()
        for _, name in ipairs(recipes) do
            local output, code = run(("recipes/%s.lua"):format(name), (REQUIRED[name] or "") .. " --device cuda:0")
            assert.are.equal('bertlua: --device: got "cuda:0", expected one of auto, cpu, cuda\n', output)
            assert.are.equal(1, code)
        end
    end)

    it("is the CPU for auto, and a folder that is missing is what is wrong then", function()
        local output, code = run("recipes/pretrain_phase1.lua", "--device auto --threads 1 --input-dir missing")
        assert.are.equal(1, code)
        assert.matches("^[^\n]*\n.*\n +device +auto", output)
        assert.matches("\nbertlua: %-%-input%-dir missing: no such folder\n$", output)
        output, code = run("recipes/answer.lua", REQUIRED.answer .. " --threads 1")
        assert.are.equal(1, code)
        assert.are.equal("bertlua: missing: no such checkpoint\n", output)
    end)

    it("is said with the variable that names it", function()
        for _, name in ipairs { "pretrain_phase1", "answer" } do
            local output, code = run(("recipes/%s.lua"):format(name), REQUIRED[name] or "", "BERTLUA_DEVICE=tpu")
            assert.are.equal("bertlua: context: BERTLUA_DEVICE is tpu, expected cpu, cuda or auto\n", output)
            assert.are.equal(1, code)
        end
    end)

    it("is said by the benchmarks of a GPU, for which another device is no way out", function()
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
