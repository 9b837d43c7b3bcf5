--- bertlua quantize: what is written, and what is refused with nothing left behind.

local BertConfig = require "bertlua.models.bert_config"
local bl = require "bertlua"
local checkpoint = require "bertlua.train.checkpoint"
local checksums = require "bertlua.weights.checksums"
local convert = require "bertlua.jobs.convert"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local models = require "spec.support.encoder_models"
local process = require "spec.support.process"
local quantize = require "bertlua.jobs.quantize"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"

local MATRICES = { "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "intermediate.dense", "output.dense" }

describe("quantize", function()
    local root, warn, warnings, number

    before_each(function()
        models.begin()
        root, number = assert(fs.temporary_folder "bertlua-quantize-"), 0
        warn, warnings = term.warn, {}
        term.warn = function(text) warnings[#warnings + 1] = text end
    end)

    after_each(function()
        term.warn = warn
        fs.remove(root)
        models.finish()
    end)

    --- Quantize a folder.
    -- @return the folder written, what run() returns, what was printed; or nil, message
    local function run(from, out)
        number = number + 1
        out = out or ("%s/out%d"):format(root, number)
        local stdout, printed = io.stdout, {}
        io.stdout = { write = function(_, ...) -- luacheck: ignore
            for _, text in ipairs { ... } do printed[#printed + 1] = text end
        end }
        local ok, about = pcall(quantize.run, { ["folder out"] = { from, out } })
        io.stdout = stdout -- luacheck: ignore
        if ok then return out, about, table.concat(printed) end
        assert.is_true(fault.is(about), tostring(about))
        return nil, tostring(about)
    end

    --- All tensors of a file: by name {info, values}.
    local function contents(path)
        local file, all = assert(storage.open(path)), {}
        for _, name in ipairs(file:names()) do
            local info = file:info(name)
            local values = tensor.new(info.native, info.dims)
            assert(file:read(name, values))
            all[name] = { info = info, values = values:tolist() }
        end
        local metadata = file:metadata()
        file:close()
        return all, metadata
    end

    --- The tensors of a model's file after change(list), written again. Returns what change gave.
    local function rewrite(folder, change, metadata)
        local list = {}
        for name, item in pairs(contents(folder .. "/model.safetensors")) do
            list[#list + 1] = { name = name, tensor = tensor.from(item.values, item.info.native) }
        end
        table.sort(list, function(a, b) return a.name < b.name end)
        list = change and change(list) or list
        os.remove(folder .. "/checksums.json")
        assert(storage.save(folder .. "/model.safetensors", list, metadata or { format = "pt" }))
        return list
    end

    --- Check matrices of `after` against those of `before`; everything else must be the same.
    local function check(before, after, layers)
        local is_matrix, count = {}, 0
        for name, item in pairs(before) do
            for layer = 0, layers - 1 do
                for _, map in ipairs(MATRICES) do
                    local weight = ("encoder.layer.%d.%s.weight"):format(layer, map)
                    if name:find(weight, 1, true) then is_matrix[name] = true end
                end
            end
            if is_matrix[name] then
                count = count + 1
                local q, scale = after[name], after[name .. "_scale"]
                assert.are.same({ "I8", item.info.dims, "F32", { item.info.dims[1], 1 } },
                    { q.info.dtype, q.info.dims, scale.info.dtype, scale.info.dims })
                for r, row in ipairs(item.values) do
                    local most, step = 0, scale.values[r][1]
                    for _, x in ipairs(row) do most = math.max(most, math.abs(x)) end
                    assert.near(most / 127, step, 1e-7 * most)
                    for c, x in ipairs(row) do
                        assert.is_true(math.abs(x - q.values[r][c] * step) <= 0.5001 * step)
                    end
                end
            else
                assert.are.same(item, after[name], name)
            end
        end
        local names = 0
        for _ in pairs(after) do names = names + 1 end
        for _ in pairs(before) do names = names - 1 end
        assert.are.same({ 6 * layers, 6 * layers }, { count, names })
    end

    it("writes the matrices of the layers as 8 bits with a scale for each row, and all else as it was", function()
        local from = models.write(root .. "/words", "words")
        local out, about, printed = run(from)
        local after, metadata = contents(out .. "/model.safetensors")
        check(contents(from .. "/model.safetensors"), after, 2)
        assert.are.equal("pt", metadata.format)
        -- Names are told by it: they are bertlua's own here.
        assert.matches("^bertlua ", metadata.writer)
        local before, now = fs.size(from .. "/model.safetensors"), fs.size(out .. "/model.safetensors")
        assert.are.same({ 12, before, now }, { about.matrices, about.before, about.after })
        assert.is_true(about.worst > 0.002 and about.worst < 0.01)
        assert.are.equal(("%s: 12 matrices of 8 bits, from %s/model.safetensors\nparameters: %d bytes before, %d bytes "
            .. "after\nlargest rounding error of a matrix, relative to it: %.2f %% (%s)\n"):format(out, from, before,
            now, 100 * about.worst, about.where), printed)
        assert.are.same({}, warnings)
        assert.are.same({}, checksums.check(out))
        assert.are.equal(fs.read(from .. "/vocab.txt"), fs.read(out .. "/vocab.txt"))
        assert.are.equal(fs.read(from .. "/tokenizer_config.json"), fs.read(out .. "/tokenizer_config.json"))
        local config = assert(json.read(out .. "/config.json"))
        local entry = config.quantization_config
        config.quantization_config = nil
        assert.are.same(assert(json.read(from .. "/config.json")), config)
        assert.are.same({ quant_method = "compressed-tensors", format = "int-quantized",
            quantization_status = "compressed",
            ignore = { "bert.pooler.dense", "pooler.dense", "cls.predictions.decoder",
                "cls.predictions.transform.dense", "cls.seq_relationship" },
            config_groups = { group_0 = { targets = { "Linear" },
                weights = { num_bits = 8, type = "int", symmetric = true, strategy = "channel", dynamic = false },
                input_activations = { num_bits = 8, type = "int", symmetric = false, strategy = "token",
                    dynamic = true } } } }, entry)
        assert.are.equal(2, BertConfig.load(out .. "/config.json").num_hidden_layers)
    end)

    it("gives the same bytes each time", function()
        local from = models.write(root .. "/labels", "labels")
        local one, other = run(from), run(from)
        for _, name in ipairs { "model.safetensors", "config.json" } do
            assert.are.equal(fs.read(one .. "/" .. name), fs.read(other .. "/" .. name))
        end
    end)

    it("keeps half precision, integers, other programs' names and what an index divides among files", function()
        local from, parts, map = models.write(root .. "/labels", "labels"), { {}, {} }, {}
        local list = rewrite(from, function(list)
            for i, item in ipairs(list) do
                item.name = item.name:gsub("^bert%.", "")
                local low = tensor.new(i % 2 == 0 and "bf16" or "f16", item.tensor:dims())
                low:copy_from(item.tensor)
                item.tensor = low
            end
            list[#list + 1] = { name = "embeddings.position_ids", tensor = tensor.from({ { 0, 1, 2 } }, "i64") }
            return list
        end)
        local before = contents(from .. "/model.safetensors")
        for i, item in ipairs(list) do
            map[item.name] = ("part%d.safetensors"):format(i % 2 + 1)
            table.insert(parts[i % 2 + 1], item)
        end
        for i, part in ipairs(parts) do
            assert(storage.save(("%s/part%d.safetensors"):format(from, i), part, { format = "pt", note = "kept" }))
        end
        os.remove(from .. "/model.safetensors")
        assert(fs.write(from .. "/model.safetensors.index.json", json.encode { weight_map = map }))
        local out, about = run(from)
        local after, metadata = contents(out .. "/model.safetensors")
        check(before, after, 2)
        assert.are.equal("kept", metadata.note)
        assert.is_nil(metadata.writer)
        assert.are.equal(fs.size(from .. "/part1.safetensors") + fs.size(from .. "/part2.safetensors"), about.before)
        assert.are.same({ "checksums.json", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt" },
            fs.list(out))
        assert.are.same({ "bert.pooler.dense", "pooler.dense", "classifier" },
            assert(json.read(out .. "/config.json")).quantization_config.ignore)
        local model, small = bl.load(from), bl.load(out)
        assert.are.same({ false, true }, { model.int8, small.int8 })
        assert.near(model:classify("the cat sat").probability, small:classify("the cat sat").probability, 0.02)
        model:close()
        small:close()
    end)

    it("takes along what else describes a model, but no other parameters", function()
        local from = models.write(root .. "/words", "words")
        for _, name in ipairs { "README.md", "special_tokens_map.json", "pytorch_model.bin", "model.onnx", ".hidden",
            "training_args.bin", "tf_model.h5", "other.safetensors" } do
            assert(fs.write(from .. "/" .. name, name))
        end
        assert(fs.mkdirs(from .. "/onnx"))
        assert(fs.write(from .. "/onnx/config.json", "{}"))
        sentence_transformers.write(from, { pooling = "cls", normalize = true, max_length = 12, hidden = 32 })
        local out = run(from)
        assert.are.same({ "1_Pooling", "2_Normalize", "README.md", "checksums.json", "config.json",
            "config_sentence_transformers.json", "model.safetensors", "modules.json", "sentence_bert_config.json",
            "special_tokens_map.json", "tokenizer_config.json", "vocab.txt" }, fs.list(out))
        assert.are.same({ pooling = "cls", normalize = true, max_length = 12, similarity = "cosine" },
            sentence_transformers.read(out))
    end)

    it("makes of a checkpoint a folder that belongs to no run", function()
        local from, run_folder = models.write(root .. "/answers", "answers"), root .. "/run"
        local config = BertConfig.load(from .. "/config.json")
        local model = require("bertlua.models.question_answering").new(config)
        model.store:allocate { seed = 3, training = false }
        checkpoint.write(run_folder .. "/checkpoints/7", 7, { store = model.store, config = config,
            vocab_file = from .. "/vocab.txt", progress = { do_lower_case = false,
                began = { settings = { max_seq_length = 40, version_2_with_negative = true } } } })
        model.store:free()
        local out = assert(run(run_folder))
        assert.are.same({ "checksums.json", "config.json", "model.safetensors", "squad_settings.json",
            "tokenizer_config.json", "vocab.txt" }, fs.list(out))
        check(contents(run_folder .. "/checkpoints/7/model.safetensors"), contents(out .. "/model.safetensors"), 2)
        local words = assert(json.read(out .. "/tokenizer_config.json"))
        assert.are.same({ false, 40 }, { words.do_lower_case, words.model_max_length })
        assert.are.same({ version_2_with_negative = true, max_seq_length = 40 },
            assert(json.read(out .. "/squad_settings.json")))
        -- A byte of it has changed.
        local file = run_folder .. "/checkpoints/7/model.safetensors"
        local text = fs.read(file)
        assert(fs.write(file, text:sub(1, -2) .. string.char((text:byte(-1) + 1) % 256)))
        local _, problem = run(run_folder .. "/checkpoints/7")
        assert.matches("model.safetensors is damaged: .*: use an older checkpoint$", problem)
    end)

    describe("refuses, with nothing left behind,", function()
        local from

        before_each(function()
            from = models.write(root .. "/words", "words")
        end)

        local function refuses(pattern, path, out)
            out = out or root .. "/refused"
            local before = fs.list(out)
            local done, problem = run(path or from, out)
            assert.is_nil(done)
            assert.matches(pattern, problem)
            assert.is_nil(problem:find "\n")
            assert.are.same(before, (fs.list(out)))
        end

        --- Change one element of a tensor whose name ends so.
        local function poison(ending, value, dtype)
            rewrite(from, function(list)
                for _, item in ipairs(list) do
                    if item.name:sub(-#ending) == ending then
                        if dtype then
                            local low = tensor.new(dtype, item.tensor:dims())
                            low:copy_from(item.tensor)
                            item.tensor = low
                        end
                        item.tensor:view(-1):slice(1, 3, 3):fill(value)
                    end
                end
                return list
            end)
        end

        it("a NaN or inf anywhere", function()
            poison("layer.1.intermediate.dense.weight", 0 / 0)
            refuses("/words/model.safetensors: bert.encoder.layer.1.intermediate.dense.weight holds NaN: fetch or save "
                .. "it again, or use other parameters$")
            poison("layer.1.intermediate.dense.weight", -1 / 0, "bf16")
            refuses("bert.encoder.layer.1.intermediate.dense.weight holds inf: fetch")
            poison("layer.1.intermediate.dense.weight", 0)
            poison("layer.0.output.LayerNorm.bias", 1 / 0)
            refuses("bert.encoder.layer.0.output.LayerNorm.bias holds inf: fetch")
            poison("layer.0.output.LayerNorm.bias", 0 / 0, "f16")
            refuses("bert.encoder.layer.0.output.LayerNorm.bias holds NaN: fetch")
        end)

        it("what is quantized already", function()
            local out = assert(run(from))
            refuses("^quantize: .*/out1/model.safetensors: 12 matrices are of 8 bits already: quantize the model that "
                .. "it was made from$", out)
        end)

        it("what is no BERT, or not the one that its configuration describes", function()
            refuses("^quantize: .*/nowhere: no such file or folder$", root .. "/nowhere")
            refuses("^quantize: .*: contains no model.safetensors, .* no complete checkpoint; there is one in "
                .. ".*/words$", root)
            models.change(from, "config.json", { num_hidden_layers = 3 })
            refuses("lacks 16 of %d+ tensors of this model")
            models.change(from, "config.json", { num_hidden_layers = 1 })
            refuses("has 16 tensors this model does not know")
            models.change(from, "config.json", { num_hidden_layers = 2, intermediate_size = 40 })
            refuses("intermediate.dense.%w+ is %[48.*%], but this model needs %[40")
            models.change(from, "config.json", { intermediate_size = 48, model_type = "roberta" })
            refuses('config.json: model_type is "roberta", expected "bert"$')
            os.remove(from .. "/config.json")
            refuses("^quantize: .*/words holds no config.json, which describes its parameters$")
        end)

        it("parameters of a form that the engine does not read", function()
            rewrite(from, function(list)
                for _, item in ipairs(list) do
                    if item.name:find "query%.weight$" then item.tensor = tensor.new("i32", { 32, 32 }) end
                end
            end)
            refuses("query.weight is I32, expected F32, F16, BF16 or F64: convert the file first$")
            from = models.write(root .. "/tags", "tags")
            rewrite(from, function(list)
                list[#list + 1] = { name = "bert.encoder.layer.0.output.dense.weight_scale",
                    tensor = tensor.new("f32", { 32, 1 }) }
            end)
            refuses("has 1 tensor this model does not know %(bert.encoder.layer.0.output.dense.weight_scale%)")
            from = models.write(root .. "/labels", "labels")
            rewrite(from, function(list)
                for _, item in ipairs(list) do
                    if item.name:find "word_embeddings" then
                        local rows = item.tensor:size(1)
                        assert.is_true(rows % 8 > 0)
                        local more = tensor.new("f32", { math.ceil(rows / 8) * 8, 32 })
                        more:slice(1, 1, rows):copy_from(item.tensor)
                        item.tensor = more
                    end
                end
            end)
            refuses("^quantize: .*/labels/model.safetensors: only safetensors with the names and shapes of "
                .. "transformers: convert it first %(bertlua convert from%-huggingface %-%-input .*/labels "
                .. "%-%-output%-dir FOLDER%)$")
        end)

        it("damage that checksums.json shows", function()
            local text = fs.read(from .. "/model.safetensors")
            assert(fs.write(from .. "/model.safetensors", text:sub(1, -2) .. string.char((text:byte(-1) + 1) % 256)))
            refuses("model.safetensors: is damaged: its CRC32C is")
        end)

        it("a place that is taken, which stays as it is", function()
            assert(fs.mkdirs(root .. "/taken"))
            assert(fs.write(root .. "/taken/mine", "text"))
            refuses("^quantize: .*/taken is not empty: choose another$", from, root .. "/taken")
            refuses("^quantize: .*/mine is not a folder: choose another$", from, root .. "/taken/mine")
            refuses("^quantize: .*/words is not empty: choose another$", from, from)
            assert.are.equal("text", fs.read(root .. "/taken/mine"))
        end)
    end)

    it("wants two folders", function()
        local output, status = process.run(process.bertlua .. " quantize 2>&1")
        assert.are.same({ 1, "bertlua: quantize: expected two folders, that of the model and the one to write, got "
            .. "none\n" }, { status, output })
        output = process.run(process.bertlua .. " quantize a b c 2>&1")
        assert.matches("got more\n$", output)
        output = process.run(process.bertlua .. " quantize a --out b 2>&1")
        assert.matches("unknown setting %-%-out", output)
        output, status = process.run(process.bertlua .. " quantize --help")
        assert.are.equal(0, status)
        assert.matches("^Usage: bertlua quantize FOLDER OUT\n", output)
        assert.is_nil(output:find "BOOL")
    end)

    describe("has results that", function()
        local from, out, most

        before_each(function()
            from = models.write(root .. "/labels", "labels")
            out = assert(run(from))
            most = 0
            local before, after = contents(from .. "/model.safetensors"), contents(out .. "/model.safetensors")
            for name, item in pairs(after) do
                if item.info.dtype == "I8" then
                    for _, row in ipairs(after[name .. "_scale"].values) do most = math.max(most, row[1]) end
                    assert.are.same(before[name].info.dims, item.info.dims)
                end
            end
        end)

        local function told(path)
            return path .. "/model.safetensors: 12 matrices of 8 bits, read as f32 numbers: what rounding took stays "
                .. "lost"
        end

        it("the engine computes with as they are, and gives what the model gave, but for the rounding", function()
            local texts = { "the cat sat on the mat", "a film", "who wrote it", "the dog was bad", "[MASK] house" }
            local model, small = bl.load(from), bl.load(out)
            assert.matches("parameters\n", tostring(model))
            assert.matches("parameters, matrices of 8 bits\n", tostring(small))
            local same = true
            for i, result in ipairs(small:classify(texts)) do
                for _, other in ipairs(model:classify(texts[i]).all) do
                    for _, mine in ipairs(result.all) do
                        if mine.label == other.label then
                            assert.near(other.probability, mine.probability, 0.02)
                            same = same and other.probability == mine.probability
                        end
                    end
                end
            end
            assert.is_false(same)
            local a, b = model:embed(texts, { normalize = true }), small:embed(texts, { normalize = true })
            for i = 1, #texts do
                local cosine = 0
                for h = 1, 32 do cosine = cosine + a:tolist()[i][h] * b:tolist()[i][h] end
                assert.is_true(cosine > 0.999, cosine)
            end
            assert.are.same({}, warnings)
            -- The model in Lua knows no other numbers than f32.
            assert.are.equal(3, #small:hidden_states "the cat")
            assert.are.same({ told(out) }, warnings)
            model:close()
            small:close()
        end)

        it("training starts from as f32 numbers, which is told", function()
            local config = BertConfig.load(out .. "/config.json")
            local model = require("bertlua.models.sequence_classification").new(config)
            model.store:allocate { seed = 9 }
            checkpoint.load_pretrained(out, { store = model.store, config = config })
            assert.are.same({ told(out) }, warnings)
            local before = contents(from .. "/model.safetensors")
            local furthest = 0
            for _, entry in ipairs(model.store.list) do
                local list = (entry.stored or entry.value):view(-1):tolist()
                local was = tensor.from(before[entry.name].values, "f32"):view(-1):tolist()
                for i, x in ipairs(list) do furthest = math.max(furthest, math.abs(x - was[i])) end
            end
            model.store:free()
            assert.is_true(furthest > 0 and furthest <= 0.5001 * most)
        end)

        it("are converted to a checkpoint of f32 numbers, which is told", function()
            local stdout = io.stdout
            io.stdout = { write = function() end } -- luacheck: ignore
            local ok, problem = pcall(convert.from_huggingface, { input = out, output_dir = root .. "/back",
                model_prefix = "model" })
            io.stdout = stdout -- luacheck: ignore
            assert.is_true(ok, tostring(problem))
            assert.are.same({ told(out) }, warnings)
            local q, back = contents(out .. "/model.safetensors"), contents(root .. "/back/model.safetensors")
            local name = "bert.encoder.layer.0.output.dense.weight"
            assert.are.equal("F32", back[name].info.dtype)
            assert.near(q[name].values[3][5] * q[name .. "_scale"].values[3][1], back[name].values[3][5], 1e-9)
            assert.is_nil(back[name .. "_scale"])
            assert.is_nil(assert(json.read(root .. "/back/config.json")).quantization_config)
        end)
    end)
end)
