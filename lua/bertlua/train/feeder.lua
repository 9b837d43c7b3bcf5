--- Feeder: brings batches from the loader's pinned memory to where ops read them, while the device computes.
--
--     loader fills pinned batch --copy stream--> slot --compute stream--> block, read by ops
--
-- There are two slots, so that copying one batch overlaps the computation on
-- the previous one, and one block, so that every batch is read at the same
-- addresses and a captured step can be replayed. Events order the three; the
-- host waits only where it would overwrite a pinned batch that has not been
-- copied yet (Batch:begin). Where ops read host memory, a batch is used as is.

local device = require "bertlua.device"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local Feeder = {}
Feeder.__index = Feeder

--- A feeder for the current context; it allocates its memory when the first batch arrives.
function Feeder.new()
    return setmetatable({ host = device.is_host(), turn = 1 }, Feeder)
end

local function allocate(self, bytes)
    self.bytes, self.slots = bytes, {}
    self.buffer = memory.buffer(3 * bytes)
    self.block = self.buffer:tensor(0, "i32", { bytes / 4 })
    for i = 1, 2 do
        self.slots[i] = { block = self.buffer:tensor(i * bytes, "i32", { bytes / 4 }), taken = device.event() }
        -- New memory is cleared on the compute stream: the first copy must not overtake that.
        self.slots[i].taken:record "compute"
    end
end

--- The batch as ops may read it, until the next call.
-- @param batch of a loader: its tensors, their names in `tensors`, pinned (all of its memory as i32, a multiple of 64
--   bytes) and fence (an event); one without pinned memory is already on the device and used as is
function Feeder:load(batch)
    local pinned = batch.pinned
    if self.host or not pinned then return batch end
    local bytes = pinned:numel() * 4
    if bytes ~= self.bytes then
        self:free()
        allocate(self, bytes)
    end
    local slot = self.slots[self.turn]
    self.turn = 3 - self.turn
    slot.taken:hold "copy"
    device.upload(slot.block, pinned, "copy")
    batch.fence:record "copy"
    batch.fence:hold "compute"
    ops.copy(self.block, slot.block)
    slot.taken:record "compute"
    local there = {}
    for name, value in pairs(batch) do there[name] = value end
    for _, name in ipairs(batch.tensors) do there[name] = device.mirror(batch[name], pinned, self.block) end
    return there
end

--- Free the memory, once the device is done with it.
function Feeder:free()
    if not self.slots then return end
    for _, slot in ipairs(self.slots) do
        slot.taken:wait()
        slot.taken:free()
    end
    self.buffer:free()
    self.slots, self.buffer, self.block, self.bytes = nil, nil, nil, nil
end

return Feeder
