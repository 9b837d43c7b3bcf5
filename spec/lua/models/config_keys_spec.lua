--- Keys of other programs' configurations: what is ignored, what is told, what is refused, all in one message.

local BertConfig = require "bertlua.models.bert_config"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local keys = require "bertlua.models.config_keys"
local term = require "bertlua.util.term"

-- As transformers 2.x and 5 write it; the second names itself and its version.
local OLD = { vocab_size = 100, hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4,
    intermediate_size = 128, finetuning_task = json.null, num_labels = 2, output_attentions = false,
    output_hidden_states = false, pruned_heads = {}, torchscript = false, use_bfloat16 = false, num_beams = 1,
    max_length = 20, do_sample = false }
local NEW = { vocab_size = 100, hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4,
    intermediate_size = 128, transformers_version = "5.24.0", architectures = { "BertForPreTraining" },
    model_type = "bert", return_dict = true, dtype = "float32", chunk_size_feed_forward = 0, is_encoder_decoder = false,
    problem_type = json.null, pad_token_id = 3, is_decoder = false, add_cross_attention = false,
    tie_word_embeddings = true, bos_token_id = json.null, _attn_implementation_autoset = true, _name_or_path = "/x",
    quantization_config = json.null, position_embedding_type = "absolute", gradient_checkpointing = true,
    hidden_act = "gelu_python" }

local function with(base, changes)
    local values = {}
    for key, value in pairs(base) do values[key] = value end
    for key, value in pairs(changes) do values[key] = value end
    return values
end

describe("keys of a config.json", function()
    local warn, warnings

    before_each(function()
        warn, warnings = term.warn, {}
        term.warn = function(text) warnings[#warnings + 1] = text end
    end)

    after_each(function() term.warn = warn end)

    local function message(values, options)
        local ok, problem = pcall(BertConfig.new, values, "c.json", options)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        return tostring(problem)
    end

    it("of any version of transformers that say nothing of the network are ignored", function()
        assert.are.equal(64, BertConfig.new(OLD, "old.json").hidden_size)
        local config = BertConfig.new(NEW, "new.json")
        assert.are.same({ 64, "gelu" }, { config.hidden_size, config.hidden_act })
        assert.are.same({}, warnings)
    end)

    it("that nobody knows are told in one line, once", function()
        local values = with(NEW, { colour = "red", ["_of\ntomorrow"] = 1 })
        BertConfig.new(values, "told.json")
        BertConfig.new(values, "told.json")
        assert.are.same({ "told.json: ignored 2 keys that bertlua does not know: _of\\ntomorrow, colour" }, warnings)
    end)

    it("that may be a field misspelt are refused where the field is missing, else told", function()
        assert.are.equal('c.json: unknown key "layer_norm_epsilon"; did you mean "layer_norm_eps"?',
            message(with(NEW, { layer_norm_epsilon = 1e-5 })))
        BertConfig.new(with(NEW, { layer_norm_epsilon = 1e-5, layer_norm_eps = 1e-5 }), "both.json")
        assert.are.same({ "both.json: ignored 1 key that bertlua does not know: layer_norm_epsilon" }, warnings)
    end)

    it("that a user wrote must be known", function()
        assert.are.equal('c.json: unknown key "colour"; remove it', message { vocab_size = 100, hidden_size = 64,
            num_hidden_layers = 2, num_attention_heads = 4, intermediate_size = 128, colour = "red" })
        assert.are.equal('c.json: unknown key "colour"; remove it',
            message(with(NEW, { colour = "red" }), { by_hand = { colour = "red" } }))
    end)

    it("that make another network are refused", function()
        for _, case in ipairs {
            { { is_decoder = true }, "is_decoder is true, expected false: only BERT's encoder" },
            { { add_cross_attention = true }, "add_cross_attention is true, expected false: only BERT's encoder" },
            { { is_encoder_decoder = true }, "is_encoder_decoder is true, expected false: only BERT's encoder" },
            { { position_embedding_type = "relative_key" },
                'position_embedding_type is "relative_key", expected "absolute": positions are looked up in a table' },
            { { position_embedding_type = "relative_key_query" }, 'position_embedding_type is "relative_key_query", '
                .. 'expected "absolute": positions are looked up in a table' },
            { { tie_word_embeddings = false },
                "tie_word_embeddings is false, expected true: words are scored with the embeddings of the words" },
            { { pruned_heads = { ["0"] = { 1, 2 } } },
                "pruned_heads is set, expected none: attention heads are not pruned" },
            { { quantization_config = { quant_method = "bitsandbytes" } },
                "quantization_config is bitsandbytes, expected none (parameters as F32, F16, BF16 or F64) or that "
                    .. "of bertlua quantize (compressed-tensors, int-quantized: 8 bits, symmetric, a scale for each "
                    .. "row)" },
            { { auto_map = { AutoModel = "modeling.X" } }, "auto_map is set, expected no class of a model: code of the "
                .. "folder's own is not run; remove the key if the network is BERT's" },
            { { feed_forward_type = "geglu" }, 'feed_forward_type is "geglu", expected "original"' },
            { { hidden_act = "silu" }, 'hidden_act is "silu", expected "gelu", "gelu_new" or "gelu_pytorch_tanh"; '
                .. "other values are not implemented" },
        } do
            assert.are.equal("c.json: " .. case[2], message(with(NEW, case[1])))
        end
        BertConfig.new(with(NEW, { auto_map = { AutoConfig = "x.Y" } }), "auto.json")
    end)

    it("are refused together, but a model of another type for its type alone", function()
        assert.are.equal("c.json: is_decoder is true, expected false: only BERT's encoder; tie_word_embeddings is "
            .. "false, expected true: words are scored with the embeddings of the words; num_hidden_layers is 0, "
            .. 'expected a positive integer; hidden_act is "relu", expected "gelu", "gelu_new" or "gelu_pytorch_tanh"; '
            .. "other values are not implemented",
            message(with(NEW, { is_decoder = true, tie_word_embeddings = false, num_hidden_layers = 0,
                hidden_act = "relu" })))
        assert.are.equal('c.json: model_type is "electra", expected "bert"',
            message { model_type = "electra", embedding_size = 128, is_decoder = true })
    end)

    it("of saved parameters are compared by what they make of the network", function()
        local config = BertConfig.new(NEW)
        config:require_same_kind(OLD, "saved.json")
        for _, changes in ipairs { { model_type = "electra" }, { is_decoder = true }, { tie_word_embeddings = false },
            { position_embedding_type = "relative_key" } } do
            assert.error_matches(function() config:require_same_kind(changes, "saved.json") end,
                "saved.json: " .. next(changes) .. " is ")
        end
    end)

    it("of a recipe's own model are its own, unless BERT's files have them", function()
        local config = BertConfig.new(with(NEW, { temperature = 2, is_decoder = true, colour = "red" }), "m",
            { own = true })
        assert.are.same({ 2, true, "red" }, { config.temperature, config.is_decoder, config.colour })
        assert.is_nil(config.transformers_version)
        assert.is_true(keys.is_harmless "temperature" and not keys.is_of_bert "temperature")
    end)
end)
