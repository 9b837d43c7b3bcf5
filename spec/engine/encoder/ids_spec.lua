--- Texts as token ids in C: the same as those of Lua, which the states that a model makes of them show.

local lua_encoder = require "spec.support.lua_encoder"
local models = require "spec.support.encoder_models"

-- States of other ids or types differ by tenths.
local CLOSE = 1e-4
-- Seconds of processor time for 200 KB of text, twenty times what it takes.
local MOST = 1

local function distance(a, b)
    assert.are.equal(#a, #b)
    local worst = 0
    for row = 1, #a do
        for column = 1, #a[row] do worst = math.max(worst, math.abs(a[row][column] - b[row][column])) end
    end
    return worst
end

describe("texts as ids", function()
    local both, path, lua, c

    setup(function()
        both = models.both "words"
        path, lua, c = both.path, both.lua, both.c
    end)
    teardown(function() both.close() end)

    local function assert_same(mine, theirs, text, pair)
        local states = theirs:hidden_states(text, pair)
        assert.is_true(distance(states[#states]:tolist(), mine:hidden(text, pair):tolist()) < CLOSE,
            ("%q %q"):format(text, tostring(pair)))
    end

    it("are those of Lua, in any script and however hostile", function()
        local lengths = assert(c:lengths(models.TEXTS))
        for i, text in ipairs(models.TEXTS) do
            local ids = lua_encoder.encode(lua.tokenizer, text, nil, math.huge)
            assert.are.equal(#ids, lengths[i], text)
            assert_same(c, lua, text)
        end
    end)

    it("are those of Lua in pairs, cut to any length", function()
        local list = { "", "the cat sat", ("dog "):rep(20), "[SEP] 北 a [MASK]" }
        for _, limit in ipairs { 3, 7, 48 } do
            local mine = assert(models.open(path, { max_length = limit }))
            local theirs = models.load(path, { max_seq_length = limit })
            for _, text in ipairs(list) do
                for _, pair in ipairs(list) do
                    assert_same(mine, theirs, text, pair)
                    local whole = lua_encoder.encode(lua.tokenizer, text, pair, math.huge)
                    assert.are.same({ #whole }, mine:lengths({ text }, { pair }))
                end
            end
            mine:close()
            theirs:close()
        end
    end)

    it("refuse what is too long where that is asked for, and still tell its length", function()
        local strict = assert(models.open(path, { refuse_long = true, max_length = 5 }))
        assert.are.same({ 5, 6 }, strict:lengths { "the cat sat", "the cat sat on" })
        assert.are.same({ 2, 32 }, strict:embed({ "the cat sat", "a" }):dims())
        local vectors, message = strict:embed { "a", "the cat sat on" }
        assert.is_nil(vectors)
        assert.are.equal("embed: texts[1] has 6 tokens, expected at most 5: shorten it, or do not set refuse_long",
            message)
        strict:close()
    end)

    it("refuse what is not UTF-8, with its place", function()
        for bad, at in pairs { ["a\255"] = 1, ["\237\160\128"] = 0, ["ab\192\175"] = 2, ["abc\240\159\152"] = 3 } do
            local _, message = c:lengths { "fine", bad }
            assert.are.equal(("lengths: texts[1]: byte %d: invalid UTF-8 (0x%02x): convert it (iconv -t UTF-8)"):format(
                at, bad:byte(at + 1)), message)
        end
        local _, message = c:classify({ "a" }, { "b" })
        assert.are.equal("classify: this encoder has no classification head (it has an MLM head): open a model that "
            .. "has one", message)
        _, message = c:lengths({ "a" }, { "\128" })
        assert.matches("^lengths: pairs%[0%]: byte 0: invalid UTF%-8", message)
    end)

    it("take linear time", function()
        local hostile = { "[", "[MASK]", "[[MASK]]", " ", "a", "ab ", "北", "e\204\129", "]", "[SEP", "😀" }
        for _, piece in ipairs(hostile) do
            local text, start = piece:rep(math.floor(2e5 / #piece)), os.clock()
            assert(c:lengths { text })
            assert.is_true(os.clock() - start < MOST, piece)
        end
    end)
end)
