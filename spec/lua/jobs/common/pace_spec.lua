--- How long a run will take: when it is said, and what.

local pace = require "bertlua.jobs.common.pace"

describe("pace", function()
    local time, said
    before_each(function() time, said = 0, {} end)

    local function new(first, last, max)
        return pace.new({ first_step = first, last_step = last, max_steps = max or last },
            function(text) said[#said + 1] = text end, function() return time end)
    end

    --- Steps that take so long, the first one apart.
    local function steps(meter, first, count, seconds, slow_first)
        for step = first, first + count - 1 do meter:step(step, step == first and slow_first or seconds) end
    end

    it("is that of the steps after the first, said once there are ten seconds of them", function()
        local meter = new(1, 20000)
        steps(meter, 1, 7, 1.5, 60)
        assert.are.same({}, said)
        meter:step(8, 1.5)
        assert.are.same({ "this run will take about 8 h 20 min: 20,000 steps at 1.5 s each; --steps-this-run N makes "
            .. "it shorter" }, said)
        steps(meter, 9, 100, 100)
        assert.are.equal(1, #said)
    end)

    it("is not said of runs under an hour", function()
        steps(new(1, 2000), 1, 2000, 1.7, 60)
        assert.are.same({}, said)
        steps(new(1, 5), 1, 5, 0.1, 3600)
        assert.are.same({}, said)
    end)

    it("counts the steps of this run alone", function()
        steps(new(101, 1100, 20000), 101, 2, 14.4, 20)
        assert.are.same({ "this run will take about 4 h: 1,000 steps at 14 s each" }, said)
    end)

    it("takes large units for long times", function()
        steps(new(1, 7038), 1, 2, 1200, 1)
        assert.matches("about 98 days: 7,038 steps at 20 min each", said[1])
        steps(new(1, 2000000), 1, 200, 0.0625, 1)
        assert.matches("about 35 h: 2,000,000 steps at 0.063 s each", said[2])
        steps(new(1, 1), 1, 1, 3600)
        steps(new(1, 2), 1, 2, 7170, 1)
        assert.matches("about 3 h 59 min: 2 steps at 120 min each", said[3])
    end)

    it("of a first step that takes long is that of its micro-steps", function()
        local meter = new(1, 1000)
        for done = 1, 8 do
            time = time + (done == 1 and 30 or 2)
            meter:micro_step(1, done, 256)
            -- The first three do not count; then five take ten seconds.
            assert.are.equal(done == 8 and 1 or 0, #said)
        end
        assert.matches("about 6 days: 1,000 steps at 512 s each", said[1])
        -- Not said twice.
        steps(meter, 1, 10, 600, 600)
        assert.are.equal(1, #said)
    end)

    it("needs more than the micro-steps of a short first step", function()
        local meter = new(1, 1000)
        for done = 1, 8 do
            time = time + 1
            meter:micro_step(1, done, 8)
        end
        for done = 1, 8 do
            time = time + 100
            meter:micro_step(2, done, 8)
        end
        assert.are.same({}, said)
        steps(meter, 1, 2, 12, 8)
        assert.matches("about 3 h 20 min: 1,000 steps at 12 s each", said[1])
    end)
end)
