--- Damaged and hostile shards: no change of a byte gives other data in silence, and none ends this process. Every byte
-- of large ones: spec/peers/flip_bytes.lua.

local data = require "bertlua.data"
local flips = require "spec.support.flips"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local shards = require "spec.support.shards"

local FIXTURES = "spec/fixtures/hdf5/"

describe("a shard", function()
    local folder, path

    setup(function()
        folder = assert(fs.temporary_folder("flips_spec"))
        path = folder .. "/a.hdf5"
    end)

    teardown(function() fs.remove(folder) end)

    local function refusal(file)
        local shard, message = data.read_shard(file, {})
        assert.is_nil(shard)
        assert.are.equal(file .. ": ", message:sub(1, #file + 2))
        return message:sub(#file + 3)
    end

    describe("of our own", function()
        it("is refused with any byte changed", function()
            shards.write_sealed(path, 60, 16, 4)
            local size = #assert(fs.read(path))
            local found = flips.run(path, { mask = 0x80 })
            assert.are.same({ changes = size, refused = size, crashed = 0, same = 0, other = 0 }, found)
        end)

        it("says what it was written with", function()
            shards.write_sealed(path, 60, 16, 4)
            local bytes = assert(fs.read(path))
            local info = assert(data.probe(path))
            assert.are.same({ samples = 60, max_seq_length = 16, max_predictions_per_seq = 4, bytes = #bytes,
                checksum = info.checksum, vocabulary = "sha256:abc" }, info)
            assert(fs.write(path, bytes:sub(1, 2000) .. string.char((bytes:byte(2001) + 1) % 256) .. bytes:sub(2002)))
            local now = ("%08x"):format(require("bertlua.storage").crc32c(assert(fs.read(path)):sub(1, -169)))
            assert.are.equal(("damaged: the CRC32C of its bytes is %s, %08x when it was written; copy it again or "
                .. "recreate it"):format(now, info.checksum), refusal(path))
        end)

        it("is refused when its end is missing or something follows it", function()
            shards.write_sealed(path, 60, 16, 4)
            local bytes = assert(fs.read(path))
            for missing = 1, 167 do
                local file = io.open(path, "wb")
                file:write(bytes:sub(1, -1 - missing))
                file:close()
                assert.is_truthy(refusal(path):find("cut off or damaged: its last bytes", 1, true))
                assert.is_nil((data.probe(path)))
            end
            assert(fs.write(path, bytes .. "more"))
            assert.is_truthy(refusal(path):find("cut off or damaged: its last bytes", 1, true))
            assert(fs.write(path, "more" .. bytes))
            assert.are.equal(("has %d bytes, was written with %d; copy it again or recreate it"):format(#bytes + 4,
                #bytes), refusal(path))
        end)

        it("does not end this process when somebody changes it and seals it again", function()
            shards.write_sealed(path, 60, 16, 4)
            local found = flips.run(path, { step = 61, sealed_again = true })
            assert.are.equal(found.changes, found.refused + found.crashed + found.same + found.other)
            -- Metadata and data have checksums of HDF5's too.
            assert.is_true(found.refused + found.crashed > found.changes / 2)
        end)

        it("is refused when its seal belongs to another", function()
            shards.write_sealed(path, 60, 16, 4)
            local bytes = assert(fs.read(path))
            shards.write_sealed(path, 61, 16, 4)
            assert(fs.write(path, bytes:sub(1, -169) .. assert(fs.read(path)):sub(-168)))
            assert.is_truthy(refusal(path):find("was written with", 1, true) or refusal(path):find("CRC32C", 1, true))
        end)
    end)

    describe("of another program", function()
        it("is refused with any byte changed once it has a seal, and holds what it held", function()
            assert(fs.write(path, assert(fs.read(FIXTURES .. "nvidia.hdf5"))))
            local before = assert(flips.contents(path))
            assert.is_true(data.seal_shard(path))
            assert.is_false(data.seal_shard(path))
            assert.are.equal(before, flips.contents(path))
            assert.are.equal(#assert(fs.read(FIXTURES .. "nvidia.hdf5")) + 168, fs.size(path))
            local found = flips.run(path, { mask = 4, step = 23 })
            assert.are.equal(found.changes, found.refused)
            assert.is_true(found.changes > 500)
        end)

        it("is sealed again after a seal that was cut off", function()
            local whole = assert(fs.read(FIXTURES .. "nvidia.hdf5"))
            assert(fs.write(path, whole))
            assert.is_true(data.seal_shard(path))
            local sealed = assert(fs.read(path))
            for _, left in ipairs { 1, 7, 8, 100, 167 } do
                assert(fs.write(path, sealed:sub(1, #whole + left)))
                assert.is_truthy(refusal(path):find("cut off or damaged", 1, true))
                assert.is_true(data.seal_shard(path))
                assert.are.equal(sealed, fs.read(path))
            end
        end)

        it("gets no seal if it is damaged, and keeps its bytes", function()
            for _, name in ipairs { "refused/unallocated_chunk", "refused/external_link" } do
                local bytes = assert(fs.read(FIXTURES .. name .. ".hdf5"))
                assert(fs.write(path, bytes))
                assert.is_nil((data.seal_shard(path)))
                assert.are.equal(bytes, fs.read(path))
            end
            assert.is_nil((data.seal_shard(folder .. "/none.hdf5")))
            assert.is_nil((data.seal_shard(folder)))
            -- One of ours with a changed byte has a seal that does not fit.
            shards.write_sealed(path, 60, 16, 4)
            local bytes = assert(fs.read(path))
            assert(fs.write(path, bytes:sub(1, 2000) .. string.char((bytes:byte(2001) + 1) % 256) .. bytes:sub(2002)))
            assert.matches("damaged: the CRC32C of its bytes", (select(2, data.seal_shard(path))))
        end)

        it("is sealed by a script, with all of a folder", function()
            local made = folder .. "/sealing"
            assert(fs.mkdirs(made))
            assert(fs.write(made .. "/a.hdf5", assert(fs.read(FIXTURES .. "nvidia.hdf5"))))
            shards.write_sealed(made .. "/b.hdf5", 60, 16, 4)
            local command = "scripts/seal_shards.lua --input-dir " .. process.quote(made)
            assert.are.equal(made .. ": 1 shard sealed, 1 had a seal, which fits\n", (process.run_bertlua(command)))
            assert.are.equal(made .. ": 0 shards sealed, 2 had a seal, which fits\n", (process.run_bertlua(command)))
        end)

        it("does not end this process, whichever byte is changed", function()
            assert(fs.write(path, assert(fs.read(FIXTURES .. "nvidia.hdf5"))))
            local found = flips.run(path, { mask = 0xff, step = 403 })
            assert.are.equal(51, found.changes)
            assert.is_true(found.refused > 0 and found.same > 0)
        end)

        local cases = {
            { "external_link", "input_ids is an external link, into another file, which is not followed: a shard must "
                .. "hold its data itself; copy them into one file" },
            { "soft_link", "input_ids is a soft link, which is not followed: a shard must hold its data itself; copy "
                .. "them into one file" },
            { "external_storage", "dataset input_ids lies in external storage (another file), which is not followed: a "
                .. "shard must hold its data itself; copy them into one file" },
            { "virtual", "dataset input_ids is virtual, a view of other datasets, which is not followed: a shard must "
                .. "hold its data itself; copy them into one file" },
            { "unallocated_chunk", "dataset input_ids: its values from sample 3 on were never written, or its index of "
                .. "chunks is damaged; recreate it" },
            { "unallocated", "dataset input_ids: its values from sample 0 on were never written, or its index of "
                .. "chunks is damaged; recreate it" },
            { "plugin", "dataset input_ids is compressed with filter 32000, which is not part of HDF5; rewrite it with "
                .. "gzip" },
        }
        for _, case in ipairs(cases) do
            it("is refused with " .. case[1], function()
                assert.are.equal(case[2], refusal(FIXTURES .. "refused/" .. case[1] .. ".hdf5"))
                assert.is_nil((data.probe(FIXTURES .. "refused/" .. case[1] .. ".hdf5")))
            end)
        end
    end)

    it("is refused at once when it is a FIFO or a device", function()
        local fifo = folder .. "/fifo.hdf5"
        assert.are.equal(0, (select(2, process.run("mkfifo " .. process.quote(fifo)))))
        assert.are.equal("not a regular file, expected an HDF5 shard", refusal(fifo))
        assert.is_nil((data.probe(fifo)))
        assert.are.equal("not a regular file, expected an HDF5 shard", refusal "/dev/zero")
    end)

    describe("whose reading process", function()
        local copy, build

        -- A build of its own, whose bertlua-hdf5 is a shell script.
        setup(function()
            copy, build = folder .. "/lib", process.bertlua:match "^(.*)/"
            local _, code = process.run(("mkdir %s && cp %s/cdef.h %s/libbertlua.so %s"):format(copy, build, build,
                copy))
            assert.are.equal(0, code)
        end)

        local function message_of(script)
            local program = copy .. "/bertlua-hdf5"
            if script then
                -- A sanitizer that is loaded first would take the signals.
                assert(fs.write(program, "#!/usr/bin/env -S -u LD_PRELOAD sh\n" .. script .. "\n"))
                process.run("chmod +x " .. program)
            end
            local text = process.run(("BERTLUA_LIB=%s/libbertlua.so %s -e %s"):format(copy, process.bertlua,
                process.quote(("print(select(2, require('bertlua.data').read_shard('%snvidia.hdf5')))"):format(
                FIXTURES))))
            return (text:gsub("\n$", ""):gsub("^" .. FIXTURES .. "nvidia%.hdf5: ", ""))
        end

        local DAMAGED = "the file is damaged or made to do harm; copy it again or recreate it"

        it("is not installed is refused", function()
            assert.are.equal(copy .. "/bertlua-hdf5: not there or not executable; it reads HDF5 files: run make "
                .. "(or make install)", message_of(nil))
        end)

        it("crashes, does not end, is killed or says nothing is refused", function()
            assert.are.equal("the HDF5 library crashed over it (signal 11): " .. DAMAGED, message_of "kill -SEGV $$")
            assert.are.equal("the HDF5 library crashed over it (signal 6): " .. DAMAGED, message_of "kill -ABRT $$")
            assert.are.equal("the HDF5 library does not come to an end with it: " .. DAMAGED,
                message_of "ulimit -S -t 1; while :; do :; done")
            assert.are.equal("the process that reads it was killed; is there no memory left? use smaller shards",
                message_of "kill -KILL $$")
            assert.are.equal("the process that reads it ended early (status 9): the file is damaged, or bertlua-hdf5 "
                .. "is of another build", message_of "exit 9")
        end)

        it("tells nonsense is refused", function()
            local nonsense = "what the HDF5 library makes of it contradicts itself: " .. DAMAGED
            assert.are.equal(nonsense, message_of "head -c 1000 /dev/urandom")
            -- A frame of sizes with a payload of none: magic, kind 1, value 0, bytes 0.
            local frame = [[printf 'FSLB\001\000\000\000'; head -c 16 /dev/zero]]
            assert.are.equal("bertlua-hdf5 is of another build; run make", message_of(frame))
            -- The same with kind 3, a failure without a text.
            assert.are.equal(nonsense, message_of((frame:gsub("001", "003", 1))))
        end)

        it("is deaf to Ctrl-C: the run that needs its rows decides", function()
            assert.are.equal("the process that reads it ended early (status 7): the file is damaged, or bertlua-hdf5 "
                .. "is of another build", message_of "kill -INT $$; kill -TERM $$; exit 7")
        end)
    end)
end)
