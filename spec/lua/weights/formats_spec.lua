--- Files of other programs: one tiny BERT as PyTorch, Paddle, numpy and Hugging Face write it
-- (spec/peers/make_weights_fixtures.py), what they hold in detail, and what damage does to their readers.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertConfig = require "bertlua.models.bert_config"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local weights = require "bertlua.train.weights"

local FOLDER = "spec/fixtures/weights/"

local function config_of(changes)
    local values = {
        vocab_size = 24, hidden_size = 8, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 16,
        max_position_embeddings = 12, type_vocab_size = 2,
    }
    for key, value in pairs(changes or {}) do values[key] = value end
    return BertConfig.new(values)
end

local function make(changes)
    local config = config_of(changes)
    local model = BertForPretraining.new(config)
    model.store:allocate { seed = 1, training = false }
    return { store = model.store, config = config }
end

describe("formats", function()
    local root, path, reference

    setup(function()
        root = assert(fs.temporary_folder "bertlua-formats")
        path = root .. "/file"
        local parts = make()
        checkpoint.load_pretrained(FOLDER .. "reference.safetensors", parts)
        reference = parts.store:checksum()
    end)

    teardown(function() fs.remove(root) end)

    local function write(text, name)
        local target = name and root .. "/" .. name or path
        os.remove(target)
        local file = assert(io.open(target, "wb"))
        file:write(text)
        file:close()
    end

    local function values_of(file, name, dtype)
        local t = tensor.new(dtype or "f32", file:info(name).dims)
        assert(file:read(name, t))
        return t:tolist()
    end

    describe("give the same parameters, bit for bit, from", function()
        local function same(name, unexpected)
            local parts = make()
            local report = checkpoint.load_pretrained(FOLDER .. name, parts)
            assert.are.same({ missing = {}, unexpected = unexpected or {} }, report)
            assert.are.equal(reference, parts.store:checksum())
        end

        it("PyTorch's zip: bare names, gamma and beta, a transposed view, a tied copy",
            function() same "model.bin" end)
        it("PyTorch's pickle before 1.6, inside a training program's dictionary", function() same "legacy.bin" end)
        it("Paddle's protocol 2, whose bytes are text", function() same "protocol2.pdparams" end)
        it("Paddle's protocol 4", function() same "protocol4.pdparams" end)
        it("Paddle's nested dictionaries, whose tensors are pairs", function() same "nested.pdparams" end)
        it("a static Paddle program, whose names are numbers", function() same "static.pdparams" end)
        it("numpy's archive under TensorFlow's names", function() same "tensorflow.npz" end)

        it("Paddle's bfloat16 to within 8 bits", function()
            local parts, exact = make(), make()
            checkpoint.load_pretrained(FOLDER .. "bf16.pdparams", parts)
            checkpoint.load_pretrained(FOLDER .. "reference.safetensors", exact)
            for i, entry in ipairs(parts.store.list) do
                local rounded = tensor.new("bf16", exact.store.list[i].value:dims())
                rounded:copy_from(exact.store.list[i].value)
                assert.are.same(rounded:tolist(), entry.value:tolist(), entry.name)
            end
        end)

        it("a path without its .pdparams, and a folder that holds one", function()
            local text = fs.read(FOLDER .. "protocol4.pdparams")
            assert(fs.mkdirs(root .. "/paddle"))
            write(text, "paddle/bert.pdparams")
            for _, place in ipairs { "/paddle/bert", "/paddle" } do
                local parts = make()
                checkpoint.load_pretrained(root .. place, parts)
                assert.are.equal(reference, parts.store:checksum())
            end
        end)

        it("safetensors in shards", function()
            local file = assert(storage.open(FOLDER .. "reference.safetensors"))
            assert(fs.mkdirs(root .. "/shards"))
            local lists, map = { {}, {} }, {}
            for i, name in ipairs(file:names()) do
                local t = tensor.new("f32", file:info(name).dims)
                assert(file:read(name, t))
                table.insert(lists[i % 2 + 1], { name = name, tensor = t })
                map[name] = ("part-%d.safetensors"):format(i % 2 + 1)
            end
            for i, list in ipairs(lists) do
                assert(storage.save(("%s/shards/part-%d.safetensors"):format(root, i), list))
            end
            local function index(changed)
                write(json.encode { metadata = {}, weight_map = changed }, "shards/model.safetensors.index.json")
            end
            index(map)
            local parts = make()
            checkpoint.load_pretrained(root .. "/shards", parts)
            assert.are.equal(reference, parts.store:checksum())
            local function refuses(pattern, name, value)
                local before = map[name]
                map[name] = value
                index(map)
                map[name] = before
                assert.error_matches(function() checkpoint.load_pretrained(root .. "/shards", make()) end, pattern)
            end
            refuses("../evil is not the name of a file in the same folder", "cls.predictions.bias", "../evil")
            refuses("part%-3.safetensors: missing, but listed in model.safetensors.index.json",
                "cls.predictions.bias", "part-3.safetensors")
            refuses("model.safetensors.index.json is an index too, not a file of parameters$", "cls.predictions.bias",
                "model.safetensors.index.json")
            refuses("never.seen is not in any of the files", "never.seen", "part-1.safetensors")
            write("{}", "shards/model.safetensors.index.json")
            assert.error_matches(function() checkpoint.load_pretrained(root .. "/shards", make()) end, "no weight_map")
        end)
    end)

    it("read every PyTorch dtype and view", function()
        for _, name in ipairs { "views.bin", "views_legacy.bin" } do
            local file = formats.open(FOLDER .. name)
            assert.are.equal(11, #file:names())
            local whole = values_of(file, "whole")
            assert.are.same({ 6, 7, 8, 9, 10, 11 }, whole[2])
            local transposed = values_of(file, "transposed")
            assert.are.same({ 1, 7, 13, 19 }, transposed[2])
            assert.are.same({ { 8, 9, 10 }, { 14, 15, 16 } }, values_of(file, "part"))
            assert.are.same({ { 0, 3 }, { 12, 15 } }, values_of(file, "steps"))
            assert.are.same({ 6, 6, 6 }, values_of(file, "expanded"))
            assert.are.same(2.5, values_of(file, "scalar"))
            for _, kind in ipairs { "f16", "bf16", "f64" } do
                assert.are.equal(kind:upper(), file:info(kind).dtype)
                assert.are.same({ 0, 1, 2, 3, 4, 5 }, values_of(file, kind))
            end
            assert.are.same({ 0, 1, 2 }, values_of(file, "i64", "i64"))
            assert.are.same({ 0, 4 }, file:info("empty").dims)
            assert.is_true(file:read("empty", tensor.new("f32", { 0, 4 })))
            file:close()
        end
    end)

    it("accept rows that round up the vocabulary, and clear them", function()
        local parts = make { vocab_size = 21 }
        local report = checkpoint.load_pretrained(FOLDER .. "reference.safetensors", parts)
        assert.are.same({ missing = {}, unexpected = {} }, report)
        local word = "bert.embeddings.word_embeddings.weight"
        local padded = parts.store:get(word).value
        local full = values_of(formats.open(FOLDER .. "reference.safetensors"), word)
        assert.are.same(full[21], padded:tolist()[21])
        for row = 22, 24 do assert.are.same({ 0, 0, 0, 0, 0, 0, 0, 0 }, padded:tolist()[row]) end
    end)

    it("name both shapes, as they would be here, when one does not fit", function()
        for name, pattern in pairs {
            ["protocol4.pdparams"] = "intermediate.dense.weight is %[16,8%], but this model needs %[32,8%]",
            ["model.bin"] = "intermediate.dense.weight is %[16,8%], but this model needs %[32,8%]",
        } do
            local parts = make { intermediate_size = 32 }
            local before = parts.store:checksum()
            assert.error_matches(function() checkpoint.load_pretrained(FOLDER .. name, parts) end, pattern)
            assert.are.equal(before, parts.store:checksum())
        end
    end)

    it("refuse what is not a file of parameters, each with its own line", function()
        local function refuses(pattern, text, name)
            write(text, name)
            local ok, message = pcall(formats.open, name and root .. "/" .. name or path)
            assert.is_false(ok)
            assert.is_true(fault.is(message), tostring(message))
            assert.matches(pattern, message.message)
        end
        refuses("is empty", "")
        refuses("a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
        refuses("HDF5 file", "\137HDF\r\n\26\n" .. ("\0"):rep(100))
        local model = ": expected a folder with config.json and model.safetensors, or beside a config.json a file of "
            .. "parameters %(.safetensors, .bin, .pdparams, .npz%)$"
        for _, name in ipairs { "train.csv", "train.tsv", "train.txt", "train" } do
            refuses("/" .. name .. ": a text, not a model" .. model, "text,label\nc\195\169,1\n", name)
        end
        refuses("/a.csv.gz: not a model" .. model, "\31\139\8\0" .. ("x"):rep(60), "a.csv.gz")
        refuses("/page.safetensors: a text, not a safetensors file: fetch it again$", "<html>Not found",
            "page.safetensors")
        refuses("/cut.safetensors: truncated, or not a safetensors file", "\9\0\0\0\0\0\0\0{}", "cut.safetensors")
        -- As the engine says it, which reads the rest of the file.
        refuses("/x.safetensors: not a safetensors file: its header would", ("\1"):rep(16), "x.safetensors")
        assert.error_matches(function() formats.check(root .. "/train.csv") end, "a text, not a model")
        assert.error_matches(function() formats.check(root .. "/a.csv.gz") end, "not a model")
        for _, name in ipairs { "reference.safetensors", "tensorflow.npz", "views.bin" } do
            formats.check(FOLDER .. name)
        end
        refuses("unknown instruction", "\255garbage", "pytorch_model.bin")
        refuses("neither a PyTorch data.pkl nor numpy arrays", "PK\5\6" .. ("\0"):rep(18))
        refuses("its directory is missing", "PK\3\4" .. ("\0"):rep(100))
        refuses("its pickle is a list, expected a dictionary", "\128\2].")
        refuses("contains no named tensors", "\128\2}.")
        assert.error_matches(function() formats.open(root) end, "not a regular file")
        assert.error_matches(function() formats.open(root .. "/none") end, "/none: cannot open: no such file")
        -- An array of numpy with more dimensions than the engine has, and one with impossible ones.
        local text = fs.read(FOLDER .. "tensorflow.npz"):gsub("(PK\1\2" .. ("."):rep(12) .. ")....", "%1\0\0\0\0")
        local shape = text:match "'shape': %(%d+, %d+%), }" .. (" "):rep(20)
        for _, dims in ipairs { ("1,"):rep(9), "9" .. ("0"):rep(16) } do
            refuses("broken: its shape is %(" .. dims, (text:gsub(shape:gsub("%p", "%%%0"),
                ("'shape': (%s), }"):format(dims) .. (" "):rep(#shape - #dims - 14), 1)), "shape.npz")
        end
        text = fs.read(FOLDER .. "views.bin")
        -- Method 8 (deflate) in the directory's entries.
        refuses("is compressed: save it uncompressed", (text:gsub("(PK\1\2" .. ("."):rep(6) .. ")%z%z", "%1\8\0")))
    end)

    it("of torch.save in every protocol of pickle, old and new", function()
        for _, name in ipairs { "legacy_protocol0", "legacy_protocol1", "legacy_protocol2", "legacy_protocol3",
            "legacy_protocol4", "legacy_protocol5", "zip_protocol0", "zip_protocol5" } do
            local file = formats.open(FOLDER .. name .. ".bin")
            assert.are.same({ "half", "matrix", "view" }, file:names())
            assert.are.same({ 0, 1, 2 }, values_of(file, "half"))
            assert.are.same({ { 0, 1, 2 }, { 3, 4, 5 } }, values_of(file, "matrix"))
            assert.are.same({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, values_of(file, "view"))
            assert.are.same({ true, false, false }, { file:shares("matrix", "matrix"), file:shares("matrix", "view"),
                file:shares("matrix", "half") })
        end
        -- What protocol 0 writes of a storage is text, and only that of a storage is taken.
        local text = fs.read(FOLDER .. "legacy_protocol0.bin")
        for _, case in ipairs { { "<class 'torch.FloatStorage'>", "<class 'os.FloatStorage'>" }, { "'cpu', 6, None",
            "'cpu', 6, (1,)" }, { "'storage', <class 'torch.F", "'nothing', <class 'torch.F" } } do
            local from, to = text:find(case[1], 1, true)
            write(text:sub(1, from - 1) .. case[2] .. text:sub(to + 1))
            assert.error_matches(function() formats.open(path) end, "refers to something that is not a storage")
        end
    end)

    describe("when damaged", function()
        local wanted

        --- Open and read like a load. True, or the message of a fault; anything else fails the test.
        local function attempt(target)
            local ok, problem = pcall(function()
                local file = formats.open(target)
                weights.read(file, weights.match(file, wanted, target, { missing = { "" }, unexpected = { "" } }))
                file:close()
            end)
            if ok then return true end
            assert.is_true(fault.is(problem), target .. ": " .. tostring(problem))
            assert.is_nil(problem.message:find("[%z\1-\31]"))
            return problem.message
        end

        local function damage(name)
            local text = fs.read(FOLDER .. name)
            local file = formats.open(FOLDER .. name)
            wanted = {}
            for _, stored in ipairs(file:names()) do
                local info = file:info(stored)
                if weights.is_float(info.dtype) and not weights.is_redundant(stored) then
                    wanted[#wanted + 1] = { name = stored, dims = info.dims, tensor = tensor.new("f32", info.dims) }
                end
            end
            assert.is_true(attempt(FOLDER .. name))
            local target = root .. "/" .. name
            for length = 0, #text - 1, 7 do
                write(text:sub(1, length), name)
                assert.is_string(attempt(target), "cut at " .. length)
            end
            local survived, cases = 0, 0
            for at = 1, #text do
                for _, mask in ipairs { 2 ^ (at % 8), 0xFF } do
                    write(text:sub(1, at - 1) .. string.char(bit.bxor(text:byte(at), mask)) .. text:sub(at + 1), name)
                    cases = cases + 1
                    if attempt(target) == true then survived = survived + 1 end
                end
            end
            assert.is_true(survived < cases)
            assert.are.equal(2 * #text, cases)
        end

        it("PyTorch's zip never crashes", function() damage "views.bin" end)
        it("PyTorch's old format never crashes", function()
            damage "views_legacy.bin"
            damage "legacy_protocol0.bin"
            damage "legacy_protocol5.bin"
        end)

        it("Paddle's and numpy's files never crash", function()
            for _, name in ipairs { "protocol2.pdparams", "static.pdparams", "tensorflow.npz" } do
                local text = fs.read(FOLDER .. name)
                wanted = {}
                for _, entry in ipairs(make().store.list) do
                    wanted[#wanted + 1] = { name = entry.name, dims = entry.dims, tensor = entry.value }
                end
                assert.is_true(attempt(FOLDER .. name))
                for case = 1, 150 do
                    local at = case * 7919 % #text + 1
                    local cut = case % 3 == 0
                    write(cut and text:sub(1, at - 1) or text:sub(1, at - 1)
                        .. string.char(bit.bxor(text:byte(at), 2 ^ (case % 8))) .. text:sub(at + 1), name)
                    local result = attempt(root .. "/" .. name)
                    if cut then assert.is_string(result) end
                end
            end
        end)
    end)
end)
