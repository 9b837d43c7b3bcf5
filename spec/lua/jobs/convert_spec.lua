--- Conversion says that it succeeded only when the result can be used; there and back: spec/lua/weights/folder_spec.lua

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local checkpoint = require "bertlua.train.checkpoint"
local convert = require "bertlua.jobs.convert"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"

local SIZES = { vocab_size = 9, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16,
    max_position_embeddings = 10, model_type = "bert" }

describe("conversion from Hugging Face", function()
    local root, warn, warnings, stdout, output, number

    before_each(function()
        root, number = assert(fs.temporary_folder "bertlua-convert-"), 0
        warn, warnings, stdout, output = term.warn, {}, io.stdout, {}
        term.warn = function(text) warnings[#warnings + 1] = text end
        assert(fs.mkdirs(root .. "/in"))
        assert(fs.write(root .. "/in/config.json", json.encode(SIZES)))
    end)

    after_each(function()
        term.warn = warn
        fs.remove(root)
    end)

    --- Save a model's parameters after change(list) and convert them.
    -- @return folder of the result, or nil and the message
    local function run(change, settings)
        local store = BertForPretraining.new(BertConfig.new(SIZES)).store
        store:allocate { seed = 1, training = false }
        local list = {}
        for _, entry in ipairs(store.list) do
            list[#list + 1] = { name = entry.name, tensor = entry.stored or entry.value }
        end
        if change then list = change(list) or list end
        assert(storage.save(root .. "/in/model.safetensors", list))
        number, warnings, output = number + 1, {}, {}
        local values = { input = root .. "/in", output_dir = ("%s/out%d"):format(root, number), model_prefix = "model" }
        for key, value in pairs(settings or {}) do values[key] = value end
        io.stdout = { write = function(_, ...) -- luacheck: ignore
            for _, text in ipairs { ... } do output[#output + 1] = text end
        end }
        local ok, problem = pcall(convert.from_huggingface, values)
        io.stdout = stdout -- luacheck: ignore
        store:free()
        if ok then return values.output_dir end
        assert.is_true(fault.is(problem), tostring(problem))
        assert.is_false(fs.exists(values.output_dir .. "/model.safetensors"))
        return nil, tostring(problem)
    end

    local function names_in(path)
        local file = assert(storage.open(path .. "/model.safetensors"))
        local list = file:names()
        file:close()
        return list
    end

    local function renamed(pattern, replacement)
        return function(list)
            for _, item in ipairs(list) do item.name = item.name:gsub(pattern, replacement) end
        end
    end

    it("strips what other programs put before the names, and leaves out other programs' copies", function()
        local plain = names_in(assert(run()))
        assert.are.equal(30, #plain)
        for _, prefix in ipairs { "_orig_mod.", "module.", "base_model.model.", "model._orig_mod." } do
            assert.are.same(plain, names_in(assert(run(renamed("^", prefix)))))
        end
        assert.are.same(plain, names_in(assert(run(function(list)
            list[#list + 1] = { name = "bert.embeddings.position_ids", tensor = tensor.new("i64", { 1, 10 }) }
        end))))
        assert.are.same({}, warnings)
        local _, problem = run(function(list)
            list[#list + 1] = { name = "module." .. list[3].name, tensor = list[3].tensor }
        end)
        assert.matches("are the same parameter; remove one of them$", problem)
    end)

    it("refuses what cannot be used: an encoder that lacks or has too much, or of other dtypes", function()
        local _, problem = run(renamed("^bert%.encoder%.layer%.0%.output%.dense%.weight$", "x.weight"))
        assert.matches("/in/model.safetensors: lacks 1 of 31 tensors of this model %(bert.encoder.layer.0.output.dense."
            .. "weight%): configuration and kind of model must be those of the parameters$", problem)
        _, problem = run(renamed("^bert%.", "distilbert."))
        assert.matches("lacks 21 of %d+ tensors of this model", problem)
        _, problem = run(renamed("query%.weight$", "query.base_layer.weight"))
        assert.matches("holds 1 tensor that BERT's encoder has not %(bert.encoder.layer.0.attention.self.query."
            .. "base_layer.weight%): the network is another one$", problem)
        _, problem = run(function(list)
            for _, item in ipairs(list) do
                if item.name:find "key%.weight$" then item.tensor = tensor.new("i8", { 8, 8 }) end
            end
        end)
        assert.matches("bert.encoder.layer.0.attention.self.key.weight is I8, expected F32, F16, BF16 or F64: convert "
            .. "the file first$", problem)
        _, problem = run(function(list)
            for _, item in ipairs(list) do
                if item.name == "cls.seq_relationship.weight" then item.tensor = tensor.new("i32", { 2, 8 }) end
            end
        end)
        assert.matches("cls.seq_relationship.weight is I32, expected F32", problem)
        _, problem = run(function(list)
            for _, item in ipairs(list) do
                if item.name:find "value%.bias$" then
                    item.tensor = tensor.from({ 1, 2, 3, 4, 5, 6, 7, 0 / 0 }, "f32")
                end
            end
        end)
        assert.matches("bert.encoder.layer.0.attention.self.value.bias holds NaN: fetch or save it again", problem)
    end)

    it("tells which tensors no model of bertlua uses, and what it leaves out", function()
        local path = assert(run(function(list)
            list[#list + 1] = { name = "regressor.weight", tensor = tensor.new("f32", { 1, 8 }) }
            list[#list + 1] = { name = "steps", tensor = tensor.new("i64", { 1 }) }
        end))
        assert.are.equal(31, #names_in(path))
        local file = root .. "/in/model.safetensors"
        assert.are.same({ file .. ": 1 tensor of no head that bertlua has, kept under its name: regressor.weight",
            file .. ": left out, since they are no floats: steps (I64)" }, warnings)
    end)

    it("takes along how vectors of texts are made, there and back", function()
        local sentence_transformers = require "bertlua.weights.sentence_transformers"
        local input = root .. "/in"
        sentence_transformers.write(input, { pooling = "cls", normalize = true, max_length = 7, hidden = 8 })
        -- As version 6 writes it: the length stands elsewhere.
        assert(fs.write(input .. "/sentence_bert_config.json", "{}"))
        assert(fs.write(input .. "/tokenizer_config.json", '{"model_max_length": 7}'))
        local expected = { pooling = "cls", normalize = true, max_length = 7, similarity = "cosine" }
        local path = assert(run())
        assert.are.same(expected, sentence_transformers.read(path))
        assert.are.same({}, warnings)

        local function back(name)
            local values = { checkpoint = path, output_dir = root .. "/" .. name, model_prefix = "model" }
            io.stdout = { write = function() end } -- luacheck: ignore
            local ok, problem = pcall(convert.to_huggingface, values)
            io.stdout = stdout -- luacheck: ignore
            assert.is_true(ok, tostring(problem))
            return sentence_transformers.read(values.output_dir)
        end
        assert.are.same(expected, back "back")
        -- A run that trained vectors has no such files: its settings say it.
        for _, name in ipairs { "modules.json", "1_Pooling", "2_Normalize", "sentence_bert_config.json" } do
            assert(fs.remove(path .. "/" .. name))
        end
        assert.is_nil(back "nothing")
        local progress = checkpoint.progress(path)
        progress.began = { settings = { pooling = "mean", normalize = false, max_seq_length = 6 } }
        require("bertlua.train.progress_file").write(path, progress)
        assert.are.same({ pooling = "mean", normalize = false, max_length = 6, similarity = "cosine" }, back "run")
    end)

    it("takes along modules that bertlua has not, and tells it", function()
        local sentence_transformers = require "bertlua.weights.sentence_transformers"
        local input = root .. "/in"
        sentence_transformers.write(input, { pooling = "mean", max_length = 7, hidden = 8 })
        local modules = assert(json.read(input .. "/modules.json"))
        modules[3] = { idx = 2, name = "2", path = "2_Dense", type = "sentence_transformers.models.Dense" }
        assert(fs.write(input .. "/modules.json", json.encode(modules)))
        assert(fs.mkdirs(input .. "/2_Dense"))
        assert(fs.write(input .. "/2_Dense/model.safetensors", "weights"))
        local path = assert(run())
        assert.are.equal(1, #warnings)
        assert.matches("Dense is not implemented; the files that say so are copied", warnings[1], 1, true)
        assert.are.equal("weights", fs.read(path .. "/2_Dense/model.safetensors"))
        assert.matches("Dense is not implemented", sentence_transformers.read(path).problem, 1, true)
    end)

    it("writes vocab.txt and how it cuts text from a tokenizer.json", function()
        local vocab = {}
        for i, word in ipairs { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "É", "##c", "e" } do
            vocab[word] = i - 1
        end
        assert(fs.write(root .. "/in/tokenizer.json", json.encode { model = { type = "WordPiece", vocab = vocab,
            max_input_chars_per_word = 100 }, pre_tokenizer = { type = "BertPreTokenizer" },
            normalizer = { type = "BertNormalizer", lowercase = false, strip_accents = true } }))
        local path = assert(run())
        assert.are.equal("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nÉ\n##c\ne\n", fs.read(path .. "/vocab.txt"))
        assert.is_false(checkpoint.progress(path).do_lower_case)
        assert.are.same({ tokenizer_class = "BertTokenizer", do_lower_case = false, strip_accents = true,
            max_input_chars_per_word = 100 }, json.read(path .. "/tokenizer_config.json"))
        assert.is_true(checkpoint.verify(path))
        assert.are.equal(1, #output)
    end)

    it("refuses other networks by their configuration", function()
        for key, value in pairs { tie_word_embeddings = false, is_decoder = true, model_type = "electra",
            position_embedding_type = "relative_key" } do
            local config = {}
            for name, before in pairs(SIZES) do config[name] = before end
            config[key] = value
            assert(fs.write(root .. "/in/config.json", json.encode(config)))
            local _, problem = run()
            assert.matches("/config.json: " .. key .. " is ", problem)
        end
    end)
end)
