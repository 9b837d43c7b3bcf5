--- The engine's ops: one function each, with the arguments of engine/api/ops.h without the context.
--
-- Outputs first, then inputs, then scalars; nil where the header allows NULL, at the end left out.
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

local ACTIVATION = { none = 0, gelu = 1, tanh = 2, gelu_tanh = 3 }
local UNARY = {
    neg = 0, exp = 1, log = 2, sqrt = 3, abs = 4, relu = 5, silu = 6, gelu_tanh = 7, sigmoid = 8, pow = 9,
    exponential = 10, reciprocal = 11, clamp_min = 12, clamp_max = 13,
}
local NEEDS_NUMBER = { pow = true, exponential = true, reciprocal = true, clamp_min = true, clamp_max = true }
local BINARY = { add = 0, sub = 1, mul = 2, div = 3, pow = 4, maximum = 5, minimum = 6 }
local COMPARISON = { eq = 0, ne = 1, lt = 2, le = 3, gt = 4, ge = 5 }
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
    if not code then error(("activation is %s, expected none, gelu, gelu_tanh or tanh"):format(tostring(name)), 3) end
    return code
end

local function along_code(name)
    local code = REDUCTION[name]
    if not code or name == "norm" then
        error(("reduction is %s, expected sum, mean, max or min"):format(tostring(name)), 3)
    end
    return code
end

-- The code of a name, and an error at the caller's caller for any other.
local function code_of(codes, what, name)
    local code = codes[name]
    if not code then
        local names = {}
        for known, number in pairs(codes) do names[number + 1] = known end
        error(("%s is %s, expected %s"):format(what, tostring(name), table.concat(names, ", ")), 3)
    end
    return code
end

local function unary_code(kind, a)
    local code = UNARY[kind]
    if not code then code_of(UNARY, "kind", kind) end
    if NEEDS_NUMBER[kind] and type(a) ~= "number" then
        error(("%s: a is %s, expected a number"):format(kind, tostring(a)), 3)
    end
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

-- @param fresh true: dw and dbias are written; otherwise they are added to
-- @param dy_sums, x_pre, dx_sums sums that other ops give and take, and the input of GELU before; see the header
-- @param add_to_dx true: dx is added to; otherwise it is written
function M.linear_backward(dx, dw, dbias, dy, x, w, saved, activation, fresh, dy_sums, x_pre, dx_sums, add_to_dx)
    check(C.bl_linear_backward(handle(), dx, dw, dbias, dy, x, w, saved, activation_code(activation), not fresh,
        dy_sums, x_pre, dx_sums, add_to_dx or false))
end

--- Weights made ready for packed_linear_forward; they are freed when they are collected.
-- @param w act or i8 [N,K]
-- @param[opt] scales f32 [N], of an i8 w
-- @return a handle; nil where packing gains nothing on this CPU and w itself is to be used
function M.pack(w, scales)
    local out, on = ffi.new "bl_packed *[1]", handle()
    check(C.bl_pack(on, out, w, scales))
    if out[0] == nil then return nil end
    return ffi.gc(out[0], function(packed) C.bl_packed_free(on, packed) end)
end

--- N, K, the dtype of x, and whether products are of integers.
function M.packed_shape(packed)
    local shape, dtype, integers = ffi.new "int64_t[2]", ffi.new "int32_t[1]", ffi.new "bool[1]"
    C.bl_packed_shape(handle(), packed, shape, dtype, integers)
    return tonumber(shape[0]), tonumber(shape[1]), bl.DTYPE_NAME[dtype[0]], integers[0]
end

function M.packed_linear_forward(y, x, packed, bias, activation)
    check(C.bl_packed_linear_forward(handle(), y, x, packed, bias, activation_code(activation)))
end

function M.attention_forward(out, stats, kept, qkv, segments, heads, max_length, scale, dropout)
    check(C.bl_attention_forward(handle(), out, stats, kept, qkv, segments, heads, max_length, scale, dropout))
end

function M.attention_backward(dqkv, dout, out, stats, kept, qkv, segments, heads, max_length, scale, dropout, sums)
    check(C.bl_attention_backward(handle(), dqkv, dout, out, stats, kept, qkv, segments, heads, max_length, scale,
        dropout, sums))
end

--- Words of a sequence and head in `kept`, i32 [B,A,words], which the forward of attention leaves for the backward
-- where it drops; 0 where there is none.
function M.attention_kept_words(max_length)
    return tonumber(C.bl_attention_kept_words(handle(), max_length))
end

function M.layernorm_forward(y, z, mean, rstd, x, residual, gamma, beta, eps, dropout)
    check(C.bl_layernorm_forward(handle(), y, z, mean, rstd, x, residual, gamma, beta, eps, dropout))
end

function M.layernorm_backward(dx, dresidual, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout, sums)
    check(C.bl_layernorm_backward(handle(), dx, dresidual, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout, sums))
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

function M.segment_mean_forward(y, x, segments)
    check(C.bl_segment_mean_forward(handle(), y, x, segments))
end

function M.segment_mean_backward(dx, dy, segments)
    check(C.bl_segment_mean_backward(handle(), dx, dy, segments))
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

--- y = f(x) of each element.
-- @param kind "neg", "exp", "log", "sqrt", "abs", "relu", "silu", "gelu_tanh", "sigmoid", or with a number a: "pow"
--   (x^a), "exponential" (a^x), "reciprocal" (a / x), "clamp_min", "clamp_max"
function M.unary_forward(y, x, kind, a)
    check(C.bl_unary_forward(handle(), y, x, unary_code(kind, a), a or 0))
end

function M.unary_backward(dx, dy, x, y, kind, a)
    check(C.bl_unary_backward(handle(), dx, dy, x, y, unary_code(kind, a), a or 0))
end

function M.affine(y, x, a, b)
    check(C.bl_affine(handle(), y, x, a, b))
end

--- y = a kind b, with broadcasting.
-- @param kind "add", "sub", "mul", "div", "pow", "maximum" or "minimum"
function M.binary(y, a, b, kind)
    check(C.bl_binary(handle(), y, a, b, BINARY[kind] or code_of(BINARY, "kind", kind)))
end

function M.binary_backward(da, db, dy, a, b, kind)
    check(C.bl_binary_backward(handle(), da, db, dy, a, b, BINARY[kind] or code_of(BINARY, "kind", kind)))
end

--- mask i8 = 1 where a kind b, else 0, with broadcasting.
-- @param kind "eq", "ne", "lt", "le", "gt" or "ge"
function M.compare(mask, a, b, kind)
    check(C.bl_compare(handle(), mask, a, b, COMPARISON[kind] or code_of(COMPARISON, "kind", kind)))
end

function M.where(y, mask, a, b)
    check(C.bl_where(handle(), y, mask, a, b))
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

--- y = reduction of x along the dimensions where y has size 1.
-- @param reduction "sum", "mean", "max" or "min"
function M.reduce_dims(y, x, reduction)
    check(C.bl_reduce_dims(handle(), y, x, along_code(reduction)))
end

function M.reduce_dims_backward(dx, dy, x, y, reduction)
    check(C.bl_reduce_dims_backward(handle(), dx, dy, x, y, along_code(reduction)))
end

--- index i32 = number, from 0, of the largest element along a dimension.
-- @param dim from 1
function M.argmax(index, x, dim)
    check(C.bl_argmax(handle(), index, x, dim - 1))
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
