--- bl.load: models saved by transformers and by us, against what transformers computes (make_encoder_fixtures.py).

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local Encoder = require "bertlua.encoder"
local checkpoint = require "bertlua.train.checkpoint"
local fails_here = require("spec.support.errors").fails_here
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local ops = require "bertlua.ops"
local process = require "spec.support.process"
local squad_reader = require "bertlua.squad.reader"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local FOLDER = "spec/fixtures/encoder/"
local TEXT, SHORT, PAIR = "The [MASK] sat on the mats, unseen.", "a dog", "was it good?"
local CLOSE = 1e-5

local expected = assert(storage.open(FOLDER .. "expected.safetensors"))

local function fixture(name)
    local info = assert(expected:info(name), name)
    local t = tensor.new(info.native, info.dims)
    assert(expected:read(name, t))
    return t:tolist()
end

--- The largest difference between nested lists of one shape.
local function distance(a, b)
    if type(a) == "number" then return math.abs(a - b) end
    assert.are.equal(#a, #b)
    local worst = 0
    for i = 1, #a do worst = math.max(worst, distance(a[i], b[i])) end
    return worst
end

local function assert_close(name, got)
    local worst = distance(fixture(name), got:tolist())
    assert.is_true(worst < CLOSE, ("%s: off by %g"):format(name, worst))
end

local function fault_of(fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    return tostring(problem)
end

describe("a loaded model", function()
    local model, folder

    setup(function()
        model = Encoder.load(FOLDER .. "masked_lm/")
        folder = assert(fs.temporary_folder "bertlua-encoder-")
    end)
    teardown(function()
        model:close()
        fs.remove(folder)
    end)

    it("says what it is and what it can do", function()
        assert.are.equal([[
BertForPretraining of spec/fixtures/encoder/masked_lm
  2 layers, hidden size 16, 2 heads, 5097 parameters
  25 words, lower-cased; texts of up to 24 tokens
  m:fill_mask, m:embed, m:hidden_states, m:attention, m:tokens]], tostring(model))
    end)

    it("takes texts apart as transformers does, special tokens included", function()
        local tokens = model:tokens(TEXT, PAIR)
        for i, id in ipairs(fixture "pair.ids") do assert.are.equal(model.tokenizer:token(id), tokens[i]) end
        assert.are.equal(#fixture "pair.ids", #tokens)
    end)

    it("embeds texts: the mean of their tokens, or the first", function()
        local vectors = model:embed { TEXT, SHORT }
        assert.are.same({ 2, 16 }, vectors:dims())
        assert_close("mean", vectors)
        assert_close("cls", model:embed({ TEXT, SHORT }, { pooling = "cls" }))
        assert.is_true(distance({ fixture("mean")[2] }, model:embed(SHORT):tolist()) < CLOSE)
        -- Whatever shares a batch with them.
        assert_close("mean", model:embed({ TEXT, SHORT }, { batch_size = 1 }))
        local unit = model:embed(TEXT, { normalize = true }):tolist()[1]
        local sum = 0
        for _, value in ipairs(unit) do sum = sum + value ^ 2 end
        assert.is_true(math.abs(sum - 1) < CLOSE)
    end)

    it("embeds texts as a folder of sentence-transformers says", function()
        local home = folder .. "/sentences"
        assert.are.equal(0, os.execute(("cp -r %smasked_lm %s"):format(FOLDER, home)))
        sentence_transformers.write(home, { pooling = "cls", normalize = true, max_length = 6, hidden = 16 })
        local of_folder = Encoder.load(home)
        assert.are.equal(6, of_folder.limit)
        assert.are.same(model:embed(SHORT, { pooling = "cls", normalize = true }):tolist(),
            of_folder:embed(SHORT):tolist())
        assert.are.same(model:embed(SHORT):tolist(), of_folder:embed(SHORT, { pooling = "mean", normalize = false })
            :tolist())
        of_folder:close()
        assert(fs.write(home .. "/1_Pooling/config.json", '{"pooling_mode_max_tokens": true}'))
        of_folder = Encoder.load(home)
        assert.matches('^embed: .*1_Pooling/config%.json: pooling max_tokens is not implemented, only mean or cls; '
            .. '{ pooling = "mean" } makes vectors regardless', fault_of(of_folder.embed, of_folder, SHORT))
        assert.are.equal(1, of_folder:embed(SHORT, { pooling = "mean" }):dims()[1])
        of_folder:close()
        assert(fs.remove(home))
    end)

    it("computes in bf16 or fp16 where that is asked for", function()
        for _, precision in ipairs { "bf16", "fp16" } do
            local low = Encoder.load(FOLDER .. "masked_lm", { precision = precision })
            local off = distance(fixture "mean", low:embed({ TEXT, SHORT }):tolist())
            assert.is_true(off > 0 and off < 0.05)
            assert.is_true(distance(fixture "text.attention.1", low:attention(TEXT)[2]:tolist()) < 0.05)
            assert.is_true(distance(fixture "text.hidden.2", low:hidden_states(TEXT)[3]:tolist()) < 0.1)
            low:close()
        end
    end)

    it("shows the output of the embeddings and of every layer", function()
        for name, pair in pairs { text = false, pair = PAIR } do
            local list = model:hidden_states(TEXT, pair or nil)
            assert.are.equal(3, #list)
            for i, state in ipairs(list) do assert_close(("%s.hidden.%d"):format(name, i - 1), state) end
        end
    end)

    it("shows the weights of every attention", function()
        for name, pair in pairs { text = false, pair = PAIR } do
            local list = model:attention(TEXT, pair or nil)
            assert.are.equal(2, #list)
            for i, weights in ipairs(list) do assert_close(("%s.attention.%d"):format(name, i - 1), weights) end
        end
    end)

    it("guesses words, and prints them as a line", function()
        local guesses = model:fill_mask(TEXT, 25)
        assert.matches(" %%, %.%.%. 5 more$", tostring(guesses))
        local probabilities = fixture "mask_probabilities"
        assert.are.equal(25, #guesses[1])
        for _, guess in ipairs(guesses[1]) do
            assert.is_true(math.abs(guess.probability - probabilities[guess.id + 1]) < CLOSE)
            assert.are.equal(model.tokenizer:token(guess.id), guess.token)
        end
        assert.matches("^%S+ %d+%.%d %%, %S+ %d+%.%d %%, ", tostring(guesses))
        assert.matches("^1: .*\n2: ", tostring(model:fill_mask("[MASK] [MASK]", 2)))
        local both = model:fill_mask({ TEXT, "a [MASK]" }, 2, { batch_size = 2 })
        assert.are.same({ 2, guesses[1][1].token }, { #both, both[1][1][1].token })
        assert.are.equal('fill_mask: "a dog" has no [MASK]', fault_of(model.fill_mask, model, SHORT))
        -- [SEP] is one token, not three.
        local twice = model:fill_mask("a dog [SEP] the [MASK]", 1)[1][1].probability
        assert.is_true(math.abs(twice - model:fill_mask("a dog ] sep [ the [MASK]", 1)[1][1].probability) > CLOSE)
        assert.matches("^the text: byte 0: invalid UTF%-8", fault_of(model.fill_mask, model, "\255 [MASK]"))
    end)

    it("says which head it lacks", function()
        assert.are.equal("classify: this encoder has no classification head (it has an MLM head): load a model that "
            .. "has one", fault_of(model.classify, model, TEXT))
        assert.are.equal("answer: this encoder has no question-answering head (it has an MLM head): load a model that "
            .. "has one",
            fault_of(model.answer, model, PAIR, TEXT))
        local classifier = Encoder.load(FOLDER .. "classification")
        assert.are.equal("fill_mask: this encoder has no MLM head (it has a classification head): load a model that "
            .. "has one", fault_of(classifier.fill_mask, classifier, TEXT))
        classifier:close()
    end)

    it("classifies with the labels of its config", function()
        local classifier = Encoder.load(FOLDER .. "classification")
        local result = classifier:classify("the film was good", PAIR)
        local probabilities, labels = fixture "labels", { "bad", "fair", "good" }
        local best = 1
        for i = 1, 3 do
            if probabilities[i] > probabilities[best] then best = i end
            for _, entry in ipairs(result.all) do
                if entry.label == labels[i] then
                    assert.is_true(math.abs(entry.probability - probabilities[i]) < CLOSE)
                end
            end
        end
        assert.are.equal(labels[best], result.label)
        assert.are.equal(result.all[1].probability, result.probability)
        assert.matches("^" .. labels[best] .. " %d+%.%d %%, ", tostring(result))
        assert.matches("\n  labels: bad, fair, good\n  m:classify, m:embed", tostring(classifier))
        classifier:close()
    end)

    it("leaves out the end of a long text, and says so", function()
        local code = ([[
            local m = bl.load "%smasked_lm"
            local long = ("the cat "):rep(20)
            print(#m:tokens(long), m:tokens(long)[24])
            print(table.concat(m:tokens("the cat sat", long), " ", 1, 5))
            m:embed { long, "a dog", long }]]):format(FOLDER)
        local output, status = process.run_bertlua("-e " .. process.quote(code))
        assert.are.equal(0, status, output)
        local told = "tokens: the text is longer than 24 tokens: the end is left out\n"
        assert.are.equal(4, select(2, output:gsub("the end is left out", "")))
        assert.is_truthy(output:find(told, 1, true), output)
        assert.is_truthy(output:find("24\t[SEP]\n", 1, true), output)
        assert.is_truthy(output:find("[CLS] the cat sat [SEP]\n", 1, true), output)
        told = "embed: 2 texts are longer than 24 tokens: the end is left out\n"
        assert.is_truthy(output:find(told, 1, true), output)
    end)

    it("opens our checkpoints, the newest or the best of a folder of steps, and exported models", function()
        local config = BertConfig.load(FOLDER .. "masked_lm/config.json")
        local own = BertForPretraining.new(config)
        own.store:allocate { seed = 3, training = false }
        local parts = { store = own.store, config = config, vocab_file = FOLDER .. "classification/vocab.txt" }
        local steps = folder .. "/steps"
        checkpoint.save(steps, 5, parts)
        -- The words of a later step differ.
        own.bert.embeddings.word.value:fill(0.5)
        checkpoint.save(steps, 10, parts)
        local newest, older = Encoder.load(steps), Encoder.load(steps .. "/5")
        assert.are.equal(steps .. "/10", newest.folder)
        assert.is_true(newest.heads.mlm and newest.heads.nsp and newest.heads.pooler)
        assert.is_true(distance(newest:embed(SHORT):tolist(), older:embed(SHORT):tolist()) > 0.01)
        newest:close()
        older:close()
        parts.best, parts.progress = 5, { evaluation = { kept = true, best_step = 5, metric = "loss" } }
        checkpoint.save(steps, 15, parts)
        local best = Encoder.load(steps)
        assert.are.equal(steps .. "/5", best.folder)
        best:close()
        parts.best, parts.progress = nil, nil
        assert.matches("^bl%.load: (.*): contains no .*; there is one in %1/steps$", fault_of(Encoder.load, folder))

        local reader = BertForQuestionAnswering.new(config)
        reader.store:allocate { seed = 4, training = false }
        parts.store = reader.store
        checkpoint.export(folder .. "/squad", parts)
        local m = Encoder.load(folder .. "/squad")
        local context = "the cat sat on the mat of the house."
        local answer = m:answer("good?", context, { max_seq_length = 24, doc_stride = 4, max_query_length = 8 })
        assert.is_truthy(context:find(answer.text, 1, true) and #answer.text > 0, answer.text)
        assert.are.equal(answer.all[1].probability, answer.probability)
        assert.are.equal(("%s (%.1f %%)"):format(answer.text, 100 * answer.probability), tostring(answer))
        assert.matches("\n  m:answer, m:embed", tostring(m))
        m:close()
        own.store:free()
        reader.store:free()
    end)

    --- The classifying fixture with another config.json, as a folder of this name.
    local function changed(name, change)
        local path = folder .. "/" .. name
        assert(fs.mkdirs(path))
        for _, file in ipairs(assert(fs.list(FOLDER .. "classification"))) do
            assert(fs.copy(FOLDER .. "classification/" .. file, path .. "/" .. file))
        end
        assert(fs.write(path .. "/config.json", change(assert(fs.read(path .. "/config.json")))))
        return path
    end

    it("keeps the encoder of a model whose head is not known", function()
        local m = Encoder.load(changed("choice", function(config)
            return (config:gsub("BertForSequenceClassification", "BertForMultipleChoice"))
        end))
        assert.matches("its head, of a BertForMultipleChoice, is left out", tostring(m))
        assert.are.equal("classify: this encoder has no classification head (it has that of a "
            .. "BertForMultipleChoice, which is not known here): load a model that has one",
            fault_of(m.classify, m, TEXT))
        m:close()
    end)

    it("tags words, one sentence or many, in windows where one is long", function()
        local m = Encoder.load(changed("tokens", function(config)
            return (config:gsub("BertForSequenceClassification", "BertForTokenClassification"))
        end), { max_seq_length = 12 })
        assert.matches("labels: .*\n  m:tag, m:embed", tostring(m))
        local words, long = { "the", "cat", "unseen" }, {}
        for i = 1, 30 do long[i] = words[1 + i % 3] end
        local tags, scores = m:tag(words)
        assert.are.same({ 3, 3 }, { #tags, #scores })
        assert.are.same({ tags, scores }, { m:tag "the cat  unseen" })
        local all, their = m:tag({ words, long, { "a" } }, { batch_size = 2, stride = 4 })
        assert.are.same({ tags, 30, 1 }, { all[1], #all[2], #all[3] })
        assert.is_true(distance(scores, their[1]) < CLOSE)
        assert.matches("^word number 2: byte 1: invalid UTF%-8", fault_of(m.tag, m, { "the", "a\255" }))
        fails_here("tag: got an empty list, expected a list of words", function() m:tag {} end)
        fails_here("tag: sentence 2 has no words", function() m:tag { { "a" }, {} } end)
        fails_here("tag: the word number 1 of sentence 1 is a number, expected a string",
            function() m:tag { { 1 } } end)
        assert.matches("tag: this encoder has no token%-classification head", fault_of(model.tag, model, words))
        m:close()
    end)

    it("computes many texts in parts as all at once, pairs among them, and drops NUL bytes", function()
        local list = { TEXT, { SHORT, PAIR }, SHORT, "", "the cat" }
        local all, parts = model:embed(list), model:embed(list, { batch_size = 2 })
        assert.is_true(distance(all:tolist(), parts:tolist()) < CLOSE)
        assert.is_true(distance({ all:tolist()[3] }, model:embed("a\0 dog\0"):tolist()) < CLOSE)
        assert.is_true(distance({ all:tolist()[3] }, { all:tolist()[2] }) > 0.01)
        local texts = { "a [MASK]", TEXT, "[MASK] dog", "the [MASK] sat on [MASK]" }
        local filled = model:fill_mask(texts, 3, { batch_size = 3 })
        for i, text in ipairs(texts) do
            local alone = model:fill_mask(text, 3)
            assert.are.equal(#alone, #filled[i])
            for m, guesses in ipairs(alone) do assert.are.equal(guesses[1].token, filled[i][m][1].token) end
        end
        for _, call in ipairs { "embed", "hidden_states", "tokens", "fill_mask" } do
            assert.matches("^the text: byte 9: invalid UTF%-8 %(0xff%): convert it", fault_of(model[call], model,
                "a [MASK] \255"))
        end
        local long = ("the cat "):rep(20) .. "[MASK]"
        assert.are.equal("fill_mask: the text has 43 tokens, expected at most 24: shorten it",
            fault_of(model.fill_mask, model, long))
        assert.are.equal("fill_mask: text number 4 has 43 tokens, expected at most 24: shorten it",
            fault_of(model.fill_mask, model, { "[MASK]", "[MASK]", "[MASK]", long }, 1, { batch_size = 2 }))
    end)

    it("counts the texts and words that are cut, once, whatever parts they are computed in", function()
        local counts = {}
        local m = Encoder.load(FOLDER .. "masked_lm", { max_seq_length = 6 })
        m.on_cut = function(count) counts[#counts + 1] = count end
        -- Four tokens and two special ones: as many as fit; five bytes are more tokens, or fewer.
        local list = { "a dog", "a a a a", "a a a a a", "unseen", { "a a", "a" }, { "a a", "a a" } }
        m:embed(list, { batch_size = 1 })
        assert.are.same({ 2 }, counts)
        m:tokens "a a a a"
        m:tokens "a a a a a"
        m:hidden_states("a a", "a a")
        assert.are.same({ 2, 1, 1 }, counts)
        m:close()
    end)

    it("answers as the reader of SQuAD does, with all of its options", function()
        local config = BertConfig.load(FOLDER .. "masked_lm/config.json")
        local own = BertForQuestionAnswering.new(config)
        own.store:allocate { seed = 4, training = false }
        for i, entry in ipairs(own.store.list) do
            if #entry.dims == 2 then ops.fill_normal(entry.stored, 0, 0.3, 5, i) end
        end
        checkpoint.export(folder .. "/reader", { store = own.store, config = config,
            vocab_file = FOLDER .. "classification/vocab.txt" })
        own.store:free()
        local m, theirs = Encoder.load(folder .. "/reader"), squad_reader.open(folder .. "/reader")
        local context = "the cat  sat on\tthe mat of the house. a dog was good, unseen"
        for _, options in ipairs {
            {}, { max_seq_length = 12, doc_stride = 2 }, { n_best_size = 3, batch_size = 1 },
            { max_answer_length = 2, max_query_length = 4 }, { version_2_with_negative = true },
            { version_2_with_negative = true, null_score_diff_threshold = -100 },
            { version_2_with_negative = true, null_score_diff_threshold = 100 },
        } do
            local wanted, details = theirs:ask("was it good?", context, options)
            local answer = m:answer("was it good?", context, options)
            assert.are.equal(details.answer, answer.text)
            assert.are.equal(#wanted, #answer.all)
            for i, entry in ipairs(wanted) do
                assert.are.equal(entry.text, answer.all[i].text)
                assert.is_true(math.abs(entry.probability - answer.all[i].probability) < CLOSE)
            end
        end
        assert.are.equal("answer: max_seq_length is 25, but the model has max_position_embeddings 24",
            fault_of(m.answer, m, "a", "a", { max_seq_length = 25 }))
        assert.are.equal("answer: the context is empty: there is nothing to find an answer in",
            fault_of(m.answer, m, "a", " "))
        fails_here("answer: doc_stride is 0, expected a whole number from 1",
            function() m:answer("a", "b", { doc_stride = 0 }) end)
        fails_here("answer: unknown option doc_strid; did you mean doc_stride?",
            function() m:answer("a", "b", { doc_strid = 2 }) end)
        theirs:close()
        m:close()
    end)

    it("is of no use once it is closed, nor is its tokenizer", function()
        local m = Encoder.load(FOLDER .. "masked_lm")
        local words = m.tokenizer
        assert.are.same({ "a", "dog" }, words:tokenize "A dog")
        m:hidden_states(SHORT)
        m:close()
        m:close()
        fails_here("hidden_states: the model has been closed", function() m:hidden_states(SHORT) end)
        assert.has_error(function() words:tokenize "a dog" end,
            "tokenizer: the model that it belongs to has been closed")
    end)

    it("classifies many texts, into several labels or numbers as problem_type says", function()
        local function with(problem)
            return Encoder.load(changed(problem, function(config)
                return (config:gsub("^{", ('{"problem_type": "%s",'):format(problem)))
            end))
        end
        local m = with "single_label_classification"
        local one, list = m:classify(SHORT, PAIR), m:classify({ TEXT, { SHORT, PAIR } }, { batch_size = 1 })
        assert.are.equal(one.label, list[2].label)
        assert.is_true(math.abs(one.probability - list[2].probability) < CLOSE)
        assert.matches("^1: .*\n2: ", tostring(list))
        m:close()
        m = with "regression"
        local values = m:classify(SHORT).values
        assert.are.equal(3, #values)
        m:close()
        m = with "multi_label_classification"
        local several = m:classify(SHORT, nil, { threshold = 0 })
        assert.are.equal(3, #several.labels)
        for i, label in ipairs(m.config.labels) do
            for k, name in ipairs(several.labels) do
                if name == label then
                    assert.is_true(math.abs(several.probabilities[k] - 1 / (1 + math.exp(-values[i]))) < CLOSE)
                end
            end
        end
        assert.are.same({}, m:classify(SHORT, nil, { threshold = 1 }).labels)
        fails_here("classify: got an empty list, expected a text or a list of texts", function() m:classify {} end)
        m:close()
    end)

    it("opens OUTPUT_DIR of a run, and cuts texts as the folder says or as asked", function()
        local out = folder .. "/run"
        assert(fs.mkdirs(out))
        assert(fs.rename(changed("whole", function(config) return config end), out .. "/model"))
        local m = Encoder.load(out)
        assert.are.same({ out .. "/model", 24 }, { m.folder, m.limit })
        m:close()
        assert(fs.write(out .. "/model/tokenizer_config.json", '{"model_max_length": 9, "do_lower_case": true}'))
        for limit, options in pairs { [9] = {}, [12] = { max_seq_length = 12 } } do
            m = Encoder.load(out, options)
            assert.are.equal(limit, m.limit)
            m:close()
        end
        assert(fs.write(out .. "/model/tokenizer_config.json", '{"model_max_length": 1e30, "do_lower_case": true}'))
        m = Encoder.load(out)
        assert.are.equal(24, m.limit)
        m:close()
        assert.matches("max_seq_length is 25, but .*/run/model has max_position_embeddings 24",
            fault_of(Encoder.load, out, { max_seq_length = 25 }))
    end)

    it("tells what is missing in a folder, and what was asked wrongly", function()
        assert.are.equal("bl.load: /no/such/model: no such file or folder", fault_of(Encoder.load, "/no/such/model"))
        local empty = folder .. "/empty"
        assert(fs.mkdirs(empty))
        assert.matches("^bl%.load: .*/empty: contains no model%.safetensors, .*, and no complete checkpoint$",
            fault_of(Encoder.load, empty))
        assert(fs.copy(FOLDER .. "masked_lm/model.safetensors", empty .. "/model.safetensors"))
        assert.matches("/empty holds no config%.json: name it with { config_file = %.%.%. }$",
            fault_of(Encoder.load, empty))
        assert(fs.copy(FOLDER .. "masked_lm/config.json", empty .. "/config.json"))
        for option, line in pairs { ["{ vocab_file = ... }"] = {}, ["--vocab-file"] = { command_line = true } } do
            assert.are.equal(empty .. " holds neither vocab.txt nor tokenizer.json: name the vocabulary with "
                .. option, fault_of(Encoder.load, empty, line))
        end
        assert.are.equal("--checkpoint: /no/such/model: no such file or folder",
            fault_of(Encoder.load, "/no/such/model", { command_line = true }))
        local named = Encoder.load(empty, { vocab_file = FOLDER .. "classification/vocab.txt" })
        assert_close("mean", named:embed { TEXT, SHORT })
        named:close()
        fails_here("embed: the model has been closed", function() named:embed(SHORT) end)
        fails_here("embed: call it with a colon: m:embed(...)", function() model.embed { SHORT } end)
        assert.matches("%(closed%)", tostring(named))
        fails_here("load: unknown option vocab, expected precision, vocab_file, config_file, do_lower_case, "
            .. "model_prefix, max_seq_length", function() Encoder.load(empty, { vocab = "x" }) end)
        fails_here("load: options is a string, expected a table with precision",
            function() Encoder.load(empty, "bf16") end)
        fails_here("embed: unknown option poling; did you mean pooling?",
            function() model:embed(SHORT, { poling = "cls" }) end)
        fails_here("embed: options is a string, expected a table", function() model:embed(SHORT, TEXT) end)
        fails_here("load: precision is fp64, expected fp32, bf16 or fp16",
            function() Encoder.load(empty, { precision = "fp64" }) end)
        fails_here("embed: got an empty list, expected a text or a list of texts", function() model:embed {} end)
        fails_here("embed: pooling is max, expected mean or cls",
            function() model:embed("a", { pooling = "max" }) end)
        fails_here("embed: unknown option pool, expected pooling, normalize, batch_size",
            function() model:embed("a", { pool = "cls" }) end)
        fails_here("embed: batch_size is 0, expected a whole number from 1",
            function() model:embed("a", { batch_size = 0 }) end)
        fails_here("embed: the second text of number 1 is a number, expected a string",
            function() model:embed { { "a", 1 } } end)
        fails_here("fill_mask: k is 0, expected a whole number from 1", function() model:fill_mask(TEXT, 0) end)
        fails_here("hidden_states: the text is a number, expected a string", function() model:hidden_states(1) end)
        fails_here("tokens: the second text is a number, expected a string", function() model:tokens("a", 1) end)
        fails_here("fill_mask: the text is nil, expected a string", function() model:fill_mask() end)
        fails_here("embed: the text number 2 is a boolean, expected a string", function() model:embed { "a", true } end)
    end)
end)
