--- Float64 references for ops that broadcast and for reductions along dimensions. Values are flat row-major lists with
-- their sizes; nothing here calls the engine.

local M = {}

--- Number of elements.
function M.count(dims)
    local n = 1
    for i = 1, #dims do n = n * dims[i] end
    return n
end

--- Sizes that two lists of sizes broadcast to.
function M.broadcast(a, b)
    local n, dims = math.max(#a, #b), {}
    for i = 1, n do
        local u, v = a[#a - n + i] or 1, b[#b - n + i] or 1
        dims[i] = u == 1 and v or u
    end
    return dims
end

--- Positions in a list of sizes `small` (1 or missing where repeated) of every element of `dims`, in order.
function M.positions(small, dims)
    local positions, n = {}, M.count(dims)
    for i = 0, n - 1 do
        local rest, at, step = i, 0, 1
        for d = #dims, 1, -1 do
            local index = rest % dims[d]
            rest = math.floor(rest / dims[d])
            local size = small[#small - #dims + d] or 1
            if size > 1 then at = at + index * step end
            step = step * size
        end
        positions[i + 1] = at + 1
    end
    return positions
end

--- f(a, b, i) of broadcast operands: list and sizes.
function M.map2(a, a_dims, b, b_dims, f)
    local dims = M.broadcast(a_dims, b_dims)
    local at_a, at_b, out = M.positions(a_dims, dims), M.positions(b_dims, dims), {}
    for i = 1, M.count(dims) do out[i] = f(a[at_a[i]], b[at_b[i]], i) end
    return out, dims
end

--- Elements of x grouped by the element of `small` that they reduce to: list of lists.
function M.groups(x, dims, small)
    local groups = {}
    for i = 1, M.count(small) do groups[i] = {} end
    for i, at in ipairs(M.positions(small, dims)) do
        local group = groups[at]
        group[#group + 1] = x[i]
    end
    return groups
end

--- Sum, mean, max or min of a list; max and min are NaN where an element is.
function M.reduce(list, kind)
    local sum, most, least = 0, -math.huge, math.huge
    for _, v in ipairs(list) do
        sum = sum + v
        if v > most or v ~= v then most = v end
        if v < least or v ~= v then least = v end
        if most ~= most then least = most break end
    end
    if kind == "sum" then return sum end
    if kind == "mean" then return sum / #list end
    return kind == "max" and most or least
end

return M
