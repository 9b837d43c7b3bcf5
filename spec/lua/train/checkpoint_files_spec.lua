--- Copies in a checkpoint, config.json and vocab.txt, that were edited or lost: the tensors are what counts.

local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local models = require "bertlua.models.bert"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"

local CONFIG = { vocab_size = 9, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2,
    intermediate_size = 16, max_position_embeddings = 10, type_vocab_size = 2 }

describe("copies in a checkpoint", function()
    local root, path, words, warnings, warn

    local function make(seed)
        local config = models.BertConfig.new(CONFIG)
        local model = models.BertForPretraining.new(config)
        model.store:allocate { precision = "fp32", seed = seed }
        return { store = model.store, config = config, vocab_file = words, progress = { do_lower_case = true } }
    end

    before_each(function()
        root = assert(fs.temporary_folder "checkpoint_copies")
        words, warnings, warn = root .. "/words.txt", {}, term.warn
        assert(fs.write(words, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n"))
        path = checkpoint.save(root, 3, make(1))
        rawset(term, "warn", function(text) warnings[#warnings + 1] = text end)
    end)

    after_each(function()
        rawset(term, "warn", warn)
        assert(fs.remove(root))
    end)

    local function checksum()
        local parts = make(2)
        checkpoint.load(path, parts)
        local sum = storage.crc32c(parts.store.value)
        parts.store:free()
        return sum
    end

    it("may be edited or missing: the checkpoint is used, and one line each says so", function()
        local sum = checksum()
        assert.are.same({}, warnings)
        local config = assert(fs.read(path .. "/config.json"))
        assert(fs.write(path .. "/config.json", (config:gsub("BertForPreTraining", "BertForSomething!!"))))
        assert(fs.remove(path .. "/vocab.txt"))
        assert.are.equal(path, (checkpoint.latest(root)))
        assert.are.equal(sum, checksum())
        assert.are.same({
            path .. ": config.json was edited or is damaged; the tensors are whole, so it is used",
            path .. ": vocab.txt is missing; the tensors are whole, so it is used" }, warnings)
    end)

    it("are no help where the vocabulary to be used is the edited one", function()
        assert(fs.write(path .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nx\nb\nc\nd\n"))
        words = path .. "/vocab.txt"
        local ok, problem = pcall(checkpoint.load, path, make(2))
        assert.is_false(ok)
        assert.matches("vocab.txt was edited or is damaged: name the vocabulary that the model was trained with",
            fault.message(problem))
    end)

    it("are not what tensors are: those must be whole", function()
        local file = path .. "/model.safetensors"
        local bytes = assert(fs.read(file))
        assert(fs.write(file, bytes:sub(1, -2) .. (bytes:sub(-1) == "x" and "y" or "x")))
        assert.is_nil((checkpoint.latest(root)))
        assert.is_nil(checkpoint.unusable(root))
        assert(fs.remove(file))
        assert.matches("^none of the checkpoints in .- can be used: .-/3 %(model.safetensors is missing%)$",
            checkpoint.unusable(root))
        assert(fs.remove(path))
        assert.is_nil(checkpoint.unusable(root))
    end)
end)
