--- What a run began with, and what a run that resumes says about differences: for every setting of every task.

local began = require "bertlua.jobs.common.began"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local progress_file = require "bertlua.train.progress_file"

local TASKS = { "pretrain", "squad", "classify", "tokens", "embeddings", "mlm" }

-- Settings that change nothing of what a run learns: each was thought about. A new one is recorded unless it says why
-- not; whoever says so adds it here.
local PASSING = {}
for name in ([[amp amp_dtype use_pure_fp16 fuse_mha activation_checkpointing cuda_graph
    output_dir bert_model config_file vocab_file from_pretrained_params from_phase1_final_params input_dir train_file
    dev_file test_file predict_file from_checkpoint last_step_of_checkpoint steps_this_run phase1 phase2
    log_freq num_steps_per_checkpoint on_step on_checkpoint on_evaluate report_file tensorboard_dir trace_file
    model_prefix show_config enable_cpu_affinity num_workers comm_timeout activation_memory
    benchmark benchmark_steps benchmark_warmup_steps predict_batch_size
    test_file pseudo_perplexity seeds folds sweep sweep_processes
    mode do_train do_predict do_eval squad_url eval_script cache_dir verbose_logging]]):gmatch "%S+" do
    PASSING[name] = true
end

local function task_of(name)
    return require("bertlua.jobs." .. name .. ".task")
end

--- A value that a setting may have, other than its default.
local function other(setting)
    local kind = setting.type
    if kind == "boolean" then return not setting.default end
    if kind == "choice" then return setting.choices[setting.choices[1] == setting.default and 2 or 1] end
    if kind == "lua" then
        return setting.accepts["function"] and function() end or { every = 2 }
    end
    if kind ~= "integer" and kind ~= "number" then return "other" end
    local value = setting.default or setting.min or setting.above or 0
    if setting.max and value >= setting.max then return value / 2 end
    return kind == "integer" and value + 1 or value + 0.125
end

describe("what a run began with", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "began_spec") end)
    after_each(function() assert(fs.remove(folder)) end)

    --- A job of a task that resumes from the folder.
    local function job_of(task, changes)
        local values = {}
        for _, setting in ipairs(task.settings.list) do values[setting.name] = setting.default end
        for name, value in pairs(changes or {}) do values[name] = value end
        return { task = task, values = values, run = { work = { train = true }, effective = {}, warnings = {},
            notes = {}, evaluate = {}, phase = "phase1", start = { kind = "resume", path = folder, step = 3 } } }
    end

    --- Record what a job has, as a checkpoint does.
    local function record(task, values, more)
        local settings = {}
        for _, setting in ipairs(task.settings.list) do
            if not setting.passing then settings[setting.name] = values[setting.name] end
        end
        local record_of = { settings = settings, phase = "phase1" }
        for name, value in pairs(more or {}) do record_of[name] = value end
        progress_file.write(folder, { step = 3, began = record_of })
    end

    local function told(job)
        began.compare_settings(job)
        return job.run.warnings
    end

    for _, name in ipairs(TASKS) do
        it("holds every setting of " .. name .. " that changes the result, and tells or refuses another", function()
            local task = task_of(name)
            record(task, job_of(task).values)
            assert.are.same({}, told(job_of(task)))
            for _, setting in ipairs(task.settings.list) do
                local job = job_of(task, { [setting.name] = other(setting) })
                local good, result = pcall(told, job)
                if setting.passing then
                    assert.is_true(PASSING[setting.name], setting.name .. " is passing: is it?")
                    assert.is_true(type(setting.passing) == "string" and #setting.passing >= 7, setting.name)
                    assert.are.same({}, result, setting.name)
                elseif setting.fixed then
                    assert.is_false(good, setting.name)
                    assert.matches("^" .. setting.name .. " was .- in .- and is .- now: set it as it was",
                        fault.message(result))
                elseif setting.rounding then
                    assert.are.same({}, result, setting.name)
                    assert.matches("^" .. setting.name .. " was .- in .- and is .- now: sums are added in another "
                        .. "order", job.run.notes[1])
                elseif setting.name ~= "model" then
                    assert.are.equal(1, #result, setting.name)
                    assert.matches("^" .. setting.name .. " was .- in .- and is .- now: nothing is trained with it",
                        result[1])
                end
                if not setting.passing then assert.is_nil(PASSING[setting.name], setting.name) end
            end
        end)
    end

    it("takes a setting that did not exist yet for what its default does", function()
        local task = task_of "pretrain"
        record(task, { seed = 42 })
        assert.are.same({}, told(job_of(task)))
        assert.are.same({ "beta2 was 0.999 in " .. folder .. " and is 0.5 now: nothing is trained with it, as all "
            .. "steps are done" }, told(job_of(task, { beta2 = 0.5 })))
    end)

    it("is less in a checkpoint of an older version, of which only that is compared", function()
        local task = task_of "pretrain"
        progress_file.write(folder, { step = 3, seed = 1, loss_function = "function 01234567" })
        assert(fs.write(folder .. "/settings.json", json.encode { beta1 = 0.8 }))
        local lines = told(job_of(task, { warmup_proportion = 0.5, decay_proportion = 0.2 }))
        table.sort(lines)
        for i, text in ipairs { "beta1 was 0.8", "decay_proportion was not set", "loss was function 01234567",
            "seed was 1" } do
            assert.are.equal(1, (lines[i]:find(text .. " in ", 1, true)), lines[i])
        end
        assert.are.equal(4, #lines)
    end)

    it("holds the configuration: dropout may change and is told, any other field is refused", function()
        local task = task_of "pretrain"
        local job = job_of(task)
        local config = { hidden_size = 8, num_attention_heads = 2, hidden_dropout_prob = 0.1 }
        record(task, job.values, { config = config, dropout_bits = 16 })
        local function compare(changes)
            local now = { settings = {}, data = {}, config = {}, phase = "phase1", dropout_bits = 16 }
            for key, value in pairs(config) do now.config[key] = value end
            for key, value in pairs(changes) do now.config[key] = value end
            job.run.warnings = {}
            began.compare(job, now, false)
            return job.run.warnings
        end
        assert.are.same({}, compare {})
        assert.are.same({ "hidden_dropout_prob was 0.1 in " .. folder .. " and is 0 now: the run will differ from one "
            .. "that never stopped" }, compare { hidden_dropout_prob = 0 })
        local ok, problem = pcall(compare, { num_attention_heads = 4 })
        assert.is_false(ok)
        assert.matches("^num_attention_heads was 2 in .- and is 4 now: use the configuration that it began with",
            fault.message(problem))
    end)

    it("holds the random bits of dropout: older checkpoints, which do not say, took 32", function()
        local task = task_of "pretrain"
        local job = job_of(task)
        for _, case in ipairs { { 0.1, nil, true }, { 0.1, 16, false }, { 0, nil, false } } do
            local config = { hidden_dropout_prob = case[1], attention_probs_dropout_prob = 0 }
            record(task, job.values, { config = config, dropout_bits = case[2] })
            job.run.warnings = {}
            local now = { settings = {}, data = {}, config = config, phase = "phase1", dropout_bits = 16 }
            began.compare(job, now, false)
            assert.are.same(case[3] and { "dropout took 32 random bits an element in " .. folder
                .. " and takes 16 now: the run will differ from one that never stopped" } or {}, job.run.warnings)
        end
    end)

    it("is compared with what a real run resumes with, and once", function()
        local job = pretraining.new()
        local function run(steps, changes)
            local options = { ["max-steps"] = 6, ["steps-this-run"] = steps, ["last-step-of-checkpoint"] = "auto" }
            for name, value in pairs(changes or {}) do options[name] = value end
            local code, output = job:run("pretrain_phase1.lua", options)
            assert.are.equal(0, code, output)
            return output
        end
        run(2)
        assert(os.rename(job.shards .. "/s_training_2.hdf5", job.dir .. "/aside.hdf5"))
        -- An edited copy of the configuration, as one is tempted to make: the tensors are whole.
        local copy = job.out .. "/custom/phase1/2/config.json"
        assert(fs.write(copy, (assert(fs.read(copy)):gsub("BertForPreTraining", "BertForMaskedLM"))))
        local changes = { amp = "true", ["amp-dtype"] = "bf16", ["max-grad-norm"] = 0, ["dynamic-masking"] = "true",
            ["config-file"] = job:write_config({ hidden_dropout_prob = 0 }, "other.json") }
        local output = run(1, changes)
        for _, text in ipairs { "dynamic_masking was false in .-/2 and is true now: the run will differ",
            "max_grad_norm was 1 in .-/2 and is 0 now: the run will differ",
            "precision was fp32 in .-/2 and is bf16 now: the run will differ",
            "hidden_dropout_prob was 0.1 in .-/2 and is 0 now: the run will differ",
            "input_dir was .- %(2 files, CRC32C %x+%) in .-/2 and is .- %(1 file, CRC32C %x+%) now "
                .. "%(removed s_training_2.hdf5%): the run will differ" } do
            assert.matches("warning: " .. text, output)
        end
        assert.matches("2: config.json has %d+ bytes, expected %d+; the tensors are whole, so it is used", output)
        assert.is_nil(run(1, changes):find("was .- now"))
        -- All steps done: told too, and where other data are named.
        run(2, changes)
        assert(fs.mkdirs(job.dir .. "/elsewhere"))
        changes.seed, changes["input-dir"], changes["steps-this-run"] = 7, job.dir .. "/elsewhere", false
        output = run(1, changes)
        assert.matches("warning: seed was 42 in .-/6 and is 7 now: nothing is trained with it, as all", output)
        assert.matches("warning: input_dir was .- in .-/6 and is .-/elsewhere now: nothing is trained", output)
        assert.matches("/6: all 6 steps are done", output)
        job:close()
    end)
end)
