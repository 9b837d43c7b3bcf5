--- The engine's ops: one function each, with the arguments of engine/api/ops.h without the context.
--
-- Outputs first, then inputs, then scalars; nil where the header allows NULL.
-- In the header's order, one wrapper per op: it adds the context and turns names
-- into numbers, nothing else.
-- Shapes, formulas and what is accumulated are in the header: `? ops.NAME` at
-- the prompt shows it. A failure is an error at the caller's line.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
require "bertlua.tensor"

local C, check, handle = bl.lib, bl.check, context.handle

local M = {}

local ACTIVATION = { none = 0, gelu = 1, tanh = 2 }
local REDUCTION = { sum = 0, mean = 1, max = 2, min = 3, norm = 4 }

local GATE = { sigmoid = 0, gelu = 1, gelu_tanh = 2, silu = 3, relu = 4 }

local function gate_code(name)
    local code = GATE[name]
    if not code then
        error(("activation is %s, expected sigmoid, gelu, gelu_tanh, silu or relu"):format(tostring(name)), 3)
    end
    return code
end

local function activation_code(name)
    local code = ACTIVATION[name or "none"]
    if not code then error(("activation is %s, expected none, gelu or tanh"):format(tostring(name)), 3) end
    return code
end

local new_dropout = ffi.typeof "bl_dropout"

--- Dropout settings for one op call. The caller keeps `state` alive as long as they are used.
-- @param state i64 [2] tensor: seed, step
-- @param p probability of dropping an element, 0 <= p < 1
-- @param op number of the call within the step
function M.dropout(state, p, op)
    return new_dropout(state, p, op)
end

function M.linear_forward(y, pre, x, w, bias, activation)
    check(C.bl_linear_forward(handle(), y, pre, x, w, bias, activation_code(activation)))
end

function M.linear_backward(dx, dw, dbias, dy, x, w, saved, activation)
    check(C.bl_linear_backward(handle(), dx, dw, dbias, dy, x, w, saved, activation_code(activation)))
end

function M.attention_forward(out, stats, qkv, segments, heads, max_length, scale, dropout)
    check(C.bl_attention_forward(handle(), out, stats, qkv, segments, heads, max_length, scale, dropout))
end

function M.attention_backward(dqkv, dout, out, stats, qkv, segments, heads, max_length, scale, dropout)
    check(C.bl_attention_backward(handle(), dqkv, dout, out, stats, qkv, segments, heads, max_length, scale, dropout))
end

function M.layernorm_forward(y, z, mean, rstd, x, residual, gamma, beta, eps, dropout)
    check(C.bl_layernorm_forward(handle(), y, z, mean, rstd, x, residual, gamma, beta, eps, dropout))
end

function M.layernorm_backward(dx, dresidual, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout)
    check(C.bl_layernorm_backward(handle(), dx, dresidual, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout))
end

function M.embedding_forward(y, mean, rstd, word, position, type, ids, positions, types, gamma, beta, eps, dropout)
    check(C.bl_embedding_forward(handle(), y, mean, rstd, word, position, type, ids, positions, types, gamma, beta, eps,
        dropout))
end

function M.embedding_backward(dword, dposition, dtype, dgamma, dbeta, dy, mean, rstd, word, position, type, ids,
                              positions, types, gamma, dropout)
    check(C.bl_embedding_backward(handle(), dword, dposition, dtype, dgamma, dbeta, dy, mean, rstd, word, position,
        type, ids, positions, types, gamma, dropout))
end

function M.gather_forward(y, x, index)
    check(C.bl_gather_forward(handle(), y, x, index))
end

function M.gather_backward(dx, dy, index)
    check(C.bl_gather_backward(handle(), dx, dy, index))
end

function M.cross_entropy_forward(loss, lse, correct, logits, labels, classes)
    check(C.bl_cross_entropy_forward(handle(), loss, lse, correct, logits, labels, classes))
end

function M.cross_entropy_backward(dlogits, logits, labels, lse, dloss, classes)
    check(C.bl_cross_entropy_backward(handle(), dlogits, logits, labels, lse, dloss, classes))
end

function M.span_loss_forward(loss, lse, logits, segments, starts, ends)
    check(C.bl_span_loss_forward(handle(), loss, lse, logits, segments, starts, ends))
end

function M.span_loss_backward(dlogits, logits, segments, starts, ends, lse, dloss)
    check(C.bl_span_loss_backward(handle(), dlogits, logits, segments, starts, ends, lse, dloss))
end

function M.gelu_forward(y, x)
    check(C.bl_gelu_forward(handle(), y, x))
end

function M.gelu_backward(dx, dy, x)
    check(C.bl_gelu_backward(handle(), dx, dy, x))
end

function M.tanh_forward(y, x)
    check(C.bl_tanh_forward(handle(), y, x))
end

function M.tanh_backward(dx, dy, y)
    check(C.bl_tanh_backward(handle(), dx, dy, y))
end

function M.dropout_forward(y, x, dropout)
    check(C.bl_dropout_forward(handle(), y, x, dropout))
end

function M.dropout_backward(dx, dy, dropout)
    check(C.bl_dropout_backward(handle(), dx, dy, dropout))
end

function M.axpby(y, x, a, b)
    check(C.bl_axpby(handle(), y, x, a, b))
end

function M.softmax(y, x)
    check(C.bl_softmax(handle(), y, x))
end

function M.softmax_backward(dx, dy, y)
    check(C.bl_softmax_backward(handle(), dx, dy, y))
end

function M.log_softmax_forward(y, x)
    check(C.bl_log_softmax_forward(handle(), y, x))
end

function M.log_softmax_backward(dx, dy, y)
    check(C.bl_log_softmax_backward(handle(), dx, dy, y))
end

--- @param accumulate true adds to y
function M.matmul(y, a, b, accumulate)
    check(C.bl_matmul(handle(), y, a, b, accumulate or false))
end

function M.rmsnorm_forward(y, rstd, x, gamma, eps)
    check(C.bl_rmsnorm_forward(handle(), y, rstd, x, gamma, eps))
end

function M.rmsnorm_backward(dx, dgamma, dy, x, rstd, gamma)
    check(C.bl_rmsnorm_backward(handle(), dx, dgamma, dy, x, rstd, gamma))
end

--- @param gate "sigmoid", "gelu", "gelu_tanh", "silu" or "relu"
function M.glu_forward(y, x, gate)
    check(C.bl_glu_forward(handle(), y, x, gate_code(gate)))
end

function M.glu_backward(dx, dy, x, gate)
    check(C.bl_glu_backward(handle(), dx, dy, x, gate_code(gate)))
end

function M.rotary(y, x, positions, heads, base, inverse)
    check(C.bl_rotary(handle(), y, x, positions, heads, base, inverse or false))
end

--- y f32 [1] = reduction of all elements of x.
-- @param reduction "sum", "mean", "max", "min" or "norm"
function M.reduce(y, x, reduction)
    local code = REDUCTION[reduction]
    if not code then
        error(("reduction is %s, expected sum, mean, max, min or norm"):format(tostring(reduction)), 2)
    end
    check(C.bl_reduce(handle(), y, x, code))
end

function M.topk(values, indices, x, k)
    check(C.bl_topk(handle(), values, indices, x, k))
end

function M.copy(dst, src)
    check(C.bl_copy(handle(), dst, src))
end

function M.fill(t, value)
    check(C.bl_fill(handle(), t, value))
end

function M.fill_normal(t, mean, std, seed, stream)
    check(C.bl_fill_normal(handle(), t, mean, std, seed, stream))
end

function M.fill_uniform(t, low, high, seed, stream)
    check(C.bl_fill_uniform(handle(), t, low, high, seed, stream))
end

return M
