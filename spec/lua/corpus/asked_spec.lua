--- What is asked of the preparation: an order of stages that makes sense, and nothing left unused without a word.

local asked = require "bertlua.corpus.asked"

describe("the stages", function()
    it("are a list in the order in which they build on each other", function()
        assert.are.same({ "extract", "sentences" }, asked.stages "extract, sentences")
        assert.are.same({ "verify", "extract", "verify", "hdf5", "verify" },
            asked.stages "verify,extract,verify,hdf5,verify")
        for text, message in pairs {
            [""] = "stages: empty", ["extract,shards"] = 'unknown stage "shards"',
            ["hdf5,extract"] = "^stages: extract after hdf5, expected the order download,verify,extract",
            ["hdf5,verify,vocab"] = "vocab after hdf5", ["shard,shard"] = "shard after shard",
        } do
            assert.error_matches(function() asked.stages(text) end, message)
        end
    end)
end)

describe("settings", function()
    local function unused(values, stages)
        local given, wanted = {}, {}
        for name in pairs(values) do given[name] = "command line" end
        values.variant = values.variant or "wiki_only"
        for _, name in ipairs(stages or { "extract", "hdf5" }) do wanted[name] = true end
        return asked.unused(values, given, wanted)
    end

    it("are told where no stage uses them", function()
        for line, values in pairs {
            ["border is ignored: variant is wiki_only"] = { border = "blank" },
            ["encoding is ignored: variant is wiki_only"] = { encoding = "latin1" },
            ["squad_url is ignored: variant is corpus"] = { squad_url = "x", variant = "corpus" },
            ["retries is ignored: variant is corpus"] = { retries = 3, variant = "corpus" },
            ["mirrors is ignored: the dump is here (wikipedia)"] = { mirrors = "x", wikipedia = "x.xml" },
            ["dump_date is ignored: the dump is named (wikipedia_url)"] = { dump_date = "1", wikipedia_url = "x" },
            ["vocab_size is ignored: stage vocab is not among the stages"] = { vocab_size = 300 },
        } do
            assert.are.same({ line }, unused(values))
        end
        assert.are.same({ "the vocabulary of stage vocab is not used: vocab_file is v.txt" },
            unused({ vocab_file = "v.txt" }, { "vocab", "hdf5" }))
    end)

    it("are not, where they are used, or come from a recipe, or the run goes only part of the way", function()
        assert.are.same({}, unused { wikipedia = "x.xml", checksum = "md5:0", vocab_file = "v.txt" })
        assert.are.same({}, unused { variant = "corpus", corpus_dir = "x", border = "blank", encoding = "latin1" })
        assert.are.same({}, unused({ vocab_size = 300, alphabet_limit = 9 }, { "vocab", "hdf5" }))
        assert.are.same({}, unused({ vocab_size = 300 }, { "extract" }))
        assert.are.same({}, asked.unused({ variant = "wiki_only", border = "blank" }, { border = "recipe" },
            { hdf5 = true }))
    end)

    it("that name a source which is not read are refused", function()
        for message, values in pairs {
            ["^corpus_dir is set, but variant is wiki_only, which does not read it: add %-%-variant corpus"] = {
                corpus_dir = "x" },
            ["^books_dir is set, but variant is corpus, .*: add %-%-variant wiki_books"] = { books_dir = "x",
                variant = "corpus" },
            ["^wikipedia is set, but variant is corpus, which does not"] = { wikipedia = "x", variant = "corpus" },
            ["^wikipedia and wikipedia_url are both set"] = { wikipedia = "x", wikipedia_url = "y" },
        } do
            assert.error_matches(function() unused(values) end, message)
        end
    end)
end)
