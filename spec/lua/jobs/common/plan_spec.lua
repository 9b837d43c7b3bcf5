--- The rules between the settings that every job has.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plan = require "bertlua.jobs.common.plan"
local progress_file = require "bertlua.train.progress_file"

local function refused(pattern, fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    assert.matches(pattern, tostring(problem))
end

describe("attention", function()
    it("is one kernel on the CPU", function()
        assert.are.equal("auto", plan.attention { device = "cpu", fuse_mha = true })
        assert.are.equal("native", plan.attention { device = "cpu", attention = "native" })
        refused("^%-%-attention cudnn: attention is always", plan.attention, { device = "cpu", attention = "cudnn" })
        refused("^%-%-no%-fuse%-mha: attention is always", plan.attention, { device = "cpu", fuse_mha = false })
        refused("contradict each other", plan.attention, { device = "cpu", fuse_mha = false, attention = "native" })
    end)
end)

describe("micro-steps", function()
    local function accumulation(merge, world, size)
        local warnings = {}
        return plan.accumulation({ gradient_merge_steps = merge, world_size = world, train_batch_size = 4 },
            "train_batch_size", warnings, size), warnings
    end

    it("of an update are counted over all processes", function()
        assert.are.same({ 3, {} }, { accumulation(3, nil, 1) })
        assert.are.same({ 6, {} }, { accumulation(3, nil, 2) })
        assert.are.same({ 6, {} }, { accumulation(3, 2, 2) })
    end)

    it("keep the global batch the settings were made for, and say so", function()
        local count, warnings = accumulation(2, 8, 4)
        assert.are.equal(16, count)
        assert.are.same({ "these settings are for 8 processes and this run has 4: gradient_merge_steps is 4 instead of "
            .. "2, so that an update still sees 64 sequences" }, warnings)
    end)

    it("that cannot be divided are refused with what keeps the update", function()
        refused("^%-%-world%-size 3 with %-%-gradient%-merge%-steps 1 makes 3 micro%-steps per update, which cannot be "
            .. "divided evenly among 2 processes: %-%-train%-batch%-size 2 with %-%-gradient%-merge%-steps 2 keeps an "
            .. "update of 12 sequences; without %-%-world%-size it has 8$", accumulation, 1, 3, 2)
        assert.are.equal(6, (plan.accumulation({ gradient_merge_steps = 2, world_size = 3, train_batch_size = 2 },
            "train_batch_size", {}, 2)))
        -- 6 micro-steps for 4 processes: a half of each batch will do.
        refused("%-%-train%-batch%-size 2 with %-%-gradient%-merge%-steps 4 keeps an update of 24 ", accumulation,
            2, 3, 4)
        refused("among 3 processes: start a number of processes that divides 2, for an update of 8 ", accumulation,
            2, 1, 3)
        refused("makes 1 micro%-step per update, .* among 3 processes: start one process, for an update of 4 "
            .. "sequences; without %-%-world%-size it has 12$", accumulation, 1, 1, 3)
    end)
end)

describe("rules", function()
    it("name options as they are typed", function()
        assert.are.equal("--num-steps-per-checkpoint", plan.option "num_steps_per_checkpoint")
        refused("^%-%-output%-dir is not set: say where$", plan.need, {}, "output_dir", "say where")
        refused("^%-%-a%-b and %-%-c are both set: one$", plan.exclude, { a_b = 1, c = 2 }, "a_b", "c", "one")
        plan.need({ a = false }, "a", "")
        plan.exclude({ a = 1 }, "a", "b", "")
    end)

    it("put a phase below folder and model, whatever slashes the folder ends in", function()
        for _, folder in ipairs { "out", "out/", "out//" } do
            assert.are.equal("out/custom/phase1", plan.checkpoint_dir({ output_dir = folder, bert_model = "custom" },
                "phase1"))
        end
    end)

    it("find files by the model's name", function()
        local config, vocab = plan.model_files { bert_model = "bert-base-uncased" }
        assert.is_true(fs.is_file(config) and fs.is_file(vocab))
        refused("custom requires %-%-config%-file", plan.model_files, { bert_model = "custom" })
        refused("^%-%-config%-file /no/such: no such file", plan.model_files, { bert_model = "custom",
            config_file = "/no/such" })
    end)
end)

describe("the start of a run", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "plan_spec") end)
    teardown(function() fs.remove(folder) end)

    it("is none where every checkpoint is damaged: auto says which and why", function()
        local damaged = assert(fs.temporary_folder())
        finally(function() fs.remove(damaged) end)
        for _, step in ipairs { "4", "8" } do
            assert(fs.mkdirs(fs.join(damaged, step)))
            assert(fs.write(fs.join(damaged, step, "progress.json"), '{"step": ' .. step .. ', "files": {}}'))
        end
        assert(fs.write(damaged .. "/4/progress.json", '{"step": 4, "format": 7, "files": {}}'))
        assert(fs.remove(damaged .. "/8/progress.json"))
        local function start(wanted)
            plan.starting_point({ last_step_of_checkpoint = wanted }, damaged, {}, {})
        end
        refused("^none of the checkpoints in .* can be used: .*/8 %(progress.json is missing%); .*/4 "
            .. "%(.*progress.json: is of format 7, but this version of bertlua reads up to 2%); put one back from a "
            .. "copy, or choose another %-%-output%-dir to start anew$", start, "auto")
        refused("^%-%-last%-step%-of%-checkpoint 8: .*/8: progress.json is missing; there is no complete checkpoint$",
            start, 8)
        refused("^%-%-last%-step%-of%-checkpoint 5: .* holds no complete checkpoint$", start, 5)
        -- Asked to begin anew beside them, too.
        refused("^none of the checkpoints in .* can be used: .*/4 %(.*/8 %(.*another %-%-output%-dir to start anew$",
            start, "none")
    end)

    it("is a fresh one, with a note where auto finds nothing", function()
        local warnings, notes = {}, {}
        assert.are.same({ kind = "fresh", step = 0 },
            plan.starting_point({ last_step_of_checkpoint = "none" }, folder, warnings, notes))
        assert.are.same({}, warnings)
        assert.are.same({ kind = "fresh", step = 0 },
            plan.starting_point({ last_step_of_checkpoint = "auto" }, folder, warnings, notes))
        assert.are.same({}, warnings)
        assert.are.same({ ("no checkpoint in %s yet: starting from step 1"):format(folder) }, notes)
    end)

    it("is a folder of parameters", function()
        assert(fs.write(folder .. "/model.safetensors", ""))
        local values = { last_step_of_checkpoint = "none", model_prefix = "model" }
        values.from_pretrained_params = folder
        assert.are.same({ kind = "parameters", path = folder, step = 0 },
            plan.starting_point(values, folder .. "/own", {}, {}))
        values.from_pretrained_params = folder .. "/none"
        refused("^%-%-from%-pretrained%-params .*/none: no such folder or file$", plan.starting_point, values,
            folder .. "/own", {})
        assert(fs.mkdirs(folder .. "/runs/first"))
        assert(fs.write(folder .. "/runs/first/model.safetensors", ""))
        values.from_pretrained_params = folder .. "/runs"
        refused("or complete checkpoint; there is one in .*/runs/first$", plan.starting_point, values,
            folder .. "/own", {}, {})
        values.from_pretrained_params = folder .. "/train.csv"
        assert(fs.write(values.from_pretrained_params, "text,label\n"))
        refused("/train%.csv: a text, not a model: expected a folder with ", plan.starting_point, values,
            folder .. "/own", {}, {})
    end)

    it("refuses what is missing or contradictory", function()
        assert(fs.mkdirs(folder .. "/empty"))
        local function start(values)
            values.last_step_of_checkpoint = values.last_step_of_checkpoint or "none"
            return plan.starting_point(values, folder, {}, {})
        end
        refused("^%-%-last%-step%-of%-checkpoint 7: .* holds no complete checkpoint$", start,
            { last_step_of_checkpoint = 7 })
        refused("this folder holds no complete checkpoint: name a STEP", start,
            { from_checkpoint = folder .. "/empty" })
        refused("holds parameters, but no complete checkpoint %(progress%.json is missing%): to start from the "
            .. "parameters alone, give %-%-from%-pretrained%-params$", start,
            { from_checkpoint = folder, model_prefix = "model" })
        refused("^%-%-from%-checkpoint /no/such: no such folder", start, { from_checkpoint = "/no/such" })
        refused("both set: the first restores the whole run", start, { from_pretrained_params = "a",
            from_checkpoint = "b" })
    end)

    it("may be the OUTPUT_DIR of another run, and is never a fresh one where the folder that is named has nothing",
        function()
            local other = assert(fs.temporary_folder "other run")
            finally(function() fs.remove(other) end)
            local step = fs.join(other, "checkpoints", "6")
            assert(fs.mkdirs(step))
            progress_file.write(step, { step = 6 })
            local function start(wanted, from, own)
                own = own or folder
                return plan.resume_point({ last_step_of_checkpoint = wanted, from_checkpoint = from,
                    model_prefix = "model", output_dir = own .. "/" }, own .. "/checkpoints", {}, {})
            end
            for _, from in ipairs { other, other .. "/", other .. "/checkpoints", step } do
                assert.are.same({ from, 6 }, { from, start("auto", from).step })
                assert.are.same({ from, 6 }, { from, start(6, from).step })
            end
            refused("holds steps 6: add %-%-last%-step%-of%-checkpoint auto", start, "none", other)
            assert(fs.mkdirs(other .. "/empty"))
            for _, wanted in ipairs { "auto", "none" } do
                refused("^%-%-from%-checkpoint .*/empty: this folder holds no complete checkpoint: name a STEP "
                    .. "folder, the folder that holds these, or the OUTPUT_DIR of such a run$", start, wanted,
                    other .. "/empty")
            end
            -- That of a run which has not saved one yet.
            local own = other .. "/own"
            assert(fs.mkdirs(own .. "/checkpoints"))
            assert.is_nil(start("auto", own .. "/checkpoints", own))
            assert.is_nil(start("auto", own, own))
        end)

    it("may be phase 1's end, for phase 2 alone", function()
        local make = require("bertlua.jobs.pretrain.task").plan
        local function resolve(changes)
            local run, values = { effective = {} }, { input_dir = folder, output_dir = folder, bert_model = "custom",
                max_steps = 1, objectives = "mlm,nsp" }
            for name, value in pairs(changes) do values[name] = value end
            make(run, values, {})
            return run
        end
        assert.are.same({ setting = "from_phase1_final_params", path = folder .. "/custom/phase1" },
            resolve({ phase2 = true, from_phase1_final_params = "auto" }).parameters)
        refused("from%-phase1%-final%-params is for %-%-phase2", resolve, { phase1 = true,
            from_phase1_final_params = "auto" })
        refused("both name the parameters", resolve, { phase2 = true, from_pretrained_params = "a",
            from_phase1_final_params = "b" })
    end)
end)
