--- Features cached beside their data: reused, rebuilt, or not cached at all.

local Tokenizer = require "bertlua.text.tokenizer"
local cache = require "bertlua.squad.feature_cache"
local dataset = require "bertlua.squad.dataset"
local features = require "bertlua.squad.features"
local fs = require "bertlua.util.fs"

local assert_same_set = require("spec.support.features").assert_same_set

local DATA = "spec/fixtures/squad/data.json"

describe("feature cache", function()
    local folder, tokenizer, examples, data_file, options

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-cache")
        data_file = fs.join(folder, "data.json")
        assert(fs.copy(DATA, data_file))
        tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
        examples = dataset.load(data_file)
        options = { max_seq_length = 48, doc_stride = 12, max_query_length = 16, num_workers = 1,
            data_file = data_file }
    end)

    after_each(function() fs.remove(folder) end)

    it("stores features beside the data and reads them back", function()
        local made, first = features.cached(examples, tokenizer, options)
        local read, second = features.cached(examples, tokenizer, options)
        assert.is_false(first.hit)
        assert.is_true(second.hit)
        assert.is_nil(second.warning)
        assert.are.equal(folder, fs.dirname(first.path))
        assert_same_set(made, read)
        assert.are.equal(48, read.settings.max_seq_length)
    end)

    it("rebuilds them for other settings, other data or another vocabulary", function()
        local _, first = features.cached(examples, tokenizer, options)
        options.doc_stride = 13
        local _, stride = features.cached(examples, tokenizer, options)
        assert.is_false(stride.hit)
        options.doc_stride = 12
        local _, training = features.cached(dataset.load(data_file, { is_training = true,
            version_2_with_negative = true }), tokenizer, setmetatable({ is_training = true,
            version_2_with_negative = true }, { __index = options }))
        assert.is_false(training.hit)
        local vocab_file = fs.join(folder, "vocab.txt")
        assert(fs.write(vocab_file, fs.read(tokenizer.vocab_file) .. "zzyzx\n"))
        local _, vocabulary = features.cached(examples, Tokenizer.load(vocab_file, { do_lower_case = true }), options)
        assert.is_false(vocabulary.hit)
        assert(fs.write(data_file, (fs.read(data_file):gsub("Who built", "Who paid for"))))
        local _, other = features.cached(dataset.load(data_file), tokenizer, options)
        assert.is_false(other.hit)
        local paths = { [first.path] = true, [stride.path] = true, [training.path] = true, [vocabulary.path] = true,
            [other.path] = true }
        local count = 0
        for _ in pairs(paths) do count = count + 1 end
        assert.are.equal(5, count)
    end)

    it("rebuilds a damaged file and says why", function()
        local made, first = features.cached(examples, tokenizer, options)
        local good = fs.read(first.path)
        local at = #good - 4000
        for damage, reason in pairs {
            [good:sub(1, at) .. string.char((good:byte(at + 1) + 1) % 256) .. good:sub(at + 2)] = "is damaged",
            [good:sub(1, at)] = first.path, [""] = first.path, ["no safetensors at all"] = first.path,
        } do
            assert(fs.write(first.path, damage))
            local set, info = features.cached(examples, tokenizer, options)
            assert.is_false(info.hit)
            assert.is_truthy(info.warning:find(reason, 1, true), info.warning)
            assert_same_set(made, set)
            assert.are.equal(good, fs.read(first.path))
        end
    end)

    it("is rebuilt whichever byte of its head is changed", function()
        local made, first = features.cached(examples, tokenizer, options)
        local good = fs.read(first.path)
        local head = 8 + good:byte(1) + 256 * good:byte(2)
        local rebuilt = 0
        for at = 1, head, 7 do
            assert(fs.write(first.path, good:sub(1, at - 1) .. string.char(bit.bxor(good:byte(at), 2))
                .. good:sub(at + 1)))
            local set, info = features.cached(examples, tokenizer, options)
            assert_same_set(made, set)
            if not info.hit then
                rebuilt = rebuilt + 1
                assert.matches(first.path, info.warning, 1, true)
            end
        end
        assert.is_true(rebuilt > head / 14)
    end)

    it("is rebuilt if its numbers lead out of its arrays, although its checksums are right", function()
        local made, first = features.cached(examples, tokenizer, options)
        local entry = cache.entry(examples, tokenizer, made.settings, data_file)
        assert.are.equal(first.path, entry.path)
        for _, case in ipairs {
            { "offsets", 1, 2 ^ 30 }, { "offsets", 0, -1 }, { "offsets", made.count, 7 }, { "query_length", 3, -1 },
            { "query_length", 3, 47 }, { "start_position", 0, 48 }, { "end_position", 0, -1 }, { "example", 5, 0 },
            { "example", 5, #examples + 1 }, { "doc_token", 2, -1 }, { "doc_token", 2, made.doc_tokens },
            { "max_first", 0, 0 }, { "max_last", 0, 48 }, { "ids", 9, -1 }, { "ids", 9, tokenizer:size() },
            { "word_start", 4, -2 ^ 31 }, { "word_stop", 4, 0 },
        } do
            local name, at, value = unpack(case)
            local before = made[name][at]
            made[name][at] = value
            assert(cache.save(entry, made))
            made[name][at] = before
            local set, info = features.cached(examples, tokenizer, options)
            assert.is_false(info.hit, name)
            assert.matches(": [%w_]+ holds numbers that no features have$", info.warning)
            assert_same_set(made, set)
        end
        assert.is_true(select(2, features.cached(examples, tokenizer, options)).hit)
    end)

    it("works without a writable folder", function()
        options.cache_dir = fs.join(data_file, "inside")
        local set, info = features.cached(examples, tokenizer, options)
        assert.are.equal(129, set.count)
        assert.is_truthy(info.warning:find("the features are not cached", 1, true))
    end)
end)
