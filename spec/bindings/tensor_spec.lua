--- Methods of bl_tensor, and scopes.

local ffi = require "ffi"
local bl = require "bertlua"
local array = require "bertlua.array"
local memory = require "bertlua.memory"
local tensor = require "bertlua.tensor"

local function line_here()
    return debug.getinfo(2, "l").currentline
end

local function message_of(fn, ...)
    local ok, message = pcall(fn, ...)
    assert.is_false(ok)
    return tostring(message)
end

describe("tensor", function()
    local function with_scope(fn)
        return function() tensor.scope(fn) end
    end

    it("knows its shape, dtype and device", with_scope(function()
        local t = tensor.new("bf16", { 2, 3, 4 })
        assert.are.same({ 2, 3, 4 }, t:dims())
        assert.are.equal(24, t:numel())
        assert.are.equal(3, t:size(2))
        assert.are.equal("bf16", t:dtype_name())
        assert.are.equal("cpu", t:device_name())
        assert.are.equal("bf16 2x3x4 cpu", t:describe())
        assert.is_true(tensor.is(t))
        assert.is_false(tensor.is({}))
    end))

    it("starts as zeros, aligned to 64 bytes", with_scope(function()
        for _ = 1, 3 do
            local t = tensor.new("f32", { 5 })
            assert.are.same({ 0, 0, 0, 0, 0 }, t:tolist())
            assert.are.equal(0, tonumber(ffi.cast("uintptr_t", t.data) % 64))
        end
    end))

    it("takes and gives nested lists in every dtype", with_scope(function()
        local values = { { 1, -2, 3 }, { 4, 5, -6 } }
        for _, dtype in ipairs { "f32", "bf16", "f16", "i32", "i64", "i8" } do
            local t = tensor.from(values, dtype)
            assert.are.equal(dtype, t:dtype_name())
            assert.are.same(values, t:tolist())
        end
        assert.are.equal(2.5, tensor.from(2.5):item())
    end))

    it("rounds to half precision and reads it back", with_scope(function()
        assert.are.equal(0.0999755859375, tensor.from({ 0.1 }, "f16"):item())
        assert.are.equal(0.10009765625, tensor.from({ 0.1 }, "bf16"):item())
        local extremes = tensor.from({ 65504, 2 ^ -24, 1e6, -1e6 }, "f16"):tolist()
        assert.are.same({ 65504, 2 ^ -24, math.huge, -math.huge }, extremes)
    end))

    it("looks at the same elements through views", with_scope(function()
        local t = tensor.from { { 1, 2, 3 }, { 4, 5, 6 } }
        assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, t:view(3, 2):tolist())
        assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, t:view({ -1, 2 }):tolist())
        assert.are.same({ { 2, 3 }, { 5, 6 } }, t:slice(2, 2, 3):tolist())
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, t:transpose(1, 2):tolist())
        assert.are.same({ 4, 5, 6 }, t:select(2):tolist())
        assert.are.equal(6, t:select(2):select(3):item())
        assert.are.same({ 0, 3 }, t:slice(1, 1, 0):dims())
        t:slice(1, 2, 2):fill(9)
        assert.are.same({ { 1, 2, 3 }, { 9, 9, 9 } }, t:tolist())
        assert.is_false(t:transpose(1, 2):is_contiguous())
    end))

    it("copies between dtypes and from host arrays", with_scope(function()
        local t = tensor.new("i32", { 4 })
        t:set(array.int64 { 7, -8, 9, 2 ^ 20 })
        assert.are.same({ 7, -8, 9, 2 ^ 20 }, t:tolist())
        assert.are.same({ 7, -8, 9, 2 ^ 20 }, tensor.new("f32", { 4 }):copy_from(t):tolist())
        local pointer = array.wrap(t)
        pointer[1] = 5
        assert.are.equal(5, t:data_ptr("int32_t")[1])
    end))

    it("puts errors at the caller's line", with_scope(function()
        local t = tensor.from { { 1, 2, 3 }, { 4, 5, 6 } }
        local cases = {
            { "reshape: the input is f32 %[2,3%], expected 7 elements", function() t:view(7); return 1 end },
            { "slice: range is 2 to 3, the size along dimension 1 is 2", function() t:slice(1, 2, 3); return 1 end },
            { "slice: dimension is 3, the tensor is f32 2x3 cpu", function() t:slice(3, 1, 1); return 1 end },
            { "select: index is 1.5 along dimension 1, the tensor is f32 2x3 cpu",
                function() t:select(1.5); return 1 end },
            { "item: expected one element, the tensor is f32 2x3 cpu", function() t:item(); return 1 end },
            { "set: got 2 values, the tensor is f32 2x3 cpu", function() t:set { 1, 2 }; return 1 end },
            { "set: got 2 values, the tensor", function() t:set(array.float(2)); return 1 end },
            { "set: element is string, expected a number", function() t:set { 1, 2, 3, 4, 5, "6" }; return 1 end },
            { "set: got string", function() t:set "x"; return 1 end },
            { "copy: dst is f32 %[2,3%]", function() t:copy_from(tensor.new("f32", { 3 })); return 1 end },
            { "dtype is f33, expected f32", function() tensor.new("f33", { 3 }); return 1 end },
            { "tensor.new: dims is nil", function() tensor.new "f32"; return 1 end },
            { "dim 1 is %-1", function() bl.ones(-1); return 1 end },
            { "tensor.from: rows differ", function() bl.from { { 1, 2 }, { 3 } }; return 1 end },
            { "set: element is string", function() tensor.from { "1" }; return 1 end },
            { "tensor.scope: got nil", function() tensor.scope(); return 1 end },
            { "shape has 5 dims, expected at most 4", function() tensor.new("f32", { 1, 1, 1, 1, 1 }); return 1 end },
            { "dim 2 is 1.5, expected a whole number", function() tensor.new("f32", { 1, 1.5 }); return 1 end },
            { "tensor.from: rows differ in length", function() tensor.from { { 1, 2 }, { 3 } }; return 1 end },
            { "slice: range is 1.5 to 2", function() t:slice(1, 1.5, 2); return 1 end },
            { "select: index is 1.5 along dimension 1", function() t:select(1, 1.5); return 1 end },
            { "size: dimension is 3, the tensor is f32 2x3 cpu, expected 1 to 2", function() t:size(3); return 1 end },
            { "transpose: dimension is 3, the tensor is f32 2x3", function() t:transpose(1, 3); return 1 end },
            { "view: 6 elements don't divide by the sizes 4x%-1", function() t:view(4, -1); return 1 end },
            { "fill: got string, expected a number", function() t:fill "a"; return 1 end },
            { "tensor.from: a list among numbers", function() tensor.from { 1, { 2 } }; return 1 end },
            { "array.wrap: the tensor has gaps", function() array.wrap(t:transpose(1, 2)); return 1 end },
        }
        for _, case in ipairs(cases) do
            local message = message_of(case[2])
            local line = debug.getinfo(case[2], "S").linedefined
            assert.is_truthy(message:find("tensor_spec.lua:" .. line .. ": " .. case[1]), message)
        end
    end))

    it("has sizes, and dimensions from the end", with_scope(function()
        local t = tensor.from { { 1, 2, 3 }, { 4, 5, 6 } }
        assert.are.same({ 2, 3 }, t:size())
        assert.are.equal(3, t:size(-1))
        assert.are.same(t:t():tolist(), t:transpose(-1, -2):tolist())
        assert.are.same({ { 2 }, { 5 } }, t:slice(-1, 2, 2):tolist())
        assert.are.same({ 3, 6 }, t:select(-1, 3):tolist())
    end))

    it("refuses numbers that its integers cannot hold", with_scope(function()
        local whole, byte = tensor.from({ 1, 2 }, "i32"), tensor.from({ 1, 2 }, "i8")
        local cases = {
            { "set: 1.5 does not fit in i32: the tensor is i32 2",
                function() tensor.from({ 1.5, 2 }, "i32"); return 1 end },
            { "set: 300 does not fit in i8", function() byte:set { 300, 0 }; return 1 end },
            { "set: 2147483648 does not fit in i32", function() whole:set { 0, 2 ^ 31 }; return 1 end },
            { "fill: 0.5 does not fit in i32", function() whole:fill(0.5); return 1 end },
            { "fill: nan does not fit in i64", function() tensor.new("i64", { 1 }):fill(0 / 0); return 1 end },
            { "index: %-129 does not fit in i8", function() byte[1] = -129; return 1 end },
        }
        for _, case in ipairs(cases) do
            local message = message_of(case[2])
            local line = debug.getinfo(case[2], "S").linedefined
            assert.is_truthy(message:gsub("%-nan", "nan"):find("tensor_spec.lua:" .. line .. ": " .. case[1]), message)
        end
        assert.are.same({ 1, 2 }, whole:tolist(), "nothing was written")
        assert.are.same({ 1, 2 }, byte:tolist(), "nothing was written")
        assert.are.same({ -128, 127 }, byte:set({ -128, 127 }):tolist())
    end))
end)

describe("scope", function()
    it("refuses to return a tensor that is freed at its end", function()
        local function give() return tensor.scope(function() return 1, bl.ones(2)[{ { 1 } }] end), 1 end
        local message = message_of(give)
        assert.is_truthy(message:find("tensor_spec.lua:" .. debug.getinfo(give, "S").linedefined
            .. ": tensor.scope: the function returns a tensor, f32 1 ", 1, true), message)
        assert.is_truthy(message:find("that is freed at its end; return scope:keep(x)", 1, true), message)
        local outer = bl.ones(2)
        assert.are.same({ 1, 1 }, tensor.scope(function() return outer end):tolist())
        assert.are.same({ 1, 1 }, tensor.scope(function(scope) return scope:keep(bl.ones(2)) end):tolist())
    end)

    it("hands on what its function returns, and its errors", function()
        assert.are.same({ 1, nil, 3 }, { tensor.scope(function() return 1, nil, 3 end) })
        local line = line_here() + 1
        local message = message_of(tensor.scope, function() error "inside" end)
        assert.is_truthy(message:find("tensor_spec.lua:" .. line .. ": inside", 1, true))
    end)

    it("keeps a tensor for the scope around it", function()
        tensor.scope(function(outer)
            local kept = tensor.scope(function(inner)
                tensor.new("f32", { 10 })
                return inner:keep(tensor.from { 1, 2, 3 })
            end)
            assert.are.same({ 1, 2, 3 }, kept:tolist())
            assert.are.equal(1, #outer.buffers)
            assert.are.equal(kept, outer:keep(kept))
        end)
    end)

    it("releases what was made inside, also after an error", function()
        local scope
        pcall(tensor.scope, function(s)
            scope = s
            tensor.new("f32", { 10 })
            assert.are.equal(1, #s.buffers)
            error "stop"
        end)
        assert.are.equal(0, #scope.buffers)
        -- The next tensor belongs to the scope around it, not to the one that failed.
        tensor.scope(function(s)
            tensor.new("f32", { 1 })
            assert.are.equal(1, #s.buffers)
        end)
    end)

    it("refuses to keep memory that is not its own", function()
        local buffer = memory.buffer(64)
        tensor.scope(function(scope)
            local message = message_of(function() scope:keep(buffer:tensor(0, "f32", { 1 })) end)
            assert.is_truthy(message:find "does not belong to this scope")
        end)
        buffer:free()
    end)
end)
