--- Folders of sentence-transformers: what older and newer versions write, what is refused, what we write.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local sentence_transformers = require "bertlua.weights.sentence_transformers"

-- As version 6.2 writes them.
local NEW = [=[[{"idx": 0, "name": "0", "path": "",
        "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling",
        "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize",
        "type": "sentence_transformers.base.modules.normalize.Normalize"}]]=]

describe("a folder of sentence-transformers", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "sentence_transformers_spec") end)
    after_each(function() fs.remove(folder) end)

    local function put(name, text)
        local path = folder .. "/" .. name
        assert(fs.mkdirs(fs.dirname(path)))
        assert(fs.write(path, type(text) == "table" and json.encode(text) or text))
    end

    local function module_of(kind, path)
        return { path = path or "", type = "sentence_transformers.models." .. kind }
    end

    local function with_pooling(config)
        put("modules.json", { module_of "Transformer", module_of("Pooling", "1_Pooling") })
        put("1_Pooling/config.json", config)
        return sentence_transformers.read(folder)
    end

    it("is read as we wrote it", function()
        assert.is_nil(sentence_transformers.read(folder))
        assert.is_nil(sentence_transformers.read(folder .. "/none"))
        for _, normalize in ipairs { false, true } do
            for _, pooling in ipairs(sentence_transformers.POOLINGS) do
                sentence_transformers.write(folder, { pooling = pooling, normalize = normalize, max_length = 77,
                    hidden = 16 })
                assert.are.same({ pooling = pooling, normalize = normalize, max_length = 77, similarity = "cosine" },
                    sentence_transformers.read(folder))
                local config = assert(json.read(folder .. "/1_Pooling/config.json"))
                assert.are.equal(16, config.word_embedding_dimension)
                assert.are.equal(pooling == "cls", config.pooling_mode_cls_token)
            end
        end
    end)

    it("is read as new versions write it", function()
        put("modules.json", NEW)
        put("1_Pooling/config.json", '{"embedding_dimension": 384, "pooling_mode": "cls", "include_prompt": true}')
        put("sentence_bert_config.json", '{"transformer_task": "feature-extraction"}')
        put("tokenizer_config.json", '{"model_max_length": 256}')
        put("config_sentence_transformers.json", '{"default_prompt_name": null, "prompts": {"query": ""}, '
            .. '"similarity_fn_name": "dot"}')
        assert.are.same({ pooling = "cls", normalize = true, max_length = 256, similarity = "dot" },
            sentence_transformers.read(folder))
    end)

    it("tells by name what is not computed here", function()
        local function problem(expected, found) assert.matches(expected, found.problem, 1, true) end
        problem("1_Pooling/config.json: pooling max_tokens is not implemented, only mean or cls",
            with_pooling { pooling_mode_max_tokens = true, pooling_mode_mean_tokens = false })
        problem("pooling max_tokens with mean is not implemented",
            with_pooling { pooling_mode_max_tokens = true, pooling_mode_mean_tokens = true })
        problem("pooling of no kind", with_pooling { pooling_mode_mean_tokens = false })
        problem("pooling lasttoken is not", with_pooling { pooling_mode = "lasttoken" })
        put("modules.json", { module_of "Transformer", module_of("Pooling", "1_Pooling"),
            module_of("Dense", "2_Dense") })
        put("1_Pooling/config.json", { pooling_mode_mean_tokens = true })
        problem("modules.json: module sentence_transformers.models.Dense is not implemented",
            sentence_transformers.read(folder))
        put("modules.json", { module_of "Transformer" })
        problem("modules.json: it has no Pooling", sentence_transformers.read(folder))
        put("modules.json", { module_of "Transformer", module_of("Pooling", "elsewhere") })
        problem("elsewhere/config.json is missing", sentence_transformers.read(folder))
        put("config_sentence_transformers.json", { default_prompt_name = "q", prompts = { q = "query: " } })
        problem('puts "query: " before every text', with_pooling { pooling_mode_mean_tokens = true })
        put("config_sentence_transformers.json", "{}")
        put("sentence_bert_config.json", { do_lower_case = true, max_seq_length = 8 })
        put("tokenizer_config.json", { do_lower_case = false })
        problem("lower-cases the texts of a cased vocabulary", with_pooling { pooling_mode_mean_tokens = true })
    end)

    it("is refused where it is damaged", function()
        for _, text in ipairs { "[", "[1]", '[{"type": 1, "path": ""}]', '[{"type": "a.Pooling"}]', "1",
            '[{"type": "a.Pooling", "path": "../x"}]', '[{"type": "Pooling", "path": "/etc"}]' } do
            put("modules.json", text)
            local ok, reason = pcall(sentence_transformers.read, folder)
            assert.is_false(ok, text)
            assert.is_true(fault.is(reason), tostring(reason))
            assert.matches("modules.json", tostring(reason), 1, true)
        end
        put("modules.json", NEW)
        for _, length in ipairs { "-1", "2", '"many"', "[3]" } do
            put("sentence_bert_config.json", '{"max_seq_length": ' .. length .. "}")
            local ok, reason = pcall(sentence_transformers.read, folder)
            assert.is_false(ok, length)
            assert.matches("sentence_bert_config.json: the maximum length is .*, expected a number of at least 3",
                tostring(reason))
        end
    end)
end)
