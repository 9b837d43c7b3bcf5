--- The files whose bytes spec/faults/flips.lua changes, and how each is read.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Optimizer = require "bertlua.train.optimizer"
local Tokenizer = require "bertlua.text.tokenizer"
local byte_changes = require "spec.support.byte_changes"
local cache = require "bertlua.squad.feature_cache"
local checkpoint = require "bertlua.train.checkpoint"
local data = require "bertlua.data"
local dataset = require "bertlua.squad.dataset"
local features = require "bertlua.squad.features"
local flips = require "spec.support.flips"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local manifest = require "bertlua.corpus.manifest"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local shards = require "spec.support.shards"
local storage = require "bertlua.storage"
local vocabulary = require "bertlua.weights.vocabulary"

local M = {}

local BITS = { 1, 2, 4, 8, 16, 32, 64, 128 }
local WEIGHTS = "spec/fixtures/weights/"

local function sh(command)
    local output, code = process.run(command)
    assert(code == 0, command .. "\n" .. output)
end

local function copy(from, to)
    assert(fs.write(to, assert(fs.read(from))))
    return to
end

--- Shards: ours, another program's, and that one with a seal of ours.
local function add_shards(add, folder)
    local own, foreign, sealed = folder .. "/own.hdf5", folder .. "/foreign.hdf5", folder .. "/sealed.hdf5"
    shards.write_sealed(own, 60, 16, 4)
    copy("spec/fixtures/hdf5/nvidia.hdf5", foreign)
    copy(foreign, sealed)
    assert(data.seal_shard(sealed))
    local function reader(path)
        return function() return flips.contents(path) end
    end
    add("shard, own", own, reader(own), { masks = BITS })
    add("shard, h5py's, sealed", sealed, reader(sealed), { masks = { 1, 128 } })
    -- Each change starts a process.
    add("shard, h5py's", foreign, reader(foreign), { masks = BITS, alternate = true, step = 4 }, true)
end

--- The model of the job of spec/support/pretraining.lua, and what a loaded folder gives: parameters, optimizer,
-- configuration, words, progress.
local function model_reader(job)
    local config = BertConfig.load(job.config)
    local model = BertForPretraining.new(config)
    model.store:allocate { seed = 1 }
    local optimizer = Optimizer.new { kind = "Lamb", store = model.store }
    return function(path, with_optimizer)
        local parts = { store = model.store, config = BertConfig.load(path .. "/config.json"),
            optimizer = with_optimizer and optimizer or nil, vocab_file = path .. "/vocab.txt" }
        model.store.value:fill(0)
        local report
        if with_optimizer then
            optimizer.m:fill(0)
            checkpoint.load(path, parts)
        else
            report = checkpoint.load_pretrained(path, parts)
        end
        local settings = fs.read(path .. "/tokenizer_config.json") or ""
        return table.concat({ model.store:checksum(), with_optimizer and storage.crc32c(optimizer.m) or "",
            with_optimizer and storage.crc32c(optimizer.v) or "", json.encode(parts.config:to_table()),
            vocabulary.words(path .. "/vocab.txt").text, settings,
            with_optimizer and json.encode(assert(checkpoint.progress(path))) or "" }, "\n"),
            report and #report.missing + #report.unexpected > 0
    end
end

--- A checkpoint, and a folder exported from it.
local function add_checkpoint(add, folder)
    local job = pretraining.new()
    job:write_config { num_hidden_layers = 1 }
    sh(job:command("pretrain_phase1.lua", { ["max-steps"] = 2 }))
    local root = job.out .. "/custom/phase1"
    local path, exported = root .. "/2", folder .. "/exported"
    local load = model_reader(job)
    local function read()
        local found, _, note = checkpoint.latest(root)
        if not found then return nil, note end
        local text, told = load(found, true)
        return text, told or note ~= nil
    end
    for _, name in ipairs { "progress.json", "config.json", "vocab.txt" } do
        add("checkpoint, " .. name, path .. "/" .. name, read, { masks = BITS })
    end
    for _, name in ipairs { "model.safetensors", "optimizer.safetensors" } do
        add("checkpoint, " .. name, path .. "/" .. name, read, { masks = BITS, alternate = true })
    end
    sh(("%s scripts/convert_to_huggingface.lua --checkpoint %s --output-dir %s"):format(process.bertlua, path,
        exported))
    local function read_exported() return load(exported, false) end
    for _, name in ipairs { "config.json", "vocab.txt", "tokenizer_config.json" } do
        add("exported folder, " .. name, exported .. "/" .. name, read_exported,
            { masks = BITS, alternate = name == "vocab.txt" })
    end
    add("exported folder, checksums.json", exported .. "/checksums.json", read_exported, { masks = BITS })
    add("exported folder, model.safetensors", exported .. "/model.safetensors", read_exported,
        { masks = BITS, alternate = true, step = 2 })
    return job
end

--- Features of SQuAD: damaged ones are rebuilt.
local function add_features(add, folder)
    local data_file = copy("spec/fixtures/squad/data.json", folder .. "/data.json")
    local tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
    local examples = dataset.load(data_file)
    local options = { max_seq_length = 48, doc_stride = 12, max_query_length = 16, num_workers = 1,
        data_file = data_file, is_training = false, version_2_with_negative = false }
    local _, made = features.cached(examples, tokenizer, options)
    local entry = cache.entry(examples, tokenizer, options, data_file)
    assert(entry.path == made.path)
    add("feature cache", made.path, function()
        local set, problem = cache.load(entry, options)
        if not set then return nil, problem end
        local parts = {}
        for i, item in ipairs(set:arrays()) do
            local list = {}
            for k = 0, item[3] - 1 do list[k + 1] = item[2][k] end
            parts[i] = table.concat(list, " ")
        end
        return table.concat(parts, "\n")
    end, { masks = { 1, 128 } })
end

--- A prepared corpus: records of its stages, which are made again, and the manifest.
local function add_corpus(add, folder)
    local output = folder .. "/corpus"
    local pipeline = require "bertlua.corpus.pipeline"
    local settings = require("bertlua.jobs.corpus.prepare").settings
    assert(fs.mkdirs(folder .. "/books"))
    for i = 1, 2 do
        assert(fs.write(("%s/books/%d.txt"):format(folder, i),
            (("Book %d has a line. It has another one.\n"):format(i)):rep(20)))
    end
    local values = settings:parse({ "--quiet", "--variant", "corpus", "--corpus-dir", folder .. "/books",
        "--output-dir", output, "--num-workers", "1", "--stages", "extract,sentences,shard,vocab,hdf5,verify",
        "--shards", "1", "--test-share", "0", "--vocab-size", "44", "--sets", "32:5", "--dupe-factor", "1" }, {},
        { program = "flips", description = "" })
    pipeline.run(values)
    add("corpus, manifest.json", output .. "/manifest.json", function()
        return json.encode(manifest.read(output))
    end, { masks = BITS })
    local files = require "spec.support.files"
    local function read()
        pipeline.run(values)
        return json.encode(files.hashes(output))
    end
    add("corpus, sources.json; all stages run", output .. "/.state/sources.json", read,
        { masks = BITS, alternate = true, step = 4 })
    for _, stage in ipairs { "extract", "shard", "vocab", "hdf5" } do
        local state = output .. "/.state/" .. stage
        for _, name in ipairs(assert(fs.list(state))) do
            if name:find "json" and not name:find "00001" or stage == "shard" then
                add(("corpus, %s/%s; all stages run"):format(stage, name), state .. "/" .. name, read,
                    { masks = BITS, alternate = true, step = 4 })
            end
        end
    end
end

--- Files of parameters of other programs.
local function add_weights(add, folder)
    local model = BertForPretraining.new(BertConfig.new { vocab_size = 24, hidden_size = 8, num_hidden_layers = 2,
        num_attention_heads = 2, intermediate_size = 16, max_position_embeddings = 12, type_vocab_size = 2 })
    model.store:allocate { seed = 1, training = false }
    local function reader(path)
        return function()
            model.store.value:fill(0)
            local report = checkpoint.load_pretrained(path, { store = model.store })
            return model.store:checksum(), #report.missing + #report.unexpected > 0
        end
    end
    -- Name, step: archives have one checksum for each of many members; whether the format has none.
    for _, entry in ipairs { { "model.bin", 2 }, { "tensorflow.npz", 4 }, { "legacy.bin", 1, true },
        { "protocol2.pdparams", 1, true }, { "protocol4.pdparams", 1, true }, { "reference.safetensors", 1, true } } do
        local path = ("%s/%s"):format(folder, entry[1])
        copy(WEIGHTS .. entry[1], path)
        add("weights, " .. entry[1], path, reader(path), { masks = BITS, alternate = true, step = entry[2] }, entry[3])
    end
    -- A vocabulary of Hugging Face's tokenizers: where a word changes, it is another one.
    local words = folder .. "/tokenizer.json"
    assert(fs.write(words, json.encode(assert(json.read "spec/fixtures/text/tokenizer_json.json").tokenizer)))
    add("vocabulary, tokenizer.json", words, function()
        local tokenizer = Tokenizer.load(words, { do_lower_case = true, any_casing = true })
        return vocabulary.words(words).text .. "\n"
            .. table.concat(tokenizer:encode "A sample, of Text: is it cut?", " ")
    end, { masks = BITS, alternate = true, step = 2 }, true)
    -- A model in two files.
    local file = formats.open(WEIGHTS .. "reference.safetensors")
    local split, map = folder .. "/split", {}
    assert(fs.mkdirs(split))
    local parts = { {}, {} }
    local tensor = require "bertlua.tensor"
    for i, name in ipairs(file:names()) do
        local t = tensor.new("f32", file:info(name).dims)
        assert(file:read(name, t))
        table.insert(parts[i % 2 + 1], { name = name, tensor = t })
        map[name] = ("part%d.safetensors"):format(i % 2 + 1)
    end
    file:close()
    for i, list in ipairs(parts) do assert(storage.save(("%s/part%d.safetensors"):format(split, i), list)) end
    local index = split .. "/model.safetensors.index.json"
    assert(fs.write(index, json.encode({ metadata = { total_size = 1 }, weight_map = map }, { pretty = true })))
    add("weights, model.safetensors.index.json", index, reader(index), { masks = BITS })
end

--- Make the files.
-- @return list of {name, run = function(every) -> counts of byte_changes.run, slow; unprotected: other values are
--   possible, as the format has no checksum}; close()
function M.open()
    local folder, targets = assert(fs.temporary_folder "flips"), {}
    local function add(name, path, read, options, unprotected)
        targets[#targets + 1] = { name = name, unprotected = unprotected, slow = options.step ~= nil,
            run = function(every)
            local with = {}
            for key, value in pairs(options) do with[key] = value end
            with.step = (options.step or 1) * (every or 1)
            return byte_changes.run(path, read, with)
        end }
    end
    add_shards(add, folder)
    local job = add_checkpoint(add, folder)
    add_features(add, folder)
    add_corpus(add, folder)
    add_weights(add, folder)
    return targets, function()
        job:close()
        fs.remove(folder)
    end
end

return M
