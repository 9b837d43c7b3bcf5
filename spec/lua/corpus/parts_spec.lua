--- Pieces of the preparation on their own: sentences by language, cutting of large files, dealing.

local corpus = require "bertlua.corpus"
local fs = require "bertlua.util.fs"
local plain = require "bertlua.corpus.plain"
local process = require "spec.support.process"
local sentences = require "bertlua.corpus.sentences"

describe("sentences", function()
    it("go on after English titles, initials and reference words", function()
        local splitter = sentences.splitter "en"
        assert.are.same({ "Dr. Marsh met Harry S. Truman in St. Ives.", "See vol. 3 and fig. 2 there.", "It rained." },
            splitter:split "Dr. Marsh met Harry S. Truman in St. Ives. See vol. 3 and fig. 2 there. It rained.")
        assert.are.same({ "It cost 3.5 pounds.", "\"Why?\" he asked.", "Nobody knew!" },
            splitter:split "It cost 3.5 pounds. \"Why?\" he asked. Nobody knew!")
    end)

    it("follow the language", function()
        local text = "Die Mühle steht bzw. Stand dort. Sie ist alt."
        assert.are.same({ "Die Mühle steht bzw. Stand dort.", "Sie ist alt." }, sentences.splitter("de"):split(text))
        assert.are.equal(3, #sentences.splitter("en"):split(text))
        assert.are.same({ "水は流れる。", "風車は回る。" }, sentences.splitter("ja"):split "水は流れる。風車は回る。")
    end)
end)

describe("large text files", function()
    it("are cut between documents", function()
        local paragraph = ("The mill is old and grey. "):rep(40) .. "\n"
        local article = " = Mill = \n\n " .. paragraph .. "\n = = Wheel = = \n\n " .. paragraph .. "\n"
        local path = process.temporary(article:rep(math.ceil(34 * 2 ^ 20 / #article)))
        local parts = plain.parts({ path }, "auto", "corpus")
        assert.are.equal(2, #parts)
        local file = assert(io.open(path, "rb"))
        file:seek("set", parts[2].first)
        assert.are.equal(" = Mill = ", file:read "*l")
        file:close()
        assert.are.equal(parts[1].stop, parts[2].first)
        assert.are.equal(fs.size(path), parts[2].stop)
        os.remove(path)
    end)
end)

describe("dealing", function()
    it("keeps shards within two percent, each document whole", function()
        local rng = require("bertlua.rng").new(5, 0)
        local pieces = {}
        for i = 1, 3000 do
            pieces[i] = ("w%d "):format(i) .. ("x"):rep(math.floor(20 * math.exp(3 * rng:double()))) .. "\n"
        end
        local path = process.temporary(table.concat(pieces, "\n"))
        local documents = assert(corpus.scan({ path }, 1000))
        assert.are.equal(3000, documents:count())
        local tests = documents:count_test(0.1)
        assert.is_true(tests > 240 and tests < 360)
        local sizes = documents:deal(7, 2, 0.1, 1)
        local low, high = math.huge, 0
        for i = 1, 7 do low, high = math.min(low, sizes[i]), math.max(high, sizes[i]) end
        assert.is_true(high - low < 0.02 * low)
        local starts, order = documents:by_shard(9)
        local seen, bytes = {}, 0
        for shard = 1, 9 do
            for k = starts[shard - 1], starts[shard] - 1 do
                local _, _, size, its = documents:get(order[k])
                assert.are.equal(shard, its)
                assert.is_nil(seen[order[k]])
                seen[order[k]] = true
                bytes = bytes + size
            end
        end
        local sum = 0
        for i = 1, 9 do sum = sum + sizes[i] end
        assert.are.equal(sum, bytes)
        assert.are.equal(3000, starts[9])
        assert.are.equal(tests, starts[9] - starts[7])
        os.remove(path)
    end)

    it("names a line that is too long", function()
        local path = process.temporary("short\n" .. ("x"):rep(2000000) .. "\n")
        local documents, message = corpus.scan({ path }, 1000000)
        assert.is_nil(documents)
        assert.are.equal(path .. ": byte 6: a line of more than 1000000 bytes begins here: is this text?", message)
        os.remove(path)
    end)
end)
