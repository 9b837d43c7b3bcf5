--- Processes of runs: several at once, how each ended, signals.

local fs = require "bertlua.util.fs"
local processes = require "bertlua.jobs.repeats.processes"

describe("processes", function()
    local dir
    before_each(function() dir = assert(fs.temporary_folder "processes_spec") end)
    after_each(function() assert(fs.remove(dir)) end)

    local function shell(name, code)
        return { name = name, command = { "sh", "-c", code }, log = dir .. "/" .. name }
    end

    it("each have their output and end, whatever the others do", function()
        local jobs = { shell("a", "echo out; echo err >&2"), shell("b", "exit 3"), shell("c", "kill -9 $$"),
            { name = "d", command = { dir .. "/no such program" }, log = dir .. "/d" } }
        local started, ended = {}, {}
        assert.is_nil(processes.run(jobs, {
            started = function(job) started[#started + 1] = job.name end,
            ended = function(job, problem, stopped)
                assert.is_false(stopped)
                ended[job.name] = problem or "well"
            end,
        }))
        assert.are.same({ "a", "b", "c", "d" }, started)
        assert.are.same({ a = "well", b = "exit code 3", c = "ended by signal 9", d = "exit code 127" }, ended)
        assert.are.equal("out\nerr\n", fs.read(dir .. "/a"))
    end)

    it("run at once, each in a place of its own", function()
        -- Each waits, ten seconds at most, for the other.
        local wait = ("for i in $(seq 200); do [ -e %s/%%s ] && exit 0; sleep 0.05; done; exit 1"):format(dir)
        local jobs = { shell("x", ("touch %s/one; "):format(dir) .. wait:format "two"),
            shell("y", ("touch %s/two; echo $PLACE; "):format(dir) .. wait:format "one"), shell("z", "true") }
        local places, problems = {}, {}
        processes.run(jobs, { at_once = 2,
            prepare = function(job, slot)
                places[#places + 1], job.environment = slot, { PLACE = tostring(slot) }
            end,
            ended = function(_, problem) problems[#problems + 1] = problem end,
        })
        assert.are.same({}, problems)
        assert.are.same({ 1, 2 }, { places[1], places[2] })
        assert.is_true(places[3] == 1 or places[3] == 2)
        assert.are.equal("2\n", fs.read(dir .. "/y"))
    end)

    it("append to their logs, so that an interrupted run keeps what it said", function()
        processes.run({ shell("a", "echo 1") }, {})
        processes.run({ shell("a", "echo 2") }, {})
        assert.are.equal("1\n2\n", fs.read(dir .. "/a"))
    end)
end)
