--- Float64 references for the engine's ops, written from the formulas in
-- engine/api/ops.h. Matrices are flat row-major lists that count from 1; rows
-- and indices into tables count from 0, as in the engine. Nothing here calls
-- the engine.

local bit = require "bit"

local exp, log, sqrt, abs, pi = math.exp, math.log, math.sqrt, math.abs, math.pi

local M = {}

local function zeros(n)
    local list = {}
    for i = 1, n do list[i] = 0 end
    return list
end
M.zeros = zeros

-- Philox4x32-10 -------------------------------------------------------------

local MASK = 0xffffffffULL

local function multiply(a, b)
    local product = (0ULL + a) * b
    return tonumber(bit.rshift(product, 32)), tonumber(bit.band(product, MASK))
end

local function xor(a, b, c)
    return tonumber(bit.bxor(0ULL + a, 0ULL + b, 0ULL + c))
end

--- Four words of one block; counter is a list of four words, the key two words.
function M.philox(counter, key_low, key_high)
    local c0, c1, c2, c3 = counter[1], counter[2], counter[3], counter[4]
    for _ = 1, 10 do
        local high0, low0 = multiply(c0, 0xD2511F53)
        local high1, low1 = multiply(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = xor(high1, c1, key_low), low1, xor(high0, c3, key_high), low0
        key_low = (key_low + 0x9E3779B9) % 2 ^ 32
        key_high = (key_high + 0xBB67AE85) % 2 ^ 32
    end
    return { c0, c1, c2, c3 }
end

local function split(x)
    return x % 2 ^ 32, math.floor(x / 2 ^ 32)
end

--- Word number i (from 0) of the stream with counter words c1, c2, c3.
function M.philox_word(seed, i, c1, c2, c3)
    local low, high = split(seed)
    local block = math.floor(i / 4)
    return M.philox({ block % 2 ^ 32, c1, c2, c3 }, low, high)[i % 4 + 1]
end

--- Multipliers of elements first..first+n-1 (from 0): 0 or the scale of what is kept. An element takes half of a word,
-- the low one first, and is dropped below p in steps of 2^-16. p is what f32 holds of it.
function M.dropout_keep(n, seed, step, op, p, first)
    local keep, step_low, step_high = {}, split(step)
    local words, held
    local seed_low, seed_high = split(seed)
    local steps = math.min(math.floor(p * 65536 + 0.5), 65535)
    for i = 0, n - 1 do
        local element = (first or 0) + i
        local block = math.floor(element / 8)
        if block ~= held then
            words, held = M.philox({ block % 2 ^ 32, op, step_low, step_high }, seed_low, seed_high), block
        end
        local word = words[math.floor(element % 8 / 2) + 1]
        local half = element % 2 == 0 and word % 65536 or math.floor(word / 65536)
        keep[i + 1] = half < steps and 0 or 1 / (1 - steps / 65536)
    end
    return keep
end

-- Calculus ------------------------------------------------------------------

--- Central differences of a scalar function of a list, at some of its elements.
-- @param stride distance between the elements
-- @return list of {index, derivative}
function M.differences(f, x, step, stride)
    local found = {}
    for i = 1, #x, stride or 1 do
        local kept = x[i]
        x[i] = kept + step
        local above = f(x)
        x[i] = kept - step
        local below = f(x)
        x[i] = kept
        found[#found + 1] = { i, (above - below) / (2 * step) }
    end
    return found
end

--- Sum of a[i] * b[i].
function M.dot(a, b)
    local sum = 0
    for i = 1, #a do sum = sum + a[i] * b[i] end
    return sum
end

-- Elementwise ---------------------------------------------------------------

-- Complementary error function: series near 0, continued fraction (Lentz) in the tail.
local function erfc(x)
    if x < 0 then return 2 - erfc(-x) end
    if x < 2.5 then
        local term, sum, n = x, x, 0
        repeat
            n = n + 1
            term = -term * x * x / n
            sum = sum + term / (2 * n + 1)
        until abs(term) < 1e-18 * abs(sum) or n > 200
        return 1 - 2 / sqrt(pi) * sum
    end
    local fraction = x
    for k = 60, 1, -1 do fraction = x + k / 2 / fraction end
    return exp(-x * x) / sqrt(pi) / fraction
end
M.erfc = erfc

function M.gelu(x)
    return x * erfc(-x / sqrt(2)) / 2
end

function M.gelu_derivative(x)
    return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * pi)
end

function M.tanh(x)
    local e = exp(-2 * abs(x))
    local y = abs(x) < 1e-4 and abs(x) - abs(x) ^ 3 / 3 or (1 - e) / (1 + e)
    return x < 0 and -y or y
end

function M.map(list, f)
    local out = {}
    for i = 1, #list do out[i] = f(list[i], i) end
    return out
end

-- Layer normalisation -------------------------------------------------------

--- @return y, mean, rstd
function M.layernorm(z, rows, width, gamma, beta, eps)
    local y, means, rstds = {}, {}, {}
    for t = 0, rows - 1 do
        local mean, variance = 0, 0
        for i = 1, width do mean = mean + z[t * width + i] / width end
        for i = 1, width do variance = variance + (z[t * width + i] - mean) ^ 2 / width end
        local rstd = 1 / sqrt(variance + eps)
        for i = 1, width do y[t * width + i] = (z[t * width + i] - mean) * rstd * gamma[i] + beta[i] end
        means[t + 1], rstds[t + 1] = mean, rstd
    end
    return y, means, rstds
end

--- Sums over the rows of a flat list with `width` columns.
function M.column_sums(list, width)
    local sums = zeros(width)
    for i, value in ipairs(list) do
        local column = (i - 1) % width + 1
        sums[column] = sums[column] + value
    end
    return sums
end

--- @return dz, dgamma, dbeta
function M.layernorm_gradient(dy, z, rows, width, gamma, eps)
    local dz, dgamma, dbeta = {}, zeros(width), zeros(width)
    local _, means, rstds = M.layernorm(z, rows, width, gamma, zeros(width), eps)
    for t = 0, rows - 1 do
        local sum, product = 0, 0
        local mean, rstd = means[t + 1], rstds[t + 1]
        for i = 1, width do
            local xhat, g = (z[t * width + i] - mean) * rstd, dy[t * width + i] * gamma[i]
            sum, product = sum + g / width, product + g * xhat / width
            dgamma[i] = dgamma[i] + dy[t * width + i] * xhat
            dbeta[i] = dbeta[i] + dy[t * width + i]
        end
        for i = 1, width do
            local xhat = (z[t * width + i] - mean) * rstd
            dz[t * width + i] = rstd * (dy[t * width + i] * gamma[i] - sum - xhat * product)
        end
    end
    return dz, dgamma, dbeta
end

--- Rows of a table [., width] by index, summed over several {table, index} pairs.
function M.lookup_sum(width, ...)
    local out = {}
    for _, pair in ipairs { ... } do
        local source, index = pair[1], pair[2]
        for t = 0, #index - 1 do
            for i = 1, width do
                out[t * width + i] = (out[t * width + i] or 0) + source[index[t + 1] * width + i]
            end
        end
    end
    return out
end

--- The reverse of a lookup: adds rows of d to the table rows they came from.
function M.scatter_add(d, width, index, table_rows)
    local out = zeros(table_rows * width)
    for t = 0, #index - 1 do
        for i = 1, width do
            local at = index[t + 1] * width + i
            out[at] = out[at] + d[t * width + i]
        end
    end
    return out
end

-- Losses --------------------------------------------------------------------

--- Largest value and log of the sum of exponentials of n values at x[from + stride * k].
function M.log_sum_exp(x, from, n, stride)
    local max, sum = -math.huge, 0
    for k = 0, n - 1 do max = math.max(max, x[from + (stride or 1) * k]) end
    for k = 0, n - 1 do sum = sum + exp(x[from + (stride or 1) * k] - max) end
    return max + log(sum), max
end

--- @return loss, lse, correct, dlogits (for a loss gradient of 1)
function M.cross_entropy(logits, rows, width, labels, classes)
    local total, counted, right, lse, gradient = 0, 0, 0, {}, zeros(rows * width)
    for m = 1, rows do if labels[m] ~= -1 then counted = counted + 1 end end
    for m = 0, rows - 1 do
        local at, label = m * width + 1, labels[m + 1]
        local sum, max = M.log_sum_exp(logits, at, classes)
        lse[m + 1] = sum
        if label ~= -1 then
            total = total + lse[m + 1] - logits[at + label]
            if logits[at + label] == max then right = right + 1 end
            for k = 0, classes - 1 do
                gradient[at + k] = (exp(logits[at + k] - lse[m + 1]) - (k == label and 1 or 0)) / counted
            end
        end
    end
    local n = math.max(counted, 1)
    return total / n, lse, right / n, gradient
end

--- @param segments list of {begin, length}; @return loss, lse (flat [B,2]), dlogits
function M.span_loss(logits, rows, segments, starts, ends)
    local answers = { starts, ends }
    local loss, lse, gradient = 0, {}, zeros(rows * 2)
    for column = 1, 2 do
        local counted, total = 0, 0
        for b, segment in ipairs(segments) do
            local answer = answers[column][b]
            if answer >= 0 and answer < segment[2] then counted = counted + 1 end
        end
        for b, segment in ipairs(segments) do
            local first = segment[1] * 2 + column
            local sum = segment[2] > 0 and M.log_sum_exp(logits, first, segment[2], 2) or -math.huge
            lse[(b - 1) * 2 + column] = sum
            local answer = answers[column][b]
            if answer >= 0 and answer < segment[2] then
                total = total + sum - logits[first + 2 * answer]
                for k = 0, segment[2] - 1 do
                    local probability = exp(logits[first + 2 * k] - sum)
                    gradient[first + 2 * k] = (probability - (k == answer and 1 or 0)) / counted / 2
                end
            end
        end
        loss = loss + total / math.max(counted, 1) / 2
    end
    return loss, lse, gradient
end

-- Optimizers ----------------------------------------------------------------

--- One update of a flat parameter list in place; state holds m, v and the step count.
-- @param o table: kind ("lamb" or "adamw"), segments {{offset, length}…}, decay, lr, lr_scale (1s), factor, beta1,
--   beta2, eps
-- @return trust ratios
function M.optimize(p, grad, state, o)
    local t = state.step + 1
    local trusts = {}
    for s, segment in ipairs(o.segments) do
        local direction, p_square, u_square = {}, 0, 0
        for i = segment[1] + 1, segment[1] + segment[2] do
            local g = grad[i] * o.factor
            state.m[i] = o.beta1 * state.m[i] + (1 - o.beta1) * g
            state.v[i] = o.beta2 * state.v[i] + (1 - o.beta2) * g * g
            local u = state.m[i] / (1 - o.beta1 ^ t) / (sqrt(state.v[i] / (1 - o.beta2 ^ t)) + o.eps)
            if o.kind == "lamb" then u = u + o.decay[s] * p[i] end
            direction[i] = u
            p_square, u_square = p_square + p[i] ^ 2, u_square + u ^ 2
        end
        local trust = 1
        local adapts = not o.decayed_only or o.decay[s] ~= 0
        if o.kind == "lamb" and adapts and p_square > 0 and u_square > 0 then trust = sqrt(p_square / u_square) end
        local lr = o.lr * (o.lr_scale and o.lr_scale[s] or 1)
        for i = segment[1] + 1, segment[1] + segment[2] do
            if o.kind == "adamw" then p[i] = p[i] - lr * o.decay[s] * p[i] end
            p[i] = p[i] - lr * trust * direction[i]
        end
        trusts[s] = trust
    end
    state.step = t
    return trusts
end

return M
