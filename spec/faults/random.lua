--- A script for bertlua: SIGKILL at random times, and what is lost.
--
--     make faults
--     bertlua spec/faults/random.lua LIBRARY [--only NAME] [--times N] [--seed N]
--
-- LIBRARY is spec/faults/inject.c, built. A run of scenarios.lua is killed after a time drawn from the seed, which is
-- shorter than the undisturbed run takes; then it runs once more, and its result is compared byte for byte with that
-- of the undisturbed one. Killed are all its processes at once, the first, a worker, or one of two ranks of MPI. A run
-- that was faster than its kill does not count. Exits with 1 if anything is lost.

package.path = package.path .. ";./?.lua"

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local scenarios = require "spec.faults.scenarios"

local library = table.remove(arg, 1)
local options = { only = "", seed = 1 }
for i = 1, #arg, 2 do options[arg[i]:match "^%-%-(.*)$"] = arg[i + 1] end

--- Name, scenario, kills, and the variables that choose whom the injector kills; none: all processes at once. `share`
-- of the run's time in which the kill falls, as workers live shortly.
local KILLED = {
    { "training", "save", 60 },
    { "corpus, 1 process", "corpus", 40 },
    { "corpus, all of 3 processes", "corpus-process-0", 20 },
    { "corpus, the first of 3", "corpus-process-0", 20, function() return "FAULT_PROCESS=0" end },
    { "corpus, a worker", "corpus-process-0", 40, function() return "FAULT_PROCESS=" .. math.random(1, 4) end,
        share = 0.08 },
    { "ranks, Lamb, rank 0", "lamb-rank-0", 15, function() return "FAULT_RANK=0" end },
    { "ranks, Lamb, rank 1", "lamb-rank-0", 15, function() return "FAULT_RANK=1" end },
    { "ranks, divided, rank 0", "divided-rank-0", 15, function() return "FAULT_RANK=0" end },
    { "ranks, divided, rank 1", "divided-rank-0", 15, function() return "FAULT_RANK=1" end },
    { "ranks, both", "lamb-rank-0", 15, function() return "" end },
    { "ranks, mpirun", "lamb-rank-0", 15 },
}

local job, list = scenarios.new()
local by_name, lost = {}, 0
for _, scenario in ipairs(list) do by_name[scenario.name] = scenario end
local quote = process.quote

--- Wait until no process has a folder on its command line: ranks notice that mpirun is gone, and end.
local function wait_for(folder)
    local pattern = quote("[-]-output-dir." .. folder)
    local left = process.run(("for i in $(seq 300); do pgrep -f %s >/dev/null || break; sleep 0.1; done; pgrep -f %s")
        :format(pattern, pattern))
    return left == ""
end

local function try(name, scenario, times, whom, share)
    local base, work, log = job.dir .. "/base", job.dir .. "/work", job.dir .. "/log"
    fs.remove(base)
    assert(fs.mkdirs(base))
    scenario.prepare(base)
    scenarios.fresh(base, work)
    local began = clock.monotonic()
    scenarios.sh(scenario.finish(work))
    local seconds = clock.monotonic() - began
    local reference = scenario.result(work)
    assert(reference ~= "", name .. " gave no result")
    local killed, tried, problems = 0, 0, {}
    while killed < times and tried < 20 * times do
        scenarios.fresh(base, work)
        local command, after = scenario.finish(work), ("%.4f"):format(math.random() * seconds * (share or 1))
        -- mpirun is not to be killed by the injector, but what it starts.
        local is_mpi = command:find("mpirun ", 1, true)
        if whom then
            command = ("export FAULT_AFTER=%s %s; %s"):format(after, whom(), is_mpi
                and command:gsub("mpirun ", "mpirun -x LD_PRELOAD=" .. library .. " ", 1)
                or "LD_PRELOAD=" .. quote(library) .. " " .. command)
        else
            -- The whole group; of several ranks, which have groups of their own, mpirun.
            command = ("timeout -s KILL %s %s"):format(after, (command:gsub("^timeout %-k 5 60 ", "")))
        end
        local output, code = process.run(("sh -c %s > %s 2>&1 </dev/null"):format(quote(command), quote(log)))
        output = output .. assert(fs.read(log))
        tried = tried + 1
        if code ~= 0 then killed = killed + 1 end
        local gone, kept = not is_mpi or wait_for(work), scenario.kept(work)
        local again, finished = process.run("timeout -s KILL 120 " .. scenario.finish(work))
        local problem = not gone and "its processes did not end"
            or not kept and "what was there before is gone"
            or finished ~= 0 and "the run after it failed: " .. again
            or scenario.result(work) ~= reference and "the result differs"
            or code ~= 0 and code ~= 137 and not output:find("bertlua: ", 1, true)
                and "it ended without a line: " .. output
        if problem then problems[#problems + 1] = ("after %s s: %s"):format(after, problem) end
    end
    print(("%-26s %3d kills within %.2f s, %2d runs were faster; lost: %d"):format(name, killed,
        seconds * (share or 1), tried - killed, #problems))
    for _, problem in ipairs(problems) do print("    " .. problem) end
    io.stdout:flush()
    lost = lost + #problems
end

print("seed " .. options.seed)
for i, entry in ipairs(KILLED) do
    local name, scenario = entry[1], by_name[entry[2]]
    -- Not there without MPI. Each has a seed of its own, so that one can be repeated alone.
    math.randomseed(tonumber(options.seed) * 100 + i)
    if scenario and name:sub(1, #options.only) == options.only then
        try(name, scenario, tonumber(options.times or entry[3]), entry[4], entry.share)
    end
end
job:close()
os.exit(lost > 0 and 1 or 0)
