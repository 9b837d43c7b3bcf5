--- A model's folder checked against the settings: vocabulary by hash, words and size, casing, configuration;
-- and conversion to Hugging Face and back.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertConfig = require "bertlua.models.bert_config"
local checkpoint = require "bertlua.train.checkpoint"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local storage = require "bertlua.storage"
local vocabulary = require "bertlua.weights.vocabulary"

local WORDS = 1200

--- A vocabulary large enough to reveal its casing.
local function words(first)
    local list = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #list + 1, WORDS do list[i] = first .. "ord" .. i end
    return table.concat(list, "\n") .. "\n"
end

local function make(seed)
    local config = BertConfig.new {
        vocab_size = WORDS, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16,
        max_position_embeddings = 10,
    }
    local model = BertForPretraining.new(config)
    model.store:allocate { seed = seed, training = false }
    return { store = model.store, config = config }
end

describe("a model's folder", function()
    local root, lower, upper

    local function write(name, text)
        local path = root .. "/" .. name
        os.remove(path)
        assert(fs.mkdirs(fs.dirname(path)))
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
        return path
    end

    before_each(function()
        root = assert(fs.temporary_folder "bertlua-folder")
        lower, upper = write("lower.txt", words "w"), write("upper.txt", words "W")
    end)

    after_each(function() fs.remove(root) end)

    --- Loading must fail with this message and change nothing.
    local function refuses(pattern, path, changes)
        local parts = make(2)
        for key, value in pairs(changes) do parts[key] = value end
        local before = parts.store:checksum()
        assert.error_matches(function() checkpoint.load_pretrained(path, parts) end, pattern)
        assert.are.equal(before, parts.store:checksum())
    end

    local function accepts(path, changes)
        local parts = make(2)
        for key, value in pairs(changes) do parts[key] = value end
        checkpoint.load_pretrained(path, parts)
        assert.are.equal(make(1).store:checksum(), parts.store:checksum())
    end

    it("knows the casing of a vocabulary, unless it is too small", function()
        assert.is_true(vocabulary.casing(lower))
        assert.is_false(vocabulary.casing(upper))
        assert.is_nil(vocabulary.casing(write("small.txt", "[PAD]\n[UNK]\na\n")))
        assert.are.equal(WORDS, vocabulary.words(lower).count)
        assert.are.same(vocabulary.words(lower), vocabulary.words(write("dos.txt", (words "w"):gsub("\n", "\r\n"))))
    end)

    it("of ours stores casing and hash, and refuses others", function()
        for _, case in ipairs { { lower, true, upper }, { upper, false, lower } } do
            local parts = make(1)
            parts.vocab_file = case[1]
            local path = checkpoint.save(root .. "/run", 1, parts)
            assert.are.equal(case[2], checkpoint.progress(path).do_lower_case)
            accepts(path, { vocab_file = case[1], do_lower_case = case[2] })
            accepts(path, { vocab_file = case[1] })
            accepts(path, {})
            refuses("progress.json: the model was trained on [%w-]+ text %(do_lower_case is " .. tostring(case[2])
                .. "%), got do_lower_case = " .. tostring(not case[2]), path, { do_lower_case = not case[2] })
            refuses("trained on [%w-]+ text .* but vocabulary .*%.txt is", path, { vocab_file = case[3] })
            local other = write("other.txt", (words(case[2] and "w" or "W"):gsub("ord77\n", "orx77\n")))
            refuses("was not trained with vocabulary .*/other.txt: use .*/1/vocab.txt", path,
                { vocab_file = other })
        end
        local parts = make(1)
        parts.vocab_file, parts.progress = lower, { do_lower_case = false }
        assert.is_false(checkpoint.progress(checkpoint.save(root .. "/said", 1, parts)).do_lower_case)
    end)

    it("of Hugging Face is checked by tokenizer_config.json, vocab.txt and config.json", function()
        local parts = make(1)
        parts.vocab_file = lower
        local path = checkpoint.export(root .. "/hf", parts)
        assert.is_true(json.read(path .. "/tokenizer_config.json").do_lower_case)
        accepts(path, { vocab_file = lower, do_lower_case = true })
        accepts(path, { vocab_file = write("dos.txt", (words "w"):gsub("\n", "\r\n")) })
        refuses("tokenizer_config.json: the model was trained on lower%-cased text", path, { do_lower_case = false })
        refuses("tokenizer_config.json: .* but vocabulary .*/upper.txt is cased", path, { vocab_file = upper })
        refuses("was not trained with vocabulary .*/other.txt: use .*/hf/vocab.txt", path,
            { vocab_file = write("other.txt", (words "w"):gsub("ord77\n", "orx77\n")) })
        assert(fs.remove(path .. "/vocab.txt"))
        refuses("/hf: its vocabulary has 1200 tokens, but .*/shorter.txt has 1099", path,
            { vocab_file = write("shorter.txt", (words "w"):gsub("word11%d%d\n", ""):gsub("word1200\n", "")) })
        local config = json.read(path .. "/config.json")
        for key, case in pairs {
            model_type = { "roberta", 'model_type is "roberta", expected "bert"' },
            num_attention_heads = { 4, "num_attention_heads is 4, but this model has 2" },
            layer_norm_eps = { 1e-5, "layer_norm_eps is 1e%-05, but this model has 1e%-12" },
        } do
            local before = config[key]
            config[key] = case[1]
            write("hf/config.json", json.encode(config))
            config[key] = before
            refuses("/hf/config.json: " .. case[2], path, {})
        end
        write("hf/config.json", '{"model_type": ')
        refuses("/hf/config.json:1:%d+: not valid JSON", path, {})
    end)

    it("without parameters gives one clear line", function()
        assert(fs.mkdirs(root .. "/empty"))
        refuses("/empty: contains no model.safetensors, pytorch_model.bin or .pdparams", root .. "/empty", {})
        refuses("/none: no such file or folder", root .. "/none", {})
        assert.is_nil((folder.find(root .. "/none")))
    end)

    it("lists missing heads and unexpected ones", function()
        local parts, list = make(1), {}
        for _, entry in ipairs(parts.store.list) do
            if not entry.name:find "^cls" and not entry.name:find "pooler" then
                list[#list + 1] = { name = entry.name:gsub("^bert%.", ""), tensor = entry.stored }
            end
        end
        local extra = parts.store:get("bert.pooler.dense.bias").value
        list[#list + 1] = { name = "qa_outputs.bias", tensor = extra }
        assert(storage.save(root .. "/bare.safetensors", list))
        local report = checkpoint.load_pretrained(root .. "/bare.safetensors", parts)
        table.sort(report.missing)
        assert.are.same({ "bert.pooler.dense.bias", "bert.pooler.dense.weight", "cls.predictions.bias",
            "cls.predictions.transform.LayerNorm.bias", "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.dense.bias", "cls.predictions.transform.dense.weight",
            "cls.seq_relationship.bias", "cls.seq_relationship.weight" }, report.missing)
        assert.are.same({ "qa_outputs.bias" }, report.unexpected)
    end)

    describe("is converted", function()
        local function run(script, options)
            return process.run_bertlua(("scripts/%s.lua %s"):format(script, options))
        end

        it("to Hugging Face and back, bit for bit", function()
            local parts = make(1)
            parts.vocab_file = upper
            local path = checkpoint.save(root .. "/run", 30, parts)
            -- A folder of steps means its newest.
            local output, code = run("convert_to_huggingface", ("--checkpoint %s/run --output-dir %s/hf"):format(root,
                root))
            assert.are.equal(0, code, output)
            assert.matches("/hf: 30 tensors from .*/30/model.safetensors", output)
            assert.are.same({ "checksums.json", "config.json", "model.safetensors", "tokenizer_config.json",
                "vocab.txt" }, fs.list(root .. "/hf"))
            assert.is_false(json.read(root .. "/hf/tokenizer_config.json").do_lower_case)
            assert.are.same({ "BertForPreTraining" }, json.read(root .. "/hf/config.json").architectures)
            output, code = run("convert_from_huggingface", ("--input %s/hf --output-dir %s/back"):format(root, root))
            assert.are.equal(0, code, output)
            for _, name in ipairs { "model.safetensors", "vocab.txt" } do
                assert.are.equal(fs.read(path .. "/" .. name), fs.read(root .. "/back/" .. name), name)
            end
            assert.is_true(checkpoint.verify(root .. "/back"))
            assert.is_false(checkpoint.progress(root .. "/back").do_lower_case)
            local other = make(2)
            other.vocab_file = upper
            checkpoint.load(root .. "/back", other)
            assert.are.equal(parts.store:checksum(), other.store:checksum())
        end)

        it("from Paddle with a configuration of its own", function()
            local config = { vocab_size = 24, hidden_size = 8, num_hidden_layers = 2, num_attention_heads = 2,
                intermediate_size = 16, max_position_embeddings = 12 }
            local file = write("config.json", json.encode(config))
            local command = "--input spec/fixtures/weights/protocol4.pdparams --config-file %s --output-dir %s/paddle"
            local output, code = run("convert_from_huggingface", command:format(file, root))
            assert.are.equal(0, code, output)
            assert.matches("46 tensors.*no vocab.txt or tokenizer.json", output)
            local ours = assert(storage.open(root .. "/paddle/model.safetensors"))
            local theirs = assert(storage.open "spec/fixtures/weights/reference.safetensors")
            assert.are.same(theirs:names(), ours:names())
            output, code = run("convert_from_huggingface", command:format(file, root))
            assert.are.equal(1, code)
            assert.matches("^bertlua: %-%-output%-dir .*/paddle is not empty: choose another\n$", output)
            config.vocab_size = 23
            write("config.json", json.encode(config))
            output, code = run("convert_from_huggingface", command:format(file, root .. "/other"))
            assert.are.equal(1, code)
            assert.matches("word_embeddings.weight is %[24,8%], but this model needs %[23,8%]", output)
        end)

        it("not from what is not a model", function()
            local output, code = run("convert_to_huggingface", ("--checkpoint %s --output-dir %s/x"):format(root, root))
            assert.are.equal(1, code)
            assert.matches("^bertlua: [^\n]*neither a model nor a complete checkpoint\n$", output)
            write("evil.bin", "cos\nsystem\n(S'touch " .. root .. "/pwned'\ntR.")
            output, code = run("convert_from_huggingface", ("--input %s/evil.bin --config-file %s --output-dir %s/x")
                :format(root, write("config.json", '{"vocab_size": 1, "hidden_size": 8, "num_hidden_layers": 1, '
                    .. '"num_attention_heads": 1, "intermediate_size": 8}'), root))
            assert.are.equal(1, code)
            assert.matches("^bertlua: [^\n]*/evil.bin: refused: its pickle asks for os.system;[^\n]*\n$", output)
            assert.is_false(fs.exists(root .. "/pwned"))
        end)
    end)
end)
