--- The settings of both phases in one table.

local phases = require "bertlua.jobs.pretrain.phases"

describe("settings", function()
    it("of one phase come out of those of two", function()
        local values, sources = phases.spec():parse({ "--phase2-max-steps", "7" },
            phases.flatten { common = { seed = 5 }, phase1 = { max_steps = 3 }, phase2 = { max_steps = 4 } })
        local one = phases.select(values, sources, "phase1")
        local two, two_sources = phases.select(values, sources, "phase2")
        assert.are.same({ 3, 5, true, false }, { one.max_steps, one.seed, one.phase1, one.phase2 })
        assert.are.same({ 7, 5, false, true }, { two.max_steps, two.seed, two.phase1, two.phase2 })
        assert.are.same({ "command line", "recipe" }, { two_sources.max_steps, two_sources.seed })
    end)
end)
