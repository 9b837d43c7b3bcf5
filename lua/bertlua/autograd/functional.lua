--- The fused ops of a BERT encoder as differentiable functions on a tape.
--
-- Every function takes the tape first, then variables (see tape.lua), then
-- parameters, then plain settings, and returns a new variable. Parameters are
-- entries of a ParameterStore: `compute` is what ops read (f32, or the
-- low-precision copy), `grad` the f32 gradient that ops accumulate into;
-- biases and LayerNorm parameters are read from `value` (always f32), except
-- the biases of linear layers on a GPU, which adds their `rounded` copy. The
-- formulas and shapes are in engine/api/ops.h; this file only wires up memory
-- and gradients. T rows, H hidden, N outputs, K inputs, M gathered rows.
--
-- An op that reads x in its backward and has parameters (record with `true`)
-- sets x.disposable = nil; one whose backward does not read its own output sets
-- y.disposable = true: the next op may then work in that memory (Tape:take).
--
-- The gradient of a linear layer's bias is that of its output, summed over rows, and what computes the latter can sum
-- it on the way: F.linear sets y.sums_wanted where its bias learns, and an op that can asks tape:sums_like(x). With
-- "gelu_tanh" that is the gradient by y.pre, what GELU was applied to, which a linear layer behind can compute at once.
--
-- A frozen parameter has no `grad`: ops get nil in its place and skip the work. An
-- op that nobody wants a gradient of (Tape:learns) keeps nothing and is not recorded.
--
-- A function has the name of its op, which is also the name of the op's files
-- in engine/ops, engine/cpu, engine/cuda and spec/engine/ops; gelu, tanh and
-- dropout are in those called elementwise. Each takes 10 to 40 lines, so they
-- share this file. F also holds the functions of the files beside it (FAMILIES).

local device = require "bertlua.device"
local ops = require "bertlua.ops"

local F = {}

local function linear_backward(tape, node)
    local x, y, weight, bias = node.x, node.output, node.weight, node.bias
    local activation, saved = node.activation, node[1]
    if activation == "tanh" then saved = y.value end
    if y.grad_by_pre then activation, saved = "none", nil end
    local before = tape:gradient_to_extend(x)
    local dx = before or tape:gradient_like(x)
    local by_pre = dx and x.pre and not x.grad
    local dx_sums = by_pre and tape:sums_like(x, true) or nil
    ops.linear_backward(dx, weight.grad, bias and bias.grad, y.grad, x.value, weight.compute, saved, activation,
        node.fresh, y.grad_sums, by_pre and x.pre or nil, dx_sums, before ~= nil)
    if not before then tape:accumulate(x, dx, dx_sums, by_pre) end
end

--- y = activation(x weight^T + bias).
-- @param x [T,K]
-- @param weight parameter [N,K]
-- @param bias parameter [N], or nil
-- @param activation "none" (default), "gelu" (erf form), "gelu_tanh" (GELU in its tanh form) or "tanh"
-- @return y [T,N] in x's dtype
function F.linear(tape, x, weight, bias, activation)
    activation = activation or "none"
    local input = tape:value_of(x)
    local dims = { x.dims[1], weight.dims[1] }
    local y = tape:variable(x.dtype, dims)
    local learns = tape:learns(x, weight, bias)
    local is_gelu = activation == "gelu" or activation == "gelu_tanh"
    local pre = is_gelu and learns and tape:tensor(x.dtype, dims) or nil
    local added = bias and (device.is_host() and bias.value or bias.rounded or bias.value)
    ops.linear_forward(y.value, pre, input, weight.compute, added, activation)
    tape:record(y, learns, {
        backward = linear_backward, writes_gradients = true, x = x, weight = weight, bias = bias,
        activation = activation, pre,
    })
    x.disposable = nil
    y.disposable = activation ~= "tanh"
    y.sums_wanted = (activation == "none" or activation == "gelu_tanh") and bias and bias.grad and true
    if activation == "gelu_tanh" then y.pre = pre end
    return y
end

local function attention_backward(tape, node)
    local qkv, y = node.x, node.output
    local dqkv, sums = tape:gradient_like(qkv), tape:sums_like(qkv)
    ops.attention_backward(dqkv, y.grad, y.value, node[1], node[2], qkv.value, node.segments, node.heads,
        node.max_length, node.scale, node.dropout, sums)
    tape:accumulate(qkv, dqkv, sums)
end

--- Multi-head self-attention within each segment.
-- @param qkv [T,3H]: queries, keys and values side by side
-- @param segments i32 [B,2]: first row and length of each sequence
-- @param heads number of heads
-- @param max_length length of the longest possible sequence
-- @param p dropout probability of the attention weights
-- @return [T,H]
function F.attention(tape, qkv, segments, heads, max_length, p)
    local input = tape:value_of(qkv)
    local hidden = qkv.dims[2] / 3
    local y = tape:variable(qkv.dtype, { qkv.dims[1], hidden })
    local scale = 1 / math.sqrt(hidden / heads)
    local dropout = tape:dropout(p)
    local stats, kept
    if tape:learns(qkv) then
        local sequences, words = segments:dims()[1], dropout and ops.attention_kept_words(max_length) or 0
        stats = tape:tensor("f32", { sequences, heads, max_length })
        kept = words > 0 and tape:tensor("i32", { sequences, heads, words }) or nil
    end
    ops.attention_forward(y.value, stats, kept, input, segments, heads, max_length, scale, dropout)
    return tape:record(y, qkv, {
        backward = attention_backward, x = qkv, segments = segments, heads = heads, max_length = max_length,
        scale = scale, dropout = dropout, stats, kept,
    })
end

local function layernorm_backward(tape, node)
    local x, residual, y = node.x, node.residual, node.output
    local z, mean, rstd = node[1], node[2], node[3]
    local gamma, beta, dy = node.gamma, node.beta, y.grad
    local dx = tape:gradient_like(x)
    local sums = dx and tape:sums_like(x)
    -- The residual's gradient reuses dy's memory: nothing else reads dy.
    local dresidual = residual and residual.needs_grad and dy or nil
    ops.layernorm_backward(dx, dresidual, gamma.grad, beta.grad, dy, z, mean, rstd, gamma.value, node.dropout, sums)
    tape:accumulate(x, dx, sums)
    if dresidual then tape:pass_gradient(y, residual) end
end

--- y = layernorm(dropout(x) + residual) * gamma + beta.
-- Where possible, the sum is kept in x's memory for the backward pass.
-- @param x [T,H]
-- @param residual [T,H] or nil
-- @param gamma, beta parameters [H]
-- @param eps added to the variance
-- @param p dropout probability
function F.layernorm(tape, x, residual, gamma, beta, eps, p)
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    local z, mean, rstd
    local learns = tape:learns(x, residual, gamma, beta)
    if learns then
        z = residual ~= x and tape:take(x, "layernorm") or tape:tensor(x.dtype, x.dims)
        mean, rstd = tape:tensor("f32", { x.dims[1] }), tape:tensor("f32", { x.dims[1] })
    end
    local dropout = tape:dropout(p)
    ops.layernorm_forward(y.value, z, mean, rstd, input, residual and tape:value_of(residual), gamma.value,
        beta.value, eps, dropout)
    y.disposable = true
    return tape:record(y, learns, {
        backward = layernorm_backward, x = x, residual = residual, gamma = gamma, beta = beta, dropout = dropout,
        z, mean, rstd,
    })
end

local function embedding_backward(_, node)
    local word, position, kind, gamma, beta = node.word, node.position, node.type, node.gamma, node.beta
    local batch = node.batch
    ops.embedding_backward(word.grad, position.grad, kind.grad, gamma.grad, beta.grad, node.output.grad, node[1],
        node[2], word.compute, position.compute, kind.compute, batch.ids, batch.positions, batch.types, gamma.value,
        node.dropout)
end

--- y = dropout(layernorm(word[ids] + position[positions] + type[types])).
-- @param batch table with ids, positions, types: i32 [T]
-- @param tables {word=, position=, type=, gamma=, beta=} parameters
-- @return [T,H] in the tables' dtype
function F.embedding(tape, batch, tables, eps, p)
    local word = tables.word
    local rows = batch.ids:dims()[1]
    local y = tape:variable(word.compute:dtype_name(), { rows, word.dims[2] })
    local learns = tape:learns(word, tables.position, tables.type, tables.gamma, tables.beta)
    local mean, rstd
    if learns then mean, rstd = tape:tensor("f32", { rows }), tape:tensor("f32", { rows }) end
    local dropout = tape:dropout(p)
    ops.embedding_forward(y.value, mean, rstd, word.compute, tables.position.compute, tables.type.compute, batch.ids,
        batch.positions, batch.types, tables.gamma.value, tables.beta.value, eps, dropout)
    return tape:record(y, learns, {
        backward = embedding_backward, batch = batch, word = word, position = tables.position, type = tables.type,
        gamma = tables.gamma, beta = tables.beta, dropout = dropout, mean, rstd,
    })
end

local function gather_backward(tape, node)
    local x = node.x
    local dx = tape:gradient_like(x)
    ops.gather_backward(dx, node.output.grad, node.index)
    tape:accumulate(x, dx)
end

--- y = rows of x [T,H] at index i32 [M].
function F.gather(tape, x, index)
    local input = tape:value_of(x)
    local y = tape:variable(x.dtype, { index:dims()[1], x.dims[2] })
    ops.gather_forward(y.value, input, index)
    y.disposable = true
    return tape:record(y, x, { backward = gather_backward, x = x, index = index })
end

local function segment_mean_backward(tape, node)
    local x = node.x
    local dx = tape:gradient_like(x)
    ops.segment_mean_backward(dx, node.output.grad, node.segments)
    tape:accumulate(x, dx)
end

--- Mean of the rows of each sequence: mean pooling.
-- @param x [T,H]
-- @param segments i32 [B,2] {first row, length}; no row is in two of them
-- @return variable [B,H]; 0 where the length is 0
function F.segment_mean(tape, x, segments)
    local input = tape:value_of(x)
    local y = tape:variable(x.dtype, { segments:dims()[1], x.dims[2] })
    ops.segment_mean_forward(y.value, input, segments)
    y.disposable = true
    return tape:record(y, x, { backward = segment_mean_backward, x = x, segments = segments })
end

local function cross_entropy_backward(tape, node)
    local x = node.x
    -- The gradient reuses the logits' memory, unless something else owns or reads them.
    local dx = node.in_place and x.value or tape:gradient_like(x)
    ops.cross_entropy_backward(dx, x.value, node.labels, node[1], node.output.grad, node.classes)
    if node.in_place then x.value, x.gone = nil, "cross_entropy's gradient took its memory" end
    tape:accumulate(x, dx)
end

--- Mean cross-entropy over the rows whose label is not -1.
-- @param logits [M,V]
-- @param labels i32 [M]
-- @param classes number of valid columns (default V)
-- @param out {loss=, correct=}: f32 [1] tensors for the results (default: in the arena; `correct`, the
--   fraction of counted rows that are right, is computed only if given)
-- @return the loss, f32 [1]
function F.cross_entropy(tape, logits, labels, classes, out)
    local input = tape:value_of(logits)
    local loss = out and out.loss and tape:input(out.loss) or tape:variable("f32", { 1 })
    local in_place = logits.disposable and logits.needs_grad
    local lse = tape:tensor("f32", { logits.dims[1] })
    ops.cross_entropy_forward(loss.value, lse, out and out.correct, input, labels, classes or logits.dims[2])
    if not (tape.recording and logits.needs_grad) then
        tape.arena:release(lse)
        lse = nil
    end
    return tape:record(loss, logits, {
        backward = cross_entropy_backward, x = logits, labels = labels, classes = classes or logits.dims[2],
        in_place = in_place, lse,
    })
end

local function span_loss_backward(tape, node)
    local x = node.x
    local dx = tape:gradient_like(x)
    ops.span_loss_backward(dx, x.value, node.segments, node.starts, node.ends, node[1], node.output.grad)
    tape:accumulate(x, dx)
end

--- Loss of extractive question answering: (CE(start) + CE(end)) / 2.
-- @param logits [T,2]: start and end
-- @param segments i32 [B,2]
-- @param starts, ends i32 [B], relative to the segment
-- @param out {loss=} as for cross_entropy
function F.span_loss(tape, logits, segments, starts, ends, out)
    local input = tape:value_of(logits)
    local loss = out and out.loss and tape:input(out.loss) or tape:variable("f32", { 1 })
    local lse = tape:tensor("f32", { segments:dims()[1], 2 })
    ops.span_loss_forward(loss.value, lse, input, segments, starts, ends)
    if not (tape.recording and logits.needs_grad) then
        tape.arena:release(lse)
        lse = nil
    end
    return tape:record(loss, logits, {
        backward = span_loss_backward, x = logits, segments = segments, starts = starts, ends = ends, lse,
    })
end

local function gelu_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.gelu_backward(dx, node.output.grad, node.x.value)
    tape:accumulate(node.x, dx)
end

--- y = gelu(x), the erf form.
function F.gelu(tape, x)
    local y = tape:variable_like(x)
    ops.gelu_forward(y.value, tape:value_of(x))
    return tape:record(y, x, { backward = gelu_backward, x = x })
end

local function tanh_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.tanh_backward(dx, node.output.grad, node.output.value)
    tape:accumulate(node.x, dx)
end

--- y = tanh(x).
function F.tanh(tape, x)
    local y = tape:variable_like(x)
    ops.tanh_forward(y.value, tape:value_of(x))
    return tape:record(y, x, { backward = tanh_backward, x = x })
end

local function dropout_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.dropout_backward(dx, node.output.grad, node.dropout)
    tape:accumulate(node.x, dx)
end

--- y = x with each element zeroed with probability p and the rest scaled by 1 / (1 - p); x itself if dropout is off.
function F.dropout(tape, x, p)
    local dropout = tape:dropout(p)
    if not dropout then return x end
    local y = tape:variable_like(x)
    ops.dropout_forward(y.value, tape:value_of(x), dropout)
    return tape:record(y, x, { backward = dropout_backward, x = x, dropout = dropout })
end

--- Files whose functions are functions of F, each name once.
local FAMILIES = {
    require "bertlua.autograd.custom",
    require "bertlua.autograd.elementwise",
    require "bertlua.autograd.losses",
    require "bertlua.autograd.products",
    require "bertlua.autograd.reductions",
    require "bertlua.autograd.shapes",
}
for _, family in ipairs(FAMILIES) do
    for name, f in pairs(family) do
        if F[name] then error("functional: " .. name .. " is in two files") end
        F[name] = f
    end
end

return F
