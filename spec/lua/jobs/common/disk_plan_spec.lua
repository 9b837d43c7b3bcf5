--- Room for checkpoints: what a run needs, compared with what one leaves, and what is said where it is not there.

local classify = require "spec.support.classify"
local checkpoint = require "bertlua.train.checkpoint"
local disk_plan = require "bertlua.jobs.common.disk_plan"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

-- 100 MiB of parameters, of which 25 are frozen.
local MIB = 2 ^ 20
local STORE = { numel = 25 * MIB, trained_numel = function() return 18.75 * MIB end }
local EACH = 100 + 150

describe("the disk plan", function()
    it("counts checkpoints that are there at a time, and the model at the end", function()
        local function needed(changes)
            local plan = { first_step = 1, last_step = 1000, every = 100, present = 0 }
            for key, value in pairs(changes or {}) do plan[key] = value end
            local bytes, each, count = disk_plan.needed(STORE, plan)
            assert.are.equal(EACH * MIB, each)
            return { bytes / MIB, count }
        end
        -- The newest three, and the one that is being written.
        assert.are.same({ 4 * EACH, 4 }, needed())
        assert.are.same({ 5 * EACH, 5 }, needed { best = true })
        assert.are.same({ 4 * EACH, 4 }, needed { exports = true })
        -- One at step 100, one at the end.
        assert.are.same({ 2 * EACH, 2 }, needed { last_step = 110 })
        assert.are.same({ 2 * EACH + 100, 2 }, needed { last_step = 110, exports = true })
        assert.are.same({ 1 * EACH, 1 }, needed { last_step = 100 })
        assert.are.same({ 1 * EACH, 1 }, needed { first_step = 101, last_step = 200, present = 1 })
        assert.are.same({ 2 * EACH, 2 }, needed { first_step = 201, present = 2 })
        -- Each one replaces another.
        assert.are.same({ 1 * EACH, 1 }, needed { first_step = 501, present = 3 })
        assert.are.same({ 1 * EACH, 1 }, needed { first_step = 501, present = 4, best = true })
        assert.are.same({ 0, 0 }, needed { first_step = 1001, present = 3 })
    end)

    it("warns of what will not fit, and refuses where nothing does", function()
        local free_bytes, steps = storage.free_bytes, checkpoint.steps
        finally(function() storage.free_bytes, checkpoint.steps = free_bytes, steps end)
        local asked
        local function check(free, changes)
            storage.free_bytes = function(path)
                asked = path
                return free and free * MIB
            end
            local run = { work = { train = true }, checkpoint_dir = "/proc/self/none/phase1", first_step = 1,
                last_step = 1000, warnings = {} }
            local values = { num_steps_per_checkpoint = 100, benchmark = changes and changes.benchmark }
            disk_plan.check { run = run, values = values, parts = { model = { store = STORE } },
                task = { exports = changes and changes.exports } }
            return run.warnings
        end
        assert.are.same({}, check(4 * EACH))
        -- The nearest folder that is there.
        assert.are.equal("/proc/self", asked)
        assert.are.same({ "/proc/self/none/phase1: 0.98 GiB free, but this run will need 0.98 GiB at a time, for 4 "
            .. "checkpoints of 0.24 GiB: make room, or it ends when the disk is full" }, check(4 * EACH - 1))
        assert.are.same({ "/proc/self/none/phase1: 0.24 GiB free, but this run will need 0.98 GiB at a time, for 4 "
            .. "checkpoints of 0.24 GiB and its model: make room, or it ends when the disk is full" },
            check(EACH, { exports = true }))
        local ok, problem = pcall(check, EACH - 200)
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.are.equal("/proc/self/none/phase1: 50.0 MiB free, but a checkpoint takes 0.24 GiB: make room, or name "
            .. "another --output-dir", fault.message(problem))
        assert.are.same({}, check(1, { benchmark = true }))
        -- Not known.
        assert.are.same({}, check(nil))
        assert.are.same({}, check(0))
    end)

    it("knows the sizes of what a run writes", function()
        local job = classify.new()
        finally(function() job:close() end)
        local recipe = job.dir .. "/small_disk.lua"
        assert(fs.write(recipe, [[
            local storage, recipe = require "bertlua.storage", require "bertlua.recipe"
            storage.free_bytes = function() return tonumber(os.getenv "FREE") end
            recipe.run("classify", {}, "A small disk.")]]))
        local command = job:command({ freeze = "embeddings.word_embeddings", ["num-steps-per-checkpoint"] = 4 })
            :gsub("recipes/finetune_classify%.lua", (recipe:gsub("%%", "%%%%")))
        local code, output = job.shell("FREE=20480 " .. command)
        assert.are.equal(1, code, output)
        local said = output:gsub("\n%s+", " "):match("bertlua: [^\n]*/out/checkpoints: 20%.0 KiB free, but a "
            .. "checkpoint takes ([%d.]+) KiB: make room, or name another %-%-output%-dir")
        assert.is_truthy(said, output)
        assert.is_false(fs.exists(job.out))
        code, output = job.shell("FREE=102400 " .. command)
        assert.are.equal(0, code, output)
        assert.matches(("warning: [^\n]*/out/checkpoints: 100%%.0 KiB free, but this run will need %%d+%%.%%d KiB "
            .. "at a time, for 4 checkpoints of %s KiB and its model: make room"):format(said:gsub("%.", "%%.")),
            output:gsub("\n%s+", " "))
        local bytes = 0
        for _, name in ipairs { "model", "optimizer" } do
            local file = assert(storage.open(("%s/checkpoints/24/%s.safetensors"):format(job.out, name)))
            for _, tensor in ipairs(file:names()) do
                local count = tensor == "scalars" and 0 or 4
                for _, dim in ipairs(file:info(tensor).dims) do count = count * dim end
                bytes = bytes + count
            end
            file:close()
        end
        assert.are.equal(said, ("%.1f"):format(bytes / 1024))
    end)
end)
