--- Tensors as text: aligned columns, then dtype, shape and device.
--
-- A vector is one wrapped block, a matrix has its rows, more dimensions are a
-- matrix per index, as in Torch. Long dimensions show both ends around
-- "..."; a matrix never gets wider than the given width.

local element = require "bertlua.element"

local M = {}

M.WIDTH = 80
M.MAX_ROWS = 20   -- of a matrix
M.MAX_BLOCKS = 6  -- matrices of a tensor with 3 or 4 dimensions
M.MAX_VECTOR = 100

local HALF_ROWS, HALF_BLOCKS, HALF_VECTOR = 6, 2, 12

-- Indices to show of n: all, or both ends with false between them.
local function visible(n, limit, half)
    local list = {}
    if n <= limit then
        for i = 1, n do list[i] = i end
    else
        for i = 1, half do list[i] = i end
        list[half + 1] = false
        for i = n - half + 1, n do list[#list + 1] = i end
    end
    return list
end

local function is_finite(x)
    return x == x and x ~= math.huge and x ~= -math.huge
end

-- One printf format for all values, so that the columns line up.
local function choose_format(values)
    local whole, largest, smallest = true, 0, math.huge
    for _, x in ipairs(values) do
        if is_finite(x) then
            local size = math.abs(x)
            if x ~= math.floor(x) then whole = false end
            if size > largest then largest = size end
            if size > 0 and size < smallest then smallest = size end
        end
    end
    if whole and largest < 1e15 then return "%.0f" end
    if largest >= 1e5 or largest < 1e-2 or (smallest < 1e-4 and largest >= 1e3) then return "%.4e" end
    return "%.4f"
end

local function text_of(x, format)
    if x ~= x then return "nan" end
    if x == math.huge then return "inf" end
    if x == -math.huge then return "-inf" end
    return (format:format(x):gsub("^%-(0%.?0*)$", "%1"))
end

local function pad(text, width)
    return (" "):rep(width - #text) .. text
end

local function width_of(values, format)
    local width = 0
    for _, x in ipairs(values) do width = math.max(width, #text_of(x, format)) end
    return width
end

local function vector(t, read, at, n, stride)
    local shown, values = visible(n, M.MAX_VECTOR, HALF_VECTOR), {}
    for _, i in ipairs(shown) do
        if i then values[#values + 1] = read(t.data, at + (i - 1) * stride) end
    end
    local format = choose_format(values)
    local width = width_of(values, format)
    local lines, line, k = {}, "", 0
    for _, i in ipairs(shown) do
        local cell = "..."
        if i then
            k = k + 1
            cell = pad(text_of(values[k], format), width)
        end
        if #line + #cell + 2 > M.WIDTH and line ~= "" then
            lines[#lines + 1] = line
            line = ""
        end
        line = line .. (line == "" and " " or "  ") .. cell
    end
    if line ~= "" then lines[#lines + 1] = line end
    return lines
end

-- Columns to show: as many as fit, both ends when not all do.
local function visible_columns(n, width)
    local room = math.floor((M.WIDTH + 1) / (width + 2))
    if n <= room then return visible(n, n, 0) end
    local half = math.max(1, math.floor((M.WIDTH - 5) / (width + 2) / 2))
    return visible(n, 0, math.min(half, math.floor((n - 1) / 2)))
end

local function gather(t, read, at, rows, columns, dim, out)
    local row_stride, stride = tonumber(t.stride[dim]), tonumber(t.stride[dim + 1])
    for _, r in ipairs(rows) do
        if r then
            for _, c in ipairs(columns) do
                if c then out[#out + 1] = read(t.data, at + (r - 1) * row_stride + (c - 1) * stride) end
            end
        end
    end
    return out
end

local function matrix(t, read, at, dim, format_of)
    local n_rows, n_columns = tonumber(t.shape[dim]), tonumber(t.shape[dim + 1])
    local rows = visible(n_rows, M.MAX_ROWS, HALF_ROWS)
    -- The ends decide format and width; then the columns that fit are read.
    local sample = gather(t, read, at, rows, visible(n_columns, 40, 20), dim, {})
    local format = format_of(sample)
    local width = width_of(sample, format)
    local columns = visible_columns(n_columns, width)
    local row_stride, stride = tonumber(t.stride[dim]), tonumber(t.stride[dim + 1])
    local lines = {}
    for _, r in ipairs(rows) do
        local cells = {}
        for i, c in ipairs(columns) do
            if not c then
                cells[i] = "..."
            elseif r then
                cells[i] = pad(text_of(read(t.data, at + (r - 1) * row_stride + (c - 1) * stride), format), width)
            else
                cells[i] = pad("...", width)
            end
        end
        lines[#lines + 1] = " " .. table.concat(cells, "  ")
    end
    return lines
end

local function blocks(t, read, lines)
    local outer = t.ndim - 2
    local function walk(dim, at, index)
        if dim == outer then
            lines[#lines + 1] = "(" .. table.concat(index, ",") .. ",.,.) ="
            for _, line in ipairs(matrix(t, read, at, dim, choose_format)) do lines[#lines + 1] = line end
            return
        end
        for _, i in ipairs(visible(tonumber(t.shape[dim]), M.MAX_BLOCKS, HALF_BLOCKS)) do
            if i then
                index[dim + 1] = i
                walk(dim + 1, at + (i - 1) * tonumber(t.stride[dim]), index)
                index[dim + 1] = nil
            else
                lines[#lines + 1] = "..."
            end
        end
    end
    walk(0, 0, {})
end

--- Text of a CPU tensor.
-- @param t the tensor
-- @param description what is in brackets at the end
function M.format(t, description)
    local read, lines = element.reader(t.dtype), {}
    local numel = 1
    for i = 0, t.ndim - 1 do numel = numel * tonumber(t.shape[i]) end
    if numel == 0 then
        lines[1] = " (empty)"
    elseif t.ndim == 0 then
        local value = read(t.data, 0)
        lines[1] = " " .. text_of(value, choose_format { value })
    elseif t.ndim == 1 then
        lines = vector(t, read, 0, tonumber(t.shape[0]), tonumber(t.stride[0]))
    elseif t.ndim == 2 then
        lines = matrix(t, read, 0, 0, choose_format)
    else
        blocks(t, read, lines)
    end
    lines[#lines + 1] = "[" .. description .. "]"
    return table.concat(lines, "\n")
end

return M
