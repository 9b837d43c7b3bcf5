--- The tokenizer against golden values, against a naive one, and against garbage.

local cjson = require "cjson"
local fs = require "bertlua.util.fs"
local text_native = require "bertlua.text"
local vocabulary = require "spec.support.vocabulary"

local function list(ids, count)
    local values = {}
    for i = 1, count do values[i] = ids[i - 1] end
    return values
end

local function tokens_of(tokenizer, text)
    local values = list(tokenizer:encode(text))
    for i, id in ipairs(values) do values[i] = tokenizer:token(id) end
    return values
end

local function texts_of(words)
    local values = {}
    for i, word in ipairs(words) do values[i] = word.text end
    return values
end

describe("tokenizer", function()
    local uncased, cased, cases

    setup(function()
        uncased = assert(text_native.load("vocab/bert-base-uncased-vocab.txt", true))
        cased = assert(text_native.load("vocab/bert-base-cased-vocab.txt", false))
        cases = cjson.decode((assert(fs.read "spec/fixtures/text/tokenizer_cases.json")))
    end)

    it("equals the golden tokens and ids", function()
        assert.is_true(#cases >= 40)
        for _, case in ipairs(cases) do
            for name, tokenizer in pairs { uncased = uncased, cased = cased } do
                assert.are.same(case[name].tokens, tokens_of(tokenizer, case.text), name .. ": " .. case.text)
                assert.are.same(case[name].ids, list(tokenizer:encode(case.text)), name .. ": " .. case.text)
            end
        end
    end)

    it("knows the published sizes and special ids", function()
        assert.are.equal(30522, uncased.size)
        assert.are.equal(28996, cased.size)
        for _, tokenizer in ipairs { uncased, cased } do
            assert.are.same({ 0, 100, 101, 102, 103 }, { tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id,
                tokenizer.sep_id, tokenizer.mask_id })
        end
        assert.are.equal(0, uncased.upper_case_pieces)
        assert.is_true(cased.upper_case_pieces > 5000)
    end)

    it("maps every id to its token and back", function()
        for _, tokenizer in ipairs { uncased, cased } do
            for id = 0, tokenizer.size - 1 do
                assert.are.equal(id, tokenizer:id(tokenizer:token(id)))
            end
            assert.is_nil(tokenizer:token(-1))
            assert.is_nil(tokenizer:token(tokenizer.size))
            assert.is_nil(tokenizer:id "no such token")
            assert.is_nil(tokenizer:id "")
        end
    end)

    it("equals its steps: words, then pieces", function()
        for _, case in ipairs(cases) do
            local joined = {}
            for _, word in ipairs(uncased:words(case.text)) do
                for _, id in ipairs(list(uncased:pieces(word.text))) do joined[#joined + 1] = id end
            end
            assert.are.same(list(uncased:encode(case.text)), joined)
        end
    end)

    it("gives byte offsets into the original text", function()
        local text = "  Ünaffäble\u{200b}s, cafe\u{301} 北京! 한국 x"
        local ids, starts, stops, count = uncased:encode_with_offsets(text)
        local sources = {}
        for i = 0, count - 1 do
            sources[i + 1] = { uncased:token(ids[i]), text:sub(starts[i] + 1, stops[i]) }
        end
        assert.are.same({
            { "una", "Üna" }, { "##ffa", "ffä" }, { "##bles", "ble\u{200b}s" }, { ",", "," },
            { "cafe", "cafe\u{301}" }, { "北", "北" }, { "京", "京" }, { "!", "!" },
            { "ᄒ", "한" }, { "##ᅡ", "한" }, { "##ᆫ", "한" }, { "##ᄀ", "국" }, { "##ᅮ", "국" }, { "##ᆨ", "국" },
            { "x", "x" },
        }, sources)
    end)

    it("covers an unknown or overlong word with one offset range", function()
        local long = ("x"):rep(201)
        local text = "a " .. long .. " 😀😀 b"
        local ids, starts, stops, count = uncased:encode_with_offsets(text)
        assert.are.equal(4, count)
        assert.are.same({ uncased.unk_id, uncased.unk_id }, { ids[1], ids[2] })
        assert.are.equal(long, text:sub(starts[1] + 1, stops[1]))
        assert.are.equal("😀😀", text:sub(starts[2] + 1, stops[2]))
    end)

    it("gives whole words of any length in basic tokenization", function()
        local long = ("Á"):rep(5000)
        local words = uncased:words("x " .. long .. "!")
        assert.are.same({ "x", ("a"):rep(5000), "!" }, texts_of(words))
        assert.are.same({ 2, 2 + #long }, { words[2].start, words[2].stop })
        assert.are.same({ long }, texts_of(cased:words(long)))
    end)

    it("treats bytes that are not UTF-8 as absent", function()
        for _, broken in ipairs { "\255", "\192\128", "\237\160\128", "\244\144\128\128", "\128", "\226\130" } do
            assert.are.same({ "hello", "world" }, tokens_of(uncased, "hel" .. broken .. "lo wor" .. broken .. "ld"))
        end
        assert.are.same({ "hello" }, tokens_of(uncased, "hello\240\159\152"))
    end)

    it("places the final sigma as Unicode says", function()
        assert.are.same({ "ας" }, texts_of(uncased:words "ΑΣ"))
        assert.are.same({ "ας", "β" }, texts_of(uncased:words "ΑΣ Β"))
        assert.are.same({ "ασ", ".", "β" }, texts_of(uncased:words "ΑΣ.Β"))
        assert.are.same({ "ας", "." }, texts_of(uncased:words "ΑΣ."))
        assert.are.same({ "σ" }, texts_of(uncased:words "Σ"))
        assert.are.same({ "中", "σ" }, texts_of(uncased:words "中Σ"))
    end)

    it("finds the longest pieces of random vocabularies as a naive search does", function()
        local random = vocabulary.random(7)
        local letters = { "a", "b", "c", "é", "日" }
        local function word(most)
            local parts = {}
            for i = 1, random(most) do parts[i] = letters[random(#letters)] end
            return table.concat(parts)
        end
        vocabulary.with_files(function(write)
            for _ = 1, 20 do
                local known, tokens = {}, {}
                for _ = 1, 10 + random(60) do
                    local token = (random(2) == 1 and "##" or "") .. word(5)
                    if not known[token] then
                        known[token] = true
                        tokens[#tokens + 1] = token
                    end
                end
                local tokenizer = assert(text_native.load(write(vocabulary.text(tokens)), false))
                for _ = 1, 100 do
                    local characters = vocabulary.characters(word(12))
                    local expected, first = {}, 1
                    while first <= #characters do
                        local found
                        for last = #characters, first, -1 do
                            local piece = (first > 1 and "##" or "") .. table.concat(characters, "", first, last)
                            if known[piece] then
                                found, expected[#expected + 1], first = true, piece, last + 1
                                break
                            end
                        end
                        if not found then
                            expected = { "[UNK]" }
                            break
                        end
                    end
                    local got = list(tokenizer:pieces(table.concat(characters)))
                    for i, id in ipairs(got) do got[i] = tokenizer:token(id) end
                    assert.are.same(expected, got)
                end
            end
        end)
    end)

    it("survives 20,000 random and mutated strings", function()
        local random = vocabulary.random(11)
        local seeds = {}
        for i, case in ipairs(cases) do seeds[i] = case.text:sub(1, 200) end
        local function noise(length)
            local bytes = {}
            for i = 1, length do bytes[i] = string.char(random(256) - 1) end
            return table.concat(bytes)
        end
        local function mutate(text)
            for _ = 1, random(4) do
                local at = random(#text + 1)
                local drop = random(4) - 1
                text = text:sub(1, at - 1) .. noise(random(3) - 1) .. text:sub(at + drop)
            end
            return text
        end
        for round = 1, 10000 do
            for _, text in ipairs { noise(random(64) - 1), mutate(seeds[random(#seeds)]) } do
                local tokenizer = round % 2 == 0 and uncased or cased
                local plain = list(tokenizer:encode(text))
                local ids, starts, stops, count = tokenizer:encode_with_offsets(text)
                if count ~= #plain then error "offsets change the tokens" end
                local last = 0
                for i = 0, count - 1 do
                    local id, start, stop = ids[i], starts[i], stops[i]
                    if id ~= plain[i + 1] then error "offsets change the tokens" end
                    if id < 0 or id >= tokenizer.size then error("id outside the vocabulary: " .. id) end
                    if start < 0 or stop <= start or stop > #text then error "offsets outside the text" end
                    -- Marks in canonical order may step back, but only within their own word.
                    if stop < last - 64 then error "offsets run backwards" end
                    last = stop
                end
                tokenizer:words(text)
                tokenizer:pieces(text)
            end
        end
    end)
end)

describe("a vocabulary file", function()
    local function message_of(text)
        local message
        vocabulary.with_files(function(write)
            local path = write(text)
            local tokenizer, reason = text_native.load(path, true)
            assert.is_nil(tokenizer)
            assert.is_truthy(reason:find(path, 1, true), reason)
            message = reason:gsub("^.-%.txt: ", "")
        end)
        return message
    end

    it("may end without a line end or with CR LF", function()
        vocabulary.with_files(function(write)
            local text = vocabulary.text { "a", "##b" }
            for _, variant in ipairs { text, text:sub(1, -2), text:gsub("\n", "\r\n"), text .. "\n\n" } do
                local tokenizer = assert(text_native.load(write(variant), true))
                assert.are.equal(7, tokenizer.size)
                assert.are.same({ 5, 6 }, list(tokenizer:encode "ab"))
            end
        end)
    end)

    it("works without any ## piece", function()
        vocabulary.with_files(function(write)
            local tokenizer = assert(text_native.load(write(vocabulary.text { "a", "ab" }), true))
            assert.are.same({ "ab", "[UNK]", "a" }, tokens_of(tokenizer, "ab abb a"))
        end)
    end)

    it("is refused with its path when it is missing", function()
        local tokenizer, reason = text_native.load("no/such/vocab.txt", true)
        assert.is_nil(tokenizer)
        assert.is_truthy(reason:find("no/such/vocab.txt: No such file", 1, true), reason)
    end)

    it("is refused when it is a folder", function()
        local tokenizer, reason = text_native.load("vocab", true)
        assert.is_nil(tokenizer)
        assert.is_truthy(reason:find("directory", 1, true), reason)
    end)

    it("is refused when special tokens are missing, naming them", function()
        assert.is_truthy(message_of("[UNK]\n[CLS]\n[PAD]\na\n"):find("[SEP], [MASK] missing", 1, true))
        assert.is_truthy(message_of("a\nb\n"):find("[PAD], [UNK], [CLS], [SEP], [MASK] missing", 1, true))
    end)

    local NOTHING = { blank = 0, blank_line = 0, repeated = 0, repeated_line = 0, repeating_line = 0 }

    local function reads(text, ids, report)
        vocabulary.with_files(function(write)
            local path = write(text)
            for _, rules in ipairs { {}, { text = text } } do
                local tokenizer = assert(text_native.load(path, true, rules))
                assert.are.same(ids, list(tokenizer:encode "a b c"))
                assert.are.same(report or NOTHING, tokenizer.report)
            end
        end)
    end

    it("gives a token that comes twice the id of the last, as transformers does, and counts such lines", function()
        reads(vocabulary.text { "a", "b", "c", "b", "a", "a" }, { 10, 8, 7 },
            { blank = 0, blank_line = 0, repeated = 3, repeated_line = 6, repeating_line = 11 })
    end)

    it("keeps the ids behind a line without a token, and counts such lines", function()
        reads(vocabulary.text { "a", "", "b", " \t", "c" }, { 5, 7, 9 },
            { blank = 2, blank_line = 7, repeated = 0, repeated_line = 0, repeating_line = 0 })
    end)

    it("is read the same with a byte order mark, white space at the ends of lines, and any line ends", function()
        local text = vocabulary.text { "a", "b", "c" }
        for _, variant in ipairs { "\239\187\191" .. text, text:gsub("\n", "\r\n"), text:gsub("\n", " \t\n"),
            text:gsub("\n", "\194\160\227\128\128\n"), text:sub(1, -2), text .. "\n \n",
            "\239\187\191" .. text:gsub("\n", "\r\n"):sub(1, -3) } do
            vocabulary.with_files(function(write)
                local tokenizer = assert(text_native.load(write(variant), true))
                assert.are.same({ 5, 6, 7 }, list(tokenizer:encode "a b c"))
                assert.are.equal(0, tokenizer.pad_id)
                assert.are.equal("b", tokenizer:token(6))
            end)
        end
    end)

    it("is refused with the line that is not UTF-8, or without any token", function()
        assert.is_truthy(message_of("\239\187\191\n \n"):find("empty, expected one token per line", 1, true))
        assert.is_truthy(message_of(vocabulary.text { "\255\254" }):find("line 6 is not UTF-8", 1, true))
        assert.is_truthy(message_of(vocabulary.text { "a\0b" }):find("line 6 is not UTF-8", 1, true))
        assert.is_truthy(message_of(""):find("empty", 1, true))
        assert.is_truthy(message_of("\n\n"):find("empty", 1, true))
    end)
end)
