--- Files compared between ranks: which one differs first, and how that is said. With real processes:
-- spec/recipes/many_processes_spec.lua.

local Ranks = require "bertlua.train.ranks"
local equal_files = require "bertlua.jobs.common.equal_files"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local shards = require "spec.support.shards"
local storage = require "bertlua.storage"

local function file(name, change)
    local made = { name = name, path = "dir/" .. name, samples = 10, bytes = 1000, checksum = 0xabcd }
    for key, value in pairs(change or {}) do made[key] = value end
    return made
end

local FIRST = { { "a.hdf5", 10, 1000, 0xabcd }, { "b.hdf5", 10, 1000, 0xabcd }, { "c.hdf5", 10, 1000, 0xabcd } }

describe("files of all ranks", function()
    it("are equal where names, samples, bytes and checksums are", function()
        assert.is_nil(equal_files.difference({ file "a.hdf5", file "b.hdf5", file "c.hdf5" }, FIRST, "dir"))
        assert.is_nil(equal_files.difference({}, {}, "dir"))
    end)

    it("differ in the first that is missing, too many, or another", function()
        local cases = {
            { "no dir/a.hdf5, which rank 0 has", {} },
            { "no dir/b.hdf5, which rank 0 has", { file "a.hdf5", file "c.hdf5" } },
            { "no dir/c.hdf5, which rank 0 has", { file "a.hdf5", file "b.hdf5" } },
            { "dir/bb.hdf5 is not on rank 0", { file "a.hdf5", file "b.hdf5", file "bb.hdf5", file "c.hdf5" } },
            { "dir/d.hdf5 is not on rank 0", { file "a.hdf5", file "b.hdf5", file "c.hdf5", file "d.hdf5" } },
            { "dir/b.hdf5 has 11 samples, 10 samples on rank 0",
                { file "a.hdf5", file("b.hdf5", { samples = 11, bytes = 7 }), file("c.hdf5", { samples = 1 }) } },
            { "dir/b.hdf5 has 999 bytes, 1000 bytes on rank 0", { file "a.hdf5", file("b.hdf5", { bytes = 999 }) } },
            { "dir/a.hdf5 has CRC32C 00000001, CRC32C 0000abcd on rank 0", { file("a.hdf5", { checksum = 1 }) } },
        }
        for _, case in ipairs(cases) do assert.are.equal(case[1], equal_files.difference(case[2], FIRST, "dir")) end
    end)

    it("are not asked for in a single process", function()
        equal_files.check(Ranks.new { rank = 0, size = 1 }, { file "a.hdf5" }, "dir")
    end)

    --- Rank 1 of two: rank 0 has FIRST, or this rank's list.
    local function rank_1(same)
        local told = {}
        return {
            rank = 1, size = 2, main = false,
            exchange = function(_, numbers)
                told[#told + 1] = numbers[1]
                return { { same and numbers[1] or storage.crc32c(json.encode(FIRST)) }, numbers }
            end,
            broadcast_text = function(_, text)
                assert.are.equal("", text)
                return json.encode(FIRST)
            end,
            together = function(_, fn) fn() end,
        }
    end

    it("are compared by one number where they are equal", function()
        equal_files.check(rank_1(true), { file "a.hdf5" }, "dir")
        equal_files.check(rank_1(false), { file "a.hdf5", file "b.hdf5", file "c.hdf5" }, "dir")
    end)

    it("are a fault of one line where they differ", function()
        local ok, problem = pcall(equal_files.check, rank_1(false), { file "a.hdf5", file "b.hdf5" }, "dir")
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal("no dir/c.hdf5, which rank 0 has; every rank must see the same files under the same path",
            problem.message)
    end)

    --- What rank 1 says where rank 0 and rank 1 run check(job) on folders of their own: a message, or nil.
    -- @param check function(ranks, folder)
    local function two(check, first, second)
        local number, text
        check({ rank = 0, size = 2, main = true, together = function(_, fn) return fn() end,
            exchange = function(_, numbers)
                number = numbers[1]
                return { numbers, { -2 } }
            end,
            broadcast_text = function(_, given)
                text = given
                return given
            end }, first)
        local ok, problem = pcall(check, { rank = 1, size = 2, main = false, together = function(_, fn) return fn() end,
            exchange = function(_, numbers) return { { number }, numbers } end,
            broadcast_text = function() return text end }, second)
        if ok then return nil end
        assert.is_true(fault.is(problem), tostring(problem))
        return (problem.message:gsub("; every rank must see the same files under the same path$", ""))
    end

    describe("that are no shards", function()
        local base
        before_each(function()
            base = assert(fs.temporary_folder())
            for _, machine in ipairs { "a", "b" } do
                for _, name in ipairs { "config.json", "vocab.txt", "train.tsv", "dev.tsv", "start/progress.json",
                    "start/model.safetensors", "other/pytorch_model.bin" } do
                    local path = ("%s/%s/%s"):format(base, machine, name)
                    assert(fs.mkdirs(fs.dirname(path)))
                    assert(fs.write(path, "text of " .. name))
                end
            end
        end)
        after_each(function() fs.remove(base) end)

        local function said(start)
            return two(function(ranks, machine)
                local at = ("%s/%s/"):format(base, machine)
                equal_files.check_inputs { ranks = ranks, values = { train_file = at .. "train.tsv" },
                    run = { config_file = at .. "config.json", vocab_file = at .. "vocab.txt",
                        evaluate = { dev_file = at .. "dev.tsv" }, start = { path = at .. (start or "start") } } }
            end, "a", "b")
        end

        it("are compared byte by byte, with what the run starts from", function()
            assert.is_nil(said())
            assert.is_nil(said "other")
            assert.is_nil(said "start/model.safetensors")
            for _, case in ipairs { { "config.json" }, { "vocab.txt" }, { "train.tsv" }, { "dev.tsv" },
                { "start/progress.json" }, { "other/pytorch_model.bin", "other" },
                { "start/model.safetensors", "start/model.safetensors" } } do
                local name, path = case[1], base .. "/b/" .. case[1]
                local text = assert(fs.read(path))
                assert(fs.write(path, text:upper()))
                assert.are.equal(("%s has CRC32C %08x, CRC32C %08x on rank 0"):format(path,
                    storage.crc32c(text:upper()), storage.crc32c(text)), said(case[2]))
                assert(fs.write(path, text .. "\n"))
                assert.are.equal(("%s has %d bytes, %d bytes on rank 0"):format(path, #text + 1, #text), said(case[2]))
                assert(fs.remove(path))
                if name == "start/progress.json" then
                    -- Without it the folder is another program's.
                    assert.are.equal(base .. "/b/start/model.safetensors has 31 bytes, 27 bytes on rank 0", said())
                else
                    local missing = name:find "^other" and base .. "/b/other" or path
                    assert.are.equal(("no %s, which rank 0 has"):format(missing), said(case[2]))
                end
                assert(fs.write(path, text))
                local there = ("%s/a/%s"):format(base, name)
                if not name:find "^start/p" and not name:find "^other" then
                    assert(fs.remove(there))
                    assert.are.equal(path .. " is not on rank 0", said(case[2]))
                    assert(fs.write(there, text))
                end
            end
            -- A checkpoint's progress.json vouches for what each machine then reads.
            assert(fs.write(base .. "/b/start/model.safetensors", "another"))
            assert.is_nil(said())
        end)

        it("are nothing to compare for a job of one process", function()
            equal_files.check_inputs { ranks = { size = 1 } }
            equal_files.check_shards { ranks = { size = 1 }, run = {} }
        end)
    end)

    it("are held-out shards too, where a rank has them", function()
        local base = assert(fs.temporary_folder())
        local function said(train)
            return two(function(ranks, machine)
                equal_files.check_shards({ ranks = ranks, run = { evaluate = { input_dir = base .. "/" .. machine } } },
                    train and { listed = {}, input_dir = "x" })
            end, "a", "b")
        end
        assert(fs.mkdirs(base .. "/a"))
        shards.write(base .. "/a/test_0.hdf5", shards.values(20, 16, 3))
        assert.is_nil(said())
        assert(fs.mkdirs(base .. "/b"))
        shards.write(base .. "/b/test_0.hdf5", shards.values(20, 16, 3))
        assert.is_nil(said())
        shards.write(base .. "/b/test_0.hdf5", shards.values(21, 16, 3))
        assert.are.equal(base .. "/b/test_0.hdf5 has 21 samples, 20 samples on rank 0", said())
        fs.remove(base)
    end)
end)
