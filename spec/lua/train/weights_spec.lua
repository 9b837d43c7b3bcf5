--- Parameters in files: duplicate names, and views of the optimizer's state.

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local weights = require "bertlua.train.weights"

describe("weights", function()
    it("refuse a file that holds one parameter under two names", function()
        local path = os.tmpname()
        local t = tensor.from({ 1 }, "f32")
        assert(storage.save(path, { { name = "bert.LayerNorm.gamma", tensor = t },
            { name = "bert.LayerNorm.weight", tensor = t } }))
        local file = weights.open(path)
        assert.error_matches(function() weights.match(file, {}, path, {}) end,
            "bert.LayerNorm.gamma and bert.LayerNorm.weight are the same parameter")
        fs.remove(path)
        assert.error_matches(function() weights.open(path) end, "cannot open: no such file")
    end)

    describe("in a file of transformers'", function()
        local path, words, wanted

        before_each(function()
            path = os.tmpname()
            words = tensor.from({ { 1, 2 }, { 3, 4 } }, "f32")
            wanted = {
                { name = "bert.embeddings.word_embeddings.weight", dims = { 2, 2 },
                    tensor = tensor.new("f32", { 2, 2 }) },
                { name = "cls.predictions.bias", dims = { 2 }, tensor = tensor.new("f32", { 2 }) },
            }
        end)

        after_each(function() os.remove(path) end)

        --- Read a file with these tensors beside word embeddings and bias; those may be others.
        local function read(others, changed)
            local bias = tensor.from({ 5, 6 }, "f32")
            local list = { { name = "bert.embeddings.word_embeddings.weight", tensor = changed or words },
                { name = "cls.predictions.bias", tensor = bias } }
            for name, t in pairs(others or {}) do list[#list + 1] = { name = name, tensor = t } end
            assert(storage.save(path, list))
            local file = weights.open(path)
            local ok, problem = pcall(function() weights.read(file, weights.match(file, wanted, path, {})) end)
            file:close()
            return ok or tostring(problem)
        end

        it("a decoder may stand beside the embeddings if it is the same", function()
            assert.is_true(read())
            assert.is_true(read { ["cls.predictions.decoder.weight"] = words,
                ["cls.predictions.decoder.bias"] = tensor.from({ 5, 6 }, "f32") })
            assert.are.same({ { 1, 2 }, { 3, 4 } }, wanted[1].tensor:tolist())
        end)

        it("a decoder of its own is refused, wherever words are predicted", function()
            local other = tensor.from({ { 1, 2 }, { 3, 5 } }, "f32")
            local text = ": cls.predictions.decoder.weight is not the same as bert.embeddings.word_embeddings.weight: "
                .. "a decoder of its own is not implemented; BERT scores words with their embeddings"
            assert.are.equal(path .. text, read { ["cls.predictions.decoder.weight"] = other })
            assert.are.equal(path .. text,
                read { ["cls.predictions.decoder.weight"] = tensor.from({ { 1, 2, 3 } }, "f32") })
            assert.matches("decoder.bias is not the same as cls.predictions.bias",
                read { ["cls.predictions.decoder.bias"] = tensor.from({ 5, 7 }, "f32") })
            table.remove(wanted)
            assert.matches("has 1 tensor this model does not know %(cls.predictions.bias%)",
                read { ["cls.predictions.decoder.weight"] = other })
        end)

        it("a NaN or inf is named with tensor and file", function()
            for value, kind in pairs { [math.huge] = "inf", [-math.huge] = "inf", nan = "NaN" } do
                local bad = tensor.from({ { 1, 2 }, { 3, value == "nan" and 0 / 0 or value } }, "f32")
                assert.are.equal(("%s: bert.embeddings.word_embeddings.weight holds %s: fetch or save it again, or use "
                    .. "other parameters"):format(path, kind), read(nil, bad))
            end
            -- Squares of these are more than f32 holds.
            assert.is_true(read(nil, tensor.from({ { 3e38, -3e38 }, { 3e38, 3e38 } }, "f32")))
        end)

        it("a dtype that is no float is refused with the tensor's name, if it is needed", function()
            assert.is_true(read { ["bert.embeddings.position_ids"] = tensor.new("i64", { 2 }) })
            assert.are.equal(path .. ": bert.embeddings.word_embeddings.weight is I32, expected F32, F16, BF16 or F64: "
                .. "convert the file first", read(nil, tensor.new("i32", { 2, 2 })))
        end)
    end)

    it("split the optimizer's flat state into tensors without the pad rows", function()
        local flat = tensor.new("f32", { 40 })
        for i = 1, 40 do flat:slice(1, i, i):fill(i) end
        local store = { list = {
            { name = "a", dims = { 8, 2 }, stored_dims = { 5, 2 }, offset = 0 },
            { name = "b", dims = { 3 }, offset = 16 },
        } }
        local list = weights.state(store, flat, "m.")
        assert.are.same({ "m.a", "m.b" }, { list[1].name, list[2].name })
        assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } }, list[1].tensor:tolist())
        assert.are.same({ 17, 18, 19 }, list[2].tensor:tolist())
        list[2].tensor:fill(0)
        assert.are.equal(0, flat:slice(1, 17, 17):item())
    end)
end)
