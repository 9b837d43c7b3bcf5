--- Sequences out of texts and ids: special tokens, types, cutting.

local Composer = require "bertlua.data.composer"
local Tokenizer = require "bertlua.text.tokenizer"
local array = require "bertlua.array"
local vocabulary = require "spec.support.vocabulary"

describe("a composer", function()
    --- Tokens of what a composer of this length writes; its length, first_length, cut.
    local function compose(max_length, text, pair)
        local list, length, first_length, cut
        vocabulary.with_files(function(write)
            local words = Tokenizer.load(write(vocabulary.text { "a", "b", "c", "d", "x", "y", "z" }),
                { do_lower_case = true })
            local composer, target = Composer.new(words, max_length), array.int32(max_length + 1)
            target[max_length] = 77
            if type(text) == "string" then
                length, first_length, cut = composer:texts(target, text, pair)
            else
                length, first_length, cut = composer:ids(target, array.int32(text), #text, pair and array.int32(pair),
                    pair and #pair)
            end
            list = {}
            for i = 1, length do list[i] = words:token(target[i - 1]) end
            assert.are.equal(77, target[max_length])
        end)
        return { table.concat(list, " "), first_length, cut }
    end

    it("puts [CLS] and [SEP] around a text, and [SEP] behind its pair", function()
        assert.are.same({ "[CLS] a b [SEP]", 4, false }, compose(8, "A b"))
        assert.are.same({ "[CLS] a b [SEP] x [SEP]", 4, false }, compose(8, "a b", "x"))
        assert.are.same({ "[CLS] a b [SEP]", 4, false }, compose(8, { 5, 6 }))
        assert.are.same({ "[CLS] a b [SEP] x [SEP]", 4, false }, compose(8, { 5, 6 }, { 9 }))
    end)

    it("cuts the end of the longer one, of the second if they are equally long", function()
        assert.are.same({ "[CLS] a b c d [SEP]", 6, false }, compose(6, "a b c d"))
        assert.are.same({ "[CLS] a b c [SEP]", 5, true }, compose(5, "a b c d"))
        assert.are.same({ "[CLS] a b [SEP] x y [SEP]", 4, true }, compose(7, "a b c d", "x y"))
        assert.are.same({ "[CLS] a b [SEP] x [SEP]", 4, true }, compose(6, "a b c d", "x y z"))
        -- Longer than the composer's own memory.
        assert.are.same({ "[CLS] a [SEP] x y z [SEP]", 3, true }, compose(7, "a", ("x y z "):rep(30)))
    end)
end)
