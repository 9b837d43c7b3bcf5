--- Vocabularies out of tokenizer.json, and what the files beside a vocabulary say of how text is cut.

local Tokenizer = require "bertlua.text.tokenizer"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local term = require "bertlua.util.term"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local fixture = assert(json.read "spec/fixtures/text/tokenizer_json.json")

describe("a tokenizer.json", function()
    local folder, file, warn, warnings

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-tokenizer-json-")
        file = folder .. "/tokenizer.json"
        warn, warnings = term.warn, {}
        term.warn = function(text) warnings[#warnings + 1] = text end
    end)

    after_each(function()
        term.warn = warn
        fs.remove(folder)
    end)

    --- The fixture with some of its parts changed by path: { ["model.type"] = "BPE" }.
    local function write(changes)
        local value = json.decode(json.encode(fixture.tokenizer))
        for path, new in pairs(changes or {}) do
            local at, last = value, nil
            for part in path:gmatch "[^.]+" do
                if last then at = at[last] end
                last = part
            end
            if new == "(none)" then new = nil end
            at[last] = new
        end
        assert(fs.write(file, json.encode(value)))
    end

    local function refused(changes, text)
        write(changes)
        local ok, problem = pcall(vocabulary_file.open, file)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(file .. ": " .. text, tostring(problem))
    end

    it("gives the ids of Hugging Face's tokenizers, whatever its normalizer", function()
        assert.are.equal(24, #fixture.cases)
        for _, case in ipairs(fixture.cases) do
            write { normalizer = case.normalizer }
            local rules = vocabulary_file.open(file).rules
            assert.are.equal(20, rules.max_word_characters)
            local tokenizer = Tokenizer.load(file, { do_lower_case = rules.do_lower_case, any_casing = true })
            for i, text in ipairs(fixture.texts) do
                assert.are.same(case.ids[i], tokenizer:encode(text), json.encode(case.normalizer) .. " " .. text)
            end
        end
        assert.are.same({}, warnings)
    end)

    it("gives way to what tokenizer_config.json says, as in transformers", function()
        write()
        assert(fs.write(folder .. "/tokenizer_config.json", json.encode { do_lower_case = false,
            tokenize_chinese_chars = false, strip_accents = json.null, tokenizer_class = "BertTokenizer" }))
        local rules = vocabulary_file.open(file).rules
        assert.are.same({ false, false, nil, true }, { rules.do_lower_case, rules.split_ideographs,
            rules.strip_accents, rules.clean })
        assert.are.same({ tokenize_chinese_chars = false, max_input_chars_per_word = 20 },
            vocabulary_file.config_of(file, false))
    end)

    it("has the hash of the vocab.txt that it becomes, and rules that count are part of its identity", function()
        write()
        local lines = folder .. "/lines.txt"
        assert(vocabulary_file.copy(file, lines))
        assert.are.equal(vocabulary_file.open(file).text, fs.read(lines))
        assert.are.equal(fixture.tokenizer.model.vocab.hello, Tokenizer.load(lines,
            { do_lower_case = true, any_casing = true }):id "hello")
        local hash = vocabulary_file.sha256(lines)
        assert.are.equal(hash, vocabulary_file.sha256(file))
        assert.are.equal(hash, vocabulary_file.identity(lines, true))
        assert.are.equal(hash .. " max_input_chars_per_word=20", vocabulary_file.identity(file, true))
        write { ["normalizer.strip_accents"] = false, ["normalizer.clean_text"] = false }
        assert.are.equal(hash .. " clean_text=false max_input_chars_per_word=20 strip_accents=false",
            vocabulary_file.identity(file, true))
    end)

    it("of another model is refused by name, and so is what BERT's tokenizer has not", function()
        refused({ ["model.type"] = "BPE" }, "its model is BPE, expected WordPiece, which BERT has")
        refused({ ["model.type"] = "Unigram" }, "its model is Unigram, expected WordPiece, which BERT has")
        refused({ ["model.type"] = "WordLevel" }, "its model is WordLevel, expected WordPiece, which BERT has")
        refused({ ["model.type"] = "(none)", ["model.merges"] = json.array {} },
            "its model is BPE, expected WordPiece, which BERT has")
        refused({ model = "(none)" }, "not a tokenizer.json: it has no model")
        refused({ ["model.vocab"] = "(none)" }, "its model has no vocab")
        refused({ ["model.unk_token"] = "<unk>" }, "its unk_token is <unk>, expected [UNK]; others are not implemented")
        refused({ ["model.continuing_subword_prefix"] = "@@" },
            "its continuing_subword_prefix is @@, expected ##; others are not implemented")
        refused({ ["normalizer.type"] = "NFKC" },
            "its normalizer is NFKC, expected BertNormalizer: name a vocab.txt for BERT's WordPiece instead")
        refused({ pre_tokenizer = json.null },
            "its pre_tokenizer is none, expected BertPreTokenizer: name a vocab.txt for BERT's WordPiece instead")
        refused({ ["normalizer.lowercase"] = "yes" }, "lowercase of its normalizer is a string, expected true or false")
        refused({ ["model.max_input_chars_per_word"] = 0.5 },
            "max_input_chars_per_word is number, expected a whole number from 1")
    end)

    it("with hostile ids is refused without filling the memory", function()
        local few = { ["[PAD]"] = 0, ["[UNK]"] = 1 }
        local function with(token, id)
            local vocab = { [token] = id }
            for name, number in pairs(few) do vocab[name] = number end
            return { ["model.vocab"] = vocab, added_tokens = json.array {} }
        end
        refused(with("a", 2 ^ 24), "a has the id 16777216, expected a whole number below 2^24")
        refused(with("a", -1), "a has the id -1, expected a whole number below 2^24")
        refused(with("a", 1.5), "a has the id 1.5, expected a whole number below 2^24")
        refused(with("a", "2"), "a has the id 2, expected a whole number below 2^24")
        refused(with("a", 2 ^ 24 - 1), "its ids go up to 16777215, but it has 3 tokens")
        refused(with("a\nb", 2), "the token of id 2 has a line break")
        write(with("a", 1))
        assert.is_false(pcall(vocabulary_file.open, file))
        assert(fs.write(file, "{" .. (" "):rep(33 * 2 ^ 20) .. "}"))
        local _, problem = pcall(vocabulary_file.open, file)
        assert.are.equal(file .. ": has 33.0 MiB, expected at most 32", tostring(problem))
    end)

    it("keeps ids that no token has, and tells what it does not look for in texts", function()
        local vocab = {}
        for token, id in pairs(fixture.tokenizer.model.vocab) do vocab[token] = id end
        local size = 0
        for _ in pairs(vocab) do size = size + 1 end
        vocab.beyond = size + 1
        local added = { { id = 0, content = "[PAD]" }, { id = size + 2, content = "[NEW]" } }
        write { ["model.vocab"] = vocab, added_tokens = added }
        local tokenizer = Tokenizer.load(file, { do_lower_case = true, any_casing = true })
        assert.are.same({ size + 1, size + 2, size + 3 }, { tokenizer:id "beyond", tokenizer:id "[NEW]",
            tokenizer:size() })
        table.sort(warnings)
        assert.are.same({ "vocabulary " .. file .. ": 1 added token ([NEW]): bertlua does not look for it in texts, "
            .. "but cuts words with it as with the others",
            ("vocabulary %s: 1 line without a token, the first of id %d: other ids stay as they are"):format(file,
                size) }, warnings)
        -- Once each.
        Tokenizer.load(file, { do_lower_case = true, any_casing = true })
        assert.are.equal(2, #warnings)
    end)

    it("that gives an id to another token than the vocab.txt beside it is told", function()
        write()
        local path = folder .. "/vocab.txt"
        assert(vocabulary_file.copy(file, path))
        assert.is_nil(vocabulary_file.disagreement(path))
        local text = fs.read(path)
        -- Neither a byte order mark nor tokens beyond matter.
        assert(fs.write(path, "\239\187\191" .. text .. "more\n"))
        assert.is_nil(vocabulary_file.disagreement(path))
        assert(fs.write(path, (text:gsub("hello\n", "hallo \r\n"))))
        Tokenizer.load(path, { do_lower_case = true, any_casing = true })
        assert.are.same({ ("vocabulary %s: tokenizer.json beside it has hello with the id %d, not hallo: vocab.txt is "
            .. "used; name the other file if it is the model's"):format(path, fixture.tokenizer.model.vocab.hello) },
            warnings)
        write { ["model.type"] = "BPE" }
        assert.is_nil(vocabulary_file.disagreement(path))
    end)

    it("need not be there: tokenizer_config.json beside a vocab.txt says the rest", function()
        local path = folder .. "/vocab.txt"
        assert(fs.write(path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\né\ne\n中国\n中\n国\na\n"))
        local function ids(config)
            if config then assert(fs.write(folder .. "/tokenizer_config.json", json.encode(config))) end
            return Tokenizer.load(path, { do_lower_case = true, any_casing = true }):encode "É 中国"
        end
        assert.are.same({ 6, 8, 9 }, ids())
        assert.are.same({ 5, 8, 9 }, ids { strip_accents = false })
        assert.are.same({ 6, 7 }, ids { tokenize_chinese_chars = false })
        assert.are.same({ 6, 8, 9 }, ids { strip_accents = json.null, tokenizer_class = "BertTokenizerFast" })
        assert.are.same({}, vocabulary_file.config_of(path, true))
        assert.are.same({}, warnings)
        assert(fs.write(folder .. "/added_tokens.json", json.encode { ["[MASK]"] = 4, ["[NEW]"] = 11 }))
        assert.are.same({ "1 token of added_tokens.json is not used" }, vocabulary_file.open(path).notes)
        assert(fs.remove(folder .. "/added_tokens.json"))
        assert(fs.rename(path, folder .. "/other.txt"))
        path = folder .. "/other.txt"
        assert.are.same({ 6, 8, 9 }, ids { tokenizer_class = "BertJapaneseTokenizer" })
        assert.are.same({ "vocabulary " .. path .. ": tokenizer_config.json names the tokenizer BertJapaneseTokenizer: "
            .. "texts are cut into words as BertTokenizer does" }, warnings)
    end)
end)
