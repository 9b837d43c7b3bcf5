--- Names of parameters in other programs' files.

local names = require "bertlua.weights.names"

describe("names of other programs", function()
    it("of Hugging Face", function()
        for _, case in ipairs {
            { "bert.encoder.layer.0.output.LayerNorm.gamma", false, "bert.encoder.layer.0.output.LayerNorm.weight" },
            { "embeddings.LayerNorm.beta", true, "bert.embeddings.LayerNorm.bias" },
            { "encoder.layer.3.attention.self.query.weight", true,
                "bert.encoder.layer.3.attention.self.query.weight" },
            { "pooler.dense.bias", true, "bert.pooler.dense.bias" },
            { "module.bert.pooler.dense.bias", false, "bert.pooler.dense.bias" },
            { "cls.predictions.bias", true, "cls.predictions.bias" },
            { "embeddings.word_embeddings.weight", false, "embeddings.word_embeddings.weight" },
            { "gamma", false, "gamma" },
        } do
            assert.are.equal(case[3], (names.huggingface(case[1], case[2])))
        end
    end)

    it("of Hugging Face inside other modules, however nested", function()
        local weight = "bert.encoder.layer.0.attention.self.query.weight"
        for _, name in ipairs { "_orig_mod." .. weight, "module." .. weight, "model." .. weight,
            "base_model.model." .. weight, "_orig_mod.module." .. weight, "module._orig_mod." .. weight,
            "module.model._orig_mod.base_model.model." .. weight, "_fsdp_wrapped_module." .. weight,
            "_forward_module.model." .. weight, "bert.encoder._orig_mod.layer.0.attention.self.query.weight",
            "_fsdp_wrapped_module.bert.encoder.layer.0._fsdp_wrapped_module._checkpoint_wrapped_module.attention.self."
                .. "query.weight" } do
            assert.are.equal(weight, (names.huggingface(name, false)), name)
        end
        for _, name in ipairs { "0.auto_model.embeddings.LayerNorm.gamma", "model.embeddings.LayerNorm.gamma",
            "_orig_mod.embeddings.LayerNorm.weight" } do
            assert.are.equal("bert.embeddings.LayerNorm.weight", (names.huggingface(name, true)), name)
        end
        assert.are.equal("classifier.weight", (names.huggingface("module.classifier.weight", true)))
        assert.are.equal("a_model.weight", (names.huggingface("a_model.weight", false)))
    end)

    it("of Hugging Face are bare only if no tensor has the prefix, whatever is around it", function()
        local function index(list)
            return names.index { path = "x.bin", names = function() return list end }
        end
        assert.is_table(index({ "_orig_mod.bert.pooler.dense.bias" })["bert.pooler.dense.bias"])
        assert.is_table(index({ "_orig_mod.pooler.dense.bias" })["bert.pooler.dense.bias"])
        assert.is_nil(index({ "model.bert.pooler.dense.bias", "model.pooler.dense.bias" })["bert.pooler.dense.weight"])
        assert.error_matches(function() index { "module.bert.pooler.dense.bias", "bert.pooler.dense.bias" } end,
            "x.bin: module.bert.pooler.dense.bias and bert.pooler.dense.bias are the same parameter; remove one")
    end)

    it("of tied tensors may be either's", function()
        local map = names.index { path = "x.bin", names = function()
            return { "bert.pooler.dense.bias", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias" }
        end }
        assert.are.equal("cls.predictions.decoder.weight", map["bert.embeddings.word_embeddings.weight"].name)
        assert.are.equal("cls.predictions.decoder.bias", map["cls.predictions.bias"].name)
    end)

    it("of Paddle, saying which matrices are transposed", function()
        for _, case in ipairs {
            { "bert.encoder.layers.11.self_attn.v_proj.weight", "bert.encoder.layer.11.attention.self.value.weight",
                true },
            { "bert.encoder.layers.0.linear2.bias", "bert.encoder.layer.0.output.dense.bias", false },
            { "bert.encoder.layers.0.norm1.weight", "bert.encoder.layer.0.attention.output.LayerNorm.weight", false },
            { "bert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight", false },
            { "cls.predictions.decoder_weight", "cls.predictions.decoder.weight", false },
            { "classifier.weight", "classifier.weight", true },
            { "something.else", "something.else", false },
        } do
            assert.are.same({ case[2], case[3] }, { names.paddle(case[1], false) })
        end
        assert.are.equal("bert.pooler.dense.weight", (names.paddle("pooler.dense.weight", true)))
        assert.are.same({ "qa_outputs.weight", true }, { names.paddle("classifier.weight", false, "qa_outputs") })
    end)

    it("of TensorFlow, without the optimizer's", function()
        assert.are.same({ "bert.encoder.layer.3.attention.self.query.weight", true },
            { names.tensorflow "bert/encoder/layer_3/attention/self/query/kernel" })
        assert.are.same({ "qa_outputs.weight", false }, { names.tensorflow "cls/squad/output_weights" })
        assert.are.same({ "classifier.bias", false }, { names.tensorflow "output_bias" })
        assert.are.same({ "cls.predictions.bias", false }, { names.tensorflow "cls/predictions/output_bias" })
        assert.is_nil(names.tensorflow "bert/pooler/dense/kernel/adam_m")
        assert.is_nil(names.tensorflow "global_step")
    end)

    it("are ours as they stand in a file that bertlua wrote", function()
        local list = { "embeddings.LayerNorm.gamma", "encoder.layer.0.weight" }
        local function file(metadata)
            return { names = function() return list end, metadata = function() return metadata end }
        end
        local map = names.index(file { writer = "bertlua 0.2.0" })
        assert.are.same({ name = list[1], transposed = false }, map[list[1]])
        assert.are.same({ name = list[1], transposed = false }, names.index(file { optimizer = "Lamb" })[list[1]])
        assert.is_table(names.index(file { format = "pt" })["bert.embeddings.LayerNorm.weight"])
    end)

    it("of a static program that is not such a BERT are refused", function()
        local list = { "embedding_0.w_0", "linear_0.w_0", "linear_1.w_0", "layer_norm_0.w_0", "layer_norm_1.w_0",
            "layer_norm_2.w_0" }
        local file = { path = "x.pdparams", names = function() return list end }
        assert.error_matches(function() names.index(file) end,
            "x.pdparams: 2 linears and 3 LayerNorms are not those of a BERT")
    end)
end)
