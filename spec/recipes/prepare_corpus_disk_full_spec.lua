--- A full disk in every stage of the preparation: file and offset are named, and with more room the next run leaves
-- the same bytes. The disk is a small one in memory where the system lets a user mount one, else a limit on the size
-- of files stands for it.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local DUMP = process.root .. "/spec/fixtures/wiki/dump.xml.bz2"
local STAGES = { "download", "extract", "sentences", "shard", "vocab", "hdf5" }
-- KiB free when a stage starts: enough to start, too few to finish.
local FREE = { download = 20, extract = 24, sentences = 24, shard = 24, vocab = 8, hdf5 = 36 }

describe("a disk that is full", function()
    local base, command, namespace

    local function hashes(folder)
        return ("cd %s && find . -type f ! -path './.state/*' | sort | xargs sha256sum"):format(folder)
    end

    setup(function()
        base = process.temporary_folder()
        -- With "none", or mount repeats the owner's number from /proc/mounts, which a namespace does not know.
        namespace = select(2, process.run(("unshare -Urm sh -c 'mount -t tmpfs -o size=1m none %s && mount -o "
            .. "remount,size=2m none %s'"):format(base, base))) == 0
        -- A separate copy, so that there is a download that does not fit.
        assert(fs.write(base .. "/dump.xml.bz2", assert(fs.read(DUMP))))
        command = function(stage, folder)
            return ("%s %s --quiet --num-workers 2 --wikipedia-url file://%s/dump.xml.bz2 --retries 0 --shards 2 "
                .. "--test-share 0.2 --vocab-size 300 --sets 32:5 --dupe-factor 2 --output-dir %s --stages %s"):format(
                process.quote(process.bertlua), process.quote(process.root .. "/recipes/prepare_corpus.lua"), base,
                folder, stage)
        end
        assert(fs.mkdirs(base .. "/disk/out"))
        for _, stage in ipairs(STAGES) do
            -- Always in the small disk's folder: the manifest names the dump, which is there.
            assert.are.equal(0, select(2, process.run(("cp -a %s/disk/out %s/before_%s"):format(base, base, stage))))
            local output, code = process.run(command(stage, base .. "/disk/out"))
            assert.are.equal(0, code, output)
            assert.are.equal(0, select(2, process.run(("cp -a %s/disk/out %s/after_%s"):format(base, base, stage))))
        end
    end)
    teardown(function() fs.remove(base) end)

    for _, stage in ipairs(STAGES) do
        it(("stops stage %s with file and offset"):format(stage), function()
            local disk = base .. "/disk"
            local script = "run() { COMMAND; }\n" .. (namespace and [[
                mount -t tmpfs -o size=20m none DISK
                cp -a BASE/before_STAGE DISK/out
                used=$(df -k --output=used DISK | tail -1)
                mount -o remount,size=$((used + FREE))k none DISK
                run; echo "first $?"
                mount -o remount,size=20m none DISK]] or [[
                rm -rf DISK/out
                cp -a BASE/before_STAGE DISK/out
                (ulimit -f LIMIT; trap '' XFSZ; run); echo "first $?"]]) .. "\nrun; echo \"second $?\"\nHASHES"
            local words = { DISK = disk, BASE = base, STAGE = stage, FREE = FREE[stage],
                LIMIT = stage == "vocab" and 1 or 8,
                COMMAND = command(stage, disk .. "/out"), HASHES = hashes(disk .. "/out") }
            script = script:gsub("%u%u%u%u+", words)
            local output = process.run((namespace and "unshare -Urm " or "") .. "sh -c " .. process.quote(script))
            local message = output:match "bertlua: ([^\n]*)\nfirst 1\n"
            assert.is_truthy(message, output)
            assert.is_truthy(message:find(disk .. "/out/[^:]+: cannot write at byte %d+: no space left"), message)
            local after = output:match "\nsecond 0\n(.*)$"
            assert.is_truthy(after, output)
            assert.are.equal((process.run(hashes(("%s/after_%s"):format(base, stage)))), after)
        end)
    end
end)
