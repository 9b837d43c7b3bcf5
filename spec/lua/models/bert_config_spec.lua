--- BertConfig: published files load, everything else is refused with one line.

local BertConfig = require "bertlua.models.bert_config"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"

local function values(changes)
    local t = {
        vocab_size = 100, hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4, intermediate_size = 128,
    }
    for name, value in pairs(changes or {}) do t[name] = value end
    return t
end

local function message(changes)
    local ok, err = pcall(BertConfig.new, values(changes), "my.json")
    assert.is_false(ok)
    assert.is_true(fault.is(err), tostring(err))
    return tostring(err)
end

describe("BertConfig", function()
    local published = {
        ["bert-base-uncased"] = { 12, 768, 12, 3072, 30522 },
        ["bert-base-cased"] = { 12, 768, 12, 3072, 28996 },
        ["bert-large-uncased"] = { 24, 1024, 16, 4096, 30522 },
        ["bert-large-cased"] = { 24, 1024, 16, 4096, 28996 },
    }
    for name, want in pairs(published) do
        it("loads " .. name, function()
            local c = BertConfig.load("bert_configs/" .. name .. ".json")
            assert.are.same(want, {
                c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size, c.vocab_size,
            })
            assert.are.equal(512, c.max_position_embeddings)
            assert.are.equal(1e-12, c.layer_norm_eps)
            assert.are.equal(0, c.padded_vocab_size % 8)
        end)
    end

    it("fills in BERT's defaults and pads the vocabulary", function()
        local c = BertConfig.new(values { vocab_size = 203 })
        assert.are.equal(208, c.padded_vocab_size)
        assert.are.equal(0.1, c.hidden_dropout_prob)
        assert.are.equal(0.02, c.initializer_range)
        assert.are.equal(104, BertConfig.new(values { vocab_size = 104 }).padded_vocab_size)
    end)

    it("round-trips through its table", function()
        local c = BertConfig.new(values { hidden_dropout_prob = 0, vocab_size = 203 })
        local again = BertConfig.new(json.decode(json.encode(c:to_table())))
        assert.are.same(c:to_table(), again:to_table())
        assert.are.equal("bert", c:to_table().model_type)
    end)

    it("knows the keys that Hugging Face writes", function()
        BertConfig.new(values {
            model_type = "bert", architectures = { "BertForPreTraining" }, position_embedding_type = "absolute",
            transformers_version = "4.40.0", use_cache = true, classifier_dropout = json.null, pad_token_id = 0,
        })
    end)

    it("refuses an unknown key and names the one that was meant", function()
        assert.are.equal('my.json: unknown key "hiden_size"; did you mean "hidden_size"?', message { hiden_size = 64 })
        assert.are.equal('my.json: unknown key "colour"; remove it', message { colour = "red" })
    end)

    it("refuses impossible values", function()
        assert.are.equal("my.json: hidden_size is 66, expected a multiple of num_attention_heads (4)",
            message { hidden_size = 66 })
        assert.are.equal("my.json: num_hidden_layers is 0, expected a positive integer",
            message { num_hidden_layers = 0 })
        assert.are.equal("my.json: vocab_size is 1.5, expected a positive integer", message { vocab_size = 1.5 })
        assert.are.equal('my.json: vocab_size is "100", expected a positive integer', message { vocab_size = "100" })
        assert.are.equal("my.json: hidden_dropout_prob is 1, expected a number in [0, 1)",
            message { hidden_dropout_prob = 1 })
        assert.is_truthy(message({ hidden_act = "relu" }):find('hidden_act is "relu", expected "gelu"', 1, true))
        assert.is_truthy(message({ is_decoder = true }):find("is_decoder is true, expected false", 1, true))
        local missing = values()
        missing.hidden_size = nil
        local _, err = pcall(BertConfig.new, missing)
        assert.are.equal("config: hidden_size is missing, expected a positive integer", tostring(err))
    end)

    it("has keys of a recipe's own model, and keeps them", function()
        local own = { own = true }
        local c = BertConfig.new(values { ffn = "swiglu", hidden_act = "relu", rotary = { base = 10000 },
            position_embedding_type = "rotary" }, "model", own)
        assert.are.same({ "swiglu", "relu", 10000, "rotary" }, { c.ffn, c.hidden_act, c.rotary.base,
            c.position_embedding_type })
        c.own_class = "Small"
        local saved = json.decode(json.encode(c:to_table()))
        assert.are.equal("bertlua", saved.model_type)
        assert.are.same(c:to_table(), (function()
            local again = BertConfig.new(saved, "config.json", own)
            again.own_class = "Small"
            return again:to_table()
        end)())
        saved.architectures = { "Small" }
        local _, problem = pcall(BertConfig.new, saved, "config.json")
        assert.are.equal("config.json: the model is a Small, which the recipe that trained it defines: use that "
            .. "recipe, or set its `model`", tostring(problem))
        for changes, text in pairs {
            [{ to_table = 1 }] = 'model: key "to_table" is a name of bertlua\'s own: choose another',
            [{ ffn = print }] = 'model: key "ffn" is a function, expected text, a number, true or false, or a table of '
                .. "these",
            [{ hidden_size = 66 }] = "model: hidden_size is 66, expected a multiple of num_attention_heads (4)",
        } do
            _, problem = pcall(BertConfig.new, values(changes), "model", own)
            assert.is_true(fault.is(problem), tostring(problem))
            assert.are.equal(text, tostring(problem))
        end
    end)

    it("keeps what a model for classification gives", function()
        local config = BertConfig.new(values { problem_type = "regression", id2label = { ["0"] = "LABEL_0" } })
        assert.are.equal("regression", config.problem_type)
        assert.are.equal("regression", config:to_table(true).problem_type)
        assert.is_nil(config:to_table().problem_type)
        assert.is_nil(BertConfig.new(values { problem_type = json.null }).problem_type)
        assert.has_error(function() BertConfig.new(values { problem_type = "many" }) end)
    end)

    it("has no labels where their numbers are none", function()
        for _, number in ipairs { "nan", "1e300", "-1", "0.5", "x" } do
            assert.is_nil(BertConfig.new(values { id2label = { [number] = "yes" } }).labels, number)
        end
        assert.are.same({ "no", "yes" }, BertConfig.new(values { id2label = { ["0"] = "no", ["1"] = "yes" } }).labels)
    end)

    it("says what is wrong with the file", function()
        local _, err = pcall(BertConfig.load, "/no/such/config.json")
        assert.is_true(fault.is(err))
        assert.is_truthy(tostring(err):find("/no/such/config.json", 1, true))
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write('{"vocab_size": 3')
        file:close()
        _, err = pcall(BertConfig.load, path)
        os.remove(path)
        assert.is_true(fault.is(err))
        assert.is_truthy(tostring(err):find(path .. ": not a JSON object", 1, true))
    end)
end)
