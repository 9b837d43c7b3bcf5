--- A memory limit that is too low is reported before anything is written, with the stage that needs most.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local FOLDER = process.root .. "/spec/fixtures/wiki/"

local function prepare(folder, arguments, setup)
    return process.run_bertlua(("%s --output-dir %s %s"):format(process.quote(process.root
        .. "/recipes/prepare_corpus.lua"), process.quote(folder), arguments), setup)
end

describe("limits of memory", function()
    it("are reported when a single part exceeds them", function()
        local base = process.temporary_folder()
        assert(fs.mkdirs(base .. "/in"))
        for i = 1, 8 do
            local text = {}
            for k = 1, 9000 do
                text[k] = ("The mill number %d of %d is old and grey, and its wheel turns."):format(k, i)
            end
            assert(fs.write(("%s/in/%d.txt"):format(base, i), table.concat(text, "\n") .. "\n"))
        end
        local function stages(names)
            return prepare(base .. "/out", ("--variant corpus --corpus-dir %s --shards 1 --test-share 0 --sets 32:5 "
                .. "--vocab-file %s --stages %s"):format(base .. "/in",
                process.quote(process.root .. "/vocab/bert-base-uncased-vocab.txt"), names))
        end
        -- The others need less, but with a sanitizer a process is large from the start.
        local output, code = stages "extract,sentences,shard"
        assert.are.equal(0, code, output)
        output, code = stages "hdf5 --memory-limit 100"
        fs.remove(base)
        assert.are.equal(1, code, output)
        local least = output:match("^bertlua: memory_limit is 100 MiB, but stage hdf5 needs at least (%d+) MiB for a "
            .. "shard of 4.%d MB: raise it, or use more shards\n$")
        assert.is_truthy(least, output)
    end)

    it("are reported at the start, for the stage that needs most, and the value named suffices", function()
        local base = process.temporary_folder()
        local text = {}
        for i = 1, 4000 do
            text[i] = ("The %d mills of %d rivers are old and grey.\n%s"):format(i, i * 7, i % 9 == 0 and "\n" or "")
        end
        assert(fs.mkdirs(base .. "/in"))
        assert(fs.write(base .. "/in/a.txt", table.concat(text)))
        local local_text = "--variant corpus --corpus-dir " .. base .. "/in "
        local vocab = "--sets 32:5 --vocab-file " .. process.quote(process.root .. "/vocab/bert-base-uncased-vocab.txt")
        local cases = {
            { "--stages extract --wikipedia " .. process.quote(FOLDER .. "dump.xml.bz2"), "extract" },
            { local_text .. "--stages extract", "extract" },
            { local_text .. "--stages extract,sentences", "sentences" },
            { local_text .. "--stages extract,sentences,shard,vocab --vocab-size 300", "shard" },
            { local_text .. "--stages vocab --vocab-size 300", "vocab" },
            { local_text .. "--stages hdf5,verify --dupe-factor 60 --gzip 0 " .. vocab, "hdf5", " for a shard of " },
            -- Nothing to estimate a size from: a normal shard.
            { vocab, "hdf5", " for a shard of 5.2 MB" },
        }
        for i, case in ipairs(cases) do
            local folder = ("%s/%s"):format(base, case[1]:find("corpus-dir", 1, true) and "corpus" or "other")
            local list = ("find %s -type f -exec sha256sum {} + | sort"):format(folder)
            local before = process.run(list)
            local output, code = prepare(folder, case[1] .. " --memory-limit 64")
            assert.are.equal(1, code, output)
            local line = "^bertlua: memory_limit is 64 MiB, but stage %s needs at least (%%d+) MiB%s[^\n]*\n$"
            local least = output:match(line:format(case[2], case[3] or ""))
            assert.is_truthy(least, output)
            assert.are.equal(before, (process.run(list)))
            if i < #cases then
                -- With a sanitizer a process is larger, and its size varies.
                local more = os.getenv "ASAN_OPTIONS" and 16 or 0
                output, code = prepare(folder, ("%s --quiet --memory-limit %d"):format(case[1], least + more))
                assert.are.equal(0, code, output)
                fs.remove(base .. "/other")
            end
        end
        fs.remove(base)
    end)
end)
