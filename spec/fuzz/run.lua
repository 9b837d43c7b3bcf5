--- A script for bertlua: runs the harnesses of this folder and prints what came of it as a table.
--
--     make fuzz                      10 minutes in all
--     make fuzz-corpus               what was found before, and two seconds of new inputs each
--     bertlua spec/fuzz/run.lua BUILD SECONDS [NAME ...]
--
-- BUILD holds a program per harness in C, built by make. Each starts from spec/fuzz/corpus/NAME, which it never
-- changes; inputs that reach new code go to BUILD/corpus/NAME, those that fail to BUILD/failed/NAME-*. To keep what a
-- long run has found: BUILD/NAME -merge=1 spec/fuzz/corpus/NAME BUILD/corpus/NAME. The readers in Lua:
-- spec/fuzz/readers.lua.
--
-- A failure, and exit code 1: a crash, a check of the harness that does not hold, a sanitizer's report, a leak, more
-- than 10 seconds or 1 GiB for one input. The one exception are crashes and endless loops within the HDF5 library,
-- which a process of its own is there for (engine/hdf5); they are counted.

-- The specs' own modules, from the root of the sources.
package.path = package.path .. ";./?.lua"

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local quote, sh = process.quote, process.run

local SECONDS_FOR_ONE, MEGABYTES = 10, 1024
-- Longest inputs, where the default (the longest of the corpus, or 4096) is not it; a dictionary; more seeds.
local HARNESSES = {
    { name = "documents", flags = "-max_len=2000" },
    { name = "dump", flags = "-max_len=20000 -dict=spec/fuzz/wiki.dict" },
    { name = "folder", flags = "-max_len=2000 -dict=spec/fuzz/json.dict" },
    { name = "hdf5", seeds = "spec/fixtures/hdf5", forgives = true },
    { name = "passage", flags = "-max_len=300" },
    { name = "region", flags = "-max_len=300" },
    { name = "safetensors", flags = "-max_len=4000 -dict=spec/fuzz/json.dict" },
    { name = "shard", flags = "-max_len=2000" },
    { name = "stream", flags = "-max_len=2000" },
    { name = "text", flags = "-max_len=2000" },
    { name = "vocabulary", flags = "-max_len=2000" },
    { name = "wikitext", flags = "-max_len=4000 -dict=spec/fuzz/wiki.dict" },
    { name = "weights", lua = true },
    { name = "settings", lua = true },
    { name = "tables", lua = true },
}

local build, seconds = table.remove(arg, 1), tonumber(table.remove(arg, 1))
assert(build and seconds, "usage: bertlua spec/fuzz/run.lua BUILD SECONDS [NAME ...]")
local chosen = {}
for _, name in ipairs(arg) do chosen[name] = true end

local failed = build .. "/failed"
local folder = sh "mktemp -d":match "[^\n]+"
sh(("rm -rf %s; mkdir -p %s"):format(quote(failed), quote(failed)))

local function environment(harness)
    return ("TMPDIR=%s ASAN_OPTIONS=detect_leaks=%d:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1")
        :format(quote(folder), harness.forgives and 0 or 1)
end

--- Whether the topmost function of a report that is anybody's is one of HDF5's.
local function is_librarys(report)
    for name, place in report:gmatch "\n%s*#%d+ 0x%x+ in (%S+) (%S*)" do
        if name:find "^H5" then return true end
        if place:find "engine/" or place:find "spec/fuzz/" then return false end
    end
    return false
end

--- The part of a report that says what is wrong and where.
local function excerpt(report)
    for _, mark in ipairs { "[^\n]*: not so: ", "[^\n]*runtime error: ", "==%d+==ERROR: ", "==%d+== ERROR: " } do
        local at = report:find(mark)
        if at then return report:sub(at, at + 1200) end
    end
    return report:sub(-1200)
end

--- What failed, sorted by whose fault it is: paths of ours, number of the library's.
local function sort_failures(harness)
    local ours, librarys = {}, 0
    for _, file in ipairs(fs.list(failed)) do
        if file:sub(1, #harness.name + 1) == harness.name .. "-" then
            local path = failed .. "/" .. file
            -- One that is only slow under this load passes when it is run again.
            local report, code = sh(("%s timeout %d %s %s"):format(environment(harness), 3 * SECONDS_FOR_ONE,
                quote(build .. "/" .. harness.name), quote(path)))
            if harness.forgives and (code == 0 or is_librarys(report)) then
                librarys = librarys + (code == 0 and 0 or 1)
                os.remove(path)
            else
                ours[#ours + 1] = path .. "\n" .. (excerpt(report))
            end
        end
    end
    return ours, librarys
end

local function run(harness)
    local found = build .. "/corpus/" .. harness.name
    sh("mkdir -p " .. quote(found))
    local flags = harness.flags or ""
    if harness.forgives then
        flags = flags .. " -fork=1 -ignore_crashes=1 -ignore_timeouts=1 -ignore_ooms=1"
    end
    local output, code = sh(("%s timeout %d %s -max_total_time=%d -timeout=%d -rss_limit_mb=%d -print_final_stats=1 "
        .. "-seed=7 -artifact_prefix=%s %s %s spec/fuzz/corpus/%s %s"):format(environment(harness), seconds + 120,
        quote(build .. "/" .. harness.name), seconds, SECONDS_FOR_ONE, MEGABYTES,
        quote(failed .. "/" .. harness.name .. "-"), flags, quote(found), harness.name,
        harness.seeds or ""))
    local ours, librarys = sort_failures(harness)
    if code ~= 0 and #ours == 0 and not harness.forgives then ours[1] = excerpt(output) end
    local executions = output:match "stat::number_of_executed_units:%s*(%d+)"
    if harness.forgives then
        -- Workers report in turn: "#1234: cov: ...".
        for n in output:gmatch "\n#(%d+): cov" do executions = n end
    end
    local covered
    for n in output:gmatch "cov: (%d+)" do covered = n end
    return { executions = tonumber(executions), covered = covered, ours = ours, librarys = librarys,
        memory = output:match "stat::peak_rss_mb:%s*(%d+)" }
end

local function run_lua(harness)
    local output, code = sh(("timeout %d %s spec/fuzz/readers.lua %s %d %s"):format(seconds + 120,
        quote(process.bertlua), harness.name, seconds, quote(failed)))
    output = ("\n" .. output):gsub("\nbertlua: warning: [^\n]*", "")
    local read = tonumber(output:match "(%d+) files read")
    return { executions = read, ours = code == 0 and {} or { output }, librarys = 0 }
end

print(("%-12s %11s %8s %9s %9s  %s"):format("harness", "executions", "edges", "MB", "failures", ""))
local total, failures = 0, {}
for _, harness in ipairs(HARNESSES) do
    if not next(chosen) or chosen[harness.name] then
        local result = (harness.lua and run_lua or run)(harness)
        total = total + (result.executions or 0)
        for _, text in ipairs(result.ours) do failures[#failures + 1] = harness.name .. ": " .. text end
        print(("%-12s %11s %8s %9s %9d  %s"):format(harness.name, result.executions or "?", result.covered or "",
            result.memory or "", #result.ours, result.librarys > 0
            and ("%d crashes within the HDF5 library, which cost its process only"):format(result.librarys) or ""))
        io.stdout:flush()
    end
end
sh("rm -rf " .. quote(folder))
print(("%d executions, %d failures"):format(total, #failures))
for _, text in ipairs(failures) do print("\n" .. text) end
os.exit(#failures == 0 and 0 or 1)
