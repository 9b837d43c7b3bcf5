--- Parameters of the C encoder: names as programs write them, several files, other dtypes, mapped memory, and what is
-- said where a file is not that of the model.

local api = require "bertlua.encoder_api"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local models = require "spec.support.graph_models"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local TEXTS = { "w5 w6 w7 w8", "w30 w31", "w9 w9 w9 w10 w11 w12 w13 w14" }

describe("the encoder's parameters", function()
    local folder, model, expected

    local function distance(encoder)
        return models.distance(expected, assert(encoder:embed(TEXTS)):tolist())
    end

    --- Fail unless the encoder has the same numbers. Where matrices are not packed, those of queries, keys and values
    -- are multiplied at once if they lie one behind the other, and else one by one: sums may be rounded otherwise.
    local function assert_same(encoder, name)
        local off = distance(encoder)
        assert.is_true(off < 2e-6, ("%s is %g off"):format(name, off))
    end

    local function refused(path)
        local encoder, message = api.open(path)
        assert.is_nil(encoder)
        return message
    end

    local function write(name, options)
        return models.write(model, folder .. "/" .. name, options)
    end

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-parameters-")
        model = models.model "BertForMaskedLM"
        local encoder = assert(api.open(write "plain", { threads = 1 }))
        expected = encoder:embed(TEXTS):tolist()
        encoder:close()
    end)
    teardown(function() fs.remove(folder) end)

    it("are packed, or read where they lie in the file, with the same results but for rounding", function()
        local encoder = assert(api.open(write "plain", { threads = 1, share_parameters = true }))
        assert.is_true(distance(encoder) < 2e-6)
        local about = encoder:describe()
        assert.are.same({ "f32", false }, { about.dtype, about.int8 })
        encoder:close()
    end)

    it("are found under the names of other programs and of modules around the model", function()
        for name, rename in pairs {
            bare = function(ours) return not ours:find "^cls" and ours:gsub("^bert%.", "") or nil end,
            old = function(ours)
                return (ours:gsub("LayerNorm%.weight$", "LayerNorm.gamma"):gsub("LayerNorm%.bias$", "LayerNorm.beta"))
            end,
            parallel = function(ours) return "module." .. ours end,
            compiled = function(ours) return "_orig_mod." .. ours:gsub("%.layer%.", ".layer._forward_module.") end,
            adapters = function(ours) return "base_model.model." .. ours end,
            twins = function(ours)
                if ours == "bert.embeddings.word_embeddings.weight" then return "cls.predictions.decoder.weight" end
                return ours == "cls.predictions.bias" and "cls.predictions.decoder.bias" or ours
            end,
            both = function(ours)
                if ours == "cls.predictions.bias" then return { ours, "cls.predictions.decoder.bias" } end
                return ours
            end,
        } do
            local encoder = assert(api.open(write(name, { rename = rename }), { threads = 1 }))
            assert_same(encoder, name)
            assert.are.equal(name ~= "bare", encoder:describe().fills_masks)
            encoder:close()
        end
    end)

    it("keep the names that bertlua wrote", function()
        local path = write("ours", { metadata = { writer = "bertlua 0.1.0" } })
        local encoder = assert(api.open(path, { threads = 1 }))
        assert_same(encoder, "ours")
        encoder:close()
        path = write("ours", { metadata = { writer = "bertlua 0.1.0" },
            rename = function(ours) return "module." .. ours end })
        assert.matches("no tensor bert%.embeddings", refused(path))
    end)

    it("come from several files", function()
        local path = folder .. "/parts"
        models.write_rest(model, path)
        local parts, map = { {}, {} }, {}
        for i, item in ipairs(models.tensors(model)) do
            local part = i % 2 + 1
            table.insert(parts[part], item)
            map[item.name] = ("model-0000%d-of-00002.safetensors"):format(part)
        end
        for i, list in ipairs(parts) do
            assert(storage.save(("%s/model-0000%d-of-00002.safetensors"):format(path, i), list))
        end
        assert(fs.write(path .. "/model.safetensors.index.json", json.encode { weight_map = map }))
        local encoder = assert(api.open(path, { threads = 1 }))
        assert_same(encoder, "parts")
        encoder:close()
        -- One parameter in both.
        table.insert(parts[1], parts[2][1])
        assert(storage.save(path .. "/model-00001-of-00002.safetensors", parts[1]))
        assert.matches("%.safetensors: (%S+) and %1 of %S+ are the same parameter; remove one of them$", refused(path))
    end)

    it("are converted from half precision, and copied where they do not lie as C reads them", function()
        for dtype, most in pairs { bf16 = 0.1, f16 = 0.01 } do
            local path = folder .. "/" .. dtype
            models.write_rest(model, path)
            local list = models.tensors(model)
            for _, item in ipairs(list) do
                item.tensor = tensor.new(dtype, item.tensor:dims()):copy_from(item.tensor)
            end
            assert(storage.save(path .. "/model.safetensors", list))
            local encoder = assert(api.open(path, { threads = 1 }))
            local off = distance(encoder)
            assert.is_true(off > 0 and off < most, ("%s: %g"):format(dtype, off))
            encoder:close()
        end
        -- The header's length moves all numbers off their borders.
        local path = write "odd"
        local text = assert(fs.read(path .. "/model.safetensors"))
        local length = 0
        for i = 8, 1, -1 do length = length * 256 + text:byte(i) end
        local longer, bytes = length + 3, ""
        for _ = 1, 8 do
            bytes = bytes .. string.char(longer % 256)
            longer = math.floor(longer / 256)
        end
        assert(fs.write(path .. "/model.safetensors", bytes .. text:sub(9, 8 + length) .. "   "
            .. text:sub(9 + length)))
        local encoder = assert(api.open(path, { threads = 1 }))
        assert_same(encoder, "odd")
        encoder:close()
    end)

    it("are mapped: no process has pages of its own", function()
        local path = write "mapped"
        local encoder = assert(api.open(path, { threads = 1 }))
        encoder:embed(TEXTS)
        local real = assert(require("posix.stdlib").realpath(path .. "/model.safetensors"))
        local found
        for block in (assert(fs.read "/proc/self/smaps") .. "\n"):gmatch "(%x+%-%x+ %S+ [^\n]*\n[^-]-VmFlags)" do
            if block:find(real, 1, true) then
                found = true
                assert.matches("^%x+%-%x+ r%-%-s ", block)
                -- Not Private_Dirty, which counts the file's own pages where it lies in memory (tmpfs).
                assert.matches("\nAnonymous: +0 kB", block)
            end
        end
        assert.is_true(found)
        encoder:close()
        assert.is_nil(assert(fs.read "/proc/self/maps"):find(real, 1, true))
        -- In bf16 they are copies, and what no op reads is not kept.
        encoder = assert(api.open(path, { dtype = "bf16" }))
        assert.is_true(distance(encoder) < 0.1)
        encoder:close()
    end)

    it("belong to the model that config.json describes", function()
        local path = write("missing", { rename = function(ours)
            return ours ~= "bert.encoder.layer.1.output.dense.weight" and ours or nil
        end })
        assert.are.equal(path .. "/model.safetensors: no tensor bert.encoder.layer.1.output.dense.weight; the file is "
            .. "not that of the BERT which config.json beside it describes (3 layers, hidden size 24)", refused(path))
        path = write("shape", { config = { intermediate_size = 51 } })
        assert.are.equal(path .. "/model.safetensors: bert.encoder.layer.0.intermediate.dense.weight is F32 [52,24], "
            .. "expected [51,24] by the config.json beside it; is this its model?", refused(path))
        path = write("layers", { config = { num_hidden_layers = 2 } })
        assert.matches("it has bert%.encoder%.layer%.2%.%S+, but config%.json beside it says num_hidden_layers 2$",
            refused(path))
        path = write("twice", { rename = function(ours)
            return ours == "cls.predictions.bias" and { ours, "module." .. ours } or ours
        end })
        assert.are.equal(path .. "/model.safetensors: cls.predictions.bias and module.cls.predictions.bias are the "
            .. "same parameter; remove one of them", refused(path))
    end)

    it("include no decoder of its own", function()
        local path, list = write "decoder", models.tensors(model)
        local other = tensor.new("f32", { models.SIZES.vocab_size, models.SIZES.hidden_size })
        list[#list + 1] = { name = "cls.predictions.decoder.weight", tensor = other }
        assert(storage.save(path .. "/model.safetensors", list))
        assert.are.equal(path .. "/model.safetensors: cls.predictions.decoder.weight is not the same as "
            .. "bert.embeddings.word_embeddings.weight: a decoder of its own is not implemented; BERT scores words "
            .. "with their embeddings", refused(path))
        other:copy_from(model.store:get("bert.embeddings.word_embeddings.weight").stored)
        assert(storage.save(path .. "/model.safetensors", list))
        local encoder = assert(api.open(path, { threads = 1 }))
        assert.are.equal(0, distance(encoder))
        encoder:close()
    end)

    it("tell the heads and the labels", function()
        local tags = models.model "BertForTokenClassification"
        local encoder = assert(api.open(models.write(tags, folder .. "/tags")))
        local info = encoder:describe()
        assert.are.same({ true, false, false, false, models.LABELS },
            { info.tags, info.classifies, info.fills_masks, info.answers, info.labels })
        assert.are.same({ "label 1", "label 5" }, { encoder:label(0), encoder:label(4) })
        assert.is_nil(encoder:label(5))
        assert.is_nil(encoder:label(-1))
        encoder:close()
        -- Labels of another number are not the model's.
        local texts = models.model "BertForSequenceClassification"
        encoder = assert(api.open(models.write(texts, folder .. "/texts", { config = {
            id2label = { ["0"] = "one" },
        } })))
        info = encoder:describe()
        assert.are.same({ false, true, models.LABELS, "single" },
            { info.tags, info.classifies, info.labels, info.problem })
        assert.are.equal("LABEL_3", encoder:label(3))
        encoder:close()
        encoder = assert(api.open(models.write(models.model("BertForSequenceClassification", { labels = 1 }),
            folder .. "/number")))
        assert.are.equal("values", encoder:describe().problem)
        encoder:close()
    end)
end)
