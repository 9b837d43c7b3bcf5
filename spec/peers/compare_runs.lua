--- Check that two builds train identically, byte for byte, for changes that must not alter a run.
--
--     git worktree add /tmp/before REVISION && make -C /tmp/before
--     build/bertlua spec/peers/compare_runs.lua /tmp/before build
--
-- Both run the same small jobs (pre-training of both phases with a stop and a
-- resume, SQuAD v1.1 and v2.0 with training, answers and evaluation). It compares
-- checkpoints, exported models, answers, every record of the report and of
-- TensorBoard's events, and the exit codes, but not what depends on the clock or
-- on memory use.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local squad = require "spec.support.squad"

local before, after = arg[1], arg[2] or "build"
if not before then
    io.stderr:write("usage: bertlua spec/peers/compare_runs.lua TREE_BEFORE [BUILD_AFTER]\n")
    os.exit(2)
end

-- Fields that depend on the clock, on memory use, or on where the run was.
local VARIES = { seconds = true, peak_memory = true, timestamp = true, elapsedtime = true, datetime = true }

local function varies(name)
    return VARIES[name] or name:find "_per_second$" or name:find "seconds$"
end

--- A report without what varies, one record per line, keys sorted.
local function report_text(path, own)
    local lines = {}
    for line in io.lines(path) do
        local record = json.decode(line:match "^DLLL (.*)$")
        local data = {}
        for name, value in pairs(record.data or {}) do
            if not varies(name) then data[#data + 1] = ("%s=%s"):format(name, tostring(value):gsub(own, "")) end
        end
        table.sort(data)
        lines[#lines + 1] = ("%s %s %s"):format(record.type, json.encode(record.step or ""), table.concat(data, " "))
    end
    return table.concat(lines, "\n")
end

local function u32(text, at)
    local a, b, c, d = text:byte(at, at + 3)
    return a + 256 * (b + 256 * (c + 256 * d))
end

--- Scalars of an event file as text: step, tag and the four bytes of the value.
local function events_text(path)
    local text, at, list = fs.read(path), 1, {}
    while at < #text do
        local length = u32(text, at)
        local record = text:sub(at + 12, at + 11 + length)
        at = at + length + 16
        -- Summary.value: tag is field 1, simple_value field 2; the event's step is field 2.
        for size, rest in record:gmatch "\10(.)([^\10]+)" do
            local tag = rest:sub(1, size:byte())
            if tag:find "^%a+/" and not varies(tag:match "[^/]*$") then
                list[#list + 1] = tag .. " " .. rest:sub(size:byte() + 1, size:byte() + 5):gsub(".", function(c)
                    return ("%02x"):format(c:byte())
                end)
            end
        end
    end
    return table.concat(list, "\n")
end

--- The contents to compare of every file a run wrote below a folder, by path.
local function contents(dir)
    local files = {}
    local function walk(path, shown)
        for _, name in ipairs(fs.list(path) or {}) do
            local full, short = path .. "/" .. name, shown .. "/" .. name
            if fs.is_directory(full) then
                walk(full, short)
            elseif name:find "tfevents" then
                local key = shown .. "/events"
                files[key] = (files[key] or "") .. events_text(full)
            elseif name:find "^report.*%.json$" then
                files[short] = report_text(full, dir:gsub("%p", "%%%0"))
            elseif not name:find "%.lock$" and not name:find "^features" then
                files[short] = fs.read(full)
            end
        end
    end
    walk(dir, "")
    return files
end

local JOBS = {
    { "phase 1, stopped and resumed", pretraining, function(job)
        local changes = { ["max-steps"] = 12, ["gradient-merge-steps"] = 2, ["num-steps-per-checkpoint"] = 5,
            ["last-step-of-checkpoint"] = "auto", ["log-freq"] = 2 }
        changes["steps-this-run"] = 7
        local first = job:command("pretrain_phase1.lua", changes)
        changes["steps-this-run"] = nil
        return { first, job:command("pretrain_phase1.lua", changes) }
    end },
    { "both phases, bf16, dynamic masking", pretraining, function(job)
        local options = "--phase1-max-steps 6 --phase2-max-steps 4 --phase1-batch-size 4 --phase2-batch-size 2"
        for _, phase in ipairs { "phase1", "phase2" } do
            options = options .. (" --%s-input-dir %s --%s-max-seq-length 16 --%s-max-predictions-per-seq 3 "
                .. "--%s-gradient-merge-steps 1"):format(phase, job.shards, phase, phase, phase)
        end
        return { ("%s recipes/pretrain.lua --bert-model custom --config-file %s --vocab-file %s --output-dir %s "
            .. "--report-file %s/report.json --log-freq 1 --dynamic-masking --threads 1 %s"):format(pretraining.BINARY,
            job.config, job.vocab, job.out, job.dir, options) }
    end },
    { "SQuAD v1.1, stopped and resumed", squad, function(job)
        local changes = { ["num-steps-per-checkpoint"] = 3, ["steps-this-run"] = 5 }
        local first = job:command(changes)
        changes["steps-this-run"] = nil
        return { first, job:command(changes) }
    end },
    { "SQuAD v2.0, half of the windows without an answer", squad, function(job)
        return { job:command { ["version-2-with-negative"] = "true", ["null-window-share"] = 0.5,
            optimizer = "AdamW" } }
    end, { negative = true, contexts = 8 } },
}

--- Run commands with an executable in its own tree; returns the exit codes as text and the resulting files.
local function run(job, commands, tree, binary)
    local codes = {}
    for i, command in ipairs(commands) do
        local words = command:gsub("^%S+", binary, 1)
        local code, output = pretraining.shell(("cd '%s' && %s"):format(tree, words))
        codes[i] = code
        if code ~= 0 then io.stderr:write(output) end
    end
    local files = contents(job.dir)
    files.codes = table.concat(codes, " ")
    return files
end

local failed = 0
for _, entry in ipairs(JOBS) do
    local name, support, commands_of, options = entry[1], entry[2], entry[3], entry[4]
    local job, results = support.new(options), {}
    local keep = job.dir .. ".keep"
    assert(os.execute(("cp -r '%s' '%s'"):format(job.dir, keep)) == 0)
    for i, side in ipairs { { before, before .. "/build/bertlua" }, { ".", fs.join(after, "bertlua") } } do
        if i == 2 then
            assert(fs.remove(job.dir))
            assert(os.execute(("cp -r '%s' '%s'"):format(keep, job.dir)) == 0)
        end
        local binary = side[2]:sub(1, 1) == "/" and side[2] or os.getenv "PWD" .. "/" .. side[2]
        results[i] = run(job, commands_of(job), side[1], binary)
    end
    local count, different = 0, {}
    for path, text in pairs(results[1]) do
        count = count + 1
        if results[2][path] ~= text then different[#different + 1] = path end
    end
    for path in pairs(results[2]) do
        if not results[1][path] then different[#different + 1] = path .. " (new)" end
    end
    table.sort(different)
    failed = failed + #different
    print(("%-52s %d files, %s"):format(name, count, #different == 0 and "equal"
        or "different: " .. table.concat(different, ", ")))
    if os.getenv "KEEP" then
        for i = 1, 2 do
            for _, path in ipairs(different) do
                local target = ("%s/%d-%s"):format(os.getenv "KEEP", i, path:gsub("[/ ]", "_"))
                if results[i][path] then assert(fs.write(target, results[i][path])) end
            end
        end
    end
    job:close()
    assert(fs.remove(keep))
end
os.exit(failed == 0 and 0 or 1)
