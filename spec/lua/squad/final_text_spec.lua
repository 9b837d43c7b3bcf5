--- The answer as it is written in the context.

local Tokenizer = require "bertlua.text.tokenizer"
local final_text = require "bertlua.squad.final_text"

describe("final text", function()
    local tokenizer

    setup(function()
        tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
    end)

    local function align(predicted, original)
        return (final_text.align(predicted, final_text.prepare(tokenizer, original)))
    end

    it("keeps the context's case, accents and punctuation", function()
        assert.are.equal("Steve Smith", align("steve smith", "Steve Smith's"))
        assert.are.equal("Álvarez", align("alvarez", "(Álvarez),"))
        assert.are.equal("1895", align("1895", "(1895-1943)."))
        assert.are.equal("U.S.", align("u . s .", "U.S.-born"))
        assert.are.equal("北京", align("北 京", "在北京市"))
        assert.are.equal("5€", align("5€", "5€,"))
    end)

    it("falls back to whole words where letters cannot be aligned", function()
        -- A combining mark is a letter in the context only.
        assert.are.equal("nai\204\136ve,", align("naive", "nai\204\136ve,"))
        assert.are.equal("a\226\128\139b c", align("ab", "a\226\128\139b c"))
        assert.are.equal("other words", align("missing", "other words"))
        assert.are.equal("words", align("", "words"))
    end)

    it("joins pieces", function()
        assert.are.equal("unaffable man", final_text.join_pieces { "un", "##aff", "##able", "man" })
        assert.are.equal("able man", final_text.join_pieces { "##able", "man" })
        assert.are.equal("# # x", final_text.join_pieces { "#", "#", "x" })
    end)
end)
