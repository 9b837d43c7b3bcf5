--- Tensors: methods of the engine's bl_tensor, and scopes that own memory.
--
-- A tensor is a view: data, shape, strides, dtype, device. tensor.new and
-- tensor.from allocate in the current scope, which releases everything at its
-- end. Outside a scope a tensor is collected like other values of Lua: its
-- memory is freed when nothing refers to it and to views of it
-- (ownership.lua). Dims and indices count from 1.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
local element = require "bertlua.element"
local ownership = require "bertlua.ownership"
local tensor_index = require "bertlua.tensor_index"
local tensor_math = require "bertlua.tensor_math"
local tensor_methods = require "bertlua.tensor_methods"

local C, check, set_shape, shape = bl.lib, bl.check, bl.set_shape, bl.shape
local DTYPE, DTYPE_NAME = bl.DTYPE, bl.DTYPE_NAME
local look = ownership.look
local new_tensor = ffi.typeof "bl_tensor"

local M = {}

local Tensor = {}

--- List of sizes.
function Tensor:dims()
    local n, dims = self.ndim, {}
    for i = 1, n do dims[i] = tonumber(self.shape[i - 1]) end
    return dims
end

-- A dimension from 1, also for one from -1 backwards.
local function dimension(name, t, dim, level)
    local from_front = type(dim) == "number" and dim < 0 and t.ndim + 1 + dim or dim
    if type(from_front) ~= "number" or from_front < 1 or from_front > t.ndim or from_front % 1 ~= 0 then
        error(("%s: dimension is %s, the tensor is %s, expected 1 to %d"):format(name, tostring(dim), t:describe(),
            t.ndim), level + 1)
    end
    return from_front
end

--- Size along one dimension; without an argument the list of all sizes.
-- @param dim from 1, or from -1 backwards, here and below
function Tensor:size(dim)
    if dim == nil then return self:dims() end
    return tonumber(self.shape[dimension("size", self, dim, 2) - 1])
end

--- "f32", "bf16", "f16", "i32", "i64" or "i8".
function Tensor:dtype_name()
    return DTYPE_NAME[self.dtype]
end

--- "cpu" or "cuda".
function Tensor:device_name()
    return self.device == 0 and "cpu" or "cuda"
end

--- Number of elements.
function Tensor:numel()
    return tonumber(C.bl_tensor_numel(self))
end

--- True if the elements lie in row-major order without gaps.
function Tensor:is_contiguous()
    return C.bl_tensor_is_contiguous(self)
end

-- One size may be -1, to be derived.
local function infer(dims, t)
    local numel = t:numel()
    local known, missing = 1, nil
    for i = 1, #dims do
        if dims[i] == -1 then
            if missing then error("view: more than one size is -1", 3) end
            missing = i
        else
            known = known * dims[i]
        end
    end
    if missing and known > 0 then
        if numel % known ~= 0 then
            error(("view: %d elements don't divide by the sizes %s: the tensor is %s"):format(numel,
                table.concat(dims, "x"), t:describe()), 3)
        end
        local full = {}
        for i = 1, #dims do full[i] = dims[i] end
        full[missing] = numel / known
        return full
    end
    return dims
end

--- The same elements in another shape. The tensor must be contiguous.
-- @param ... sizes, or one list of sizes; one of them may be -1
function Tensor:view(...)
    local dims = ...
    if type(dims) ~= "table" then dims = { ... } end
    local n = set_shape(infer(dims, self))
    local view = new_tensor()
    check(C.bl_tensor_reshape(view, self, n, shape))
    return look(view, self)
end

--- The same elements in another shape: a view, or a copy if the tensor has gaps or is transposed.
-- @param ... as for view
function Tensor:reshape(...)
    local dims = ...
    if type(dims) ~= "table" then dims = { ... } end
    local source = self:contiguous()
    local n = set_shape(infer(dims, self))
    local view = new_tensor()
    check(C.bl_tensor_reshape(view, source, n, shape))
    return look(view, source)
end

local function is_whole(value)
    return type(value) == "number" and value % 1 == 0
end

--- Elements first..last (both included, from 1) along a dimension (from 1).
function Tensor:slice(dim, first, last)
    if not (type(dim) == "number" and type(first) == "number" and type(last) == "number") then
        error("slice: expected three numbers: dimension, first, last", 2)
    end
    dim = dimension("slice", self, dim, 2)
    local size = self.shape[dim - 1]
    if not (is_whole(first) and is_whole(last)) or first < 1 or last < first - 1 or last > size then
        error(("slice: range is %s to %s, the size along dimension %d is %d"):format(first, last, dim, tonumber(size)),
            2)
    end
    local view = new_tensor()
    check(C.bl_tensor_slice(view, self, dim - 1, first - 1, last))
    return look(view, self)
end

--- Number i along a dimension: a view with one dimension less.
-- @param dim dimension, from 1; t:select(i) is t:select(1, i)
function Tensor:select(dim, i)
    if i == nil then dim, i = 1, dim end
    dim = dimension("select", self, dim, 2)
    if not is_whole(i) or i < 1 or i > self.shape[dim - 1] then
        error(("select: index is %s along dimension %s, the tensor is %s"):format(tostring(i), tostring(dim),
            self:describe()), 2)
    end
    local view = new_tensor(self)
    view.data = ffi.cast("char *", self.data) + (i - 1) * self.stride[dim - 1] * element.SIZE[self.dtype]
    for d = dim - 1, self.ndim - 1 do
        view.shape[d] = d + 1 < self.ndim and self.shape[d + 1] or 1
        view.stride[d] = d + 1 < self.ndim and self.stride[d + 1] or 0
    end
    view.ndim = self.ndim - 1
    return look(view, self)
end

--- View with two dimensions swapped.
function Tensor:transpose(a, b)
    if not (type(a) == "number" and type(b) == "number") then
        error("transpose: expected two numbers: the dimensions to swap", 2)
    end
    a, b = dimension("transpose", self, a, 2), dimension("transpose", self, b, 2)
    local view = new_tensor()
    check(C.bl_tensor_transpose(view, self, a - 1, b - 1))
    return look(view, self)
end

--- Set every element to a number, which integer dtypes must be able to hold.
function Tensor:fill(value)
    element.check("fill", self, value, 2)
    check(C.bl_fill(context.handle_of(self.device), self, value))
    return self
end

--- Typed pointer to the first element of a CPU tensor: t:data_ptr("float"). It keeps the tensor's memory; a pointer
-- computed from it does not.
function Tensor:data_ptr(ctype)
    if self.device ~= 0 then error("data_ptr: the tensor is not on the CPU", 2) end
    return look(ffi.cast(ctype .. " *", self.data), self)
end

-- Run fn(between) on a contiguous tensor of the device, shaped like t, that lives as long as the call.
-- Returns the status of what failed.
local function with_buffer(t, dtype, fn)
    local out = ffi.new "bl_buffer *[1]"
    local bytes = math.max(t:numel() * element.SIZE[dtype], 1)
    local status = C.bl_buffer_create(out, context.handle_of(t.device), bytes)
    if status ~= 0 then return status end
    local between = new_tensor()
    set_shape(t:dims())
    status = C.bl_buffer_tensor(out[0], between, 0, dtype, t.ndim, shape)
    if status == 0 then status = fn(between) end
    C.bl_buffer_free(out[0])
    return status
end

-- A CPU tensor with the same values.
local function on_host(t, level)
    if t.device == 0 then return t end
    local bytes = t:numel() * element.SIZE[t.dtype]
    local copy = ffi.new("uint8_t[?]", bytes)
    local handle = context.handle()
    local function fetch(source) return C.bl_download(handle, copy, source, bytes) end
    local view = new_tensor(t)
    if C.bl_tensor_is_contiguous(t) then
        check(fetch(t), level)
    else
        check(with_buffer(t, t.dtype, function(between)
            local status = C.bl_copy(handle, between, t)
            if status == 0 then status = fetch(between) end
            view = new_tensor(between)
            return status
        end), level)
    end
    view.data, view.device, view.device_index = copy, 0, 0
    return ownership.keep(view, copy)
end

--- A CPU tensor with the same values: the tensor itself, or a copy of a device tensor that lives as long as the result.
function Tensor:host()
    local host = on_host(self, 3)
    return host
end

local function nested(t, read, dim, offset)
    if dim == t.ndim then return read(t.data, offset) end
    local n, stride, list = tonumber(t.shape[dim]), tonumber(t.stride[dim]), {}
    for i = 1, n do list[i] = nested(t, read, dim + 1, offset + (i - 1) * stride) end
    return list
end

--- Elements as nested lists; a number for a tensor without dimensions.
function Tensor:tolist()
    local host = on_host(self, 3)
    local list = nested(host, element.reader(host.dtype), 0, 0)
    return list
end

--- The element of a tensor that has one.
function Tensor:item()
    if C.bl_tensor_numel(self) ~= 1 then
        error("item: expected one element, the tensor is " .. self:describe(), 2)
    end
    local host = on_host(self, 3)
    local value = element.reader(host.dtype)(host.data, 0)
    return value
end

local function count(values)
    if type(values) ~= "table" then return 1 end
    local n = 0
    for i = 1, #values do n = n + count(values[i]) end
    return n
end

local function flatten(t, values, out, at, level)
    for i = 1, #values do
        local value = values[i]
        if type(value) == "table" then
            at = flatten(t, value, out, at, level + 1)
        elseif type(value) == "number" then
            element.check("set", t, value, level)
            out[at], at = value, at + 1
        else
            error(("set: element is %s, expected a number"):format(type(value)), level)
        end
    end
    return at
end

-- Number of elements of an FFI array; a pointer does not say.
local function array_length(values)
    local ctype = tostring(ffi.typeof(values)):match "^ctype<(.-)%s*%[[%d?]*%]>$"
    return ctype and ffi.sizeof(values) / ffi.sizeof(ctype) or math.huge
end

-- Half precision, and views with gaps, go through a device tensor laid out like the host array: the device converts.
local function upload(self, host, dtype, level)
    if dtype == self.dtype and self:is_contiguous() then
        check(C.bl_upload(context.handle(), self, host, self:numel() * element.SIZE[dtype]), level)
        return
    end
    local bytes = self:numel() * element.SIZE[dtype]
    check(with_buffer(self, dtype, function(between)
        local status = bytes > 0 and C.bl_upload(context.handle(), between, host, bytes) or 0
        return status == 0 and C.bl_copy(context.handle(), self, between) or status
    end), level)
end

--- Copy the elements of another tensor of the same shape, converting the dtype. They may be on different devices.
function Tensor:copy_from(other)
    if self.device == other.device then
        check(C.bl_copy(context.handle_of(self.device), self, other))
    elseif not tensor_math.same_shape(self, other) then
        error(("copy_from: got %s, the tensor is %s"):format(other:describe(), self:describe()), 2)
    elseif self.device == 0 then
        local host = on_host(other, 3)
        check(C.bl_copy(context.handle_of(0), self, host))
    elseif other:is_contiguous() then
        upload(self, other.data, other.dtype, 3)
    else
        local packed = element.ARRAY[other.dtype](other:numel())
        local view = new_tensor()
        set_shape(other:dims())
        check(C.bl_tensor_wrap(view, packed, other.dtype, other.ndim, shape))
        check(C.bl_copy(context.handle_of(0), view, other))
        upload(self, packed, other.dtype, 3)
    end
    return self
end

-- level: whose line to blame, as for error() in here.
local function set(self, values, level)
    local n = self:numel()
    local dtype = (self.dtype == DTYPE.bf16 or self.dtype == DTYPE.f16) and DTYPE.f32 or self.dtype
    local host = element.ARRAY[dtype](n)
    local kind = type(values)
    if kind ~= "table" and kind ~= "cdata" then error("set: got " .. kind .. ", expected a list or an array", level) end
    local given = kind == "table" and count(values) or array_length(values)
    if kind == "table" and given ~= n or given < n then
        error(("set: got %d values, the tensor is %s"):format(given, self:describe()), level)
    end
    if kind == "table" then
        flatten(self, values, host, 0, level + 1)
    else
        for i = 0, n - 1 do host[i] = values[i] end
    end
    if self.device == 0 then
        set_shape(self:dims())
        local source = new_tensor()
        check(C.bl_tensor_wrap(source, host, dtype, self.ndim, shape), level)
        check(C.bl_copy(context.handle_of(0), self, source), level)
    else
        upload(self, host, dtype, level)
    end
end

--- Set the elements from a list (nested or flat) or a host array of as many values, in row-major order.
-- @param level as in new
function Tensor:set(values, level)
    set(self, values, (level or 1) + 2)
    return self
end

--- "f32 2x3 cpu".
function Tensor:describe()
    local dims = table.concat(self:dims(), "x")
    return DTYPE_NAME[self.dtype] .. " " .. (dims == "" and "scalar" or dims) .. " " .. self:device_name()
end

local function tostring_tensor(self)
    local host = on_host(self, 3)
    local text = require("bertlua.tensor_format").format(host, self:describe())
    return text
end

for name, method in pairs(tensor_methods.methods) do Tensor[name] = method end

-- A field of the struct is found before this is called.
local function index(t, key)
    local method = Tensor[key]
    if method ~= nil or type(key) == "string" then return method end
    local value = tensor_index.get(t, key, 2)
    return value
end

local function assign(t, key, value)
    tensor_index.set(t, key, value, 2)
end

local metatable = { __index = index, __newindex = assign, __tostring = tostring_tensor, __len = Tensor.dims }
for name, operator in pairs(tensor_methods.operators) do metatable[name] = operator end
ffi.metatype("bl_tensor", metatable)

-- Scopes: a stack of lists of buffers.
local Scope = {}
Scope.__index = Scope

local root = setmetatable({}, Scope)
local innermost = root

local function owner_index(scope, t)
    local address = ffi.cast("char *", t.data)
    for i = #scope.buffers, 1, -1 do
        local block = scope.buffers[i]
        if address >= block.first and address < block.first + block.bytes then return i end
    end
end

-- Let a scope own a block; the root scope has no list, its tensors are the collector's.
local function adopt(scope, block)
    if scope == root then
        ownership.give(block.owner, block.handle, block.bytes)
    else
        scope.buffers[#scope.buffers + 1] = block
    end
end

--- Let a tensor that was made in this scope outlive it: it moves to the surrounding scope.
-- @return the tensor
function Scope:keep(t)
    local i = owner_index(self, t)
    if not i then error("keep: the tensor's memory does not belong to this scope", 2) end
    adopt(self.parent, table.remove(self.buffers, i))
    return t
end

--- Let a tensor outlive this scope until nothing refers to it, as one made outside of all scopes. One whose memory
-- does not belong to this scope stays as it is.
-- @return the tensor
function Scope:collect(t)
    local i = owner_index(self, t)
    if i then adopt(root, table.remove(self.buffers, i)) end
    return t
end

-- A tensor of the scope among values, which is freed before anyone can read it.
local function lost(scope, ...)
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        if ffi.istype(new_tensor, value) and owner_index(scope, value) then return value end
    end
end

local function close(scope, ok, ...)
    innermost = scope.parent
    local freed = ok and lost(scope, ...)
    local what = freed and freed:describe()
    for i = #scope.buffers, 1, -1 do C.bl_buffer_free(scope.buffers[i].handle) end
    scope.buffers = {}
    if not ok then error((...), 0) end
    -- Level 3 is the line that called M.scope.
    if freed then
        error(("tensor.scope: the function returns a tensor, %s, that is freed at its end; return scope:keep(x)")
            :format(what), 3)
    end
    return ...
end

local function pass(...)
    return ...
end

--- Run fn(scope) and release every tensor made inside, except those given to scope:keep.
-- @return what fn returns
function M.scope(fn)
    if type(fn) ~= "function" then error("tensor.scope: got " .. type(fn) .. ", expected a function", 2) end
    local scope = setmetatable({ buffers = {}, parent = innermost }, Scope)
    innermost = scope
    -- Not a tail call, so that errors name the caller's line.
    return pass(close(scope, pcall(fn, scope)))
end

local function allocate(dtype, dims, level)
    local code = DTYPE[dtype] or bl.dtype(dtype, level + 1)
    local n = set_shape(dims, level + 1)
    local numel = 1
    for i = 1, n do numel = numel * dims[i] end
    local bytes = math.max(numel * element.SIZE[code], 1)
    local out = ffi.new "bl_buffer *[1]"
    check(ownership.buffer(out, bytes), level + 1)
    local handle, t = out[0], new_tensor()
    ownership.mark(t)
    check(C.bl_buffer_tensor(handle, t, 0, code, n, shape), level + 1)
    adopt(innermost, { owner = t, handle = handle, first = ffi.cast("char *", t.data), bytes = bytes })
    return t
end

--- A zero-filled tensor, owned by the current scope, or outside of one by the collector.
-- @param dtype "f32", "bf16", "f16", "i32", "i64" or "i8"
-- @param dims list of at most 4 sizes
-- @param level whose line an error names: 1 (default) the caller, 2 the caller's caller
function M.new(dtype, dims, level)
    if type(dims) ~= "table" then
        error(("tensor.new: dims is %s, expected a list of sizes"):format(type(dims)), (level or 1) + 1)
    end
    local t = allocate(dtype, dims, (level or 1) + 1)
    return t
end

local function shape_of(values)
    local dims, level = {}, values
    while type(level) == "table" do
        dims[#dims + 1] = #level
        level = level[1]
    end
    return dims
end

local function check_rows(values, dims, dim, level)
    if dim > #dims then
        if type(values) == "table" then
            error(("tensor.from: a list among numbers at depth %d, expected numbers only"):format(#dims), level)
        end
        return
    end
    if type(values) ~= "table" or #values ~= dims[dim] then
        error(("tensor.from: rows differ in length, expected %d at depth %d"):format(dims[dim], dim), level)
    end
    for i = 1, #values do check_rows(values[i], dims, dim + 1, level + 1) end
end

--- A tensor with the values of a (nested) list or a number.
-- @param values list, nested up to 4 deep, or a number
-- @param dtype "f32" if left out
-- @param level as in new
function M.from(values, dtype, level)
    level = (level or 1) + 1
    local dims = shape_of(values)
    check_rows(values, dims, 1, level + 1)
    local t = allocate(dtype or "f32", dims, level)
    if type(values) == "number" then values = { values } end
    set(t, values, level + 1)
    return t
end

--- True if a value is a tensor.
function M.is(value)
    return ffi.istype(new_tensor, value)
end

--- Describe memory of the caller: a host array, which the tensor keeps, or a pointer, whose memory the caller keeps.
function M.wrap(ptr, dtype, dims)
    local code = DTYPE[dtype] or bl.dtype(dtype)
    local n = set_shape(dims)
    local t = new_tensor()
    check(C.bl_tensor_wrap(t, ffi.cast("void *", ptr), code, n, shape))
    return ownership.keep(t, ptr)
end

--- The methods of every tensor, for completion and help at the prompt.
M.methods = Tensor

return M
