--- ParameterStore: all parameters of a model in flat buffers.
--
-- Modules register their parameters while they are built; allocate() then lays
-- them out, one after the other, in one f32 buffer of values, one of gradients
-- and, for bf16 or fp16, one low-precision copy. Each parameter is a segment
-- of these buffers, so that the norm, the optimizer and an all-reduce work on
-- the whole model in one call. Gaps between segments stay 0 for ever.
--
-- A parameter is a table {name, dims, value, grad, compute, ...}: `value` and
-- `grad` are f32 views, `compute` what matmuls and table look-ups read. Names
-- are those of Hugging Face's BERT.

local array = require "bertlua.array"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local storage = require "bertlua.storage"

local ParameterStore = {}
ParameterStore.__index = ParameterStore

--- Segments start at a multiple of this many elements: 64 bytes of f32.
local ALIGNMENT = 16
local LOW_DTYPE = { fp32 = false, bf16 = "bf16", fp16 = "f16" }
local INITS = { normal = true, zeros = true, ones = true }

local function round_up(n, multiple)
    return math.ceil(n / multiple) * multiple
end

local function product(dims)
    local n = 1
    for _, d in ipairs(dims) do n = n * d end
    return n
end

function ParameterStore.new()
    return setmetatable({ list = {}, by_name = {}, groups = {} }, ParameterStore)
end

local function add(self, group, name, dims, options)
    if self.value then error("parameters: " .. name .. " is registered after allocate()", 3) end
    if self.by_name[name] then error("parameters: " .. name .. " is registered twice", 3) end
    if not INITS[options.init] then
        error(("parameters: init of %s is %s, expected normal, zeros or ones"):format(name, tostring(options.init)), 3)
    end
    local entry = {
        name = name, dims = dims, numel = product(dims), init = options.init, std = options.std or 0.02,
        decay = options.decay ~= false, low = options.low == true, rows = options.rows,
    }
    self.list[#self.list + 1] = entry
    entry.index = #self.list
    self.by_name[name] = entry
    group[#group + 1] = entry
    return entry
end

--- Register a parameter. Its tensors exist after allocate().
-- @param name full name, as in Hugging Face's checkpoints
-- @param dims shape in memory
-- @param options table of
--   init: "normal" (mean 0, `std` 0.02), "zeros" or "ones";
--   decay: false exempts it from weight decay (biases, LayerNorm);
--   low: true if ops read it in the activation dtype (matrices and tables);
--   rows: true number of rows where dims[1] is padded; the pad rows are 0 and not saved
-- @return the parameter
function ParameterStore:register(name, dims, options)
    local group = { joint = false }
    self.groups[#self.groups + 1] = group
    return add(self, group, name, dims, options)
end

--- Register several parameters that lie side by side, so that one op can read them as one.
-- @param names list of names, from top to bottom
-- @param dims shape of each
-- @param options as in register()
-- @return one parameter that spans all of them along the first dimension (not part of `list`)
function ParameterStore:register_joint(names, dims, options)
    local joint_dims = { dims[1] * #names, dims[2] }
    local joint = { name = table.concat(names, "+"), dims = joint_dims, low = options.low == true }
    local group = { joint = joint }
    for _, name in ipairs(names) do add(self, group, name, dims, options) end
    self.groups[#self.groups + 1] = group
    return joint
end

local function bind_views(self, entry, offset)
    entry.offset = offset
    entry.value = self.value_buffer:tensor(offset * 4, "f32", entry.dims)
    entry.grad = self.grad_buffer and self.grad_buffer:tensor(offset * 4, "f32", entry.dims) or nil
    local low = entry.low and self.low_buffer
    entry.compute = low and low:tensor(offset * 2, self.low_dtype, entry.dims) or entry.value
    -- What checkpoints hold: without the pad rows.
    entry.stored = entry.rows and entry.value:slice(1, 1, entry.rows) or entry.value
    entry.stored_dims = entry.rows and { entry.rows, unpack(entry.dims, 2) } or entry.dims
end

--- Lay the parameters out and initialise them.
-- @param options table of
--   precision: "fp32" (default), "bf16" or "fp16": the dtype of activations;
--   seed: of the initial values (0); parameter i draws from Philox stream i;
--   training: false leaves out the gradients (true)
function ParameterStore:allocate(options)
    options = options or {}
    local precision = options.precision or "fp32"
    local low_dtype = LOW_DTYPE[precision]
    if low_dtype == nil then
        error(("parameters: precision is %s, expected fp32, bf16 or fp16"):format(tostring(precision)), 2)
    end
    if self.value then error("parameters: allocate() was called before", 2) end
    if #self.list == 0 then error("parameters: no parameter is registered", 2) end

    local total, count = 0, #self.list
    for _, group in ipairs(self.groups) do
        group.offset = total
        for _, entry in ipairs(group) do total = total + entry.numel end
        total = round_up(total, ALIGNMENT)
    end
    self.total, self.precision = total, precision
    self.dtype, self.low_dtype = low_dtype or "f32", low_dtype
    self.value_buffer = memory.buffer(total * 4)
    self.value = self.value_buffer:tensor(0, "f32", { total })
    if options.training ~= false then
        self.grad_buffer = memory.buffer(total * 4)
        self.grad = self.grad_buffer:tensor(0, "f32", { total })
    end
    if low_dtype then
        self.low_buffer = memory.buffer(total * 2)
        self.low = self.low_buffer:tensor(0, low_dtype, { total })
    end

    self.numel = 0
    for _, group in ipairs(self.groups) do
        local offset = group.offset
        if group.joint then bind_views(self, group.joint, offset) end
        for _, entry in ipairs(group) do
            bind_views(self, entry, offset)
            offset = offset + entry.numel
            self.numel = self.numel + product(entry.stored_dims)
        end
    end

    self.layout_buffer = memory.buffer(round_up(count * 16, 64) + round_up(count * 4, 64))
    self.segments = self.layout_buffer:tensor(0, "i64", { count, 2 })
    self.decay = self.layout_buffer:tensor(round_up(count * 16, 64), "f32", { count })
    local segments = {}
    for i, entry in ipairs(self.list) do segments[i] = { entry.offset, entry.numel } end
    self.segments:set(segments)
    self:initialize(options.seed or 0)
    return self
end

--- Set every parameter to its initial value.
-- @param seed parameter i draws from Philox stream i of this seed, whatever the device
function ParameterStore:initialize(seed)
    for _, entry in ipairs(self.list) do
        if entry.init == "normal" then
            ops.fill(entry.value, 0)
            ops.fill_normal(entry.stored, 0, entry.std, seed, entry.index)
        else
            ops.fill(entry.value, entry.init == "ones" and 1 or 0)
        end
    end
    self:sync_low()
end

--- Set the weight decay of all parameters that are subject to it; 0 for the rest.
function ParameterStore:set_decay(weight_decay)
    local decay = {}
    for i, entry in ipairs(self.list) do decay[i] = entry.decay and weight_decay or 0 end
    self.decay:set(decay)
end

--- The parameter of this name, or nil.
function ParameterStore:get(name)
    return self.by_name[name]
end

--- Set all gradients to 0. Call before the first micro-step of a step.
function ParameterStore:zero_grad()
    ops.fill(self.grad, 0)
end

--- Rewrite the low-precision copy from the values. Call after values were set by hand or loaded.
function ParameterStore:sync_low()
    if self.low then ops.copy(self.low, self.value) end
end

--- Give the memory back. The store and its tensors must not be used afterwards.
function ParameterStore:free()
    for _, name in ipairs { "value_buffer", "grad_buffer", "low_buffer", "layout_buffer" } do
        if self[name] then self[name]:free() end
    end
end

--- The bytes a training run with this store needs beside activations: {values, gradients, low copy}.
function ParameterStore:bytes()
    return { value = self.total * 4, grad = self.grad and self.total * 4 or 0, low = self.low and self.total * 2 or 0 }
end

--- CRC32C of all values, as 8 hex digits: equal stores have equal checksums.
function ParameterStore:checksum()
    local data, crc, chunk = array.wrap(self.value), 0, 2 ^ 18
    for first = 0, self.total - 1, chunk do
        crc = storage.crc32c(array.string(data + first, math.min(chunk, self.total - first) * 4), crc)
    end
    return ("%08x"):format(crc)
end

return ParameterStore
