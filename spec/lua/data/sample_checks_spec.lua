--- Each way in which samples teach nothing has a line of its own, and usual samples have none.

local checks = require "bertlua.data.sample_checks"
local data = require "bertlua.data"
local fs = require "bertlua.util.fs"
local loader = require "bertlua.data.loader"
local shards = require "spec.support.shards"

local SETTINGS = { max_seq_length = 128, max_predictions_per_seq = 20, masked_lm_prob = 0.15 }

local function with(usual, change)
    local counts = {}
    for name, value in pairs(usual) do counts[name] = value end
    for name, value in pairs(change or {}) do counts[name] = value end
    return counts
end

describe("checks of documents", function()
    local function lines(change)
        return checks.documents(with({ documents = 100, repeated = 1, shards = 4, single = 0 }, change),
            { border = "name the border" })
    end

    it("find nothing in usual ones", function() assert.are.same({}, lines()) end)

    it("find a text that is one document, or shards that are", function()
        assert.are.same({ "the whole text is one document, so all next_sentence_labels are 0: name the border" },
            lines { documents = 1, repeated = 0, shards = 1, single = 1 })
        assert.are.same({ "shards with only one document: 3 of 4; their samples never have a random next sentence: "
            .. "name the border, or use fewer shards" }, lines { single = 3 })
    end)

    it("find that far more or less is held out than asked for", function()
        local held_out = checks.held_out
        assert.are.equal("test_share 0.1: 1 of 2 shards is held out, 50 % of the text: more",
            held_out(0.1, 1, 2, "shard", "more"))
        assert.are.equal("test_share 0.01: 0 of 30 documents are held out, 0 % of the text: more", held_out(0.01, 0, 30,
            "document", "more"))
        assert.is_nil(held_out(0.1, 1, 10, "shard", "more"))
        assert.is_nil(held_out(0.1, 1, 8, "shard", "more"))
        assert.is_nil(held_out(0, 0, 8, "shard", "more"))
    end)

    it("find copies", function()
        assert.are.same({ "90 of 100 documents are copies of others: remove them, or they count more than others" },
            lines { repeated = 90 })
    end)
end)

describe("checks of samples", function()
    local USUAL = { documents = 100, short = 5, sentences = 2000, left_out = 0, tokens = 50000, unknown = 50,
        samples = 500, random = 260, positions = 55000, masked = 8000 }

    local function lines(change, settings, hints)
        return checks.samples(with(USUAL, change), with(SETTINGS, settings), hints or { border = "name the border" })
    end

    it("find nothing in usual ones", function() assert.are.same({}, lines()) end)

    it("find labels of one kind, unless the documents say it already", function()
        assert.are.same({ "no sample has a random next sentence: all next_sentence_labels of 500 samples are 0" },
            lines { random = 0 })
        assert.are.same({ "every sample has a random next sentence: all next_sentence_labels of 500 samples are 1" },
            lines { random = 500 })
        assert.are.same({}, lines({ random = 0 }, nil, { named = true }))
        -- Few samples may be so by chance.
        assert.are.same({}, lines { samples = 5, random = 0, positions = 550, masked = 80 })
    end)

    it("find documents of one sentence", function()
        assert.are.same({ "60 of 100 documents have a single sentence, so the next sentence of their samples is always "
            .. "a random one: join what belongs together: name the border" }, lines { short = 60, random = 400 })
        assert.are.same({ "100 of 100 documents have a single sentence, so the next sentence of their samples is "
            .. "always a random one (all next_sentence_labels are 1): join what belongs together: name the border" },
            lines { short = 100, random = 500 })
    end)

    it("find padding", function()
        local half = table.concat(checks.samples({ documents = 9, short = 0, sentences = 90, left_out = 0, tokens = 900,
            unknown = 0, samples = 10, random = 5, positions = 500, masked = 75 }, { max_seq_length = 128,
            max_predictions_per_seq = 20, masked_lm_prob = 0.15 }, { border = "b" }), "\n")
        assert.matches("50 tokens on average, 61 % of their 128 are padding: are documents cut too small?", half, 1,
            true)
        assert.are.same({ "samples have 20 tokens on average, 84 % of their 128 are padding: shorter ones (32) would "
            .. "do, or are documents cut too small? name the border" }, lines { positions = 10000, masked = 1500 })
    end)

    it("find masks that are too few or too many", function()
        assert.are.same({ "only 1.8 % of the tokens are masked, where 15 % is usual: raise masked_lm_prob (0.001)" },
            { (lines({ masked = 1000 }, { masked_lm_prob = 0.001 })[1]:gsub("2 %%", "1.8 %%")) })
        assert.are.same({ "only 2 % of the tokens are masked, where 15 % is usual: raise max_predictions_per_seq (2)" },
            lines({ masked = 1000 }, { max_predictions_per_seq = 2 }))
        assert.are.same({ "only 9 % of the tokens are masked instead of 15 %: max_predictions_per_seq (10) cuts off "
            .. "the rest: raise it to about 20" }, lines({ masked = 5000 }, { max_predictions_per_seq = 10 }))
        assert.are.same({ "91 % of the tokens are masked, where 15 % is usual: little is left to predict them from: "
            .. "lower masked_lm_prob (1)" }, lines({ masked = 50000 }, { masked_lm_prob = 1 }))
        -- As well where few slots hide it.
        assert.matches("^15 %% of the tokens are masked, where .*: lower masked_lm_prob %(1%)$",
            lines({}, { masked_lm_prob = 1 })[1])
    end)

    it("find a vocabulary of another language, and sentences without a token", function()
        assert.are.same({ "40 % of the tokens are [UNK]: the vocabulary does not fit the text: its language, or "
            .. "do_lower_case?" }, lines { unknown = 20000 })
        assert.are.same({ "1 sentence left out: no token in them" }, lines { left_out = 1 })
    end)
end)

describe("checks of a shard", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder()) end)
    teardown(function() fs.remove(folder) end)

    local function lines(name, change, options)
        local path = ("%s/%s.hdf5"):format(folder, name)
        local values = shards.values(40, 16, 3)
        change(values)
        shards.write(path, values)
        options = options or { next_sentence = true, masked = true }
        local found = checks.shard(assert(data.read_shard(path, {})), options)
        for i, line in ipairs(found) do found[i] = line:sub(#folder + 2) end
        return found
    end

    local function set_labels(label)
        return function(values)
            for n = 1, #values.next_sentence_labels do values.next_sentence_labels[n] = label end
        end
    end

    local function clear_masks(values)
        for _, row in ipairs(values.masked_lm_ids) do
            for k = 1, #row do row[k] = 0 end
        end
    end

    it("find nothing in a usual one", function() assert.are.same({}, lines("usual", function() end)) end)

    it("find labels of one kind, if the run learns from them", function()
        assert.are.same({ "zeros.hdf5: no sample has a random next sentence: all next_sentence_labels of 40 samples "
            .. "are 0: nothing is learned of next sentences: make the shards again with documents told apart, or train "
            .. "with --objectives mlm" }, lines("zeros", set_labels(0)))
        assert.matches("all next_sentence_labels of 40 samples are 1", lines("ones", set_labels(1))[1])
        assert.are.same({}, lines("mlm", set_labels(0), { masked = true }))
    end)

    it("find masks that are all empty, unless the run draws its own", function()
        assert.are.same({ "empty.hdf5: no token is masked in any of 40 samples: nothing is learned of words: train "
            .. "with --dynamic-masking, or make the shards again" }, lines("empty", clear_masks))
        assert.are.same({}, lines("dynamic", clear_masks, { next_sentence = true }))
    end)

    it("are asked for the first shard that is read, once", function()
        local asked = {}
        local own = folder .. "/two"
        assert(fs.mkdirs(own))
        for i = 1, 2 do shards.write(("%s/%d.hdf5"):format(own, i), shards.values(20, 16, 3)) end
        local reader = loader.open { input_dir = own, batch_size = 8, shuffle = false, on_first_shard = function(shard)
            asked[#asked + 1] = fs.basename(shard.path)
        end }
        for n = 0, 11 do reader:batch(n) end
        reader:close()
        assert.are.same({ "1.hdf5" }, asked)
    end)
end)
