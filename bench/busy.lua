--- How fast training and inference are on a CPU that has other work to do.
--
--     build/bertlua bench/busy.lua [--rounds 3] [--seconds 5] [--policies default,passive,active]
--
-- Each measurement is a process of its own, beside nothing, one or two busy loops, or a second run of the same kind.

local benchmark = require "bertlua.train.benchmark"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local posix_signal = require "posix.signal"
local settings = require "bertlua.settings"
local unistd = require "posix.unistd"
local quote = require("bertlua.util.shell").quote

local spec = settings.define {
    { name = "rounds", type = "integer", min = 1, default = 3, help = "rounds over all measurements" },
    { name = "seconds", type = "number", above = 0, default = 5, help = "that each takes, after its warm-up" },
    { name = "threads", type = "integer", min = 1, help = "of each run; unset: OMP_NUM_THREADS, or all cores" },
    { name = "policies", type = "string", default = "default,passive,active",
        help = "what waiting threads do, in turn: default, passive, active, or a number for GOMP_SPINCOUNT" },
    { name = "work", type = "string", default = "train small,train base,infer small,infer base",
        help = "what is measured" },
    { name = "scenes", type = "string", default = "quiet,1 loop,2 loops,2 runs", help = "what else is running" },
    { name = "pin", type = "boolean", default = true, help = "pin threads in training, as runs do by default" },
}

local DEFINITIONS = [[
per s      median over the rounds: steps of training (small: the demo's model,
           32 sequences of 64 tokens; base: bert-base, 2 of 128), or vectors of one
           text (16 tokens; 128).
of quiet   relative to the fastest policy on the quiet machine.
fair       share of the quiet machine's speed that is the run's by right: C cores are
           divided equally among all threads that want one, so of T threads beside B
           others each gets min(1, C / (T + B)) of a core, against min(1, C / T).
of fair    of quiet / fair.
cores      processor time that the run used, waiting included, per second.
default    what bertlua sets: GOMP_SPINCOUNT, unless the environment has a word on it.
passive, active  OMP_WAIT_POLICY.]]

local SCENES = { quiet = true, ["1 loop"] = true, ["2 loops"] = true, ["2 runs"] = true }
local FREE = "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "

local function split(text)
    local list = {}
    for word in text:gmatch "[^,]+" do list[#list + 1] = word end
    return list
end

--- The words that set a policy, before a command.
local function environment(policy, threads)
    local set = FREE .. ("OMP_NUM_THREADS=%d "):format(threads)
    if policy == "default" then return set end
    if tonumber(policy) then return set .. ("GOMP_SPINCOUNT=%d "):format(tonumber(policy)) end
    if policy ~= "passive" and policy ~= "active" then
        fault.raisef("--policies: got %s, expected default, passive, active or a number", policy)
    end
    return set .. ("OMP_WAIT_POLICY=%s "):format(policy)
end

local function open(arguments, policy, threads)
    return assert(io.popen(("exec %s%s %s %d %s"):format(environment(policy, threads), quote(paths.program()),
        quote(paths.root() .. "/bench/busy_worker.lua"), unistd.getpid(), arguments)))
end

--- The JSON line that a worker prints next.
local function line_of(pipe, arguments)
    local text = pipe:read "*l"
    return text and json.decode(text) or fault.raisef("measuring %s failed", arguments)
end

--- Call fn while workers that go on for ever run.
local function beside(list, policy, threads, fn)
    local pipes, pids = {}, {}
    local good, result = pcall(function()
        for i, arguments in ipairs(list) do
            pipes[i] = open(arguments, policy, threads)
            pids[i] = line_of(pipes[i], arguments).pid
        end
        return fn()
    end)
    for i, pipe in ipairs(pipes) do
        if pids[i] then posix_signal.kill(pids[i], posix_signal.SIGKILL) end
        pipe:close()
    end
    if not good then error(result, 0) end
    return result
end

--- Arguments of a worker.
local function worker(work, seconds, values, folders)
    local kind, model = work:match "^(%S+) (%S+)$"
    if not folders[model] or kind ~= "train" and kind ~= "infer" then
        fault.raisef("--work: got %s, expected train or infer and small or base", work)
    end
    return ("%s %s %g %s"):format(kind, model, seconds,
        kind == "train" and tostring(values.pin) or quote(folders[model]))
end

local function measure(work, scene, policy, values, folders)
    local others = {}
    for i = 1, tonumber(scene:match "^(%d) loop" or 0) do others[i] = "loop" end
    if scene == "2 runs" then others[1] = worker(work, 0, values, folders) end
    return beside(others, policy, values.threads, function()
        local arguments = worker(work, values.seconds, values, folders)
        local pipe = open(arguments, policy, values.threads)
        local result = line_of(pipe, arguments)
        pipe:close()
        return result
    end)
end

--- Share of the quiet machine's speed, as in DEFINITIONS.
local function fair_share(scene, threads, cores)
    local others = scene == "2 runs" and threads or tonumber(scene:match "^(%d) loop" or 0)
    return math.min(1, cores / (threads + others)) / math.min(1, cores / threads)
end

local function print_table(work, rates, used, policies, values, cores)
    local best = 0
    for _, policy in ipairs(policies) do best = math.max(best, benchmark.median(rates[policy].quiet)) end
    local scenes = split(values.scenes)
    print(("\n%-12s %-10s %9s %9s %6s %9s %6s"):format(work, "", "per s", "of quiet", "fair", "of fair", "cores"))
    for _, scene in ipairs(scenes) do
        for _, policy in ipairs(policies) do
            local rate, fair = benchmark.median(rates[policy][scene]), fair_share(scene, values.threads, cores)
            print(("%-12s %-10s %9.2f %9.2f %6.2f %7.0f %% %6.2f"):format(scene, policy, rate, rate / best, fair,
                100 * rate / best / fair, benchmark.median(used[policy][scene])))
        end
    end
end

local function run(values, folders)
    local list, policies = split(values.work), split(values.policies)
    for model, folder in pairs(folders) do
        assert(open(("export %s %s"):format(model, quote(folder)), "default", values.threads)):close()
    end
    local rates, used = {}, {}
    for round = 1, values.rounds do
        for _, work in ipairs(list) do
            io.stderr:write(("round %d of %d: %s\n"):format(round, values.rounds, work))
            for _, scene in ipairs(split(values.scenes)) do
                for _, policy in ipairs(policies) do
                    local result = measure(work, scene, policy, values, folders)
                    for all, value in pairs { [rates] = result.rate, [used] = result.cores } do
                        all[work] = all[work] or {}
                        all[work][policy] = all[work][policy] or {}
                        all[work][policy][scene] = all[work][policy][scene] or {}
                        table.insert(all[work][policy][scene], value)
                    end
                end
            end
        end
    end
    local cores = require("bertlua.process").processors()
    print(("%s; %d threads of %d cores, %d rounds of %g s"):format(context.describe(), values.threads, cores,
        values.rounds, values.seconds))
    for _, work in ipairs(list) do print_table(work, rates[work], used[work], policies, values, cores) end
    print("\n" .. DEFINITIONS)
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/busy.lua",
        description = "Measure training and inference beside other work." })
    if not values then return end
    context.open { device = "cpu" }
    for _, scene in ipairs(split(values.scenes)) do
        if not SCENES[scene] then
            fault.raisef("--scenes: got %s, expected quiet, 1 loop, 2 loops or 2 runs", scene)
        end
    end
    if not (values.scenes .. ","):find("quiet,", 1, true) then
        fault.raise("--scenes: quiet is missing: the others are compared with it")
    end
    values.threads = values.threads or context.threads()
    local folder = fault.check(fs.temporary_folder "busy")
    local good, problem = pcall(run, values, { small = folder .. "/small", base = folder .. "/base" })
    fs.remove(folder)
    if not good then error(problem, 0) end
end

main()
