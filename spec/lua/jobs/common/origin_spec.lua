--- The parameters that a run began from: what identifies them, and when others are refused.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local origin = require "bertlua.jobs.common.origin"
local progress_file = require "bertlua.train.progress_file"
local storage = require "bertlua.storage"

describe("parameters to begin from", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "origin_spec") end)
    after_each(function() assert(fs.remove(folder)) end)

    local function model(name, contents)
        assert(fs.mkdirs(folder .. "/" .. name))
        assert(fs.write(folder .. "/" .. name .. "/model.safetensors", contents))
        return folder .. "/" .. name
    end

    --- Settle a run that resumes from one whose origin is `began`, and is given a path.
    local function resume(began, path)
        local step = folder .. "/out/6"
        assert(fs.mkdirs(step))
        progress_file.write(step, { step = 6, began = began and { origin = began } or nil })
        local run = { start = { kind = "resume", path = step }, warnings = {} }
        origin.settle(run, path and { setting = "from_pretrained_params", path = path }, "model")
        return run
    end

    it("are known by size and checksum of their files, those of an index too", function()
        local a = model("a", "tensors")
        assert.are.same({ kind = "parameters", path = a, files = { { "model.safetensors", 7,
            storage.crc32c "tensors" } } }, origin.of(a, "model"))
        local parts = folder .. "/parts"
        assert(fs.mkdirs(parts))
        assert(fs.write(parts .. "/model.safetensors.index.json", json.encode { weight_map = { x = "2.safetensors",
            y = "1.safetensors", z = "2.safetensors" } }))
        assert(fs.write(parts .. "/1.safetensors", "one"))
        assert(fs.write(parts .. "/2.safetensors", "two"))
        local names = {}
        for i, file in ipairs(origin.of(parts, "model").files) do names[i] = file[1] end
        assert.are.same({ "1.safetensors", "2.safetensors", "model.safetensors.index.json" }, names)
        local none, reason = origin.of(folder .. "/none", "model")
        assert.is_nil(none)
        assert.matches("no such file or folder", reason)
    end)

    it("of a checkpoint of ours are what it says of its own files, without reading them", function()
        local step = model("phase1/8", "tensors")
        progress_file.write(step, { step = 8 })
        -- Of the same size, so that only a reader of every byte would notice; loading it does.
        assert(fs.write(step .. "/model.safetensors", "TENSORS"))
        assert.are.equal(storage.crc32c "tensors", origin.of(step, "model").files[1][3])
    end)

    it("are recorded by a run that begins, and carried on by one that resumes", function()
        local run = { start = { kind = "fresh" }, warnings = {} }
        origin.settle(run, nil, "model")
        assert.are.same({ kind = "fresh" }, run.origin)
        run.start = { kind = "parameters", path = model("a", "tensors") }
        origin.settle(run, nil, "model")
        local first = run.origin
        assert.are.equal("parameters", first.kind)
        assert.are.same(first, resume(first).origin)
        assert.are.same({ kind = "unknown" }, resume(nil, run.start.path).origin)
    end)

    it("may be named again where they are the same, under any name", function()
        local first = origin.of(model("a", "tensors"), "model")
        local run = resume(first, model("copy", "tensors"))
        assert.are.same({}, run.warnings)
        assert.are.same(first, run.origin)
    end)

    it("are refused where they are others, with both named", function()
        local first, b = origin.of(model("a", "tensors"), "model"), model("b", "others!")
        local ok, problem = pcall(resume, first, b)
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.matches("^%-%-from%-pretrained%-params .-/b: the run in .-/out began from .-/a %(model.safetensors, 7 "
            .. "bytes, CRC32C %x+%), but this is .-/b %(.-%): leave the option out to go on with that run, or begin a "
            .. "new one in another %-%-output%-dir$", fault.message(problem))
        ok, problem = pcall(resume, { kind = "fresh" }, b)
        assert.is_false(ok)
        assert.matches("began from freshly drawn parameters, but this is", fault.message(problem))
    end)

    it("that are gone cannot be compared, which is told", function()
        local run = resume({ kind = "parameters", path = "x", files = { { "x", 1, 2 } } }, folder .. "/gone")
        assert.are.equal(1, #run.warnings)
        assert.matches("^%-%-from%-pretrained%-params is not compared with what this run began from: .-/gone",
            run.warnings[1])
    end)

    it("may be a folder of steps that has moved on, while the one begun from is there", function()
        local first = model("phase1/8", "tensors")
        progress_file.write(first, { step = 8 })
        local later = model("phase1/9", "other")
        progress_file.write(later, { step = 9 })
        assert.are.same({}, resume(origin.of(first, "model"), folder .. "/phase1").warnings)
    end)
end)
