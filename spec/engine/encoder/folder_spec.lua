--- What the engine's encoder takes a model's folder for, beside what Lua takes it for; and what it refuses.

local checkpoint = require "bertlua.train.checkpoint"
local config_keys = require "bertlua.models.config_keys"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local models = require "spec.support.encoder_models"
local process = require "spec.support.process"
local quantized = require "bertlua.weights.quantized"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local self_checksum = require "bertlua.util.self_checksum"
local term = require "bertlua.util.term"

local quote = process.quote
local CLOSE = 1e-5

describe("a model's folder", function()
    local folder, base, warn, number = nil, nil, term.warn, 0

    setup(function()
        models.begin()
        -- What Lua tells of these folders is not looked at here.
        term.warn = function() end
        folder = assert(fs.temporary_folder "bertlua-folder-")
        base = models.write(folder .. "/base", "words")
        os.remove(base .. "/checksums.json")
    end)
    teardown(function()
        models.finish()
        term.warn = warn
        fs.remove(folder)
    end)

    --- A copy of the model with other files: text by name; false removes one.
    local function with(files, from)
        number = number + 1
        local path = ("%s/%d"):format(folder, number)
        assert.are.equal(0, os.execute(("cp -r %s %s"):format(quote(from or base), quote(path))))
        for name, text in pairs(files) do
            if text then
                assert(fs.mkdirs(fs.dirname(path .. "/" .. name)))
                assert(fs.write(path .. "/" .. name, text))
            else
                os.remove(path .. "/" .. name)
            end
        end
        return path
    end

    --- config.json with other keys, as text.
    local function config(changes)
        local values = assert(json.read(base .. "/config.json"))
        for key, value in pairs(changes) do
            if value == "none" then value = nil end
            values[key] = value
        end
        return json.encode(values)
    end

    --- The message of a folder that is refused, without its path. It is one line.
    local function refused(path, options)
        local c, message = models.open(path, options)
        assert.is_nil(c, path .. " was opened")
        assert.is_nil(message:find "[%c]", message)
        if message:sub(1, #path) == path then message = message:sub(#path + 1) end
        return message
    end

    --- Both ways of opening give the same vectors and limits; returns what C says of it.
    local function same(path, options, theirs)
        local lua, c = models.load(path, theirs), assert(models.open(path, options))
        local texts = { "The cat sat, ÄÖÜ 北京", "a" }
        local expected, vectors = lua:embed(texts), assert(c:embed(texts)):tolist()
        for row = 1, 2 do
            for h = 1, #expected[1] do
                assert.is_true(math.abs(expected[row][h] - vectors[row][h]) < CLOSE, path)
            end
        end
        local info = c:describe()
        assert.are.equal(lua.limit, info.max_length)
        info.notes = c:notes()
        lua:close()
        c:close()
        return info
    end

    it("is opened as Lua opens it: vocab.txt or tokenizer.json, cased or not", function()
        local info = same(base .. "/")
        assert.are.same({ 32, 2, 2, 48 }, { info.hidden_size, info.layers, info.attention_heads, info.max_length })
        assert.are.same({}, info.notes)
        local vocab, list = {}, {}
        for token in models.vocabulary():gmatch "[^\n]+" do
            vocab[token] = #list
            list[#list + 1] = token
        end
        for _, normalizer in ipairs { json.null, { type = "BertNormalizer", lowercase = true },
            { type = "BertNormalizer", lowercase = false, strip_accents = true, handle_chinese_chars = false } } do
            local text = json.encode { model = { type = "WordPiece", vocab = vocab, unk_token = "[UNK]",
                continuing_subword_prefix = "##" }, normalizer = normalizer,
                pre_tokenizer = { type = "BertPreTokenizer" },
                added_tokens = { { content = "[PAD]", id = 0 }, { content = "[X]", id = #list } } }
            local path = with { ["tokenizer.json"] = text, ["vocab.txt"] = false, ["tokenizer_config.json"] = false,
                ["config.json"] = config { vocab_size = #list + 1 } }
            -- Shapes must agree, so the model has a row more.
            local wide = models.write(folder .. "/wide" .. number, "words", { config = { vocab_size = #list + 1 } })
            assert(fs.copy(wide .. "/model.safetensors", path .. "/model.safetensors"))
            info = same(path)
            assert.matches("1 added token %(%[X%]%): bertlua does not look for it in texts", info.notes[1])
        end
        for _, settings in ipairs { { do_lower_case = false }, { do_lower_case = true, strip_accents = false },
            { do_lower_case = true, tokenize_chinese_chars = false, tokenizer_class = "T5Tokenizer" }, {} } do
            info = same(with { ["tokenizer_config.json"] = json.encode(settings) })
            assert.are.equal(settings.tokenizer_class and 1 or 0, #info.notes)
        end
        same(base, { lower_case = false }, { do_lower_case = false })
        same(with { ["vocab.txt"] = false }, { vocab_file = base .. "/vocab.txt" },
            { vocab_file = base .. "/vocab.txt" })
        -- A vocabulary from elsewhere, whose own files say that it is cased.
        local elsewhere = with { ["tokenizer_config.json"] = '{"do_lower_case": false}' } .. "/vocab.txt"
        local bare = with { ["vocab.txt"] = false, ["tokenizer_config.json"] = false }
        same(bare, { vocab_file = elsewhere }, { vocab_file = elsewhere })
        local c = assert(models.open(bare, { vocab_file = elsewhere }))
        assert.are.same({ 4 }, c:lengths { "The a" })
        assert.is_true(math.abs(c:hidden("The a"):tolist()[2][1] - c:hidden("[UNK] a"):tolist()[2][1]) < CLOSE)
        c:close()
    end)

    it("limits texts as it records", function()
        local function limit(files, wanted)
            return same(with(files), { max_length = wanted }, { max_seq_length = wanted }).max_length
        end
        assert.are.equal(9, limit { ["tokenizer_config.json"] = '{"model_max_length": 9}' })
        assert.are.equal(48, limit { ["tokenizer_config.json"] =
            '{"model_max_length": 1000000000000000019884624838656}' })
        assert.are.equal(48, limit { ["tokenizer_config.json"] = '{"model_max_length": 1e30}' })
        assert.are.equal(7, limit { ["sentence_bert_config.json"] = '{"max_seq_length": 7}' })
        assert.are.equal(12, limit({ ["tokenizer_config.json"] = '{"model_max_length": 9}' }, 12))
        assert.matches("^encoder: max_length is 49, but .* has max_position_embeddings 48$",
            select(2, pcall(models.open, base, { max_length = 49 })))
        assert.matches("texts may have 2 tokens, expected at least 3",
            refused(with { ["tokenizer_config.json"] = '{"model_max_length": 2}' }))
    end)

    it("makes vectors as sentence-transformers' files say", function()
        for _, kind in ipairs { { "mean", false }, { "cls", true }, { "mean", true } } do
            local path = with {}
            sentence_transformers.write(path, { pooling = kind[1], normalize = kind[2], max_length = 6, hidden = 32 })
            local info = same(path)
            assert.are.equal((kind[1] == "mean" and 1 or 2) + (kind[2] and 16 or 0), info.pooling)
            assert.are.equal(6, info.max_length)
        end
        local pooling = "1_Pooling/config.json"
        local function opened(files)
            local path = with(files)
            if not files["modules.json"] then
                assert(fs.write(path .. "/modules.json", json.encode { { type = "a.Transformer", path = "" },
                    { type = "a.Pooling", path = "1_Pooling" } }))
            end
            return path
        end
        same(opened { [pooling] = '{"pooling_mode": "cls"}' })
        same(opened { [pooling] = '{"pooling_mode": ["mean"]}' })
        -- Whatever else is asked for cannot be computed: the same reason in both.
        for _, files in ipairs {
            { [pooling] = '{"pooling_mode_max_tokens": true}' }, { [pooling] = "{}" }, {},
            { [pooling] = '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}' },
            { ["modules.json"] = '[{"type": "a.Transformer", "path": ""}]' },
            { ["modules.json"] = '[{"type": "a.Dense", "path": "2_Dense"}]' },
            { [pooling] = '{"pooling_mode": "cls"}', ["config_sentence_transformers.json"] =
                '{"default_prompt_name": "q", "prompts": {"q": "query: "}}' },
        } do
            local path = opened(files)
            local lua, c = models.load(path), assert(models.open(path))
            local _, message = c:embed { "a" }
            local ok, problem = pcall(lua.embed, lua, { "a" })
            assert.is_false(ok)
            assert.are.equal(tostring(problem):match "^embed: (.-); {", message:match "^embed: (.-); BL_POOL_MEAN")
            assert.are.equal(1, assert(c:embed({ "a" }, "cls")):dims()[1])
            lua:close()
            c:close()
        end
        for _, path in ipairs { "../base", "/etc", "a/b", "..", "" } do
            assert.are.equal("/modules.json: the path of module 1 names no folder beside it",
                refused(with { ["modules.json"] = json.encode { { type = "x.Pooling", path = path } } }))
        end
        assert.are.equal("/modules.json: not a list of modules", refused(with { ["modules.json"] = "{}" }))
        assert.are.equal("/modules.json: module 1 has no type or no path", refused(with { ["modules.json"] = "[3]" }))
        assert.are.equal("/sentence_bert_config.json: the maximum length is 2, expected a number of at least 3",
            refused(with { ["modules.json"] = "[]", ["sentence_bert_config.json"] = '{"max_seq_length": 2}' }))
    end)

    it("may have its parameters in several files, none of them elsewhere", function()
        local index = json.encode { weight_map = { a = "model-1.safetensors", b = "model-1.safetensors" } }
        local path = with { ["model.safetensors.index.json"] = index }
        assert(fs.rename(path .. "/model.safetensors", path .. "/model-1.safetensors"))
        local c = assert(models.open(path))
        assert.are.equal(2, c:embed({ "a", "b" }):dims()[1])
        c:close()
        for name, message in pairs {
            ["gone.safetensors"] = "/gone.safetensors: missing, but listed in model.safetensors.index.json",
            ["../base/model.safetensors"] = '/model.safetensors.index.json: "../base/model.safetensors" is not the '
                .. "name of a safetensors file in the same folder",
            [base .. "/model.safetensors"] = true, [".x.safetensors"] = true, ["vocab.txt"] = true, [""] = true,
            ["a\\b.safetensors"] = true, ["a\nb.safetensors"] = true,
        } do
            assert(fs.write(path .. "/model.safetensors.index.json", json.encode { weight_map = { a = name } }))
            local got = refused(path)
            if message == true then
                assert.matches("is not the name of a safetensors file in the same folder$", got)
            else
                assert.are.equal(message, got)
            end
        end
        for _, text in ipairs { "{}", '{"weight_map": []}', '{"weight_map": {}}', "[]" } do
            assert(fs.write(path .. "/model.safetensors.index.json", text))
            assert.are.equal("/model.safetensors.index.json: contains no weight_map", refused(path))
        end
    end)

    it("may be the OUTPUT_DIR of a run, a checkpoint, the folder of its steps, or the file itself", function()
        local run = folder .. "/run"
        assert(fs.mkdirs(run))
        assert.are.equal(0, os.execute(("cp -r %s %s/model"):format(quote(base), quote(run))))
        same(run)
        same(base .. "/model.safetensors")
        local BertConfig = require "bertlua.models.bert_config"
        local parameters = require("bertlua.models.bert").BertForPretraining.new(
            BertConfig.load(base .. "/config.json"))
        parameters.store:allocate { seed = 1, training = false }
        local parts = { store = parameters.store, config = parameters.config, vocab_file = base .. "/vocab.txt",
            do_lower_case = false, progress = { began = { settings = { max_seq_length = 20 } } } }
        local steps = folder .. "/phase/checkpoints"
        for _, step in ipairs { 5, 10 } do
            checkpoint.save(steps, step, parts)
            parameters.bert.embeddings.word.value:fill(0.5)
        end
        local info = same(steps)
        assert.are.equal(20, info.max_length)
        assert.are.same({}, info.notes)
        same(steps .. "/5")
        -- Who names a run's folder means its model.
        assert.are.same({ ("%s/phase holds no finished model; taking the checkpoint %s/10"):format(folder, steps) },
            same(folder .. "/phase").notes)
        -- One changed byte: the one before stands for the run.
        local newest = steps .. "/10/model.safetensors"
        local bytes = assert(fs.read(newest))
        assert(fs.write(newest, bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256)))
        local notes = same(steps).notes
        assert.matches("^.*/10/model.safetensors: is damaged: .*; taking .*/5$", notes[1])
        assert.is_nil(notes[2])
        assert.matches("^/model.safetensors: is damaged: it has %d+ bytes and CRC32C %x+, expected %d+ and %x+$",
            refused(steps .. "/10"))
        assert(fs.write(newest, bytes:sub(1, -9)))
        same(steps)
        os.remove(newest)
        assert.matches("contains no model.safetensors", refused(steps .. "/10"))
        local progress = assert(fs.read(steps .. "/5/progress.json"))
        assert(fs.write(steps .. "/5/progress.json", (progress:gsub('"step": 5', '"step": 4'))))
        assert.matches("^/progress.json: is damaged: its CRC32C is %x+, expected %x+$", refused(steps .. "/5"))
        assert.matches("^none of the checkpoints in .* can be used: ", refused(steps))
        parameters.store:free()
    end)

    it("is the best checkpoint of a run that keeps it", function()
        local BertConfig = require "bertlua.models.bert_config"
        local parameters = require("bertlua.models.bert").BertForPretraining.new(
            BertConfig.load(base .. "/config.json"))
        parameters.store:allocate { seed = 1, training = false }
        local parts = { store = parameters.store, config = parameters.config, vocab_file = base .. "/vocab.txt",
            do_lower_case = true }
        local steps = folder .. "/best"
        checkpoint.save(steps, 1, parts)
        parameters.bert.embeddings.word.value:fill(0.5)
        parts.best, parts.progress = 1, { evaluation = { kept = true, best_step = 1, metric = "loss" } }
        checkpoint.save(steps, 2, parts)
        parameters.store:free()
        same(steps)
        same(steps .. "/2")
    end)

    it("tells files that were edited, and refuses parameters that are damaged", function()
        local exported = models.write(folder .. "/exported", "words", { seed = 3 })
        assert.are.same({}, same(exported).notes)
        assert(fs.write(exported .. "/tokenizer_config.json", '{"do_lower_case": true}'))
        assert.matches("tokenizer_config.json: is not as bertlua wrote it: it was edited, or is damaged",
            same(exported).notes[1])
        local file = exported .. "/model.safetensors"
        local bytes = assert(fs.read(file))
        assert(fs.write(file, bytes:sub(1, -2) .. "\0"))
        assert.matches("^/model.safetensors: is damaged", refused(exported))
        -- Another program's.
        assert(fs.copy(base .. "/model.safetensors", file))
        assert(self_checksum.write(exported .. "/checksums.json", { format = 1,
            files = { ["model.safetensors"] = { bytes = 7, crc32c = 7 } } }))
        assert.matches("model.safetensors: is not as bertlua wrote it", same(exported).notes[1])
        assert(fs.write(exported .. "/checksums.json", "{"))
        assert.matches("checksums.json:1:1: not valid JSON: .*: the model's files are not compared with it",
            same(exported).notes[1])
    end)

    --- Whether both refuse a config.json, and C's message.
    local function both_refuse(text)
        local path = with { ["config.json"] = text }
        local ok, problem = pcall(models.load, path)
        assert.is_false(ok, text)
        assert.is_true(fault.is(problem), tostring(problem))
        return refused(path)
    end

    it("must be a BERT: what config.json asks for otherwise is refused, all in one line", function()
        for name, values in pairs {
            model_type = { "roberta", 3 }, hidden_act = { "relu", "gelu_fast", 1 }, is_decoder = { true, 1 },
            add_cross_attention = { true }, position_embedding_type = { "relative_key" },
            pruned_heads = { { ["1"] = { 0 } } }, quantization_config = { { quant_method = "gptq" } },
            tie_word_embeddings = { false }, auto_map = { { AutoModel = "x.Y" } }, is_encoder_decoder = { "yes" },
            feed_forward_type = { "gated" }, problem_type = { "ranking", 1 }, hidden_size = { 33, -1, 2.5, "32", 3e9 },
            vocab_size = { "none", 0 }, num_hidden_layers = { "none", {} }, max_position_embeddings = { 0, 1e300 },
            layer_norm_eps = { 0, "x" }, hidden_dropout_prob = { 1, -0.1 }, hiden_size = { 3, also = "hidden_size" },
        } do
            for _, value in ipairs(values) do
                local changes = { [name] = value }
                if values.also then changes[values.also] = "none" end
                assert.matches("^/config.json: .*" .. name, both_refuse(config(changes)))
            end
        end
        assert.are.equal('/config.json: position_embedding_type is "relative_key", expected "absolute": positions are '
            .. 'looked up in a table; hidden_act is "relu", expected "gelu", "gelu_new" or "gelu_pytorch_tanh"; other '
            .. "values are not implemented",
            both_refuse(config { hidden_act = "relu", position_embedding_type = "relative_key" }))
        -- Weights of 8 bits in any other form than bertlua's.
        for _, change in ipairs {
            { "format", "pack-quantized" }, { "quant_method", "gptq" }, { "config_groups", {} }, { "num_bits", 4 },
            { "num_bits", "8" }, { "type", "float" }, { "symmetric", false }, { "strategy", "tensor" },
            { "dynamic", true }, { "weights", json.null },
        } do
            local entry = quantized.config {}
            local group = entry.config_groups.group_0
            for _, part in ipairs { entry, group, group.weights } do
                if part[change[1]] ~= nil then part[change[1]] = change[2] end
            end
            assert.matches("^/config.json: quantization_config is .*, expected none .* or that of bertlua quantize "
                .. "%(compressed%-tensors, int%-quantized: 8 bits, symmetric, a scale for each row%)$",
                both_refuse(config { quantization_config = entry }))
        end
        assert.are.equal('/config.json: unknown key "hidden_layers"; did you mean "num_hidden_layers"?; '
            .. "num_hidden_layers is missing, expected a positive integer",
            both_refuse(config { num_hidden_layers = "none", hidden_layers = 2 }))
        assert.matches("the model is a Mine, which the recipe that trained it defines",
            both_refuse(config { model_type = "bertlua", architectures = { "Mine" } }))
        assert.matches("; remove it", both_refuse(config { model_type = "none", architectures = "none", surprise = 1 }))
    end)

    it("may say what leaves the network alone, and what nobody knows, which is told", function()
        for _, changes in ipairs {
            { hidden_act = "gelu_new" }, { hidden_act = "gelu_pytorch_tanh" },
            { hidden_act = "gelu_python", is_decoder = false, pruned_heads = {}, auto_map = { AutoConfig = "a.B" } },
            { quantization_config = quantized.config { "pooler.dense" } },
            { position_embedding_type = json.null, quantization_config = json.null, hidden_act = json.null,
                type_vocab_size = json.null, layer_norm_eps = 1e-5, transformers_version = "9" },
        } do
            local info = same(with { ["config.json"] = config(changes) })
            assert.are.same({}, info.notes)
        end
        local info = same(with { ["config.json"] = config { transformers_version = "9", surprise = 1, another = {} } })
        assert.matches("config.json: ignored 2 keys that bertlua does not know: another, surprise", info.notes[1])
    end)

    it("has the keys that config_keys.lua knows, no others", function()
        local known = assert(fs.read "engine/encoder/config.c"):match "HARMLESS%[%] =(.-);"
        local count = 0
        for text in known:gmatch '"([^"]*)"' do
            for name in text:gmatch "%S+" do
                assert.is_true(config_keys.is_harmless(name), name)
                count = count + 1
            end
        end
        local source = assert(fs.read "lua/bertlua/models/config_keys.lua")
        local theirs = 0
        for list in source:gmatch "OF_%u+ = %[%[(.-)%]%]" do theirs = theirs + select(2, list:gsub("%S+", "")) end
        assert.are.equal(theirs, count)
        for name in source:match "local NETWORK = {(.-)\n}":gmatch "\n    ([%w_]+) =" do
            assert.is_truthy(assert(fs.read "engine/encoder/config.c"):find('{"' .. name .. '", is_', 1, true)
                or name == "auto_map", name)
        end
    end)

    it("refuses a tokenizer that is not BERT's", function()
        local good = { model = { type = "WordPiece", vocab = { ["[PAD]"] = 0, ["[UNK]"] = 1 } },
            pre_tokenizer = { type = "BertPreTokenizer" } }
        local function changed(change)
            local value = json.decode(json.encode(good))
            change(value)
            return refused(with { ["vocab.txt"] = false, ["tokenizer.json"] = json.encode(value) })
        end
        for _, case in ipairs {
            { function(v) v.model.type = "BPE" end, "its model is BPE, expected WordPiece" },
            { function(v) v.model = nil end, "not a tokenizer.json: it has no model" },
            { function(v) v.model.type, v.model.merges = nil, {} end, "its model is BPE" },
            { function(v) v.model.type = nil end, "its model is of no known type" },
            { function(v) v.model.vocab = nil end, "its model has no vocab" },
            { function(v) v.model.unk_token = "<unk>" end, 'its unk_token is "<unk>", expected %[UNK%]' },
            { function(v) v.pre_tokenizer.type = "ByteLevel" end, "its pre_tokenizer is ByteLevel" },
            { function(v) v.pre_tokenizer = nil end, "its pre_tokenizer is none" },
            { function(v) v.normalizer = { type = "NFC" } end, "its normalizer is NFC" },
            { function(v) v.normalizer = { type = "BertNormalizer", lowercase = 1 } end,
                "lowercase of its normalizer is 1, expected true or false" },
            { function(v) v.model.max_input_chars_per_word = 0.5 end, "max_input_chars_per_word is 0.5" },
            { function(v) v.model.vocab.x = 1 end, "have the same id 1" },
            { function(v) v.model.vocab.x = -1 end, "x has the id %-1, expected a whole number" },
            { function(v) v.model.vocab.x = 1e9 end, "x has the id 1000000000, expected a whole number" },
            { function(v) v.model.vocab.x = 100000 end, "its ids go up to 100000, but it has 3 tokens" },
            { function(v) v.model.vocab["a\nb"] = 2 end, "the token of id 2 has a line break" },
            { function(v) v.added_tokens = { { id = 4 } } end, "has the id 4, expected" },
            { function(v) v.model.vocab = json.decode "{}" end, "its vocab is empty" },
            { function() end, "%[CLS%], %[SEP%], %[MASK%] missing" },
        } do
            assert.matches(case[2], changed(case[1]))
        end
        assert.are.equal(" holds neither vocab.txt nor tokenizer.json: name the vocabulary in vocab_file",
            refused(with { ["vocab.txt"] = false }))
        assert.matches("its vocabulary has %d+ tokens, but .*vocab.txt has %d+$",
            refused(with { ["vocab.txt"] = models.vocabulary():rep(2) }))
        assert.are.equal("/no/such: no such vocabulary", refused(base, { vocab_file = "/no/such" }))
    end)

    it("is told where vocab.txt and tokenizer.json disagree, and of tokens that are not used", function()
        local path = with { ["added_tokens.json"] = '{"[NEW]": 300, "[CLS]": 2}', ["tokenizer.json"] = json.encode {
            model = { type = "WordPiece", vocab = { ["[PAD]"] = 0, ["[UNK]"] = 1, other = 7 } } } }
        local notes = table.concat(same(path).notes, "\n")
        assert.matches("1 token of .*/added_tokens.json is not used", notes)
        assert.matches("tokenizer.json beside it has other with the id 7, not .*: vocab.txt is used", notes)
        -- A line that comes again, and a blank one.
        local text = models.vocabulary():gsub("\nbad\n", "\ncat\n"):gsub("\nun\n", "\n\n")
        notes = table.concat(same(with { ["vocab.txt"] = text }).notes, "\n")
        assert.matches("1 lines? without a token, the first of id %d+: other ids stay as they are", notes)
        assert.matches("1 tokens? come again, the first of id %d+, again %d+: the last one's id is used", notes)
    end)

    it("refuses hostile JSON without a crash", function()
        local deep, nul = 1e6, '{"a": "\\u0000"}'
        for name, text in pairs {
            deep = ("["):rep(deep), objects = ('{"a":'):rep(deep), closed = ("["):rep(5000) .. ("]"):rep(5000),
            many = "[" .. ("[],"):rep(300000) .. "[]]", values = "[" .. ("1,"):rep(3e6) .. "1]",
            huge = '{"hidden_size": 1' .. ("0"):rep(5000) .. "}", infinite = '{"hidden_size": 1e999}',
            nul = nul, bytes = '{"a\0b": 1}', twice = '{"hidden_size": 1, "hidden_size": 2}', empty = "",
            words = "null", surrogate = '{"a": "\\ud800"}', invalid = '{"a": "\255"}', trailing = "{} {}",
            open = '{"a": "', comment = "{/* */}", nan = '{"a": NaN}', list = "[]",
        } do
            for _, file in ipairs { "config.json", "tokenizer_config.json", "progress.json" } do
                local message = refused(with { [file] = text })
                assert.matches("^/" .. file .. ":", message, name)
            end
        end
        assert.matches('^/config.json:1:%d+: not valid JSON: duplicate object key', refused(with {
            ["config.json"] = '{"hidden_size": 1, "hidden_size": 2}' }))
        -- A hundred megabytes are not even read, and a pipe is not waited for.
        local path = with { ["config.json"] = false }
        assert.are.equal(0, os.execute(("truncate -s 100M %s/config.json"):format(quote(path))))
        local start = os.clock()
        assert.are.equal("/config.json: has 100.0 MiB, expected at most 32", refused(path))
        assert.is_true(os.clock() - start < 0.5)
        path = with { ["config.json"] = false }
        assert.are.equal(0, os.execute(("mkfifo %s/config.json"):format(quote(path))))
        assert.are.equal("/config.json: not a plain file", refused(path))
    end)

    it("names what is missing, and the program for other formats", function()
        assert.are.equal(": no such file or folder", refused "/no/such/folder")
        assert.matches("^ holds no config.json", refused(with { ["config.json"] = false }))
        local path = with { ["model.safetensors"] = false }
        assert.matches("^: contains no model.safetensors, no model.safetensors.index.json, and no complete checkpoint$",
            refused(path))
        for _, name in ipairs { "pytorch_model.bin", "model_state.pdparams", "x.npz",
            "pytorch_model.bin.index.json" } do
            assert(fs.write(path .. "/" .. name, "x"))
            assert.are.equal((": its parameters are in %s, expected model.safetensors: make a folder of it with "
                .. "bertlua convert from-huggingface --input %s --output-dir FOLDER"):format(name, path), refused(path))
            os.remove(path .. "/" .. name)
        end
        for _, name in ipairs { "m.bin", "m.pdparams", "m.gz", "pytorch_model.bin.index.json" } do
            local file = path .. "/" .. name
            assert(fs.write(file, name == "m.gz" and "\31\139\8\0" or "text\n"))
            assert.are.equal((": expected a folder or a .safetensors file: make a folder of it with bertlua convert "
                .. "from-huggingface --input %s --output-dir FOLDER"):format(file), refused(file))
        end
        -- What is no model has no advice to convert it.
        assert.are.equal(": a text, not a model: expected a folder with config.json and model.safetensors, or beside a "
            .. "config.json a .safetensors file", refused(base .. "/vocab.txt"))
        assert.are.equal("/model.safetensors: a text, not a safetensors file: fetch it again",
            refused(with { ["model.safetensors"] = "<html>no such model</html>" }))
        assert.matches("a Git LFS pointer, not the file itself: fetch it with git lfs pull",
            refused(with { ["model.safetensors"] = "version https://git-lfs.github.com/spec/v1\noid x\nsize 3\n" }))
    end)
end)
