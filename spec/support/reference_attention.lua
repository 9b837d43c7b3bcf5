--- Attention in float64 on nested lists, and the documented dropout mask, written from their definitions.

local M = {}

local MASK32 = 0xffffffffULL

-- One Philox4x32-10 block (Salmon et al., SC'11): four words from a counter of four words and a 64-bit key.
local function philox(c0, c1, c2, c3, k0, k1)
    for _ = 1, 10 do
        local p0, p1 = c0 * 0xD2511F53ULL, c2 * 0xCD9E8D57ULL
        c0 = bit.bxor(bit.rshift(p1, 32), c1, k0)
        c2 = bit.bxor(bit.rshift(p0, 32), c3, k1)
        c1, c3 = bit.band(p1, MASK32), bit.band(p0, MASK32)
        k0 = bit.band(k0 + 0x9E3779B9ULL, MASK32)
        k1 = bit.band(k1 + 0xBB67AE85ULL, MASK32)
    end
    return c0, c1, c2, c3
end

--- Multiplier of an element under dropout: 0, or 1 / (1 - share dropped), which is p in steps of 2^-16. All arguments
-- are plain numbers below 2^32.
function M.keep(element, p, op, seed, step)
    local words = { philox(math.floor(element / 8) + 0ULL, op + 0ULL, step + 0ULL, 0ULL, seed + 0ULL, 0ULL) }
    local piece = bit.rshift(words[math.floor(element % 8 / 2) + 1], 16 * (element % 2))
    local share = math.floor(p * 2 ^ 16 + 0.5) / 2 ^ 16
    return tonumber(bit.band(piece, 0xffffULL)) < share * 2 ^ 16 and 0 or 1 / (1 - share)
end

-- Number of a query's first element; rows of elements begin at multiples of 8.
local function first_element(options, b, a, i)
    return (((b - 1) * options.heads + a - 1) * options.max_length + i - 1) * math.ceil(options.max_length / 8) * 8
end

-- Probabilities of one query before dropout, and the log of their normaliser.
local function probabilities(qkv, begin, length, query, column, hidden, size, scale)
    local scores, top, sum = {}, -math.huge, 0
    for j = 1, length do
        local dot = 0
        for d = 1, size do
            dot = dot + qkv[begin + query][column + d] * qkv[begin + j][hidden + column + d]
        end
        scores[j] = dot * scale
        top = math.max(top, scores[j])
    end
    for j = 1, length do
        scores[j] = math.exp(scores[j] - top)
        sum = sum + scores[j]
    end
    for j = 1, length do scores[j] = scores[j] / sum end
    return scores, top + math.log(sum)
end

local function zeros(rows, columns)
    local list = {}
    for i = 1, rows do
        list[i] = {}
        for j = 1, columns do list[i][j] = 0 end
    end
    return list
end

--- qkv [T][3H], segments {{begin, length} ...} with begin from 0, options {heads, max_length, scale, keep}: keep is nil
-- or a function of the element index. Returns out [T][H] and lse [B][A][query].
function M.forward(qkv, segments, options)
    local hidden = #qkv[1] / 3
    local size = hidden / options.heads
    local out, lse = zeros(#qkv, hidden), {}
    for b, segment in ipairs(segments) do
        local begin, length = segment[1], segment[2]
        lse[b] = {}
        for a = 1, options.heads do
            local column = (a - 1) * size
            lse[b][a] = {}
            for i = 1, length do
                local p, total = probabilities(qkv, begin, length, i, column, hidden, size, options.scale)
                lse[b][a][i] = total
                local base = first_element(options, b, a, i)
                for j = 1, length do
                    local weight = p[j] * (options.keep and options.keep(base + j - 1) or 1)
                    for d = 1, size do
                        out[begin + i][column + d] = out[begin + i][column + d]
                            + weight * qkv[begin + j][2 * hidden + column + d]
                    end
                end
            end
        end
    end
    return out, lse
end

-- Adds one query's share to dqkv.
local function backward_query(dqkv, dout, qkv, at, p, keep, scale)
    local begin, length, i, column, hidden, size = at.begin, at.length, at.query, at.column, at.hidden, at.size
    local dp, delta = {}, 0
    for j = 1, length do
        local dot = 0
        for d = 1, size do dot = dot + dout[begin + i][column + d] * qkv[begin + j][2 * hidden + column + d] end
        dp[j] = dot * keep[j]
        delta = delta + p[j] * dp[j]
    end
    for j = 1, length do
        local ds = p[j] * (dp[j] - delta) * scale
        local query, key = begin + i, begin + j
        for d = 1, size do
            local q, k, v = column + d, hidden + column + d, 2 * hidden + column + d
            dqkv[query][q] = dqkv[query][q] + ds * qkv[key][k]
            dqkv[key][k] = dqkv[key][k] + ds * qkv[query][q]
            dqkv[key][v] = dqkv[key][v] + p[j] * keep[j] * dout[query][q]
        end
    end
end

--- Gradient dqkv [T][3H] of sum(dout * out).
function M.backward(dout, qkv, segments, options)
    local hidden = #qkv[1] / 3
    local size = hidden / options.heads
    local dqkv = zeros(#qkv, 3 * hidden)
    for b, segment in ipairs(segments) do
        local begin, length = segment[1], segment[2]
        for a = 1, options.heads do
            local column = (a - 1) * size
            for i = 1, length do
                local p = probabilities(qkv, begin, length, i, column, hidden, size, options.scale)
                local base = first_element(options, b, a, i)
                local keep = {}
                for j = 1, length do keep[j] = options.keep and options.keep(base + j - 1) or 1 end
                backward_query(dqkv, dout, qkv,
                    { begin = begin, length = length, query = i, column = column, hidden = hidden, size = size }, p,
                    keep, options.scale)
            end
        end
    end
    return dqkv
end

return M
