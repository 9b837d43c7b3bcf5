--- x[1], x[{1, 2}], x[{{1, 2}, {}}]: views of a tensor by index, and assignment to them.
--
-- The rules are those of Torch7. Indices count from 1, negative ones from the
-- end. A list has an entry per dimension; those that are left out are taken
-- whole:
--
--     2         one index: the dimension disappears
--     {2, 5}    a range, both ends included
--     {2}       a range of one
--     {}        all
--
-- x[{}] = 0 sets all. Where every dimension has one index, reading gives a number.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
local element = require "bertlua.element"
local ownership = require "bertlua.ownership"

local C, check = bl.lib, bl.check
local new_tensor = ffi.typeof "bl_tensor"
local floor = math.floor

local M = {}

local function is_tensor(value)
    return ffi.istype(new_tensor, value)
end

-- Position from 0 of an index; an error at `level` if there is none.
local function position(t, dim, i, level)
    local size = tonumber(t.shape[dim])
    local at = type(i) == "number" and i == floor(i) and (i < 0 and size + i or i - 1)
    if not at or at < 0 or at >= size then
        error(("index %s along dimension %d, expected 1 to %d: the tensor is %s"):format(tostring(i), dim + 1, size,
            t:describe()), level + 1)
    end
    return at
end

-- First position from 0 and number of elements of a range.
local function range(t, dim, list, level)
    local size = tonumber(t.shape[dim])
    if #list == 0 and next(list) == nil then return 0, size end
    if #list > 2 or #list == 0 then
        error(("a range of dimension %d has %d entries, expected {}, {i} or {first, last}"):format(dim + 1, #list),
            level + 1)
    end
    local first = position(t, dim, list[1], level + 1)
    local last = list[2] == nil and first or position(t, dim, list[2], level + 1)
    if last < first then
        error(("range {%d, %d} along dimension %d is empty: the tensor is %s"):format(list[1], list[2], dim + 1,
            t:describe()), level + 1)
    end
    return first, last - first + 1
end

-- The view that an index names. It has no dimensions where all have one index.
local function locate(t, key, level)
    local kind = type(key)
    if kind == "number" then
        key = { key }
    elseif kind ~= "table" then
        local mask = is_tensor(key)
        error(("index is a %s, expected a number or a list such as {1, 2} or {{1, 2}, {}}%s"):format(
            mask and "tensor" or kind, mask and "; masks are for writing, bl.where(mask, x, y) reads" or ""), level + 1)
    end
    local count, ndim = #key, t.ndim
    if count > ndim or count == 0 and next(key) ~= nil then
        error(("index has %d entries, the tensor is %s"):format(count, t:describe()), level + 1)
    end
    local view, n, offset = new_tensor(t), 0, 0
    for dim = 0, ndim - 1 do
        local entry = key[dim + 1]
        local stride = tonumber(t.stride[dim])
        if type(entry) == "number" then
            offset = offset + position(t, dim, entry, level + 1) * stride
        else
            local first, size = 0, tonumber(t.shape[dim])
            if type(entry) == "table" then
                first, size = range(t, dim, entry, level + 1)
            elseif entry ~= nil then
                error(("index of dimension %d is a %s, expected a number or a range such as {1, 2}"):format(dim + 1,
                    type(entry)), level + 1)
            end
            offset = offset + first * stride
            view.shape[n], view.stride[n] = size, stride
            n = n + 1
        end
    end
    for dim = n, 3 do view.shape[dim], view.stride[dim] = 1, 0 end
    view.ndim = n
    view.data = ffi.cast("char *", t.data) + offset * element.SIZE[t.dtype]
    return ownership.look(view, t)
end

--- What stands at an index: a view, or a number where every dimension has one index.
-- @param key number, or a list with an entry per dimension
-- @param level whose line an error names: 1 the caller, 2 the caller's caller
function M.get(t, key, level)
    local view = locate(t, key, level + 1)
    if view.ndim > 0 then return view end
    return view:item()
end

--- A view with the sizes of `dims` that repeats what has size 1 or is missing in front; nil if the shapes do not fit.
function M.expand(t, dims)
    local missing = #dims - t.ndim
    if missing < 0 then return nil end
    local view = new_tensor(t)
    for dim = 1, #dims do
        local at = dim - 1 - missing
        local size = at >= 0 and tonumber(t.shape[at]) or 1
        if size ~= dims[dim] and size ~= 1 then return nil end
        view.shape[dim - 1] = dims[dim]
        view.stride[dim - 1] = size == dims[dim] and at >= 0 and t.stride[at] or 0
    end
    view.ndim = #dims
    return ownership.look(view, t)
end

-- First address of a tensor's elements and the one behind the last.
local function extent(t)
    local bytes = 1
    for dim = 0, t.ndim - 1 do
        if t.shape[dim] == 0 then return 0, 0 end
        bytes = bytes + tonumber(t.shape[dim] - 1) * tonumber(t.stride[dim])
    end
    local first = tonumber(ffi.cast("uintptr_t", t.data))
    return first, first + bytes * element.SIZE[t.dtype]
end

local function overlap(a, b)
    local a_first, a_end = extent(a)
    local b_first, b_end = extent(b)
    return a_first < b_end and b_first < a_end
end

local function assign(view, value, level)
    local kind = type(value)
    if kind == "number" then
        element.check("index", view, value, level + 1)
        check(C.bl_fill(context.handle_of(view.device), view, value), level + 1)
    elseif is_tensor(value) then
        local source = M.expand(value, view:dims())
        if not source then
            error(("got %s, what is assigned to is %s"):format(value:describe(), view:describe()), level + 1)
        end
        view:copy_from(overlap(view, value) and source:clone() or source)
    elseif kind == "table" then
        view:set(value, level + 1)
    else
        error(("got %s, expected a number, a tensor or a list"):format(kind), level + 1)
    end
end

--- Set what stands at an index.
-- @param key as for get; or a mask i8, as x:gt(0) gives, of a shape that broadcasts to t's
-- @param value number; tensor of a shape that broadcasts to that of the place; list of as many numbers
-- @param level as for get
function M.set(t, key, value, level)
    if is_tensor(key) then
        t:masked_fill(key, value, level + 1)
    elseif type(key) == "string" then
        error(("a tensor has no field %q"):format(key), level + 1)
    else
        assign(locate(t, key, level + 1), value, level + 1)
    end
end

return M
