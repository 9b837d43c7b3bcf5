--- The tokenizer class: arguments, faults, results as tables.

local Tokenizer = require "bertlua.text.tokenizer"
local array = require "bertlua.array"
local fails_here = require("spec.support.errors").fails_here
local fault = require "bertlua.fault"
local tensor = require "bertlua.tensor"
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
        local fast, count = tokenizer:encode_array "Unaffable!"
        assert.are.equal(4, count)
        for i = 0, 3 do assert.are.equal(ids[i + 1], fast[i]) end
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

    it("takes special tokens in brackets as such where that is asked for", function()
        local function tokens(text)
            local list = {}
            for i, id in ipairs(tokenizer:encode_marked(text)) do list[i] = tokenizer:token(id) end
            return table.concat(list, " ")
        end
        assert.are.equal("the [MASK] [SEP] a [CLS] [PAD] [UNK]", tokens "the [MASK][SEP]A [CLS] [PAD][UNK]")
        assert.are.equal("[ [MASK] ] [ mask ] [ mas", tokens "[[MASK]] [mask] [MAS")
        assert.are.equal("[ the [SEP]", tokens "[the[SEP]")
        assert.are.equal("", tokens "")
        assert.are.equal(tokenizer:encode("[MASK]")[1], tokenizer:id "[")
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

    it("gives the text of ids as transformers does", function()
        local ids = tokenizer:encode "Hello, world! (don't) unaffable"
        assert.are.equal("hello, world! ( don ' t ) unaffable", tokenizer:decode(ids))
        table.insert(ids, 1, tokenizer.cls_id)
        ids[#ids + 1] = tokenizer.mask_id
        ids[#ids + 1] = tokenizer.sep_id
        assert.are.equal("[CLS] hello, world! ( don ' t ) unaffable [MASK] [SEP]", tokenizer:decode(ids))
        assert.are.equal("hello, world! ( don ' t ) unaffable", tokenizer:decode(ids, { skip_special_tokens = true }))
        assert.are.equal(tokenizer:decode(ids), tokenizer:decode(tensor.from(ids, "i32")))
        assert.are.equal(tokenizer:decode(ids), tokenizer:decode(array.int32(ids)))
        -- A piece without a word before it stays as it is.
        local pieces = { tokenizer:id "##ffa", tokenizer:id "##ble", tokenizer:id "##s" }
        assert.are.equal("##ffables", tokenizer:decode(pieces))
        assert.are.equal("hello", tokenizer:decode(tokenizer:id "hello"))
        assert.are.equal("", tokenizer:decode {})
        local pointer, count = tokenizer:encode_array "unaffable"
        assert.are.equal("unaffable", tokenizer:decode(pointer, { count = count }))
    end)

    it("refuses to decode what are no ids", function()
        local pointer = tokenizer:encode_array "unaffable"
        fails_here("tokenizer: decode got a pointer, expected { count = its length } as well",
            function() tokenizer:decode(pointer) end)
        fails_here("tokenizer: decode got the id 30522, expected 0 to 30521",
            function() tokenizer:decode { 30522 } end)
        fails_here("tokenizer: decode got the id 1.5, expected 0 to 30521", function() tokenizer:decode { 1.5 } end)
        fails_here("tokenizer: decode: options is a boolean, expected a table with skip_special_tokens, count",
            function() tokenizer:decode({ 1 }, true) end)
        fails_here("tokenizer: decode got a string, expected a list, a tensor or an int32 array of ids",
            function() tokenizer:decode "x" end)
        local rows = tensor.from({ { 1, 2 } }, "i32")
        fails_here("tokenizer: decode got i32 1x2 %a+, expected one dimension: decode one row at a time",
            function() tokenizer:decode(rows) end)
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
