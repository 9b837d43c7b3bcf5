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
