--- Readback: losses and counters of the last steps, copied to pinned memory without waiting for the device.
--
-- A step takes a slot of a ring and queues copies of its scalars into it, followed
-- by an event. Whoever reads the slot waits for that event, which by then has
-- usually been reached.

local device = require "bertlua.device"

local Readback = {}
Readback.__index = Readback

--- @param options fields: names of the model's scalars; micro_steps of a step; counters: number of the optimizer's
--   scalars; depth: steps whose slots may be in use at once
function Readback.new(options)
    local fields, micro_steps = options.fields, options.micro_steps
    local values = micro_steps * #fields
    local stride = math.ceil((values + options.counters) * 4 / 64) * 64
    local self = setmetatable({ fields = fields, micro_steps = micro_steps, turn = 1, slots = {} }, Readback)
    self.memory = device.pinned(stride * options.depth, true)
    for i = 1, options.depth do
        local at = (i - 1) * stride
        local slot = {
            values = self.memory:tensor(at, "f32", { values }), micro = 0, reached = device.event(false, true),
            counters = self.memory:tensor(at + 4 * values, "f32", { options.counters }), cells = {},
        }
        for k = 1, values do slot.cells[k] = slot.values:slice(1, k, k) end
        self.slots[i] = slot
    end
    return self
end

--- The next slot of the ring, empty. Its previous contents are lost.
function Readback:take()
    local slot = self.slots[self.turn]
    self.turn = self.turn % #self.slots + 1
    slot.micro = 0
    return slot
end

--- Queue the copies of one micro-step's scalars.
-- @param result the model's scalars by name, tensors f32 [1] or variables of the tape
function Readback:add(slot, result)
    local first = slot.micro * #self.fields
    slot.micro = slot.micro + 1
    for i, field in ipairs(self.fields) do
        local scalar = result[field]
        if type(scalar) == "table" then scalar = scalar.value end
        device.download(slot.cells[first + i], scalar)
    end
end

--- Queue the copy of the optimizer's scalars; the slot is then complete.
function Readback.close(_, slot, counters)
    device.download(slot.counters, counters)
    slot.reached:record()
end

--- Wait for a slot.
-- @return sums over the micro-steps by field name; the counters as a list
function Readback:read(slot)
    slot.reached:wait()
    local values, sums = slot.values:tolist(), {}
    for i, field in ipairs(self.fields) do
        local sum = 0
        for micro = 0, slot.micro - 1 do sum = sum + values[micro * #self.fields + i] end
        sums[field] = sum
    end
    return sums, slot.counters:tolist()
end

return Readback
