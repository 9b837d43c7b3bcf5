--- Where the parameters of bl.load's models are: mapped by the engine, or read by Lua and handed to it; and when the
-- graph in Lua is made.

local Encoder = require "bertlua.encoder"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local MODEL, FORMATS = "spec/fixtures/encoder/masked_lm", "spec/fixtures/weights/"
local TEXTS = { "The [MASK] sat on the mats, unseen.", "a dog" }

--- Whether this process has a file mapped.
local function is_mapped(path)
    return assert(fs.read "/proc/self/maps"):find(path, 1, true) ~= nil
end

local function fault_of(fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    return tostring(problem)
end

--- What a model computes of a few texts: numbers, and the words that it guesses.
local function results_of(m)
    local numbers, words = {}, {}
    for _, vectors in ipairs { m:embed(TEXTS), m:embed({ { "a dog", "the cat" } }, { pooling = "cls" }) } do
        for _, vector in ipairs(vectors:tolist()) do
            for _, x in ipairs(vector) do numbers[#numbers + 1] = x end
        end
    end
    for i, guess in ipairs(m:fill_mask(TEXTS[1], 3)[1]) do
        numbers[#numbers + 1], words[i] = guess.probability, guess.token
    end
    return numbers, words
end

--- Two models compute the same, but for the order of sums.
local function assert_same(a, b, label)
    local numbers, words = results_of(a)
    local others, their_words = results_of(b)
    assert.are.same({ words, #numbers }, { their_words, #others }, label)
    local worst = 0
    for i, x in ipairs(numbers) do worst = math.max(worst, math.abs(x - others[i])) end
    assert.is_true(worst < 1e-6, ("%s: off by %g"):format(label or "", worst))
end

describe("the parameters of a loaded model", function()
    local folder

    setup(function() folder = assert(fs.temporary_folder "bertlua-graph-") end)
    teardown(function() fs.remove(folder) end)

    --- The model's folder with other tensors in its file.
    -- @param change function(name, tensor) -> list of {name, tensor}
    local function changed(name, change)
        local path, tensors = folder .. "/" .. name, {}
        assert(fs.mkdirs(path))
        for _, file in ipairs(assert(fs.list(MODEL))) do
            if not file:find "safetensors" then assert(fs.copy(MODEL .. "/" .. file, path .. "/" .. file)) end
        end
        local opened = assert(storage.open(MODEL .. "/model.safetensors"))
        for _, each in ipairs(opened:names()) do
            local t = tensor.new("f32", opened:info(each).dims)
            assert(opened:read(each, t))
            for _, entry in ipairs(change(each, t)) do
                tensors[#tensors + 1] = { name = entry[1], tensor = entry[2] }
            end
        end
        opened:close()
        assert(storage.save(path .. "/model.safetensors", tensors))
        return path
    end

    it("are mapped from the file; the graph in Lua has some of its own once its insides are asked for", function()
        local path = changed("plain", function(name, t) return { { name, t } } end)
        local on_cpu = context.current().device == "cpu" and fs.exists "/proc/self/maps"
        local m = Encoder.load(path)
        local vector = m:embed(TEXTS[2]):tolist()[1]
        m:fill_mask(TEXTS[1])
        assert.is_nil(m.graph.tape)
        if on_cpu then assert.is_true(is_mapped(path .. "/model.safetensors")) end
        local states = m:hidden_states(TEXTS[2])
        assert.is_not_nil(m.graph.tape)
        for h, sum in ipairs(states[3]:tolist()[1]) do
            for row = 2, 4 do sum = sum + states[3]:tolist()[row][h] end
            assert.is_true(math.abs(sum / 4 - vector[h]) < 1e-5)
        end
        local loaded = m.graph.tape
        m:attention(TEXTS[2])
        assert.are.equal(loaded, m.graph.tape)
        m:close()
        assert.is_nil(m.graph.tape)
        if on_cpu then assert.is_false(is_mapped(path .. "/model.safetensors")) end
    end)

    it("are given back with the model that nobody has any more", function()
        local path = changed("dropped", function(name, t) return { { name, t } } end)
        local m = Encoder.load(path)
        local tokenizer = m.tokenizer
        m:embed(TEXTS)
        m = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        -- Its tokenizer keeps the model.
        assert.are.same({ "a", "dog" }, tokenizer:tokenize "a dog")
        tokenizer = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        if fs.exists "/proc/self/maps" then assert.is_false(is_mapped(path .. "/model.safetensors")) end
    end)

    it("are the same from every format, which Lua reads where the engine does not", function()
        local config, words = folder .. "/formats.json", { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat",
            "dog", "sat", "on", "a", "mat" }
        for i = #words + 1, 24 do words[i] = "w" .. i end
        assert(fs.write(config, json.encode { vocab_size = 24, hidden_size = 8, num_hidden_layers = 2,
            num_attention_heads = 2, intermediate_size = 16, max_position_embeddings = 12 }))
        assert(fs.write(folder .. "/formats.txt", table.concat(words, "\n") .. "\n"))
        local options = { config_file = config, vocab_file = folder .. "/formats.txt" }
        local reference = Encoder.load(FORMATS .. "reference.safetensors", options)
        assert.is_true(reference.graph.direct)
        for _, name in ipairs { "model.bin", "legacy.bin", "protocol4.pdparams",
            "nested.pdparams", "static.pdparams", "tensorflow.npz" } do
            local m = Encoder.load(FORMATS .. name, options)
            assert_same(reference, m, name)
            assert.are.same({ false, true }, { m.graph.direct, m.graph.tape ~= nil })
            assert.are.same({ 3, 8 }, { #m:hidden_states "a dog", m:hidden_states("a dog")[1]:dims()[2] })
            m:close()
        end
        reference:close()
        options.precision = "bf16"
        local read, handed = Encoder.load(FORMATS .. "reference.safetensors", options),
            Encoder.load(FORMATS .. "model.bin", options)
        assert_same(read, handed, "bf16")
        read:close()
        handed:close()
    end)

    it("may have rows that round the vocabulary up, as other programs save them", function()
        local path = changed("padded", function(name, t)
            if t:dims()[1] ~= 25 then return { { name, t } } end
            local dims = t:dims()
            dims[1] = 32
            local padded = tensor.new("f32", dims):fill(3)
            padded:slice(1, 1, 25):copy_from(t)
            return { { name, padded } }
        end)
        local plain, padded = Encoder.load(MODEL), Encoder.load(path)
        assert.is_false(padded.graph.direct)
        assert_same(plain, padded)
        assert.are.equal(plain.size, padded.size)
        plain:close()
        padded:close()
    end)

    it("may be under another name, and in several files", function()
        local path = changed("named", function(name, t) return { { name, t } } end)
        assert(fs.rename(path .. "/model.safetensors", path .. "/mine.safetensors"))
        local plain, named = Encoder.load(MODEL), Encoder.load(path, { model_prefix = "mine" })
        assert.is_true(named.graph.direct)
        assert_same(plain, named)
        assert.are.equal(3, #named:hidden_states "a dog")
        named:close()
        local map = {}
        for _, name in ipairs(assert(storage.open(path .. "/mine.safetensors")):names()) do
            map[name] = "mine.safetensors"
        end
        assert(fs.write(path .. "/model.safetensors.index.json", json.encode { weight_map = map }))
        local listed = Encoder.load(path)
        assert.is_true(listed.graph.direct)
        assert_same(plain, listed)
        listed:close()
        plain:close()
    end)

    it("are refused where they are not those of the configuration, without reading them", function()
        local surplus = changed("surplus", function(name, t)
            if not name:find "LayerNorm.bias$" then return { { name, t } } end
            return { { name, t }, { name:gsub("LayerNorm", "Adapter"), t } }
        end)
        assert.matches("/surplus/model%.safetensors: has %d+ tensors this model does not know %(bert%..*Adapter.*"
            .. "configuration and kind of model must be those of the parameters$", fault_of(Encoder.load, surplus))
        local lacking = changed("lacking", function(name, t)
            return name:find "layer%.1%.output%.dense%.bias" and {} or { { name, t } }
        end)
        assert.matches("/lacking/model%.safetensors: lacks 1 of %d+ tensors of this model "
            .. "%(bert%.encoder%.layer%.1%.output%.dense%.bias%)", fault_of(Encoder.load, lacking))
    end)
end)
