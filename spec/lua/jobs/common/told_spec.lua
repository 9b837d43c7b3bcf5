--- Settings that a checkpoint holds in settings.json: which, and what a run that resumes with others says.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local told = require "bertlua.jobs.common.told"

describe("settings that are told", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "told_spec") end)
    after_each(function() assert(fs.remove(folder)) end)

    it("are those that change what a run computes", function()
        local spec = require("bertlua.jobs.pretrain.task").settings
        local values = spec:parse({ "--weight-decay", "0.1", "--schedule-power", "2", "--threads", "3" }, {})
        local list = told.of({ settings = spec }, { effective = { precision = "bf16" } }, values)
        assert.are.same({ 0.1, 2, "bf16", false, true }, { list.weight_decay, list.schedule_power, list.precision,
            list.dynamic_masking, list.pack_sequences })
        assert.is_nil(list.threads)
        -- Those are in progress.json.
        assert.is_nil(list.learning_rate)
    end)

    it("are compared with those of a checkpoint that has them", function()
        assert.are.same({}, told.changes(folder, { beta1 = 0.9 }))
        assert(fs.write(folder .. "/settings.json", json.encode { beta1 = 0.9, beta2 = 0.999, schedule_power = 2 }))
        assert.are.same({}, told.changes(folder, { beta1 = 0.9, beta2 = 0.999, schedule_power = 2 }))
        assert.are.same({ "beta1 was 0.9 in " .. folder .. " and is 0.8 now",
            "decay_proportion was not set in " .. folder .. " and is 0.1 now",
            "schedule_power was 2 in " .. folder .. " and is not set now" },
            told.changes(folder, { beta1 = 0.8, beta2 = 0.999, decay_proportion = 0.1 }))
        assert(fs.write(folder .. "/settings.json", "damaged"))
        assert.are.same({}, told.changes(folder, { beta1 = 0.8 }))
    end)

    it("are told where a run resumes with others, and not where it resumes as it was", function()
        local job = pretraining.new()
        local function run(steps, changes)
            local options = { ["max-steps"] = 6, ["steps-this-run"] = steps, ["last-step-of-checkpoint"] = "auto" }
            for name, value in pairs(changes or {}) do options[name] = value end
            local code, output = job:run("pretrain_phase1.lua", options)
            assert.are.equal(0, code, output)
            return output
        end
        run(2)
        assert.is_nil(run(1):find("was .- now"))
        local output = run(1, { amp = "true", ["max-grad-norm"] = 0, ["dynamic-masking"] = "true" })
        for _, text in ipairs { "dynamic_masking was false in .-/3 and is true now: the run will differ",
            "max_grad_norm was 1 in .-/3 and is 0 now: the run will differ",
            "precision was fp32 in .-/3 and is bf16 now: the run will differ" } do
            assert.matches("warning: " .. text, output)
        end
        job:close()
    end)
end)
