--- A script for bertlua: what is lost when a call fails, or the process dies there, for every call that changes files?
--
--     make faults                                   everything
--     bertlua spec/faults/run.lua LIBRARY [--scenario NAME] [--kinds kill,half,ENOSPC,EIO] [--every N] [--from N]
--
-- LIBRARY is spec/faults/inject.c, built; scenarios.lua has the scenarios; --scenario corpus takes all whose names
-- begin so. One is run once undisturbed, for reference and to count its calls; then for each call N (with --every, each
-- Nth; with --from, from there on) from the same start with the fault at N, and once more without one. Lost is what
-- differs from the reference after that. The last line is JSON: a record for each scenario and kind.
--
-- Kinds: kill (SIGKILL before the call), half (half of a write arrives, then SIGKILL), ENOSPC, EIO (the call fails).

-- The specs' own modules, from the root of the sources.
package.path = package.path .. ";./?.lua"

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local scenarios = require "spec.faults.scenarios"

local KINDS = { "kill", "half", "ENOSPC", "EIO" }

local library = table.remove(arg, 1)
local options = { every = 1, from = 1, scenario = "", kinds = table.concat(KINDS, ",") }
for i = 1, #arg, 2 do options[arg[i]:match "^%-%-(.*)$"] = arg[i + 1] end

local job, list = scenarios.new()
local quote, sh = process.quote, scenarios.sh

--- Run a scenario with the faults of one kind.
-- @return {scenario, kind, calls, tried, lost, told: failures that a line or a signal reported, passed: runs that ended
--   well in spite of the fault; problems: list of text}
local function try(scenario, kind, base, work, reference, done, calls)
    local record = { scenario = scenario.name, kind = kind, calls = #calls, tried = 0, lost = 0, told = 0, passed = 0,
        problems = {} }
    for at = options.from, #calls, options.every do
        scenarios.fresh(base, work)
        local output, code = process.run(("export FAULT_AT=%d FAULT_KIND=%s %s; %s"):format(at, kind,
            scenario.faults(work), scenario.command(work, library)))
        local kept, right = scenario.kept(work), code ~= 0 or scenario.done(work) == done
        local again, finished = process.run(scenario.finish(work))
        record.tried = record.tried + 1
        if code == 0 then record.passed = record.passed + 1 else record.told = record.told + 1 end
        local problem = not kept and "what was there before is gone"
            or not right and "it ended well, but its result is another"
            or finished ~= 0 and "the run after it failed: " .. again
            or scenario.result(work) ~= reference and "the result differs"
            -- Not at the beginning of a line where a killed rank left a bar.
            or code ~= 0 and code ~= 137 and not output:find("bertlua: ", 1, true)
                and "it ended without a line: " .. output
        if problem then
            record.lost = record.lost + 1
            record.problems[#record.problems + 1] = ("call %d (%s): %s"):format(at, calls[at], problem)
        end
    end
    return record
end

local records = {}
for _, scenario in ipairs(list) do
    if scenario.name:sub(1, #options.scenario) == options.scenario then
        local base, work = ("%s/%s"):format(job.dir, scenario.name), job.dir .. "/work"
        local log = base .. ".calls"
        assert(fs.mkdirs(base))
        scenario.prepare(base)
        -- Paths are part of nothing that is compared, but the reference is made in the same place anyway.
        scenarios.fresh(base, work)
        sh(("touch %s; export FAULT_LOG=%s %s; %s"):format(quote(log), quote(log), scenario.faults(work),
            scenario.command(work, library)))
        local done = scenario.done(work)
        sh(scenario.finish(work))
        local reference, calls = scenario.result(work), {}
        assert(reference ~= "" and done ~= "", scenario.name .. " gave no result")
        for line in io.lines(log) do calls[#calls + 1] = line end
        for kind in options.kinds:gmatch "[^,]+" do
            local began = clock.monotonic()
            local record = try(scenario, kind, base, work, reference, done, calls)
            records[#records + 1] = record
            print(("%-16s %-6s %4d of %4d calls tried: %d ended by the kill or with a message, %d went on; lost: %d "
                .. "(%.0f s)"):format(scenario.name, kind, record.tried, record.calls, record.told, record.passed,
                record.lost, clock.monotonic() - began))
            io.stdout:flush()
            for _, problem in ipairs(record.problems) do print("    " .. problem) end
        end
        fs.remove(base)
    end
end
job:close()
print(json.encode(records))
