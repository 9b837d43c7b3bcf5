--- The encoder's calls with all that can be set: against the graph in Lua, and against the plain calls.

local bl = require "bertlua.ffi"
local fails_here = require("spec.support.errors").fails_here
local ffi = require "ffi"
local fs = require "bertlua.util.fs"
local lua_encoder = require "spec.support.lua_encoder"
local models = require "spec.support.encoder_models"
local storage = require "bertlua.storage"
local squad_text = require "bertlua.squad.text"
local tensor = require "bertlua.tensor"

local CLOSE = 1e-6
local CONTEXT = "Ada (1895-1943)  wrote it. The cat\tsat on the mat of the house, un unseen dog was good . bad"

local function assert_close(a, b)
    assert.are.equal(#a, #b)
    for i = 1, #a do assert.is_true(math.abs(a[i] - b[i]) < CLOSE, ("%g and %g"):format(a[i], b[i])) end
end

describe("the encoder's calls", function()
    local folder, paths, open = nil, {}, {}

    setup(function()
        models.begin()
        folder = assert(fs.temporary_folder "bertlua-calls-")
        for _, kind in ipairs { "words", "tags", "answers" } do
            paths[kind] = models.write(folder .. "/" .. kind, kind)
        end
    end)
    teardown(function()
        models.finish()
        for _, each in ipairs(open) do each:close() end
        fs.remove(folder)
    end)

    --- The encoder and the model in Lua.
    local function both(kind, options)
        local c, lua = assert(models.open(paths[kind], options)),
            models.load(paths[kind], { max_seq_length = options and options.max_length })
        open[#open + 1], open[#open + 2] = c, lua
        return c, lua
    end

    it("give the ids that the model sees", function()
        for _, limit in ipairs { 4, 48 } do
            local c, lua = both("words", { max_length = limit })
            for i, text in ipairs(models.TEXTS) do
                local pair = i % 2 == 0 and models.TEXTS[#models.TEXTS - i + 1] or nil
                local wanted, of_first = lua_encoder.encode(lua.tokenizer, text, pair, limit)
                local ids, count, first = c:ids(text, pair)
                assert.are.same({ #wanted, of_first }, { count, first })
                for k = 1, count do assert.are.equal(wanted[k], ids[k - 1]) end
            end
            local _, message = c:ids "a\255"
            assert.matches("^ids: the text: byte 1: invalid UTF%-8", message)
            local out, count, first = ffi.new "int32_t[3]", ffi.new "int64_t[1]", ffi.new "int64_t[1]"
            assert.are_not.equal(0, tonumber(bl.lib.bl_encoder_ids(c.handle, "a b", nil, 3, out, count, first)))
            assert.are.equal("ids: capacity is 3, the text has 4 tokens", bl.last_error())
        end
    end)

    it("make vectors of pairs, and of texts among them", function()
        local c, lua = both "words"
        local vectors = assert(c:embed({ "the cat", "a", "dog" }, "cls", false, { "sat on", false, "" })):tolist()
        for i, pair in ipairs { { "the cat", "sat on" }, { "a" }, { "dog", "" } } do
            local states = lua:hidden_states(pair[1], pair[2])
            assert_close(states[#states]:tolist()[1], vectors[i])
        end
    end)

    it("tag sentences together, in windows of any stride, and count the words that are cut", function()
        local sentences = { { "the", "unseen", "cat" }, {}, { "a" } }
        for i = 1, 60 do sentences[2][i] = ({ "the", "unseen", "dog", "wrote", "aaaaaaa" })[1 + i * i % 5] end
        for limit, strides in pairs { [7] = { 1, 2, 5, 40, false }, [16] = { 3, 14 } } do
            local c, lua = both("tags", { max_length = limit })
            for _, stride in ipairs(strides) do
                local tags, scores, cut = lua:tag(sentences, stride or nil)
                local labels, their, their_cut = c:tag(sentences, stride or nil)
                assert.are.equal(cut, their_cut)
                assert.are.equal(limit == 7, cut > 0)
                for s, list in ipairs(tags) do
                    for w, name in ipairs(list) do assert.are.equal(name, c:label(labels[s][w])) end
                    assert_close(scores[s], their[s])
                end
            end
            local _, message = c:tag { { "a" }, { "b", "\255" } }
            assert.matches("^tokens: words%[2%]: byte 0: invalid UTF%-8", message)
        end
        local c = both "tags"
        assert.are.same({ {}, {}, 0 }, { c:tag {} })
        fails_here("tokens: stride is %-1, expected 0 or more", function() c:tag({ { "a" } }, -1) end)
        local words, labels, scores = ffi.new("const char *[2]", { "a", "a" }), ffi.new "int32_t[2]", ffi.new "float[2]"
        for _, offsets in ipairs { { 1, 2, 2 }, { 0, 2, 1 } } do
            local at = ffi.new("int64_t[3]", offsets)
            assert.are.equal(1, tonumber(bl.lib.bl_encoder_tag(c.handle, words, at, 2, 0, labels, scores, nil)))
            assert.matches("^tokens: offsets%[%d%] is 1, expected 0, then ascending numbers$", bl.last_error())
        end
    end)

    it("answer with any settings as Lua does", function()
        local c, lua = both "answers"
        for _, options in ipairs {
            {}, { max_seq_length = 20, doc_stride = 3 }, { max_seq_length = 24, batch_size = 1 },
            { n_best_size = 2 }, { max_answer_length = 1 }, { max_query_length = 3, n_best_size = 7 },
            { version_2_with_negative = true, null_score_diff_threshold = -1000 },
            { version_2_with_negative = true, null_score_diff_threshold = 1000, max_answer_length = 3 },
        } do
            local wanted = lua:answer("who", CONTEXT, options)
            local asked = { most = 100, allow_none = options.version_2_with_negative }
            for name, value in pairs(options) do
                if name ~= "version_2_with_negative" then asked[name] = value end
            end
            local answers, probabilities = assert(c:answer("who", CONTEXT, asked)), {}
            assert.are.equal(wanted.text, squad_text.join_words(answers[1].text, 0, #answers[1].text))
            for i, entry in ipairs(wanted.all) do probabilities[i] = entry.probability end
            table.sort(answers, function(a, b) return a.probability > b.probability end)
            for i, answer in ipairs(answers) do answers[i] = answer.probability end
            assert_close(probabilities, answers)
        end
        local _, message = c:answer("the cat sat on", CONTEXT, { max_query_length = 3 })
        assert.are.equal("answer: the question has 4 tokens, expected at most 3: shorten it", message)
        fails_here("answer: max_seq_length is 49, but the model has max_position_embeddings 48",
            function() c:answer("a", "b", { max_seq_length = 49 }) end)
        fails_here("answer: doc_stride is %-2, expected 0 or more",
            function() c:answer("a", "b", { doc_stride = -2 }) end)
    end)

    it("fill the masks of texts together", function()
        local c, texts, expected = both "words", {}, {}
        for i = 1, 40 do texts[i] = ("the "):rep(i % 3) .. "[MASK] " .. (i % 4 == 0 and "[MASK] cat" or "dog") end
        for i, text in ipairs(texts) do expected[i] = assert(c:fill_mask(text, 3)) end
        local filled = assert(c:fill_masks(texts, 3))
        for i, masks in ipairs(expected) do
            assert.are.equal(#masks, #filled[i])
            for m, guesses in ipairs(masks) do
                for k, guess in ipairs(guesses) do
                    assert.are.same({ guess.id, guess.token }, { filled[i][m][k].id, filled[i][m][k].token })
                    assert_close({ guess.probability }, { filled[i][m][k].probability })
                end
            end
        end
        assert.are.same({}, c:fill_masks {})
        local _, message = c:fill_masks { "[MASK]", "the cat" }
        assert.are.equal("fill_mask: texts[1] has no [MASK]", message)
        _, message = c:fill_masks { "[MASK]", "a [MASK]", ("a "):rep(60) .. "[MASK]" }
        assert.are.equal("fill_mask: texts[2] has 63 tokens, expected at most 48: shorten it", message)
    end)
end)

describe("parameters in memory", function()
    local folder, path, list, kept, plain

    setup(function()
        models.begin()
        folder = assert(fs.temporary_folder "bertlua-memory-")
        path, list, kept = models.write(folder .. "/model", "words"), {}, {}
        plain = assert(models.open(path))
        local file = assert(storage.open(path .. "/model.safetensors"))
        for i, name in ipairs(file:names()) do
            kept[i] = tensor.new("f32", file:info(name).dims)
            assert(file:read(name, kept[i]))
            list[i] = { name = name, tensor = kept[i] }
        end
        file:close()
        os.remove(path .. "/model.safetensors")
        os.remove(path .. "/checksums.json")
        assert(fs.rename(path .. "/config.json", folder .. "/elsewhere.json"))
    end)
    teardown(function()
        models.finish()
        plain:close()
        fs.remove(folder)
    end)

    --- Open with other tensors.
    -- @param change function(name, tensor) -> list of {name, tensor}; nil: as they are
    local function opened(change, options)
        local changed = {}
        for _, entry in ipairs(list) do
            for _, each in ipairs(change and change(entry.name, entry.tensor) or { { entry.name, entry.tensor } }) do
                changed[#changed + 1] = { name = each[1], tensor = each[2] }
            end
        end
        local values = { parameters = changed, config_file = folder .. "/elsewhere.json" }
        for name, value in pairs(options or {}) do values[name] = value end
        return models.open(path, values)
    end

    it("stand for the file, where they lie, in any dtype, and with a config.json from elsewhere", function()
        local texts = { "the cat sat", "a dog" }
        local expected = plain:embed(texts):tolist()
        local function check(encoder, close)
            local vectors = encoder:embed(texts):tolist()
            for i, vector in ipairs(expected) do
                for h, x in ipairs(vector) do assert.is_true(math.abs(x - vectors[i][h]) < close) end
            end
            assert.are.equal(plain:fill_mask("the [MASK]")[1][1].token, encoder:fill_mask("the [MASK]")[1][1].token)
        end
        local encoder = assert(opened())
        check(encoder, CLOSE)
        assert.are.equal(plain:describe().parameters, encoder:describe().parameters)
        -- In place: a change shows.
        for _, entry in ipairs(list) do
            if entry.name:find "word_embeddings" then
                local before = entry.tensor:clone()
                entry.tensor:fill(0)
                assert.is_true(math.abs(encoder:embed(texts):tolist()[1][1] - expected[1][1]) > 1e-4)
                entry.tensor:copy_from(before)
            end
        end
        check(encoder, CLOSE)
        encoder:close()
        encoder = assert(opened(function(name, t)
            if #t:dims() == 1 then return { { name, t } } end
            local wide = tensor.new("f32", { t:dims()[1], t:dims()[2] + 3 })
            kept[#kept + 1] = wide
            wide:slice(2, 1, t:dims()[2]):copy_from(t)
            return { { name, wide:slice(2, 1, t:dims()[2]) } }
        end))
        check(encoder, CLOSE)
        encoder:close()
        encoder = assert(opened(function(name, t)
            kept[#kept + 1] = tensor.new("f16", t:dims()):copy_from(t)
            return { { name, kept[#kept] } }
        end))
        check(encoder, 0.02)
        encoder:close()
    end)

    it("are refused where they are not the model's", function()
        local function fails(pattern, change, options)
            local ok, encoder, message = pcall(opened, change, options)
            if ok then assert.is_nil(encoder) end
            assert.matches(pattern, ok and message or encoder)
        end
        fails("/model: no tensor bert%.encoder%.layer%.1%.output%.dense%.bias; ", function(name, t)
            return name:find "layer%.1%.output%.dense%.bias" and {} or { { name, t } }
        end)
        fails("/model: bert%.embeddings%.word_embeddings%.weight is F32 %[%d+,31%], expected %[%d+,32%]",
            function(name, t)
                return { { name, name:find "word_embeddings" and t:slice(2, 1, 31) or t } }
            end)
        fails("LayerNorm%.bias is not of a floating%-point dtype: %[32%], expected floating%-point numbers",
            function(name, t)
                return { { name, name:find "embeddings.LayerNorm.bias" and tensor.new("i32", { 32 }) or t } }
            end)
        fails("encoder: parameters has bert%.[%w_.]+ twice", function(name, t) return { { name, t }, { name, t } } end)
        fails("is not the same as bert%.embeddings%.word_embeddings%.weight: a decoder of its own is not implemented",
            function(name, t)
                if not name:find "word_embeddings" then return { { name, t } } end
                kept[#kept + 1] = tensor.new("f32", t:dims()):fill(1)
                return { { name, t }, { "cls.predictions.decoder.weight", kept[#kept] } }
            end)
        fails("/nowhere%.json: no such file$", nil, { config_file = "/nowhere.json" })
        local encoder, message = models.open(path .. "/vocab.txt", { parameters = list })
        assert.is_nil(encoder)
        assert.matches("/vocab%.txt: no such folder$", message)
        -- The same under both names is one tensor.
        encoder = assert(opened(function(name, t)
            return name:find "word_embeddings" and { { name, t }, { "cls.predictions.decoder.weight", t:clone() } }
                or { { name, t } }
        end))
        encoder:close()
    end)
end)
