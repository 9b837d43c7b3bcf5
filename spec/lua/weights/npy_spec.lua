--- Files that numpy.save wrote (spec/peers/make_npy_fixtures.py), and the beginnings of such files as we write them.

local fs = require "bertlua.util.fs"
local npy = require "bertlua.weights.npy"

local FOLDER = "spec/fixtures/npy/"

describe("npy", function()
    local VALUES = { { 0, 0.5, -1.25, 3e-8 }, { 1e20, -7, 0.1, 2 }, { 3, 4, 5, 6 } }
    local folder
    before_each(function() folder = assert(fs.temporary_folder "bertlua-npy-") end)
    after_each(function() assert(fs.remove(folder)) end)

    local function close_to(expected, got)
        for i, row in ipairs(expected) do
            for k, x in ipairs(row) do assert.is_true(math.abs(x - got[i][k]) <= 1e-7 * math.abs(x)) end
        end
    end

    it("reads arrays of numpy.save, by rows, by columns and of format 2.0", function()
        for _, name in ipairs { "f32", "f32_columns", "version2" } do
            local array = npy.read(FOLDER .. name .. ".npy")
            assert.are.same({ "f32", { 3, 4 } }, { array:dtype_name(), array:dims() })
            close_to(VALUES, array:tolist())
        end
        local half = npy.read(FOLDER .. "f16.npy")
        assert.are.same({ "f16", { 3, 2 } }, { half:dtype_name(), half:dims() })
        close_to({ { 1, 0.5 }, { -2, 65504 }, { 2 ^ -24, 0 } }, half:tolist())
        assert.are.same({ 1, -2, 2 ^ 40 }, npy.read(FOLDER .. "i64.npy"):tolist())
        assert.are.same({ 0.5, -3 }, npy.read(FOLDER .. "f64.npy"):tolist())
    end)

    it("writes the bytes that numpy.save writes before the numbers", function()
        for name, head in pairs { f32 = npy.head("f32", { 3, 4 }), f16 = npy.head("f16", { 3, 2 }),
            i64 = npy.head("i64", { 3 }) } do
            local file = assert(fs.read(FOLDER .. name .. ".npy"))
            assert.are.equal(file:sub(1, #head), head)
            assert.are.equal(0, #head % 64)
            assert.are.equal("\n", head:sub(-1))
        end
        -- A file may grow in place.
        assert.are.equal(#npy.head("f32", { 0, 384 }), #npy.head("f32", { 2 ^ 52, 384 }))
        assert.error_matches(function() npy.head("bf16", { 1 }) end, "npy.head: dtype is bf16, expected f32, f16, i32")
        assert.error_matches(function() npy.head("f32", {}) end, "npy.head: an array without dimensions")
    end)

    it("refuses what is no such file", function()
        local whole = assert(fs.read(FOLDER .. "f32.npy"))
        local function refuses(message, text)
            local path = folder .. "/a.npy"
            assert(fs.write(path, text))
            assert.error_matches(function() npy.read(path) end, message)
        end
        refuses("a.npy: the file is not a numpy array", "")
        refuses("a.npy: the file is not a numpy array", "\147NUMPX" .. whole:sub(7))
        refuses("a.npy: the file extends beyond its storage of 47 bytes", whole:sub(1, -2))
        refuses("truncated at byte 100", whole:sub(1, 100))
        refuses("a.npy: the file: broken: header of 65535 bytes", whole:sub(1, 8) .. "\255\255" .. whole:sub(11))
        refuses("a.npy: an array of 5 dimensions, expected at most 4",
            (whole:gsub("%(3, 4%), }        ", "(3, 4,1,1,1), }  ")))
        assert.error_matches(function() npy.read(FOLDER .. "big_endian.npy") end, "an unsupported kind")
        assert.error_matches(function() npy.read(folder .. "/none") end, "none: cannot open")
    end)
end)
