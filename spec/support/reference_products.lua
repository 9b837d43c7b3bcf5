--- Float64 references for matrix products, root mean square normalisation, gated linear units, rotary embeddings and
-- log-softmax, on flat row-major lists that count from 1. Nothing here calls the engine.

local reference = require "spec.support.reference"

local exp, sqrt = math.exp, math.sqrt

local M = {}

-- Products ------------------------------------------------------------------

local function pad(dims)
    local out = {}
    for i = 1, 4 - #dims do out[i] = 1 end
    for i = 1, #dims do out[#out + 1] = dims[i] end
    return out
end

-- Place (from 0) of matrix (p, q) among those of a tensor, whose batch dimensions may be 1.
local function matrix_at(dims, p, q)
    return (dims[1] == 1 and 0 or p) * dims[2] + (dims[2] == 1 and 0 or q)
end

--- a [...,M,K] b [...,K,N], dimensions before the last two equal, 1 or absent.
-- @return flat values, dims
function M.matmul(a, a_dims, b, b_dims)
    local da, db, out = pad(a_dims), pad(b_dims), {}
    local rows, depth, columns = da[3], da[4], db[4]
    local outer, inner = math.max(da[1], db[1]), math.max(da[2], db[2])
    for p = 0, outer - 1 do
        for q = 0, inner - 1 do
            local from_a, from_b = matrix_at(da, p, q) * rows * depth, matrix_at(db, p, q) * depth * columns
            for i = 0, rows - 1 do
                for j = 1, columns do
                    local sum = 0
                    for k = 0, depth - 1 do sum = sum + a[from_a + i * depth + k + 1] * b[from_b + k * columns + j] end
                    out[#out + 1] = sum
                end
            end
        end
    end
    local dims = { outer, inner, rows, columns }
    return out, { unpack(dims, 5 - math.max(#a_dims, #b_dims)) }
end

-- Softmax -------------------------------------------------------------------

--- Rows of `width` of x minus their log-sum-exp.
function M.log_softmax(x, width)
    local out = {}
    for from = 1, #x, width do
        local sum = reference.log_sum_exp(x, from, width)
        for i = from, from + width - 1 do out[i] = x[i] - sum end
    end
    return out
end

--- Gradients from dy and the results y.
function M.softmax_gradient(dy, y, width)
    local out = {}
    for from = 1, #y, width do
        local sum = 0
        for i = from, from + width - 1 do sum = sum + dy[i] * y[i] end
        for i = from, from + width - 1 do out[i] = y[i] * (dy[i] - sum) end
    end
    return out
end

function M.log_softmax_gradient(dy, y, width)
    local out = {}
    for from = 1, #y, width do
        local sum = 0
        for i = from, from + width - 1 do sum = sum + dy[i] end
        for i = from, from + width - 1 do out[i] = dy[i] - exp(y[i]) * sum end
    end
    return out
end

-- RMSNorm -------------------------------------------------------------------

--- @return y, rstd
function M.rmsnorm(x, rows, width, gamma, eps)
    local y, rstds = {}, {}
    for t = 0, rows - 1 do
        local square = 0
        for i = 1, width do square = square + x[t * width + i] ^ 2 / width end
        rstds[t + 1] = 1 / sqrt(square + eps)
        for i = 1, width do y[t * width + i] = x[t * width + i] * rstds[t + 1] * gamma[i] end
    end
    return y, rstds
end

--- @return dx, dgamma
function M.rmsnorm_gradient(dy, x, rows, width, gamma, eps)
    local dx, dgamma = {}, reference.zeros(width)
    local _, rstds = M.rmsnorm(x, rows, width, gamma, eps)
    for t = 0, rows - 1 do
        local rstd, product = rstds[t + 1], 0
        for i = 1, width do
            local xhat = x[t * width + i] * rstd
            product = product + dy[t * width + i] * gamma[i] * xhat / width
            dgamma[i] = dgamma[i] + dy[t * width + i] * xhat
        end
        for i = 1, width do
            dx[t * width + i] = rstd * (dy[t * width + i] * gamma[i] - x[t * width + i] * rstd * product)
        end
    end
    return dx, dgamma
end

-- Gated linear units --------------------------------------------------------

local function sigmoid(x)
    return x < 0 and exp(x) / (1 + exp(x)) or 1 / (1 + exp(-x))
end

local function sigmoid_derivative(x)
    local e = exp(-math.abs(x))
    return e / (1 + e) ^ 2
end

local ROOT = sqrt(2 / math.pi)

local function gelu_tanh_argument(x)
    return 2 * ROOT * (x + 0.044715 * x ^ 3)
end

--- The functions of a gate by name, each with its derivative.
M.GATES = {
    sigmoid = { sigmoid, sigmoid_derivative },
    gelu = { reference.gelu, reference.gelu_derivative },
    gelu_tanh = {
        -- (1 + tanh(u)) / 2 = sigmoid(2u)
        function(x) return x * sigmoid(gelu_tanh_argument(x)) end,
        function(x)
            local u = gelu_tanh_argument(x)
            return sigmoid(u) + x * sigmoid_derivative(u) * 2 * ROOT * (1 + 3 * 0.044715 * x ^ 2)
        end,
    },
    silu = {
        function(x) return x * sigmoid(x) end,
        function(x) return sigmoid(x) + x * sigmoid_derivative(x) end,
    },
    relu = {
        function(x) return math.max(x, 0) end,
        function(x) return x > 0 and 1 or 0 end,
    },
}

--- What a gate's function and its derivative are at x beyond 88 or below -88: their limits, and at the infinities what
-- PyTorch gives, NaN where a factor 0 meets an infinite one; ReLU passes on the gradient of NaN.
function M.gate_limits(gate, x)
    if x ~= x then return x, gate == "relu" and 1 or x end
    local infinite = math.abs(x) == math.huge
    if gate == "sigmoid" then return x > 0 and 1 or 0, 0 end
    if infinite and gate ~= "relu" then return x > 0 and x or 0 / 0, 0 / 0 end
    return math.max(x, 0), x > 0 and 1 or 0
end

--- y [T,I] of x [T,2I]: value * f(gate).
function M.glu(x, rows, width, gate)
    local f, y = M.GATES[gate][1], {}
    for t = 0, rows - 1 do
        for i = 1, width do
            y[t * width + i] = x[2 * t * width + i] * f(x[(2 * t + 1) * width + i])
        end
    end
    return y
end

function M.glu_gradient(dy, x, rows, width, gate)
    local f, slope, dx = M.GATES[gate][1], M.GATES[gate][2], {}
    for t = 0, rows - 1 do
        for i = 1, width do
            local d, value, control = dy[t * width + i], x[2 * t * width + i], x[(2 * t + 1) * width + i]
            dx[2 * t * width + i], dx[(2 * t + 1) * width + i] = d * f(control), d * value * slope(control)
        end
    end
    return dx
end

-- Rotary embeddings ---------------------------------------------------------

--- y [T,3H] of x [T,3H], positions [T].
function M.rotary(x, positions, hidden, heads, base, inverse)
    local y, size = {}, hidden / heads
    for t = 0, #positions - 1 do
        for head = 0, 3 * heads - 1 do
            local from = t * 3 * hidden + head * size
            for i = 1, size / 2 do
                local angle = head < 2 * heads and positions[t + 1] * base ^ (-2 * (i - 1) / size) or 0
                local cos, sin = math.cos(angle), math.sin(inverse and -angle or angle)
                local a, b = x[from + i], x[from + size / 2 + i]
                y[from + i], y[from + size / 2 + i] = a * cos - b * sin, b * cos + a * sin
            end
        end
    end
    return y
end

return M
