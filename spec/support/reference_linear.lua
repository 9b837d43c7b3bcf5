--- Linear layers in float64 on nested lists.

local M = {}

--- erf to about 1e-15: Taylor series below 3, continued fraction of erfc above.
local function erf(x)
    local a = math.abs(x)
    local value
    if a < 3 then
        local term, sum, n = a, a, 0
        repeat
            n = n + 1
            term = -term * a * a / n
            sum = sum + term / (2 * n + 1)
        until math.abs(term) < 1e-18
        value = 2 / math.sqrt(math.pi) * sum
    else
        local fraction = 0
        for k = 60, 1, -1 do fraction = k / 2 / (a + fraction) end
        value = 1 - math.exp(-a * a) / math.sqrt(math.pi) / (a + fraction)
    end
    return x < 0 and -value or value
end

local ROOT = math.sqrt(2 / math.pi)

local ACTIVATION = {
    none = { function(x) return x end, function() return 1 end },
    gelu = {
        function(x) return x / 2 * (1 + erf(x / math.sqrt(2))) end,
        function(x) return (1 + erf(x / math.sqrt(2))) / 2 + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi) end,
    },
    -- As PyTorch documents gelu(x, approximate="tanh").
    gelu_tanh = {
        function(x) return x / 2 * (1 + math.tanh(ROOT * (x + 0.044715 * x ^ 3))) end,
        function(x)
            local t = math.tanh(ROOT * (x + 0.044715 * x ^ 3))
            return (1 + t) / 2 + x / 2 * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x ^ 2)
        end,
    },
    tanh = { math.tanh, function(x) return 1 - math.tanh(x) ^ 2 end },
}

--- x [T][K], w [N][K], bias [N] or nil: y [T][N] and, before the activation, pre [T][N].
function M.forward(x, w, bias, activation)
    local f = ACTIVATION[activation or "none"][1]
    local y, pre = {}, {}
    for t = 1, #x do
        y[t], pre[t] = {}, {}
        for n = 1, #w do
            local sum = bias and bias[n] or 0
            for k = 1, #w[n] do sum = sum + x[t][k] * w[n][k] end
            pre[t][n], y[t][n] = sum, f(sum)
        end
    end
    return y, pre
end

--- Gradients dx [T][K], dw [N][K], dbias [N] of sum(dy * y).
function M.backward(dy, x, w, pre, activation)
    local slope = ACTIVATION[activation or "none"][2]
    local dx, dw, dbias = {}, {}, {}
    for n = 1, #w do
        dw[n], dbias[n] = {}, 0
        for k = 1, #w[n] do dw[n][k] = 0 end
    end
    for t = 1, #x do
        dx[t] = {}
        for k = 1, #x[t] do dx[t][k] = 0 end
        for n = 1, #w do
            local d = dy[t][n] * slope(pre[t][n])
            dbias[n] = dbias[n] + d
            for k = 1, #w[n] do
                dx[t][k] = dx[t][k] + d * w[n][k]
                dw[n][k] = dw[n][k] + d * x[t][k]
            end
        end
    end
    return dx, dw, dbias
end

--- dy [T][N] times the slope of an activation at pre [T][N].
function M.through(dy, pre, activation)
    local slope, d = ACTIVATION[activation][2], {}
    for t = 1, #dy do
        d[t] = {}
        for n = 1, #dy[t] do d[t][n] = dy[t][n] * slope(pre[t][n]) end
    end
    return d
end

return M
