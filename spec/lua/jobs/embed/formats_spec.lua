--- Bytes of files of vectors.

local fault = require "bertlua.fault"
local formats = require "bertlua.jobs.embed.formats"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local npy = require "bertlua.weights.npy"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

describe("files of vectors", function()
    local TEXTS = { "a", 'b "c"', "d\\e" }
    local VALUES = { { 0.1, -2, 3e-8, 1 }, { 0, 5, 1 / 3, 65504 }, { 7, 8, 9, -0.25 } }
    local folder, vectors
    setup(function()
        folder = assert(fs.temporary_folder "bertlua-formats-")
        vectors = tensor.from(VALUES)
    end)
    teardown(function() assert(fs.remove(folder)) end)

    local function written(form, dtype)
        local path = ("%s/%s.%s"):format(folder, dtype, form)
        assert(fs.write(path, formats.head(form, dtype, 3, 4) .. formats.rows(form, dtype, vectors, TEXTS)))
        return path
    end

    local function refused(message, fn, ...)
        local ok, problem = pcall(fn, ...)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(message, tostring(problem))
    end

    it("are read back as they were", function()
        local half = tensor.new("f16", { 3, 4 }):copy_from(vectors):tolist()
        for dtype, expected in pairs { f32 = vectors:tolist(), f16 = half } do
            local array = npy.read(written("npy", dtype))
            assert.are.same({ dtype, expected }, { array:dtype_name(), array:tolist() })
            local file = assert(storage.open(written("safetensors", dtype)))
            assert.are.same({ "embeddings" }, file:names())
            local info = file:info "embeddings"
            assert.are.same({ dtype:upper(), { 3, 4 } }, { info.dtype, info.dims })
            local back = tensor.new(dtype, { 3, 4 })
            assert(file:read("embeddings", back))
            assert.are.same(expected, back:tolist())
            file:close()
        end
        local list = {}
        for line in assert(fs.read(written("jsonl", "f32"))):gmatch "[^\n]+" do
            local record = assert(json.decode(line))
            assert.are.equal(TEXTS[#list + 1], record.text)
            list[#list + 1] = record.embedding
        end
        assert.are.same(vectors:tolist(), tensor.from(list):tolist())
    end)

    it("have heads of one length, however many vectors follow", function()
        for _, form in ipairs(formats.NAMES) do
            for _, dtype in ipairs(formats.DTYPES) do
                assert.are.equal(#formats.head(form, dtype, 0, 4096), #formats.head(form, dtype, 2 ^ 40, 4096))
            end
        end
    end)

    it("are told by their names", function()
        for path, form in pairs { ["a.npy"] = "npy", ["b.NPY"] = "npy", ["x/c.safetensors"] = "safetensors",
            ["d.json"] = "jsonl", ["-"] = "jsonl" } do
            assert.are.equal(form, formats.of(nil, path))
        end
        for path, form in pairs { ["a.bin"] = "npy", ["a.ndjson"] = "jsonl", ["-"] = "jsonl",
            ["/dev/fd/3"] = "jsonl" } do
            assert.are.equal(form, formats.of(form, path))
        end
        refused("--format jsonl: --output v.npy is named as npy: name it .jsonl, or leave out --format",
            formats.of, "jsonl", "v.npy")
        refused("--format npy: --output v.json is named as jsonl: name it .npy, or leave out --format",
            formats.of, "npy", "v.json")
        refused("a.npz: its name does not say what to write: name it .npy, .safetensors or .jsonl, or give --format",
            formats.of, nil, "a.npz")
        assert.has_error(function() formats.of(nil, "npy") end)
    end)

    it("hold no number that is none, or that is too large for f16", function()
        local function place(i) return "t:" .. i end
        formats.check(vectors, "f16", place)
        local wrong = tensor.from { { 0, 1 }, { -1e6, 0 } }
        formats.check(wrong, "f32", place)
        refused("t:2: its vector holds 1e+06, and f16 ends at 65504: leave out --dtype f16", formats.check, wrong,
            "f16", place)
        for _, x in ipairs { 0 / 0, math.huge } do
            refused(("t:1: its vector holds %s: the model's parameters hold NaN, or are not those of this model")
                :format(tostring(math.abs(x))), formats.check, tensor.from { { 0, x } }, "f32", place)
        end
    end)
end)
