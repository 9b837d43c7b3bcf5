--- Tensors of a file by name: which dictionary of a pickle holds them, their bounds, and several files as one.

local fs = require "bertlua.util.fs"
local source = require "bertlua.weights.source"
local tensor = require "bertlua.tensor"

local function tensor_of(first, dims, strides)
    return { kind = "tensor", dtype = "F32", dims = dims or { 2 }, strides = strides or { 1 }, first = first or 0,
        storage = { offset = 0, bytes = 16 } }
end

--- A dictionary as the pickle machine builds it, from pairs of key and value.
local function dict(...)
    local made = { kind = "dict", keys = {}, map = {} }
    for i = 1, select("#", ...), 2 do
        local key, value = select(i, ...)
        made.keys[#made.keys + 1], made.map[key] = key, value
    end
    return made
end

local function names_of(value)
    local list = {}
    for name in pairs(source.from_pickle("x.bin", value)) do list[#list + 1] = name end
    table.sort(list)
    return list
end

describe("source", function()
    it("finds tensors in a dictionary, or in the one nested dictionary that holds some", function()
        assert.are.same({ "a", "b" }, names_of(dict("a", tensor_of(), "epoch", 3, "b", tensor_of())))
        assert.are.same({ "a" }, names_of(dict("epoch", 3, "weights", dict("a", tensor_of()))))
        assert.are.same({ "a" }, names_of(dict("optimizer", dict("m", tensor_of()), "model", dict("a", tensor_of()))))
        -- Paddle's (name, array).
        assert.are.same({ "a" }, names_of(dict("a", { kind = "tuple", { kind = "text" }, tensor_of() })))
    end)

    it("refuses files in which the choice of tensors is unclear", function()
        for pattern, value in pairs {
            ["its pickle is a list, expected a dictionary"] = { kind = "list" },
            ["its pickle is a string, expected a dictionary"] = "text",
            ["parameters are split into slices: save it with protocol 4$"] = dict("UnpackBigParamInfor@@", dict()),
            ["contains no named tensors$"] = dict("epoch", 3, "inner", dict("deep", dict("a", tensor_of()))),
            ["several dictionaries of tensors %(ema, net%), none named model or state_dict$"] =
                dict("net", dict("a", tensor_of()), "ema", dict("a", tensor_of())),
        } do
            assert.error_matches(function() source.from_pickle("x.bin", value) end, "^x.bin: .*" .. pattern)
        end
    end)

    it("keeps tensors within their storage, and storages within the file", function()
        local function check(entry, size) source.check("x.bin", { a = entry }, size or 16) end
        check(tensor_of(2))
        check(tensor_of(0, { 2, 2 }, { 1, 2 }))
        check(tensor_of(9, { 0 }))
        assert.error_matches(function() check(tensor_of(3)) end, "^x.bin: a extends beyond its storage of 16 bytes$")
        assert.error_matches(function() check(tensor_of(0, { 2 }, { 4 })) end, "a extends beyond its storage")
        assert.error_matches(function() check(tensor_of(), 15) end,
            "^x.bin: truncated: the data of a ends at byte 16, but the file at 15$")
    end)

    it("reads a tensor from where it lies", function()
        local path = require("spec.support.process").temporary("\0\0\128\63\0\0\0\64\0\0\64\64\0\0\128\64")
        local file = source.new(path, { b = tensor_of(1), a = tensor_of(0, { 2, 2 }, { 1, 2 }) })
        assert.are.same({ "a", "b" }, file:names())
        assert.are.same({ dtype = "F32", dims = { 2, 2 } }, file:info "a")
        assert.is_nil(file:info "c")
        tensor.scope(function()
            local a, b = tensor.new("f32", { 2, 2 }), tensor.new("f32", { 2 })
            assert(file:read("a", a))
            assert(file:read("b", b))
            assert.are.same({ { 1, 3 }, { 2, 4 } }, a:tolist())
            assert.are.same({ 2, 3 }, b:tolist())
        end)
        assert(fs.remove(path))
    end)

    it("joins files with distinct names", function()
        local closed = {}
        local function part(name, ...)
            local list = { ... }
            return {
                path = name, names = function() return list end, info = function(_, n) return name .. " " .. n end,
                metadata = function() return { format = name } end, close = function() closed[#closed + 1] = name end,
                read = function(_, n, t) return name, n, t end,
            }
        end
        local whole = source.join("model", { part("one", "c", "a"), part("two", "b") })
        assert.are.same({ "a", "b", "c" }, whole:names())
        assert.are.same({ "two b", "one c" }, { whole:info "b", (whole:info "c") })
        assert.is_nil(whole:info "d")
        assert.are.same({ "two", "b", 7 }, { whole:read("b", 7) })
        assert.are.equal("one", whole:metadata().format)
        whole:close()
        assert.are.same({ "one", "two" }, closed)
        assert.error_matches(function() source.join("model", { part("one", "a"), part("two", "a") }) end,
            "^model: a is in both one and two$")
        assert.are.same({}, source.join("model", {}):metadata())
    end)
end)
