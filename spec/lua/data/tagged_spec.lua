--- Tagged words: CoNLL columns, JSON lines, what is refused, windows.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local tagged = require "bertlua.data.tagged"
local tokenizer = require "bertlua.text.tokenizer"

describe("tagged words", function()
    local dir, words

    setup(function()
        dir = assert(fs.temporary_folder "bertlua-tagged")
        local vocab = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##x", "##y" }
        assert(fs.write(dir .. "/vocab.txt", table.concat(vocab, "\n") .. "\n"))
        words = tokenizer.load(dir .. "/vocab.txt", { do_lower_case = true })
    end)
    teardown(function() assert(fs.remove(dir)) end)

    local function read(name, text, options)
        assert(fs.write(dir .. "/" .. name, text))
        options = options or {}
        if options.labeled == nil then options.labeled = true end
        return tagged.read(dir .. "/" .. name, options)
    end

    local function refused(pattern, name, text, options)
        local ok, reason = pcall(read, name, text, options)
        assert.is_false(ok)
        assert.matches(pattern, fault.message(reason))
    end

    it("are read from columns, the word first and the tag last", function()
        local list = read("a.conll",
            "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n \nEU NNP B I-ORG\n")
        assert.are.same({
            { words = { "U.N.", "official" }, tags = { "I-ORG", "O" }, line = 3 },
            { words = { "EU" }, tags = { "I-ORG" }, line = 6 },
        }, list)
    end)

    it("are read from the columns that are named, and without tags", function()
        assert.are.same({ "NN" }, read("a.txt", "1\ta\tNN\tO\r\n", { text_column = "2", label_column = "3" })[1].tags)
        local list = read("a.txt", "a\nb\n\nc\n", { labeled = false })
        assert.are.same({ { words = { "a", "b" }, line = 1 }, { words = { "c" }, line = 4 } }, list)
    end)

    it("may contain blanks where tabs separate columns, and are separated by a line of a tab", function()
        local list = read("a.txt", "New York\tB-LOC\n\t\nb\tO\n")
        assert.are.same({ "New York" }, list[1].words)
        assert.are.equal(2, #list)
    end)

    it("are read from JSON lines, numbers as text", function()
        local list = read("a.jsonl", '{"words": ["a", "b"], "tags": [0, 3]}\n\n{"words": ["c"], "tags": ["O"]}')
        assert.are.same({ "0", "3" }, list[1].tags)
        assert.are.equal(3, list[2].line)
        assert.are.same({ "X" }, read("b.json", '{"tokens": ["a"], "ner": ["X"]}', { text_column = "tokens",
            label_column = "ner" })[1].tags)
    end)

    it("are read in other encodings, and not as whatever is left of their bytes", function()
        assert.are.same({ "Käse" }, read("a.txt", "K\228se O\n", { encoding = "latin1" })[1].words)
        assert.are.same({ "Käse" }, read("a.txt", "\255\254K\0\228\0s\0e\0 \0O\0\n\0")[1].words)
        refused("a%.txt:2: byte 5: invalid UTF%-8 %(0xe4%)", "a.txt", "b O\nK\228se O\n")
    end)

    it("are refused with file and line where they are wrong", function()
        refused("a%.txt:3: 3 columns, but 2 in line 1$", "a.txt", "a O\nb O\nc c O\n")
        refused("a%.txt:2: a tab separates its columns, but blanks do in line 1", "a.txt", "a O\nb\tO\n")
        refused("a%.txt:2: 1 column, but 2 in line 1: tabs separate them there$", "a.txt", "a\tO\nb O\n")
        refused("a%.txt:1: one column, expected a word and its tag", "a.txt", "a\n")
        refused("a%.txt:1: 2 columns, but column 4 is wanted", "a.txt", "a O\n", { label_column = "4" })
        refused('text_column is "word", expected the number of a column', "a.txt", "a O\n", { text_column = "word" })
        refused("a%.txt:1: column 2 is that of the words and of their tags: name another one with %-%-text%-column",
            "a.txt", "a O\n", { text_column = "2" })
        refused("a%.txt:1: the word is empty", "a.txt", "\tO\n")
        refused("a%.txt:2: the tag is empty", "a.txt", "a\tO\nb\t\n")
        refused("a%.txt: contains no words", "a.txt", "\n\n")
        refused("a%.jsonl:2: 2 words and 1 tag, expected as many", "a.jsonl", '\n{"words": ["a", "b"], "tags": ["O"]}')
        refused('a%.jsonl:1: "tags" is missing, expected a list', "a.jsonl", '{"words": ["a"]}')
        refused("a%.jsonl:1: item 2 of \"words\" is empty", "a.jsonl", '{"words": ["a", ""], "tags": ["O", "O"]}')
        for _, number in ipairs { "12345678901234567890", "1.10", "1e400" } do
            refused("a%.jsonl:1: item 1 of \"words\" is a number, expected a string", "a.jsonl",
                ('{"words": [%s], "tags": ["O"]}'):format(number))
        end
        refused("a%.jsonl:1: not a JSON object", "a.jsonl", "[1")
    end)

    local function sequences(sentences, max_length, stride)
        local list = {}
        for i, line in ipairs(sentences) do
            list[i] = { words = {}, tags = {}, line = i }
            for word in line:gmatch "%S+" do
                list[i].words[#list[i].words + 1], list[i].tags[#list[i].tags + 1] = word, word:sub(1, 1)
            end
        end
        local set = tagged.sequences(words, list, { max_length = max_length, stride = stride,
            numbers = { a = 0, b = 1, c = 2, z = 3 } })
        local shown = {}
        for s = 0, set.count - 1 do
            local row = {}
            for at = set.offsets[s], set.offsets[s + 1] - 1 do
                row[#row + 1] = ("%s/%d/%d"):format(words:token(set.ids[at]), set.labels.labels.values[at],
                    set.of_word[at])
            end
            shown[s + 1] = table.concat(row, " ")
        end
        return shown, set
    end

    it("become sequences with a tag at the first piece of each word", function()
        local shown, set = sequences({ "axy b", "zzz c" }, 16, 8)
        assert.are.same({ "[CLS]/-1/-1 a/0/0 ##x/-1/-1 ##y/-1/-1 b/1/1 [SEP]/-1/-1",
            "[CLS]/-1/-1 [UNK]/3/2 c/2/3 [SEP]/-1/-1" }, shown)
        assert.are.equal(6, set.longest)
        assert.are.equal(4, set.words)
        assert.are.equal(0, set.windows)
    end)

    it("keep a word whose characters the tokenizer drops", function()
        local shown = sequences({ "a \226\128\139" }, 16, 8)
        assert.are.equal("[CLS]/-1/-1 a/0/0 [UNK]/-1/1 [SEP]/-1/-1", shown[1])
    end)

    it("go into several windows where they are many, and are tagged once", function()
        local _, set = sequences({ ("a b c "):rep(10) }, 8, 3)
        assert.are.equal(1, set.windows)
        local seen = {}
        for s = 0, set.count - 1 do
            local from, to = set.offsets[s], set.offsets[s + 1] - 1
            assert.is_true(to - from + 1 <= 8)
            for at = from, to do
                local word = set.of_word[at]
                if word >= 0 then
                    assert.is_nil(seen[word])
                    seen[word] = math.min(at - from, to - at)
                    assert.are.equal(word % 3, set.labels.labels.values[at])
                end
            end
        end
        for word = 0, 29 do assert.is_number(seen[word]) end
        -- In the middle each word has two tokens or more on either side, [CLS] and [SEP] counted.
        for word = 3, 26 do assert.is_true(seen[word] >= 2, word .. ": " .. seen[word]) end
    end)

    it("begin their windows at a word, and lose the end of one that no window holds", function()
        local shown = sequences({ "axy bxy cxy" }, 7, 4)
        assert.are.same({ "[CLS]/-1/-1 a/0/0 ##x/-1/-1 ##y/-1/-1 b/-1/-1 ##x/-1/-1 [SEP]/-1/-1",
            "[CLS]/-1/-1 b/1/1 ##x/-1/-1 ##y/-1/-1 c/-1/-1 ##x/-1/-1 [SEP]/-1/-1",
            "[CLS]/-1/-1 c/2/2 ##x/-1/-1 ##y/-1/-1 [SEP]/-1/-1" }, shown)
        local cut, set = sequences({ "axyxyxyxy b" }, 7, 4)
        assert.are.equal(1, set.cut)
        assert.are.same({ "[CLS]/-1/-1 a/0/0 ##x/-1/-1 ##y/-1/-1 ##x/-1/-1 ##y/-1/-1 [SEP]/-1/-1",
            "[CLS]/-1/-1 b/1/1 [SEP]/-1/-1" }, cut)
    end)
end)
