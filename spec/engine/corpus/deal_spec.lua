--- Documents dealt to shards of equal size, in memory and with too little of it.

local corpus = require "bertlua.corpus"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

describe("dealing", function()
    local folder
    setup(function() folder = process.temporary_folder() end)
    teardown(function() fs.remove(folder) end)

    local function open(test_share, memory)
        return corpus.documents { folder = folder, memory = memory or 2 ^ 20, test_share = test_share, seed = 1 }
    end

    --- A text of this many documents, some of them identical.
    local function text(count)
        local rng = require("bertlua.rng").new(5, 0)
        local pieces = {}
        for i = 1, count do
            pieces[i] = ("w%d "):format(i % 2900) .. ("x"):rep(math.floor(20 * math.exp(3 * rng:double()))) .. "\n"
        end
        return table.concat(pieces, "\n")
    end

    it("keeps shards within two percent, with whole documents", function()
        local path = fs.join(folder, "text")
        assert(fs.write(path, text(3000)))
        local documents = open(0.1)
        assert(documents:scan(path, 1000))
        local found = documents:counts()
        assert.are.equal(3000, found.documents)
        assert.is_true(found.test_documents > 240 and found.test_documents < 360)
        local sizes = documents:deal(7, 2)
        local low, high, sum = math.huge, 0, 0
        for i = 1, 7 do low, high = math.min(low, sizes[i]), math.max(high, sizes[i]) end
        for i = 1, 9 do sum = sum + sizes[i] end
        assert.is_true(high - low < 0.02 * low)
        assert.are.equal(found.bytes, sum)
        local seen, dealt, tests = {}, 0, 0
        for shard = 1, 9 do
            local bytes, last = 0, -1
            local list, count = documents:shard(shard)
            for its_path, begin, size in list do
                assert.are.equal(path, its_path)
                assert.is_true(begin > last)
                last = begin
                assert.is_nil(seen[begin])
                seen[begin] = true
                bytes = bytes + size
            end
            assert.are.equal(sizes[shard], bytes)
            dealt = dealt + count
            if shard > 7 then tests = tests + count end
        end
        assert.are.equal(3000, dealt)
        assert.are.equal(found.test_documents, tests)
    end)

    it("counts the copies among them, in any order and in either kind of shard", function()
        local path = fs.join(folder, "copies")
        assert(fs.write(path, "a\nb\n\nc\n\na\nb\n\nb\n\na\nb\n \nc\n\n\na\n"))
        for _, test_share in ipairs { 0, 0.5 } do
            local documents = open(test_share)
            assert(documents:scan(path, 1000))
            local found = documents:counts()
            assert.are.same({ 7, 0 }, { found.documents, found.repeated })
            assert(documents:deal(1, found.test_documents > 0 and 1 or 0))
            assert.are.equal(3, documents:counts().repeated)
        end
        assert.are.equal(3, require("bertlua.data").scan_documents({ path }):repeated())
    end)

    it("gives the same with too little memory for the list", function()
        local paths = { fs.join(folder, "one"), fs.join(folder, "two") }
        assert(fs.write(paths[1], text(7000)))
        assert(fs.write(paths[2], text(4000)))
        local function lists(memory)
            local documents, all = open(0.05, memory), {}
            for _, path in ipairs(paths) do assert(documents:scan(path, 1000)) end
            local sizes = documents:deal(5, 2)
            for shard = 1, 7 do
                for path, begin, size in (documents:shard(shard)) do
                    all[#all + 1] = ("%d %s %d %d"):format(shard, path, begin, size)
                end
            end
            return all, sizes
        end
        local in_memory, sizes = lists(2 ^ 30)
        local spilled, spilled_sizes = lists(1)
        assert.are.equal(11000, #in_memory)
        assert.are.same(in_memory, spilled)
        assert.are.same(sizes, spilled_sizes)
    end)

    it("refuses calls out of order", function()
        local path = fs.join(folder, "text")
        assert(fs.write(path, text(20)))
        local documents = open(0.5)
        assert.has_error(function() documents:shard(1) end)
        assert(documents:scan(path, 1000))
        assert.has_error(function() documents:deal(2, 0) end)
        assert(documents:deal(2, 1))
        assert.has_error(function() documents:deal(2, 1) end)
        assert.has_error(function() documents:scan(path, 1000) end)
        assert.has_error(function() documents:shard(4) end)
        local _, message = corpus.documents({ folder = folder .. "/none", memory = 1, test_share = 0, seed = 1 })
            :scan(folder .. "/nothing", 1000)
        assert.are.equal(folder .. "/nothing: cannot open: no such file or folder", message)
    end)

    it("names a line that is too long", function()
        local path = fs.join(folder, "line")
        assert(fs.write(path, "short\n" .. ("x"):rep(2000000) .. "\n"))
        local good, message = open(0):scan(path, 1000000)
        assert.is_nil(good)
        assert.are.equal(path .. ": byte 6: a line of more than 1000000 bytes begins here: is this text?", message)
    end)
end)
