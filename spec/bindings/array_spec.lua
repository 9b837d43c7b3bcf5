--- Host arrays: zeros or values, views of tensors, bytes as strings.

local array = require "bertlua.array"
local tensor = require "bertlua.tensor"

describe("array", function()
    it("is full of zeros, or holds a list", function()
        for _, name in ipairs { "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float",
            "double" } do
            local zeros, values = array[name](3), array[name] { 1, 2 }
            assert.are.same({ 0, 0, 0 }, { tonumber(zeros[0]), tonumber(zeros[1]), tonumber(zeros[2]) }, name)
            assert.are.same({ 1, 2 }, { tonumber(values[0]), tonumber(values[1]) }, name)
            assert.are.equal(0, array.sizeof(array[name](0)))
        end
        assert.are.same({ 2, 8, 24 }, { array.sizeof(array.int8(2)), array.sizeof(array.float(2)),
            array.sizeof(array.int64 { 1, 2, 3 }) })
    end)

    it("copies bytes, and makes strings of them", function()
        local values = array.int32 { 0x64636261, 0 }
        assert.are.equal("ab", array.string(array.uint8 { 97, 98, 0, 99 }))
        assert.are.equal("abcd\0\0", array.string(values, 6))
        local other = array.int32(2)
        array.copy(other + 1, values, 4)
        assert.are.same({ 0, 0x64636261 }, { other[0], other[1] })
    end)

    it("sees the elements of a tensor, and writes them", function()
        tensor.scope(function()
            local t = tensor.new("f32", { 2, 2 })
            t:copy_from(tensor.from({ { 1, 2 }, { 3, 4 } }, "f32"))
            local view = array.wrap(t)
            assert.are.same({ 1, 2, 3, 4 }, { view[0], view[1], view[2], view[3] })
            view[3] = 9
            assert.are.same({ { 1, 2 }, { 3, 9 } }, t:tolist())
            assert.are.equal(0x3f80, array.wrap(tensor.from({ 1 }, "bf16"))[0])
            assert.has_error(function() array.wrap(t:transpose(1, 2)) end,
                "array.wrap: the tensor has gaps or is transposed, expected contiguous; copy it")
        end)
    end)
end)
