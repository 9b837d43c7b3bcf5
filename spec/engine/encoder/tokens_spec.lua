--- Tags of words in C against bl.load.

local Encoder = require "bertlua.encoder"
local api = require "bertlua.encoder_api"
local fs = require "bertlua.util.fs"
local models = require "spec.support.encoder_models"

local CLOSE = 1e-6

describe("the engine's tagger", function()
    local folder, path

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-tokens-")
        path = models.write(folder .. "/tags", "tags")
    end)
    teardown(function() fs.remove(folder) end)

    local function words_of(text)
        local list = {}
        for word in text:gmatch "%S+" do list[#list + 1] = word end
        return list
    end

    --- Tag a sentence in both ways; returns which tags came up.
    local function compare(lua, c, words)
        local tags, scores = lua:tag(words)
        local list, seen = assert(c:tokens(words)), {}
        assert.are.equal(#words, #list)
        for i = 1, #words do
            seen[tags[i]] = true
            assert.are.equal(tags[i], c:label(list[i].label), ("word %d, %q"):format(i, words[i]))
            assert.is_true(math.abs(list[i].score - scores[i]) < CLOSE)
        end
        return seen
    end

    it("gives the tags of bl.load, in windows where a sentence is long", function()
        local lua, c = Encoder.load(path), assert(api.open(path))
        lua.on_cut = function() end
        local seen = compare(lua, c, words_of(table.concat(models.TEXTS, " "):rep(2)))
        assert.are.same({ O = true, B = true, I = true }, seen)
        for _, words in ipairs { { "the" }, words_of "the cat sat", { " ", "cat", "\1", "[SEP]", "two words" },
            words_of(("unseen "):rep(100)) } do
            compare(lua, c, words)
        end
        lua:close()
        c:close()
    end)

    it("does so for any length of window, and with words that fill one", function()
        local words = words_of(("the unseen cat aaaaaaa on 北京是 bad "):rep(6) .. ("b"):rep(60) .. " cat "
            .. ("c"):rep(30) .. (" dog"):rep(20))
        for _, limit in ipairs { 3, 4, 5, 9, 16, 33 } do
            local lua = Encoder.load(path, { max_seq_length = limit })
            local c = assert(api.open(path, { max_length = limit }))
            lua.on_cut = function() end
            compare(lua, c, words)
            lua:close()
            c:close()
        end
    end)

    it("refuses a word that is too long where that is asked for, and what is not UTF-8", function()
        local c = assert(api.open(path, { max_length = 6, refuse_long = true }))
        assert.are.equal(2, #c:tokens { "aaaa", "b" })
        local _, message = c:tokens { "cat", "aaaaa" }
        assert.are.equal(
            "tokens: words[1] has 5 pieces, expected at most 4: shorten it, or do not set refuse_long", message)
        _, message = c:tokens { "cat", "dog", "\200" }
        assert.matches("^tokens: words%[2%]: byte 0: invalid UTF%-8 %(0xc8%)", message)
        assert.are.same({}, c:tokens {})
        c:close()
    end)

    it("takes linear time", function()
        local c, words, start = assert(api.open(path, { max_length = 8, threads = 1 })), {}, os.clock()
        for i = 1, 10000 do words[i] = "cat" end
        assert.are.equal(10000, #c:tokens(words))
        assert.is_true(os.clock() - start < 5)
        c:close()
    end)
end)
