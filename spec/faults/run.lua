--- A script for bertlua: what is lost when a call fails, or the process dies there, for every call that changes files?
--
--     make faults                                   everything
--     bertlua spec/faults/run.lua LIBRARY [--scenario save|convert|shards] [--kinds kill,half,ENOSPC,EIO]
--         [--every N]
--
-- LIBRARY is spec/faults/inject.c, built. A scenario is run once undisturbed, for reference and to count its calls;
-- then for each call N (with --every, each Nth) from the same start with the fault at N, and once more without one.
-- Lost is what differs from the reference after that. The last line is JSON: a record for each scenario and kind.
--
-- Kinds: kill (SIGKILL before the call), half (half of a write arrives, then SIGKILL), ENOSPC, EIO (the call fails).

-- The specs' own modules, from the root of the sources.
package.path = package.path .. ";./?.lua"

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local storage = require "bertlua.storage"

local KINDS = { "kill", "half", "ENOSPC", "EIO" }

local library = table.remove(arg, 1)
local options = { every = 1, kinds = table.concat(KINDS, ",") }
for i = 1, #arg, 2 do options[arg[i]:match "^%-%-(.*)$"] = arg[i + 1] end

local job = pretraining.new()
job:write_config { num_hidden_layers = 1 }
-- How many steps all runs make together, and how many the disturbed one does.
local STEPS, BEFORE, DISTURBED = 10, 6, 2

local quote = process.quote

local function sh(command)
    local output, code = process.run(command)
    if code ~= 0 then error(command .. "\n" .. output, 0) end
    return output
end

local function train(folder, more)
    local changes = { ["output-dir"] = folder .. "/out", ["report-file"] = folder .. "/report.json",
        ["max-steps"] = STEPS, ["num-steps-per-checkpoint"] = 2, ["last-step-of-checkpoint"] = "auto" }
    for name, value in pairs(more or {}) do changes[name] = value end
    return job:command("pretrain_phase1.lua", changes)
end

--- Checksums of the files of a folder, by name; hidden ones are what a killed process left.
local function contents(folder)
    local text = {}
    for _, name in ipairs(fs.is_directory(folder) and fs.list(folder) or {}) do
        if not name:find "^%." then
            text[#text + 1] = name .. " " .. assert(storage.file_sha256(folder .. "/" .. name)) .. "\n"
        end
    end
    return table.concat(text)
end

local function checkpoint(folder, step)
    return contents(("%s/out/custom/phase1/%d"):format(folder, step))
end

--- prepare(folder) makes what a run starts from; command(folder) is disturbed; finish(folder) -> command after that;
-- result(folder) -> text that must be as in an undisturbed run after that; done(folder) -> the same for the disturbed
-- run alone, if it says that all went well; kept(folder) -> false if what was there before is gone.
local scenarios = {}

-- One more checkpoint, and an old one goes.
scenarios.save = {
    prepare = function(folder) sh(train(folder, { ["steps-this-run"] = BEFORE })) end,
    command = function(folder) return train(folder, { ["steps-this-run"] = DISTURBED }) end,
    finish = function(folder) return train(folder) end,
    result = function(folder) return checkpoint(folder, STEPS) end,
    done = function(folder) return checkpoint(folder, BEFORE + DISTURBED) end,
    kept = function(folder) return checkpoint(folder, BEFORE) ~= "" end,
}

-- A checkpoint as a Hugging Face folder; one that was not finished is refused as "not empty", and removed by hand.
local function export(folder)
    return ("%s scripts/convert_to_huggingface.lua --checkpoint %s --output-dir %s"):format(quote(process.bertlua),
        quote(folder .. "/out/custom/phase1"), quote(folder .. "/exported"))
end
scenarios.convert = {
    prepare = function(folder) sh(train(folder, { ["steps-this-run"] = 2 })) end,
    command = export,
    finish = function(folder) return "rm -rf " .. quote(folder .. "/exported") .. " && " .. export(folder) end,
    result = function(folder) return contents(folder .. "/exported") end,
    done = function(folder) return contents(folder .. "/exported") end,
    kept = function(folder) return checkpoint(folder, 2) ~= "" end,
}

-- Shards from text.
local function make(folder)
    return ("%s recipes/create_pretraining_data.lua --input-files %s --output-dir %s --vocab-file %s --shards 2 "
        .. "--max-seq-length 16 --max-predictions-per-seq 3 --dupe-factor 1 --overwrite true"):format(
        quote(process.bertlua), quote(folder .. "/text.txt"), quote(folder .. "/shards"), quote(job.vocab))
end
scenarios.shards = {
    prepare = function(folder)
        local lines = {}
        for i = 1, 120 do
            lines[#lines + 1] = ("w%d w%d w%d w%d w%d"):format(i % 90 + 6, i % 80 + 7, i % 70 + 8, i % 60 + 9,
                i % 50 + 10)
            if i % 6 == 0 then lines[#lines + 1] = "" end
        end
        assert(fs.write(folder .. "/text.txt", table.concat(lines, "\n") .. "\n"))
    end,
    command = make, finish = make,
    result = function(folder) return contents(folder .. "/shards") end,
    done = function(folder) return contents(folder .. "/shards") end,
    kept = function(folder) return fs.is_file(folder .. "/text.txt") end,
}

local function fresh(from, to)
    sh(("rm -rf %s && cp -a %s %s"):format(quote(to), quote(from), quote(to)))
end

--- Run a scenario with the faults of one kind.
-- @return {scenario, kind, calls, tried, lost, told: failures that a line or a signal reported, passed: runs that ended
--   well in spite of the fault; problems: list of text}
local function try(name, kind, base, work, reference, done, calls)
    local scenario = scenarios[name]
    local record = { scenario = name, kind = kind, calls = #calls, tried = 0, lost = 0, told = 0, passed = 0,
        problems = {} }
    for at = 1, #calls, options.every do
        fresh(base, work)
        local output, code = process.run(("FAULT_AT=%d FAULT_KIND=%s LD_PRELOAD=%s %s"):format(at, kind, quote(library),
            scenario.command(work)))
        local kept, right = scenario.kept(work), code ~= 0 or scenario.done(work) == done
        local again, finished = process.run(scenario.finish(work))
        record.tried = record.tried + 1
        if code == 0 then record.passed = record.passed + 1 else record.told = record.told + 1 end
        local problem = not kept and "what was there before is gone"
            or not right and "it ended well, but its result is another"
            or finished ~= 0 and "the run after it failed: " .. again
            or scenario.result(work) ~= reference and "the result differs"
            or code ~= 0 and code ~= 137 and not output:find("\nbertlua: ", 1, true)
                and output:sub(1, 9) ~= "bertlua: " and "it ended without a line: " .. output
        if problem then
            record.lost = record.lost + 1
            record.problems[#record.problems + 1] = ("call %d (%s): %s"):format(at, calls[at], problem)
        end
    end
    return record
end

local records = {}
for _, name in ipairs { "save", "convert", "shards" } do
    if not options.scenario or options.scenario == name then
        local scenario = scenarios[name]
        local base, work = ("%s/%s"):format(job.dir, name), job.dir .. "/work"
        local log = base .. ".calls"
        assert(fs.mkdirs(base))
        scenario.prepare(base)
        -- Paths are part of nothing that is compared, but the reference is made in the same place anyway.
        fresh(base, work)
        sh(("FAULT_LOG=%s LD_PRELOAD=%s %s"):format(quote(log), quote(library), scenario.command(work)))
        local done = scenario.done(work)
        sh(scenario.finish(work))
        local reference, calls = scenario.result(work), {}
        assert(reference ~= "" and done ~= "", name .. " gave no result")
        for line in io.lines(log) do calls[#calls + 1] = line end
        for kind in options.kinds:gmatch "[^,]+" do
            local record = try(name, kind, base, work, reference, done, calls)
            records[#records + 1] = record
            print(("%-8s %-6s %4d of %4d calls tried: %d ended by the kill or with a message, %d went on; lost: %d")
                :format(name, kind, record.tried, record.calls, record.told, record.passed, record.lost))
            io.stdout:flush()
            for _, problem in ipairs(record.problems) do print("    " .. problem) end
        end
    end
end
job:close()
print(json.encode(records))
