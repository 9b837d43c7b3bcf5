--- Gradients of an update's first micro-step: what they hold is not read, so what is written anyway need not be 0.
--
-- The first use of a parameter that the backward pass comes to, if it is in a linear layer, writes its gradient, while
-- later ones add: in BERT that is every matrix, the table of words (the decoder is the first to use it) and the biases.
-- All other gradients are set to 0 before. Sums begin at 0 either way, so the bits are the same.

local ops = require "bertlua.ops"

local M = {}

-- Where in the store's buffers gradients have been seen.
local Seen = {}
Seen.__index = Seen

--- Whether another gradient has a place in common with this one; joint parameters span several.
function Seen:overlaps(parameter)
    local begin, stop = parameter.offset, parameter.offset + parameter.numel
    for i = 1, self.count do
        if self.begins[i] < stop and self.stops[i] > begin then return true end
    end
    return false
end

--- Remember a place.
function Seen:add(parameter)
    local n = self.count + 1
    self.count = n
    self.begins[n], self.stops[n] = parameter.offset, parameter.offset + parameter.numel
end

--- Whether a linear layer's node comes first to all of its gradients.
local function writes(store, seen, weight, bias)
    if not (weight.grad and store.members[weight]) or seen:overlaps(weight) then return false end
    return not (bias and bias.grad) or store.members[bias] and not seen:overlaps(bias)
end

local function add_parameters(store, seen, node)
    local function add(value)
        local counts = type(value) == "table" and value.is_parameter and value.grad and store.members[value]
        if counts then seen:add(value) end
    end
    for _, value in pairs(node) do add(value) end
    for _, parameter in ipairs(node.parameters or {}) do add(parameter) end
end

--- Set to 0 what lies between the gradients that are written.
local function zero_others(store, written)
    local covered, first, last = 0, nil, nil
    local function flush()
        if first then ops.fill(store.grad:slice(1, first + 1, last), 0) end
        first = nil
    end
    for _, entry in ipairs(store.order) do
        if written[entry.offset] then
            flush()
            covered = entry.offset + written[entry.offset]
        elseif entry.offset >= covered then
            first = first or entry.offset
            last = entry.offset + entry.numel
        end
    end
    flush()
end

--- Before the walk: mark the nodes that write gradients with `fresh`, and set all other gradients to 0.
-- @param store ParameterStore with gradients
-- @param nodes, count of the tape
function M.prepare(store, nodes, count)
    local seen, written = setmetatable({ begins = {}, stops = {}, count = 0 }, Seen), {}
    for i = count, 1, -1 do
        local node = nodes[i]
        if node.writes_gradients and writes(store, seen, node.weight, node.bias) then
            node.fresh = true
            written[node.weight.offset] = node.weight.numel
            if node.bias and node.bias.grad then written[node.bias.offset] = node.bias.numel end
        end
        add_parameters(store, seen, node)
    end
    zero_others(store, written)
end

--- A node that nobody has a gradient for: the gradients that it would have written are 0.
function M.skip(node)
    node.fresh = nil
    ops.fill(node.weight.grad, 0)
    if node.bias and node.bias.grad then ops.fill(node.bias.grad, 0) end
end

return M
