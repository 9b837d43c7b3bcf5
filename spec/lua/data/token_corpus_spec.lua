--- Texts as tokens in memory: documents, sentences, what is left out, and what is held out.

local fs = require "bertlua.util.fs"
local token_corpus = require "bertlua.data.token_corpus"
local tokenizer = require "bertlua.text.tokenizer"

describe("a corpus of tokens", function()
    local folder, words

    setup(function()
        folder = assert(fs.temporary_folder "token_corpus")
        local list = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "." }
        for i = 0, 99 do list[#list + 1] = "w" .. i end
        assert(fs.write(folder .. "/vocab.txt", table.concat(list, "\n") .. "\n"))
        words = tokenizer.load(folder .. "/vocab.txt", { do_lower_case = true })
    end)

    teardown(function() assert(fs.remove(folder)) end)

    local function write(name, text)
        assert(fs.write(folder .. "/" .. name, text))
        return folder .. "/" .. name
    end

    local function read(files, more)
        local options = { files = files, words = words }
        for name, value in pairs(more or {}) do options[name] = value end
        return token_corpus.read(options)
    end

    --- Documents as lists of sentences, these as text.
    local function shown(corpus)
        local list = {}
        for d = 0, corpus.documents - 1 do
            list[d + 1] = {}
            for s = corpus.document_starts[d], corpus.document_starts[d + 1] - 1 do
                local parts = {}
                for t = corpus.sentence_starts[s], corpus.sentence_starts[s + 1] - 1 do
                    parts[#parts + 1] = words:token(corpus.tokens[t])
                end
                table.insert(list[d + 1], table.concat(parts, " "))
            end
        end
        return list
    end

    it("holds documents of sentences, whatever form the files have", function()
        local plain = write("a.txt", "W1 w2. W3 w4.\nW5\n\nw6 w7.\n")
        local lines = write("b.jsonl", '{"text": "W8 w9. W10."}\n{"text": " "}\n{"text": "what w11"}\n')
        local empty = write("c.txt", "")
        -- Blank lines separate documents where there is one file, and not where there are several.
        assert.are.same({ { "w1 w2 .", "w3 w4 .", "w5" }, { "w6 w7 ." } }, shown(read { plain }))
        local corpus, counts = read { plain, lines, empty }
        assert.are.same({ { "w1 w2 .", "w3 w4 .", "w5", "w6 w7 ." }, { "w8 w9 .", "w10 ." }, { "[UNK] w11" } },
            shown(corpus))
        assert.are.equal(17, corpus.token_count)
        assert.are.same({ 1, 1, 1, 1 }, { counts.unknown, counts.empty, counts.empty_files, counts.short })
        assert.are.equal("JSON lines", counts.kinds[2])
        assert.are.same({ { "w1 w2 .", "w3 w4 ." }, { "w5" }, { "w6 w7 ." } }, shown((read({ plain },
            { border = "line" }))))
    end)

    it("reads one giant line as its sentences", function()
        local corpus = read { write("long.txt", ("W1 w2 w3 w4. "):rep(5000)) }
        assert.are.same({ 1, 5000, 25000 }, { corpus.documents, corpus.sentences, corpus.token_count })
        -- Without full stops it is one sentence, which becomes several.
        local counts
        corpus, counts = read({ write("endless.txt", ("w1 w2 w3 "):rep(2001)) }, { longest = 100 })
        assert.are.same({ 1, 61, 6003, 1 }, { corpus.documents, corpus.sentences, corpus.token_count, counts.long })
        assert.are.equal(3, corpus.token_count - corpus.sentence_starts[60])
        local kept, held = token_corpus.split(corpus, 0.1)
        assert.are.equal(6003, kept.token_count + held.token_count)
        assert.is_true(held.token_count >= 500 and held.token_count <= 700)
    end)

    --- A file of documents with so many sentences each; every sentence is "W<document> w<sentence>."
    local function documents(sizes)
        local parts = {}
        for d, size in ipairs(sizes) do
            for s = 1, size do parts[#parts + 1] = ("W%d w%d."):format(d, s) end
            parts[#parts + 1] = ""
        end
        return table.concat(parts, "\n")
    end

    it("divides into whole documents drawn at random, each on one side", function()
        local sizes = {}
        for d = 1, 80 do sizes[d] = 1 + d % 3 end
        local corpus = read({ write("many.txt", documents(sizes)) }, { border = "blank" })
        local kept, held, by = token_corpus.split(corpus, 0.1)
        assert.are.equal("documents", by)
        assert.are.equal(corpus.token_count, kept.token_count + held.token_count)
        local share = held.token_count / corpus.token_count
        assert.is_true(share > 0.07 and share < 0.13, share)
        local seen = {}
        for _, document in ipairs(shown(kept)) do seen[table.concat(document, "|")] = "kept" end
        for _, document in ipairs(shown(held)) do
            assert.is_nil(seen[table.concat(document, "|")])
            seen[table.concat(document, "|")] = "held"
        end
        for _, document in ipairs(shown(corpus)) do assert.is_truthy(seen[table.concat(document, "|")]) end
        -- The same again.
        assert.are.same(shown(held), shown((select(2, token_corpus.split(corpus, 0.1)))))
    end)

    it("divides large documents into passages, and loses no sentence", function()
        local corpus = read({ write("few.txt", documents { 90, 60 }) }, { border = "blank" })
        local kept, held, by = token_corpus.split(corpus, 0.1)
        assert.are.equal("passages", by)
        local share = held.token_count / corpus.token_count
        assert.is_true(share > 0.07 and share < 0.13, share)
        local counts = {}
        for _, part in ipairs { kept, held } do
            for _, document in ipairs(shown(part)) do
                for _, sentence in ipairs(document) do counts[sentence] = (counts[sentence] or 0) + 1 end
            end
        end
        for _, document in ipairs(shown(corpus)) do
            for _, sentence in ipairs(document) do assert.are.equal(1, counts[sentence], sentence) end
        end
        -- Unless they are to stay whole.
        kept, held, by = token_corpus.split(corpus, 0.1, true)
        assert.are.same({ "documents", 1, 1 }, { by, kept.documents, held.documents })
        -- Something stays on both sides, however little there is.
        local two = read { write("two.txt", "W1.\nW2.") }
        kept, held = token_corpus.split(two, 0.05)
        assert.are.same({ 2, 2 }, { kept.token_count, held.token_count })
        kept, held = token_corpus.split(read { write("one.txt", "W1.") }, 0.05)
        assert.are.same({ 2, 0 }, { kept.token_count, held.token_count })
        corpus:free()
        assert.is_nil(corpus.tokens)
    end)
end)
