--- Code points, words and white space.

local text = require "bertlua.squad.text"

local function words_of(s)
    local starts, stops, count = text.words(s)
    local list = {}
    for i = 0, count - 1 do list[i + 1] = s:sub(starts[i] + 1, stops[i]) end
    return list
end

describe("squad text", function()
    it("finds what is not UTF-8", function()
        assert.is_nil(text.invalid_byte "")
        assert.is_nil(text.invalid_byte "plain, ä, 東, 🦊, \239\191\191, \244\143\191\191")
        for bytes, at in pairs {
            ["ab\128"] = 3, ["\192\175"] = 1, ["a\224\159\191"] = 2, ["\237\160\128"] = 1, ["\240\143\191\191"] = 1,
            ["\244\144\128\128"] = 1, ["ä\195"] = 3, ["\255"] = 1, ["x\226\130"] = 2, ["\240\159\166"] = 1,
        } do
            assert.are.equal(at, text.invalid_byte(bytes))
        end
    end)

    it("counts and places code points", function()
        assert.are.equal(3, text.length "abc")
        assert.are.equal(4, text.length "a東🦊é")
        local offsets, count = text.code_points "a東🦊é"
        assert.are.equal(4, count)
        assert.are.same({ 0, 1, 4, 8, 10 }, { offsets[0], offsets[1], offsets[2], offsets[3], offsets[4] })
        assert.are.same({ 0x1f98a, 4 }, { text.decode("🦊", 1) })
        assert.are.same({ 0x6771, 3 }, { text.decode("a東", 2) })
        assert.are.same({ 0xe9, 2 }, { text.decode("é", 1) })
    end)

    it("splits words only at SQuAD's white space", function()
        assert.are.same({ "one", "two", "three\194\160four", "five", "six" },
            words_of " one\t two\r\n\nthree\194\160four\226\128\175five six ")
        assert.are.same({}, words_of " \n")
        assert.are.same({}, words_of "")
        local s = "  one\ttwo\226\128\175 three  "
        assert.are.equal("one two three", text.join_words(s, 2, #s - 2))
    end)

    it("splits at any white space", function()
        assert.are.same({ "a", "b", "c", "d", "e", "f", "gé" },
            text.split "\28a\194\160b\194\133c\227\128\128d\226\128\131e\225\154\128\226\129\159f\226\128\169gé\v")
        assert.are.equal("à b", text.fold_spaces "  à \n b ")
    end)

    it("finds line and column", function()
        assert.are.same({ 1, 1 }, { text.line_and_column("ab\ncd", 1) })
        assert.are.same({ 2, 2 }, { text.line_and_column("ab\ncd", 5) })
    end)
end)
