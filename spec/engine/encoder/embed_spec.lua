--- Vectors of texts and tokens from C: against transformers (make_encoder_fixtures.py) and Lua's readings.

local api = require "bertlua.encoder_api"
local bl = require "bertlua.ffi"
local ffi = require "ffi"
local fs = require "bertlua.util.fs"
local lua_encoder = require "spec.support.lua_encoder"
local models = require "spec.support.graph_models"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local FOLDER = "spec/fixtures/encoder/masked_lm"
local TEXT, SHORT, PAIR = "The [MASK] sat on the mats, unseen.", "a dog", "was it good?"
local CLOSE = 2e-6 -- of values up to 2.7: 8 units in the last place of f32, which compilers round apart

local expected = assert(storage.open "spec/fixtures/encoder/expected.safetensors")

local function fixture(name)
    local info = assert(expected:info(name), name)
    local t = tensor.new(info.native, info.dims)
    assert(expected:read(name, t))
    return t:tolist()
end

describe("the encoder's vectors", function()
    local encoder

    setup(function() encoder = assert(api.open(FOLDER, { threads = 1 })) end)
    teardown(function() encoder:close() end)

    it("are those of transformers: the mean, the first token, each token, pairs", function()
        local list = { TEXT, SHORT }
        assert.is_true(models.distance(fixture "mean", encoder:embed(list):tolist()) < CLOSE)
        assert.is_true(models.distance(fixture "mean", encoder:embed(list, "mean"):tolist()) < CLOSE)
        assert.is_true(models.distance(fixture "cls", encoder:embed(list, "cls"):tolist()) < CLOSE)
        assert.is_true(models.distance(fixture "text.hidden.2", encoder:hidden(TEXT):tolist()) < CLOSE)
        assert.is_true(models.distance(fixture "pair.hidden.2", encoder:hidden(TEXT, PAIR):tolist()) < CLOSE)
        assert.are.same({ 0, 16 }, encoder:embed({}):dims())
    end)

    it("are those of the graph in Lua, as the folder says, of length 1 where that is asked for", function()
        local folder = assert(fs.temporary_folder "bertlua-vectors-")
        assert.are.equal(0, os.execute(("cp -r %s %s/model"):format(FOLDER, folder)))
        sentence_transformers.write(folder .. "/model", { pooling = "cls", normalize = true, max_length = 6,
            hidden = 16 })
        local of_folder, in_lua = assert(api.open(folder .. "/model")), lua_encoder.load(folder .. "/model")
        assert.are.equal(6, of_folder:describe().max_length)
        assert.are.equal(2 + 16, of_folder:describe().pooling)
        local list = { TEXT, SHORT, "" }
        assert.is_true(models.distance(in_lua:embed(list), of_folder:embed(list):tolist()) < CLOSE)
        local plain = { pooling = "mean", normalize = false }
        assert.is_true(models.distance(in_lua:embed(list, plain), of_folder:embed(list, "mean"):tolist())
            < CLOSE)
        plain.normalize = true
        assert.is_true(models.distance(in_lua:embed(list, plain),
            of_folder:embed(list, "mean", true):tolist()) < CLOSE)
        in_lua:close()
        of_folder:close()
        assert(fs.write(folder .. "/model/1_Pooling/config.json", '{"pooling_mode_max_tokens": true}'))
        of_folder = assert(api.open(folder .. "/model"))
        local vectors, message = of_folder:embed(list)
        assert.is_nil(vectors)
        assert.matches("^embed: .*1_Pooling/config%.json.*max_tokens.*; BL_POOL_MEAN makes vectors regardless$",
            message)
        assert.are.same({ 3, 16 }, of_folder:embed(list, "mean"):dims())
        of_folder:close()
        fs.remove(folder)
    end)

    it("come in the order of many texts, read in parts", function()
        local list, alone = {}, {}
        local kinds = { SHORT, TEXT, "a dog sat", PAIR }
        for _, text in ipairs(kinds) do alone[text] = encoder:embed({ text }):tolist()[1] end
        for i = 1, 9000 do list[i] = kinds[i * i % 7 % 4 + 1] end
        local rows = encoder:embed(list):tolist()
        local worst = 0
        for i, text in ipairs(list) do worst = math.max(worst, models.distance({ alone[text] }, { rows[i] })) end
        assert.is_true(worst < CLOSE, worst)
    end)

    it("need room, and arguments that are there", function()
        local lib, out, rows = bl.lib, ffi.new "float[1024]", ffi.new "int64_t[1]"
        local handle = encoder.handle
        local function fails(text, status)
            assert.are_not.equal(0, tonumber(status), text)
            assert.are.equal(text, bl.last_error())
        end
        fails("hidden: capacity is 3 rows, the text has 4 tokens",
            lib.bl_encoder_hidden(handle, SHORT, nil, 3, out, rows))
        fails("hidden: text is NULL", lib.bl_encoder_hidden(handle, nil, nil, 3, out, rows))
        fails("hidden: rows is NULL", lib.bl_encoder_hidden(handle, SHORT, nil, 3, out, nil))
        fails("hidden: out is NULL", lib.bl_encoder_hidden(handle, SHORT, nil, 3, nil, rows))
        fails("embed: encoder is NULL", lib.bl_encoder_embed(nil, nil, 1, 0, out))
        fails("embed: texts is NULL, expected 1 of them", lib.bl_encoder_embed(handle, nil, 1, 0, out))
        fails("embed: out is NULL, expected room for 1 x 16 floats",
            lib.bl_encoder_embed(handle, ffi.new("const char *[1]", { SHORT }), 1, 0, nil))
        local two = ffi.new "const char *[2]"
        two[0] = SHORT
        fails("embed: texts[1] is NULL", lib.bl_encoder_embed(handle, two, 2, 0, out))
        fails("embed: n is -1, expected 0 or more", lib.bl_encoder_embed(handle, nil, -1, 0, out))
        fails("embed: pooling is 3, expected 0 (the model's), 1 (mean) or 2 (cls), 16 more for length 1",
            lib.bl_encoder_embed(handle, nil, 0, 3, out))
        assert.are.equal(0, tonumber(lib.bl_encoder_embed(handle, nil, 0, 16, nil)))
    end)
end)

describe("an encoder", function()
    it("says what it is", function()
        local encoder = assert(api.open(FOLDER, { threads = 1, max_length = 20 }))
        local info = encoder:describe()
        assert.are.equal(0, info.bytes_of_calls)
        info.bytes_of_calls = nil
        assert.are.same({
            hidden_size = 16, layers = 2, attention_heads = 2, vocab_size = 25, max_length = 20, labels = 0,
            pooling = 1, fills_masks = true, classifies = false, tags = false, answers = false, parameters = 5097,
            problem = "single", lower_case = true, int8 = false, dtype = "f32",
        }, info)
        encoder:embed { SHORT }
        assert.is_true(encoder:describe().bytes_of_calls > 0)
        assert.is_nil(encoder:label(0))
        encoder:close()
        assert.has_error(function() encoder:embed { SHORT } end, "encoder: it has been closed")
    end)

    it("refuses options that mean nothing", function()
        for text, options in pairs {
            ["dtype is 3, expected 0 (f32), 1 (bf16) or 2 (f16)"] = { dtype = "i32" },
            ["threads is -1, expected 0 (all cores) or more"] = { threads = -1 },
            ["max_length is 2, expected 3 or more, or 0"] = { max_length = 2 },
            ["threads is 1.5, expected a whole number"] = { threads = 1.5 },
            ["threads is x, expected a whole number"] = { threads = "x" },
            ["max_length is 4294967300, expected a whole number"] = { max_length = 2 ^ 32 + 4 },
            ["option thread is not known, expected config_file, device, device_index, dtype, lower_case, max_length, "
                .. "memory, parameters, refuse_long, share_parameters, threads, vocab_file"] = { thread = 1 },
        } do
            local ok, message = pcall(api.open, FOLDER, options)
            assert.is_false(ok)
            assert.is_truthy(message:find("encoder: " .. text, 1, true), message)
        end
        local encoder, message = api.open(FOLDER, { memory = 2 ^ 60 })
        assert.is_nil(encoder)
        assert.matches("^encoder: no %d+ MiB of address space for a call %(memory: cannot map .*%); lower the options' "
            .. "memory, or raise the limit %(ulimit %-v%)$", message)
        local options = ffi.new "bl_encoder_options"
        options.lower_case = 2
        local out = ffi.new "bl_encoder *[1]"
        assert.are.equal(1, tonumber(bl.lib.bl_encoder_open(out, FOLDER, options)))
        assert.are.equal("encoder: lower_case is 2, expected -1, 0 or 1", bl.last_error())
        assert.are.equal(1, tonumber(bl.lib.bl_encoder_open(out, nil, nil)))
        assert.are.equal("encoder: folder is NULL, expected the path of a model folder", bl.last_error())
        assert.are.equal(1, tonumber(bl.lib.bl_encoder_open(out, "", nil)))
        assert.are.equal("encoder: the path is empty, expected that of a model folder", bl.last_error())
        assert.are.equal(1, tonumber(bl.lib.bl_encoder_describe(nil, nil)))
        assert.is_true(bl.lib.bl_encoder_label(nil, 0) == nil)
        bl.lib.bl_encoder_free(nil)
    end)
end)
