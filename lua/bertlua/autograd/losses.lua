--- Losses composed of the functions beside this file, each f32 and computed in f32 whatever its inputs are.
--
-- Part of F (functional.lua). A user's own loss is written like these.

local E = require "bertlua.autograd.elementwise"
local R = require "bertlua.autograd.reductions"
local operand = require "bertlua.autograd.operand"

local L = {}

local describe, dimension = operand.describe, operand.dimension

-- Two inputs as variables, and in f32.
local function widen(tape, x, y, what)
    x, y = operand.variable(tape, x, what, 3), operand.variable(tape, y, what, 3)
    return x, y, E.cast(tape, x, "f32"), E.cast(tape, y, "f32")
end

-- In inference what a loss has made is freed after its last use (Tape:free); what it was given stays.
local function free_cast(tape, x, wide)
    if wide ~= x then tape:free(wide) end
end

--- Mean of (x - y)^2 over all elements, f32 [1], computed in f32.
-- @param x, y variables, or a tensor as one of them; they broadcast
function L.mse_loss(tape, x, y)
    local wide_x, wide_y
    x, y, wide_x, wide_y = widen(tape, x, y, "mse_loss")
    operand.broadcast(x, y, "mse_loss", 2)
    local difference = E.sub(tape, wide_x, wide_y)
    free_cast(tape, x, wide_x)
    free_cast(tape, y, wide_y)
    local square = E.pow(tape, difference, 2)
    tape:free(difference)
    local loss = R.mean(tape, square)
    tape:free(square)
    return loss
end

--- Mean binary cross-entropy of scores with targets, f32 [1], computed in f32: PyTorch's BCEWithLogitsLoss, the mean of
-- max(x, 0) - x * y + log(1 + e^-|x|) over all elements.
-- @param x scores: variable, any numbers
-- @param y targets from 0 to 1: variable or tensor of the same shape
function L.binary_cross_entropy(tape, x, y)
    local wide_x, wide_y
    x, y, wide_x, wide_y = widen(tape, x, y, "binary_cross_entropy")
    if not operand.same_dims(x.dims, y.dims) then
        error(("binary_cross_entropy: x is %s, y is %s, expected one shape"):format(describe(x), describe(y)), 2)
    end
    local size = E.abs(tape, wide_x)
    -- max(x, 0) as (x + |x|) / 2: so the gradient at 0 is that of the whole, 1/2 - y.
    local twice = E.add(tape, wide_x, size)
    local positive = E.affine(tape, twice, 0.5, 0)
    tape:free(twice)
    local negative = E.neg(tape, size)
    tape:free(size)
    local power = E.exp(tape, negative)
    tape:free(negative)
    local above = E.affine(tape, power, 1, 1)
    tape:free(power)
    local rest = E.log(tape, above)
    tape:free(above)
    local product = E.mul(tape, wide_x, wide_y)
    free_cast(tape, x, wide_x)
    free_cast(tape, y, wide_y)
    local right = E.sub(tape, positive, product)
    tape:free(positive)
    tape:free(product)
    local each = E.add(tape, right, rest)
    tape:free(right)
    tape:free(rest)
    local loss = R.mean(tape, each)
    tape:free(each)
    return loss
end

--- Kullback-Leibler divergence sum(p * (log p - log q)), divided by the size of the first dimension: f32 [1], computed
-- in f32. To distil, p is the teacher's, q the student's.
-- @param log_p, log_q variables of one shape [B,...,K], normalised along the last dimension as F.log_softmax does
function L.kl_div(tape, log_p, log_q)
    local wide_p, wide_q
    log_p, log_q, wide_p, wide_q = widen(tape, log_p, log_q, "kl_div")
    if not operand.same_dims(log_p.dims, log_q.dims) then
        error(("kl_div: log_p is %s, log_q is %s, expected one shape"):format(describe(log_p), describe(log_q)), 2)
    end
    local p, difference = E.exp(tape, wide_p), E.sub(tape, wide_p, wide_q)
    free_cast(tape, log_p, wide_p)
    free_cast(tape, log_q, wide_q)
    local product = E.mul(tape, p, difference)
    tape:free(p)
    tape:free(difference)
    local total = R.sum(tape, product)
    tape:free(product)
    local loss = E.affine(tape, total, 1 / wide_p.dims[1], 0)
    tape:free(total)
    return loss
end

local EPSILON = 1e-8

local function norm(tape, x, dim)
    local square = E.pow(tape, x, 2)
    local sum = R.sum(tape, square, dim)
    tape:free(square)
    -- Below the smallest norm the gradient is 0, not 0 / 0.
    local bounded = E.maximum(tape, sum, EPSILON ^ 2)
    tape:free(sum)
    local root = E.sqrt(tape, bounded)
    tape:free(bounded)
    return root
end

--- sum(x * y) / (max(|x|, 1e-8) * max(|y|, 1e-8)) along a dimension, f32, computed in f32.
-- @param x, y variables that broadcast, of one size along the dimension
-- @param dim from 1, or from -1 backwards (default: the last)
function L.cosine_similarity(tape, x, y, dim)
    local given_x, given_y
    given_x, given_y, x, y = widen(tape, x, y, "cosine_similarity")
    operand.broadcast(x, y, "cosine_similarity", 2)
    -- Counted from the last, since one of them may have fewer dimensions.
    local longer = #x.dims >= #y.dims and x or y
    dim = dimension(longer, dim or -1, "cosine_similarity", 2) - #longer.dims - 1
    if x.dims[#x.dims + 1 + dim] ~= y.dims[#y.dims + 1 + dim] then
        error(("cosine_similarity: x is %s, y is %s, expected one size along the dimension"):format(describe(x),
            describe(y)), 2)
    end
    local product = E.mul(tape, x, y)
    local dot = R.sum(tape, product, dim)
    tape:free(product)
    local norm_x, norm_y = norm(tape, x, dim), norm(tape, y, dim)
    free_cast(tape, given_x, x)
    free_cast(tape, given_y, y)
    local norms = E.mul(tape, norm_x, norm_y)
    tape:free(norm_x)
    tape:free(norm_y)
    local cosine = E.div(tape, dot, norms)
    tape:free(dot)
    tape:free(norms)
    return cosine
end

return L
