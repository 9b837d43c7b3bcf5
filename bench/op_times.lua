--- Times every op of an eager step by events around it, for bench/gpu_pretrain.lua.
--
-- While a Probe is on, each function of bertlua.ops and bertlua.optim records
-- an event before and after its work. Ops of the same kind and shape share a row.

local device = require "bertlua.device"
local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local tensor = require "bertlua.tensor"

local Probe = {}
Probe.__index = Probe

local SIZE = { f32 = 4, bf16 = 2, f16 = 2, i32 = 4, i64 = 8, i8 = 1 }

-- Functions that are not ops: they queue nothing themselves.
local PLAIN = { dropout = true, prepare = true, prepare_partition = true }

function Probe.new()
    return setmetatable({ spans = {}, count = 0, originals = {} }, Probe)
end

--- Bytes of all tensors among a call's arguments, each once.
local function bytes_of(...)
    local total = 0
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        if tensor.is(value) then total = total + value:numel() * SIZE[value:dtype_name()] end
    end
    return total
end

--- A matrix product's row: "linear_forward 32768x1024 -> 4096", and its operations.
local function product(name, x, w)
    local rows, inputs, outputs = x:size(1), w:size(2), w:size(1)
    return ("%s %dx%d -> %d"):format(name, rows, inputs, outputs), 2 * rows * inputs * outputs
end

--- Row and operations of a call.
local function describe(name, ...)
    if name == "linear_forward" then
        local _, _, x, w = ...
        return product(name, x, w)
    elseif name == "linear_backward" then
        local dx, dw, _, _, x, w = ...
        local row, flops = product(name, x, w)
        return row, flops * ((dx and 1 or 0) + (dw and 1 or 0))
    end
    return name
end

local function wrap(self, name, original)
    return function(...)
        local row, flops = describe(name, ...)
        local span = { row = row, flops = flops, bytes = bytes_of(...), first = device.event(true),
            last = device.event(true) }
        span.first:record()
        original(...)
        span.last:record()
        self.count = self.count + 1
        self.spans[self.count] = span
    end
end

function Probe:on()
    for _, module in ipairs { ops, optim } do
        for name, original in pairs(module) do
            if type(original) == "function" and not PLAIN[name] then
                self.originals[#self.originals + 1] = { module, name, original }
            end
        end
    end
    for _, entry in ipairs(self.originals) do entry[1][entry[2]] = wrap(self, entry[2], entry[3]) end
end

function Probe:off()
    for _, entry in ipairs(self.originals) do entry[1][entry[2]] = entry[3] end
    self.originals = {}
end

--- Rows, longest first: {row, calls, seconds, flops, bytes}. Waits for the device; the probe is empty afterwards.
function Probe:rows()
    local by_row, list = {}, {}
    for i = 1, self.count do
        local span = self.spans[i]
        span.last:wait()
        local row = by_row[span.row]
        if not row then
            row = { row = span.row, calls = 0, seconds = 0, flops = 0, bytes = 0 }
            by_row[span.row], list[#list + 1] = row, row
        end
        row.calls, row.seconds = row.calls + 1, row.seconds + span.first:seconds_to(span.last)
        row.flops, row.bytes = row.flops + (span.flops or 0), row.bytes + span.bytes
        span.first:free()
        span.last:free()
    end
    self.spans, self.count = {}, 0
    table.sort(list, function(a, b)
        if a.seconds ~= b.seconds then return a.seconds > b.seconds end
        return a.row < b.row
    end)
    return list
end

return Probe
