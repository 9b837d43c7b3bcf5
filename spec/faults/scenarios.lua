--- What is disturbed by spec/faults/run.lua and random.lua: a run with everything that it starts from, and what must
-- be there after it.
--
-- A scenario: prepare(folder) makes what a run starts from; command(folder, preload) -> command that is disturbed, with
-- the injector loaded if `preload` names it; finish(folder) -> command after that, the same by default; result(folder)
-- -> text that must be as in an undisturbed run after that; done(folder) -> the same for the disturbed run alone, if it
-- says that all went well; kept(folder) -> false if what was there before is gone; faults(folder) -> further variables
-- of the injector; random: how often random.lua kills it, and `whom` in it: function(random) -> variables of the
-- injector that choose the process, nil for all at once.

local files = require "spec.support.files"
local fs = require "bertlua.util.fs"
local mpi = require "spec.support.mpi"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local storage = require "bertlua.storage"

local M = {}

local quote = process.quote
-- How many steps all runs make together, and how many the disturbed one does.
local STEPS, BEFORE, DISTURBED = 10, 6, 2
-- Of several processes: one step each, as they take long to start.
local RANKS_STEPS, RANKS_BEFORE = 3, 1

--- Run a command that must succeed.
function M.sh(command)
    local output, code = process.run(command)
    if code ~= 0 then error(command .. "\n" .. output, 0) end
    return output
end

--- A fresh copy of a folder.
function M.fresh(from, to)
    M.sh(("rm -rf %s && cp -a %s %s"):format(quote(to), quote(from), quote(to)))
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

--- The same for all files below a folder; empty if something unfinished is among them.
local function tree(folder)
    if not fs.is_directory(folder) or not pcall(files.assert_finished, folder) then return "" end
    local list = {}
    for name, hash in pairs(files.hashes(folder)) do list[#list + 1] = name .. " " .. hash end
    table.sort(list)
    return table.concat(list, "\n")
end

local function checkpoint(folder, step)
    return contents(("%s/out/custom/phase1/%d"):format(folder, step))
end

local function preloaded(command, preload)
    return (preload and "LD_PRELOAD=" .. quote(preload) .. " " or "") .. command
end

local function training(job)
    local function train(folder, more)
        local changes = { ["output-dir"] = folder .. "/out", ["report-file"] = folder .. "/report.json",
            ["max-steps"] = STEPS, ["num-steps-per-checkpoint"] = 2, ["last-step-of-checkpoint"] = "auto" }
        for name, value in pairs(more or {}) do changes[name] = value end
        return job:command("pretrain_phase1.lua", changes)
    end
    -- One more checkpoint, and an old one goes.
    local save = {
        prepare = function(folder) M.sh(train(folder, { ["steps-this-run"] = BEFORE })) end,
        command = function(folder, preload)
            return preloaded(train(folder, { ["steps-this-run"] = DISTURBED }), preload)
        end,
        finish = function(folder) return train(folder) end,
        result = function(folder) return checkpoint(folder, STEPS) end,
        done = function(folder) return checkpoint(folder, BEFORE + DISTURBED) end,
        kept = function(folder) return checkpoint(folder, BEFORE) ~= "" end,
    }
    -- A checkpoint as a Hugging Face folder.
    local function export(folder)
        return ("%s scripts/convert_to_huggingface.lua --checkpoint %s --output-dir %s"):format(quote(process.bertlua),
            quote(folder .. "/out/custom/phase1"), quote(folder .. "/exported"))
    end
    -- And that folder as a checkpoint.
    local function import(folder)
        return ("%s scripts/convert_from_huggingface.lua --input %s --output-dir %s"):format(quote(process.bertlua),
            quote(folder .. "/exported"), quote(folder .. "/imported"))
    end
    local function converted(command, name, prepare)
        return {
            prepare = function(folder)
                M.sh(train(folder, { ["steps-this-run"] = 2 }))
                if prepare then M.sh(prepare(folder)) end
            end,
            command = function(folder, preload) return preloaded(command(folder), preload) end,
            finish = function(folder)
                -- One that was complete is refused the second time.
                return ("{ said=$(%s 2>&1) || case $said in *' is not empty: '*) ;; *) echo \"$said\"; false;; esac; }")
                    :format(command(folder))
            end,
            result = function(folder) return contents(folder .. "/" .. name) end,
            done = function(folder) return contents(folder .. "/" .. name) end,
            kept = function(folder) return checkpoint(folder, 2) ~= "" end,
        }
    end
    return save, converted(export, "exported"), converted(import, "imported", export)
end

local function shards(job)
    local function make(folder)
        return ("%s recipes/create_pretraining_data.lua --input-files %s --output-dir %s --vocab-file %s --shards 2 "
            .. "--max-seq-length 16 --max-predictions-per-seq 3 --dupe-factor 1 --overwrite true"):format(
            quote(process.bertlua), quote(folder .. "/text.txt"), quote(folder .. "/shards"), quote(job.vocab))
    end
    return {
        prepare = function(folder)
            local lines = {}
            for i = 1, 120 do
                lines[#lines + 1] = ("w%d w%d w%d w%d w%d"):format(i % 90 + 6, i % 80 + 7, i % 70 + 8, i % 60 + 9,
                    i % 50 + 10)
                if i % 6 == 0 then lines[#lines + 1] = "" end
            end
            assert(fs.write(folder .. "/text.txt", table.concat(lines, "\n") .. "\n"))
        end,
        command = function(folder, preload) return preloaded(make(folder), preload) end,
        finish = make,
        result = function(folder) return contents(folder .. "/shards") end,
        done = function(folder) return contents(folder .. "/shards") end,
        kept = function(folder) return fs.is_file(folder .. "/text.txt") end,
    }
end

--- All stages from extract on, from two short books.
-- @param workers processes
-- @param chosen which of them is disturbed; nil: the first
local function corpus(workers, chosen)
    local function prepare(folder)
        return ("%s recipes/prepare_corpus.lua --quiet --variant corpus --corpus-dir %s --output-dir %s "
            .. "--num-workers %d --stages extract,sentences,shard,vocab,hdf5,verify --shards 2 --test-share 0.2 "
            .. "--vocab-size 200 --sets 32:5 --dupe-factor 1"):format(quote(process.bertlua),
            quote(folder .. "/books"), quote(folder .. "/out"), workers)
    end
    return {
        prepare = function(folder)
            assert(fs.mkdirs(folder .. "/books"))
            for i = 1, 2 do
                local text = {}
                for line = 1, 30 do
                    text[line] = ("Book %d has line %d here. It has another one of %d words.\n%s"):format(i, line,
                        line + i, line % 5 == 0 and "\n" or "")
                end
                assert(fs.write(("%s/books/%d.txt"):format(folder, i), table.concat(text)))
            end
        end,
        command = function(folder, preload) return preloaded(prepare(folder), preload) end,
        finish = prepare,
        result = function(folder) return tree(folder .. "/out") end,
        done = function(folder) return tree(folder .. "/out") end,
        kept = function(folder) return fs.is_file(folder .. "/books/1.txt") end,
        faults = function(folder)
            return chosen and ("FAULT_PROCESS=%d FAULT_UNDER=%s/"):format(chosen, folder) or ""
        end,
    }
end

--- Vectors of texts, a few at a time.
local function vectors()
    local function embed(folder)
        return ("%s recipes/embed.lua --threads 1 --checkpoint spec/fixtures/encoder/masked_lm --input %s --output %s "
            .. "--chunk-size 3"):format(quote(process.bertlua), quote(folder .. "/texts.txt"),
            quote(folder .. "/vectors.npy"))
    end
    local function whole(folder) return storage.file_sha256(folder .. "/vectors.npy") or "none" end
    local function result(folder)
        return whole(folder) .. " " .. table.concat(assert(fs.list(folder)), " ")
    end
    return {
        prepare = function(folder)
            local lines = {}
            for i = 1, 8 do lines[i] = ("the cat" .. (" sat"):rep(i)) end
            assert(fs.mkdirs(folder))
            assert(fs.write(folder .. "/texts.txt", table.concat(lines, "\n") .. "\n"))
        end,
        command = function(folder, preload) return preloaded(embed(folder), preload) end,
        finish = embed,
        result = result,
        done = whole,
        kept = function(folder) return fs.is_file(folder .. "/texts.txt") end,
    }
end

--- Two processes of MPI.
-- @param rank that is disturbed
local function ranks(job, optimizer, rank)
    local function train(folder, this_run, preload)
        local arguments = job:command("pretrain_phase1.lua", { device = "cpu", ["output-dir"] = folder .. "/out",
            ["report-file"] = folder .. "/report.json", ["tensorboard-dir"] = "none", ["max-steps"] = RANKS_STEPS,
            ["num-steps-per-checkpoint"] = 1, ["last-step-of-checkpoint"] = "auto", ["comm-timeout"] = 20,
            optimizer = optimizer, ["steps-this-run"] = this_run or false })
        return "timeout -k 5 60 " .. mpi.command(2, (arguments:gsub("^%S+ ", "")),
            preload and "-x LD_PRELOAD=" .. quote(preload)) .. " </dev/null"
    end
    return {
        prepare = function(folder) M.sh(train(folder, RANKS_BEFORE)) end,
        command = function(folder, preload) return train(folder, 1, preload) end,
        finish = function(folder) return train(folder) end,
        result = function(folder) return checkpoint(folder, RANKS_STEPS) end,
        done = function(folder) return checkpoint(folder, RANKS_BEFORE + 1) end,
        kept = function(folder) return checkpoint(folder, RANKS_BEFORE) ~= "" end,
        faults = function(folder) return ("FAULT_RANK=%d FAULT_UNDER=%s/"):format(rank, folder) end,
    }
end

--- A job in a temporary folder, and its scenarios.
-- @return job; list of scenarios {name, ...}
function M.new()
    local job = pretraining.new()
    job:write_config { num_hidden_layers = 1 }
    local list = {}
    local function add(name, scenario)
        scenario.name = name
        scenario.faults = scenario.faults or function() return "" end
        list[#list + 1] = scenario
    end
    local save, export, import = training(job)
    add("save", save)
    add("convert", export)
    add("import", import)
    add("shards", shards(job))
    add("vectors", vectors())
    add("corpus", corpus(1))
    -- Two workers for each of the two stages of several parts.
    for number = 0, 4 do add("corpus-process-" .. number, corpus(2, number)) end
    -- The other ranks write nothing.
    if not mpi.missing then
        add("lamb-rank-0", ranks(job, "Lamb", 0))
        add("divided-rank-0", ranks(job, "DistributedFusedLamb", 0))
    end
    return job, list
end

return M
