--- What happens inside a BERT encoder: the output of every layer, the weights of every attention.

local F = require "bertlua.autograd.functional"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local M = {}

--- A tensor of its own, f32, of a variable's value.
local function copy_of(variable)
    local t = tensor.new("f32", variable.value:dims())
    ops.copy(t, variable.value)
    return t
end

--- Walk the layers.
-- @param visit(x, layer): called with the input of each layer, and at the end with the last output and nil
local function walk(bert, tape, batch, visit)
    tape:start(0, 0, false)
    local x = bert.embeddings:forward(tape, batch)
    for _, layer in ipairs(bert.encoder.layers) do
        visit(x, layer)
        local y = layer:forward(tape, x, batch)
        tape:free(x)
        x = y
    end
    visit(x, nil)
end

--- Outputs of the embeddings and of every layer.
-- @param bert BertModel
-- @param tape its current step is lost
-- @param batch of one sequence without padding
-- @return list of tensors f32 [T,H]
function M.hidden_states(bert, tape, batch)
    local list = {}
    walk(bert, tape, batch, function(x) list[#list + 1] = copy_of(x) end)
    return list
end

--- softmax(q k^T / sqrt(D)) of one head into a f32 [T,T] tensor.
-- @param qkv tensor [T,3H]
-- @param first last of the head's columns in each of the three parts
local function head_weights(tape, out, qkv, hidden, first, last)
    local rows, size = qkv:dims()[1], last - first + 1
    local dtype = qkv:dtype_name()
    local query = tape:tensor(dtype, { rows, size })
    local key, scaled = tape:tensor(dtype, { rows, size }), tape:tensor("f32", { rows, rows })
    ops.copy(query, qkv:slice(2, first, last))
    ops.copy(key, qkv:slice(2, hidden + first, hidden + last))
    ops.linear_forward(out, nil, query, key, nil)
    ops.axpby(scaled, out, 1 / math.sqrt(size), 0)
    ops.softmax(out, scaled)
    for _, t in ipairs { query, key, scaled } do tape.arena:release(t) end
end

--- Attention weights of every layer: row i of a head says how much token i takes from each token.
-- The fused attention that the model runs never holds them, so they are computed from the same queries and keys.
-- @param bert, tape, batch as above
-- @return list of tensors f32 [A,T,T]; each row sums to 1
function M.attention(bert, tape, batch)
    local list, heads, hidden = {}, bert.config.num_attention_heads, bert.config.hidden_size
    local size = hidden / heads
    walk(bert, tape, batch, function(x, layer)
        if not layer then return end
        local qkv = F.linear(tape, x, layer.attention.weight, layer.attention.bias)
        local weights = tensor.new("f32", { heads, batch.rows, batch.rows })
        for head = 1, heads do
            head_weights(tape, weights:select(head), qkv.value, hidden, (head - 1) * size + 1, head * size)
        end
        tape:free(qkv)
        list[#list + 1] = weights
    end)
    return list
end

return M
