--- Opening models that predict masked words: with only the heads that are needed, and vocabularies of any kind.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local evaluate = require "bertlua.jobs.pretrain.evaluate"
local fault = require "bertlua.fault"
local fill_mask = require "bertlua.jobs.pretrain.fill_mask"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"

local WORDS = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c" }
local SIZES = { vocab_size = #WORDS, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2,
    intermediate_size = 16, max_position_embeddings = 10, model_type = "bert" }

describe("a model opened for masked words", function()
    local folder, warn, warnings

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-checkpoint-model-")
        warn, warnings = term.warn, {}
        term.warn = function(text) warnings[#warnings + 1] = text end
    end)

    after_each(function()
        term.warn = warn
        fs.remove(folder)
    end)

    --- A folder as transformers saves it, with the parameters that `keeps` chooses.
    local function make(keeps, changes, prefix)
        local values = {}
        for key, value in pairs(SIZES) do values[key] = value end
        for key, value in pairs(changes or {}) do values[key] = value end
        local store = BertForPretraining.new(BertConfig.new(values)).store
        store:allocate { seed = 1, training = false }
        local list = {}
        for _, entry in ipairs(store.list) do
            if not keeps or keeps(entry.name) then
                list[#list + 1] = { name = (prefix or "") .. entry.name, tensor = entry.stored or entry.value }
            end
        end
        assert(storage.save(folder .. "/model.safetensors", list))
        assert(fs.write(folder .. "/config.json", json.encode(values)))
        assert(fs.write(folder .. "/vocab.txt", table.concat(WORDS, "\n") .. "\n"))
        store:free()
    end

    local function guesses()
        local opened = checkpoint_model.open(folder)
        local words = checkpoint_model.tokenizer(opened, true)
        local text = fill_mask.text(opened, words, "a [MASK]", 20)
        local report = evaluate.text(opened, { samples = 1, masked = 1, mlm_loss = 1, mlm_accuracy = 1, mlm_chance = 1,
            mlm_copy = 1, mlm_token = 5, nsp_loss = opened.predicts_next and 1 or nil, nsp_accuracy = 1,
            nsp_chance = 1 }, "a")
        opened.model.store:free()
        return text, report
    end

    local function message(...)
        local ok, problem = pcall(...)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        return tostring(problem)
    end

    it("needs neither pooler nor next sentences, and tells that these are not measured", function()
        make()
        local whole, report = guesses()
        assert.matches("NSP  loss", report)
        for _, lacks in ipairs { "^bert%.pooler", "^cls%.seq", "pooler", "seq" } do
            make(function(name) return not name:find(lacks) end)
            local text, without = guesses()
            assert.are.equal(whole, text)
            assert.matches("\n  NSP  not measured: the model has no head for next sentences "
                .. "%(cls.seq_relationship, pooler%)\n$", without)
        end
        make(function(name) return not name:find "pooler" and not name:find "seq" end, nil, "_orig_mod.")
        assert.are.equal(whole, (guesses()))
    end)

    it("is refused without the head itself", function()
        make(function(name) return not name:find "^cls" end)
        assert.are.equal(folder .. "/model.safetensors: has no head that predicts masked words (cls.predictions): use "
            .. "a model that was pre-trained on them, such as a BertForPreTraining or BertForMaskedLM",
            message(checkpoint_model.open, folder))
        make(function(name) return name ~= "cls.predictions.bias" end)
        assert.matches("lacks 1 of %d+ tensors of this model %(cls.predictions.bias%): configuration and kind of model "
            .. "must be those of the parameters$", message(checkpoint_model.open, folder))
    end)

    it("is looked for below the folder that is named", function()
        make()
        assert(fs.mkdirs(folder .. "/runs"))
        assert(fs.rename(folder .. "/model.safetensors", folder .. "/runs/model.safetensors"))
        assert(fs.rename(folder .. "/config.json", folder .. "/runs/config.json"))
        local ok, problem = pcall(checkpoint_model.open, folder)
        assert.is_false(ok)
        assert.are.equal(("--checkpoint %s: holds neither a model nor a complete checkpoint; there is one in %s/runs")
            :format(folder, folder), fault.message(problem))
    end)

    it("refuses networks of another kind", function()
        make(nil, { vocab_size = 8 })
        local config = json.read(folder .. "/config.json")
        for key, value in pairs { position_embedding_type = "relative_key_query", tie_word_embeddings = false,
            is_decoder = true, model_type = "electra", hidden_act = "relu" } do
            local before = config[key]
            config[key] = value
            assert(fs.write(folder .. "/config.json", json.encode(config)))
            assert.matches("/config.json: " .. key .. " is ", message(checkpoint_model.open, folder))
            config[key] = before
        end
    end)

    it("reads tokenizer.json where it stands alone", function()
        make()
        local text = guesses()
        assert(fs.remove(folder .. "/vocab.txt"))
        assert.matches("^.* holds neither vocab.txt nor tokenizer.json: name the vocabulary with %-%-vocab%-file$",
            message(guesses))
        local vocab = {}
        for i, word in ipairs(WORDS) do vocab[word] = i - 1 end
        local value = { model = { type = "WordPiece", vocab = vocab },
            normalizer = { type = "BertNormalizer", lowercase = true }, pre_tokenizer = { type = "BertPreTokenizer" } }
        assert(fs.write(folder .. "/tokenizer.json", json.encode(value)))
        assert.are.equal(text, (guesses()))
        value.model.type = "Unigram"
        assert(fs.write(folder .. "/tokenizer.json", json.encode(value)))
        assert.matches("/tokenizer.json: its model is Unigram, expected WordPiece, which BERT has$", message(guesses))
    end)

    it("may have more rows than its own vocabulary has tokens, and is told, but not fewer", function()
        make(nil, { vocab_size = 19 })
        local text = guesses()
        local shown = select(2, text:gsub("%%", ""))
        assert.are.equal(#WORDS, shown)
        assert.are.same({ folder .. " has rows for 19 words, 11 rows more than " .. folder
            .. "/vocab.txt has tokens: no text has these" }, warnings)
        -- Another vocabulary than the model's own may be that of another model.
        assert(fs.write(folder .. "/other.txt", table.concat(WORDS, "\n") .. "\n"))
        local opened = checkpoint_model.open(folder, { vocab_file = folder .. "/other.txt" })
        assert.are.equal(folder .. ": its vocabulary has 19 tokens, but " .. folder .. "/other.txt has 8",
            message(checkpoint_model.tokenizer, opened, true))
        opened.model.store:free()
        make(nil, { vocab_size = 7 })
        assert.are.equal(folder .. ": its vocabulary has 7 tokens, but " .. folder .. "/vocab.txt has 8",
            message(guesses))
    end)
end)
