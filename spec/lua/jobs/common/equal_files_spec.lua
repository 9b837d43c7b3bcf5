--- Files compared between ranks: which one differs first, and how that is said. With real processes:
-- spec/recipes/many_processes_spec.lua.

local Ranks = require "bertlua.train.ranks"
local equal_files = require "bertlua.jobs.common.equal_files"
local fault = require "bertlua.fault"

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
        local json = require "bertlua.util.json"
        local storage = require "bertlua.storage"
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
end)
