--- The tokenizer class: arguments, faults, results as tables.

local Tokenizer = require "bertlua.text.tokenizer"
local fault = require "bertlua.fault"
local vocabulary = require "spec.support.vocabulary"

local UNCASED, CASED = "vocab/bert-base-uncased-vocab.txt", "vocab/bert-base-cased-vocab.txt"

local function fault_of(...)
    local ok, problem = pcall(Tokenizer.load, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem))
    return tostring(problem)
end

describe("Tokenizer", function()
    local tokenizer

    setup(function()
        tokenizer = Tokenizer.load(UNCASED, { do_lower_case = true })
    end)

    it("gives tokens, ids and an array", function()
        assert.are.same({ "una", "##ffa", "##ble", "!" }, tokenizer:tokenize "Unaffable!")
        local ids = tokenizer:encode "Unaffable!"
        for i, id in ipairs(ids) do assert.are.equal(tokenizer:tokenize("Unaffable!")[i], tokenizer:token(id)) end
        local array, count = tokenizer:encode_array "Unaffable!"
        assert.are.equal(4, count)
        for i = 0, 3 do assert.are.equal(ids[i + 1], array[i]) end
        assert.are.same({}, tokenizer:encode "")
    end)

    it("knows its special tokens, size and name", function()
        assert.are.equal("[CLS]", tokenizer:token(tokenizer.cls_id))
        assert.are.equal("[SEP]", tokenizer:token(tokenizer.sep_id))
        assert.are.equal("[MASK]", tokenizer:token(tokenizer.mask_id))
        assert.are.equal("[PAD]", tokenizer:token(tokenizer.pad_id))
        assert.are.equal("[UNK]", tokenizer:token(tokenizer.unk_id))
        assert.are.equal(30522, tokenizer:size())
        assert.are.equal(1996, tokenizer:id "the")
        assert.are.equal(("Tokenizer(%s, 30522 tokens, uncased)"):format(UNCASED), tostring(tokenizer))
    end)

    it("maps tokens and words to bytes of the text", function()
        local text = "Naïve cafés."
        local ids, starts, stops = tokenizer:encode_with_offsets(text)
        local sources = {}
        for i in ipairs(ids) do sources[i] = text:sub(starts[i] + 1, stops[i]) end
        assert.are.same({ "Naïve", "cafés", "." }, sources)
        assert.are.same({
            { text = "naive", start = 0, stop = 6 },
            { text = "cafes", start = 7, stop = 13 },
            { text = ".", start = 13, stop = 14 },
        }, tokenizer:words(text))
        assert.are.same(tokenizer:encode "embeddings", tokenizer:pieces "embeddings")
    end)

    it("keeps one tokenizer's results while another works", function()
        local other = Tokenizer.load(CASED, { do_lower_case = false })
        local ids, count = tokenizer:encode_array "hello world"
        other:encode_array "Completely different text here"
        assert.are.same({ 2, 7592, 2088 }, { count, ids[0], ids[1] })
    end)

    it("refuses a vocabulary of the other casing", function()
        assert.is_truthy(fault_of(CASED, { do_lower_case = true }):find("is cased", 1, true))
        assert.is_truthy(fault_of(UNCASED, { do_lower_case = false }):find("is uncased", 1, true))
        assert.is_table(Tokenizer.load(UNCASED, { do_lower_case = false, any_casing = true }))
    end)

    it("does not judge the casing of a tiny vocabulary", function()
        vocabulary.with_files(function(write)
            local path = write(vocabulary.text { "a", "B" })
            assert.are.same({ "a", "[UNK]" }, Tokenizer.load(path, { do_lower_case = true }):tokenize "A B")
            assert.are.same({ "[UNK]", "B" }, Tokenizer.load(path, { do_lower_case = false }):tokenize "A B")
        end)
    end)

    it("faults on a broken vocabulary", function()
        assert.is_truthy(fault_of("no/vocab.txt", { do_lower_case = true }):find("no/vocab.txt", 1, true))
    end)

    it("blames the caller for wrong arguments", function()
        assert.has_error(function() Tokenizer.load(nil, { do_lower_case = true }) end,
            "tokenizer: vocab_file is nil, expected a path")
        assert.has_error(function() Tokenizer.load(UNCASED) end,
            "tokenizer: do_lower_case is nil, expected { do_lower_case = true or false }")
        assert.has_error(function() tokenizer:encode(3) end, "tokenizer: text is number, expected a string")
        assert.has_error(function() tokenizer:tokenize() end, "tokenizer: text is nil, expected a string")
        local ok, message = pcall(function() tokenizer:encode_array {} end)
        assert.is_false(ok)
        assert.is_truthy(message:find("tokenizer_spec.lua:%d+: "), message)
    end)
end)
