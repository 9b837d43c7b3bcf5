local Tokenizer = require "bertlua.text.tokenizer"
local tokens = require "bertlua.jobs.serve.tokens"

describe("tokens of a text", function()
    local words
    setup(function()
        words = Tokenizer.load("spec/fixtures/encoder/classification/vocab.txt", { do_lower_case = true })
    end)

    it("are those of the tokenizer, with the bytes they come from", function()
        local text = "The house"
        local ids, starts, stops = words:encode_with_offsets(text)
        local list = tokens.of(words, text, true)
        assert.are.equal(#ids + 2, #list)
        assert.are.same({ { id = words.cls_id, text = "[CLS]", special = true },
            { id = words.sep_id, text = "[SEP]", special = true } }, { list[1], list[#list] })
        for i, id in ipairs(ids) do
            assert.are.same({ id = id, text = text:sub(starts[i] + 1, stops[i]), start = starts[i], stop = stops[i] },
                list[i + 1])
        end
        assert.are.equal(#ids, #tokens.of(words, text, false))
    end)

    it("take special tokens as such", function()
        local list = tokens.of(words, "the [MASK] [NONE]", false)
        local mask = words:id "[MASK]"
        local found
        for _, token in ipairs(list) do
            if token.id == mask then found = token end
        end
        assert.are.same({ id = mask, text = "[MASK]", special = true }, found)
        assert.are.equal(#words:encode "the" + 1 + #words:encode "[NONE]", #list)
    end)

    it("of several texts let others run in between", function()
        local paused = 0
        local lists = tokens.of_texts(words, { texts = { "the", "house", "the" } }, function() paused = paused + 1 end)
        assert.are.same({ 3, 2 }, { #lists, paused })
    end)
end)
