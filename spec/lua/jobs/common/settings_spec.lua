--- A task's settings, made from its own and those of every job: order, replacement, what lasts.

local settings = require "bertlua.jobs.common.settings"

local function names_of(spec, group)
    local list = {}
    for _, setting in ipairs(spec.list) do
        if setting.group == group then list[#list + 1] = setting.name end
    end
    return list
end

local function groups_of(spec)
    local list = {}
    for _, setting in ipairs(spec.list) do
        if list[#list] ~= setting.group then list[#list + 1] = setting.group end
    end
    return list
end

describe("settings of a task", function()
    it("are its own, then those of every job, each group in one piece", function()
        local spec = settings.task {
            { "Data", { { name = "input_dir", type = "path", help = "shards" } } },
            { "Training", { { name = "batch_size", type = "integer", default = 8, help = "size" } } },
        }
        assert.are.same({ "Data", "Training", "Job", "Advanced", "Machine and logs" }, groups_of(spec))
        local training = names_of(spec, "Training")
        assert.are.equal("batch_size", training[1])
        assert.are.equal("optimizer", training[2])
        assert.are.equal(#settings.task({}).list + 2, #spec.list)
    end)

    it("replace only the given fields of a shared setting", function()
        local shared = settings.task({}).by_name
        local spec = settings.task { { "Training", {
            { name = "learning_rate", default = 2e-5 }, { name = "seed", passing = "none", help = "other" } } } }
        local rate, seed = spec.by_name.learning_rate, spec.by_name.seed
        assert.are.same({ 2e-5, "number", 0, shared.learning_rate.help },
            { rate.default, rate.type, rate.above, rate.help })
        assert.are.same({ 42, "integer", "none", "other", "Training" },
            { seed.default, seed.type, seed.passing, seed.help, seed.group })
        assert.are.equal(#settings.task({}).list, #spec.list)
        -- Another task still has the shared ones unchanged.
        assert.are.equal(1e-4, settings.task({}).by_name.learning_rate.default)
        assert.is_nil(settings.task({}).by_name.seed.passing)
        assert.are.equal("Job", settings.task({}).by_name.seed.group)
    end)

    it("of fine-tuning count epochs and state the casing; others do not", function()
        local spec = settings.finetuning {}
        for _, name in ipairs { "epochs", "max_steps", "train_batch_size", "predict_batch_size", "do_lower_case" } do
            assert.is_table(spec.by_name[name], name)
            assert.is_nil(settings.task({}).by_name[name], name)
        end
        local values = spec:parse({ "--epochs", "2" }, { max_steps = 9 })
        assert.are.same({ 2, 9, 32 }, { values.epochs, values.max_steps, values.train_batch_size })
    end)

    it("can be borrowed one by one, without their group", function()
        local threads = settings.shared("threads", { default = 3 })
        assert.are.same({ "threads", 3, 0 }, { threads.name, threads.default, threads.min })
        assert.is_nil(threads.group)
        assert.are.equal(0, settings.shared("threads").default)
        assert.are.equal("Machine and logs", settings.task({}).by_name.threads.group)
    end)
end)
