--- ParameterStore: all parameters of a model in flat buffers.
--
-- Modules register their parameters as they are built; allocate() then lays them
-- out, one after another, in one f32 buffer of values, one of gradients and, for
-- bf16 or fp16, one low-precision copy. Each parameter is a segment of these
-- buffers, so that the norm, the optimizer and an all-reduce process the whole
-- model in one call. Gaps between segments always stay 0.
--
-- In a job whose optimizer state is divided over its ranks (partition.lua), bf16
-- and fp16 models hold f32 values only of the biases and LayerNorm parameters,
-- which ops read, and of the part of the matrices that this rank updates.
--
-- Frozen parameters lie behind the others: no gradient, no place in the optimizer's
-- state, never updated, never sent to another rank. Buffers of gradients and state
-- have `trained` elements, those of values `total`.
--
-- A parameter is a table {name, dims, value, grad, compute, ...}: `value` and
-- `grad` are f32 views, `compute` is what matmuls and table look-ups read. Names
-- are those of Hugging Face's BERT.

local device = require "bertlua.device"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local storage = require "bertlua.storage"
local summary = require "bertlua.summary"
local tensor = require "bertlua.tensor"

local ParameterStore = {}
ParameterStore.__index = ParameterStore

--- Segments start at a multiple of this many elements: 64 bytes of f32, a vector's; on a GPU 256 bytes even in a bf16
-- buffer, the most that its matrix products ask for.
local function alignment()
    return device.is_host() and 16 or 128
end

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

--- An empty store. Modules register their parameters in it; then allocate() gives them memory.
function ParameterStore.new()
    return setmetatable({ list = {}, by_name = {}, groups = {} }, ParameterStore)
end

local OPTIONS = { init = true, std = true, decay = true, low = true, rows = true }

local function add(self, group, name, dims, options)
    for option in pairs(options or {}) do
        if not OPTIONS[option] then
            error(("parameters: unknown option %s of %s, expected init, std, decay, low or rows"):format(
                tostring(option), name), 3)
        end
    end
    options = options or {}
    if self.value_buffer then error("parameters: " .. name .. " is registered after allocate()", 3) end
    if self.by_name[name] then error("parameters: " .. name .. " is registered twice", 3) end
    local sizes = type(dims) == "table" and #dims > 0
    for i = 1, sizes and #dims or 0 do
        sizes = sizes and type(dims[i]) == "number" and dims[i] >= 1 and dims[i] % 1 == 0
    end
    if not sizes then
        error(("parameters: the shape of %s is no list of sizes of 1 or more"):format(name), 3)
    end
    if not INITS[options.init] then
        error(("parameters: init of %s is %s, expected normal, zeros or ones"):format(name, tostring(options.init)), 3)
    end
    local entry = {
        name = name, dims = dims, numel = product(dims), init = options.init, std = options.std or 0.02,
        decay = options.decay ~= false, low = options.low == true, rows = options.rows, is_parameter = true,
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
--   rows: actual number of rows if dims[1] is padded; the pad rows are 0 and not saved
-- @return the parameter
function ParameterStore:register(name, dims, options)
    local group = { joint = false }
    self.groups[#self.groups + 1] = group
    return add(self, group, name, dims, options)
end

--- Register several parameters that are adjacent in memory, so that one op can read them as one.
-- @param names list of names, from top to bottom
-- @param dims shape of each
-- @param options as for register()
-- @return one parameter that spans all of them along the first dimension (not part of `list`)
function ParameterStore:register_joint(names, dims, options)
    local joint_dims = { dims[1] * #names, dims[2] }
    local joint = { name = table.concat(names, "+"), dims = joint_dims, numel = product(joint_dims),
        low = options.low == true, is_parameter = true }
    local group = { joint = joint }
    for _, name in ipairs(names) do add(self, group, name, dims, options) end
    self.groups[#self.groups + 1] = group
    return joint
end

local function is_frozen(group)
    return group[1].frozen == true
end

--- Freeze parameters: they get no gradient and keep their values. Before allocate().
-- @param frozen function(name) -> whether to freeze that parameter
function ParameterStore:freeze(frozen)
    if self.value_buffer then error("parameters: freeze() after allocate()", 2) end
    for _, group in ipairs(self.groups) do
        local yes, no
        for _, entry in ipairs(group) do
            if frozen(entry.name) then yes = entry.name else no = entry.name end
        end
        if yes and no then
            fault.raisef("freeze: %s is frozen but %s is not: one product computes both, so freeze both or neither",
                yes, no)
        end
        for _, entry in ipairs(group) do entry.frozen = yes and true or nil end
    end
end

--- Number of values that are trained, without padding.
function ParameterStore:trained_numel()
    local count = 0
    for _, entry in ipairs(self.list) do
        if not entry.frozen then count = count + entry.numel / entry.dims[1] * (entry.rows or entry.dims[1]) end
    end
    return count
end

local function stored_dims_of(entry)
    return entry.rows and { entry.rows, unpack(entry.dims, 2) } or entry.dims
end

--- Give the groups that `takes` accepts their places from `total` on.
-- @param order list to which their parameters are appended
-- @return the next free place
local function put_groups(self, takes, total, order)
    for _, group in ipairs(self.groups) do
        if takes(group) then
            if group.joint then group.joint.offset = total end
            for _, entry in ipairs(group) do
                entry.offset, entry.stored_dims = total, stored_dims_of(entry)
                total = total + entry.numel
                order[#order + 1] = entry
                self.numel = self.numel + product(entry.stored_dims)
            end
            total = round_up(total, alignment())
        end
    end
    return total
end

--- Assign every parameter its place in the flat buffers; returns the regions that are divided into buckets.
-- Sets `order`: what is trained, in memory order; trained and total: lengths of the buffers without and with what is
-- frozen.
-- @param low_first put what ops read in the low dtype before the rest
-- @param multiple region lengths are multiples of this many elements
local function lay_out(self, low_first, multiple)
    local regions, total = {}, 0
    self.order, self.numel = {}, 0
    for _, low in ipairs(low_first and { "low", "f32" } or { "any" }) do
        local begin = total
        total = put_groups(self, function(group)
            return not is_frozen(group) and (low == "any" or (group[1].low and "low" or "f32") == low)
        end, total, self.order)
        total = round_up(total, multiple)
        regions[#regions + 1] = { offset = begin, count = total - begin, low = low == "low" }
    end
    self.trained = total
    self.total = put_groups(self, is_frozen, total, {})
    return regions
end

local function bind_views(self, entry)
    local offset = entry.offset
    local place = self:value_place(entry)
    entry.value = place and self.value_buffer:tensor(place * 4, "f32", entry.dims)
    entry.grad = self.grad_buffer and offset < self.trained and self.grad_buffer:tensor(offset * 4, "f32", entry.dims)
        or nil
    local low = entry.low and self.low_buffer
    -- For a device, which adds the rounded copy; the host adds f32. A store with only parts of the values has none.
    entry.rounded = self.low_buffer and self.divided_count == 0
        and self.low_buffer:tensor(offset * 2, self.low_dtype, entry.dims) or nil
    entry.compute = low and low:tensor(offset * 2, self.low_dtype, entry.dims) or entry.value
    -- What checkpoints contain: no pad rows.
    entry.stored = entry.value and entry.rows and entry.value:slice(1, 1, entry.rows) or entry.value
end

--- Lay the parameters out and initialise them.
-- @param options table of
--   precision: "fp32" (default), "bf16" or "fp16": the dtype of activations;
--   seed: of the initial values (0); parameter i draws from Philox stream i;
--   training: false leaves out the gradients (true);
--   partition: how to cut the buffers (nn/partition.lua); its buckets are set; nil for a process of its own
function ParameterStore:allocate(options)
    options = options or {}
    local precision = options.precision or "fp32"
    local low_dtype = LOW_DTYPE[precision]
    if low_dtype == nil then
        error(("parameters: precision is %s, expected fp32, bf16 or fp16"):format(tostring(precision)), 2)
    end
    if self.value_buffer then error("parameters: allocate() was already called", 2) end
    if #self.list == 0 then error("parameters: no parameters are registered", 2) end

    local partition = options.partition
    local divided = partition and partition.divide and low_dtype
    local regions = lay_out(self, divided, partition and partition.multiple or alignment())
    if partition then partition:cut(regions) end
    self.partition, self.precision = partition, precision
    self.dtype, self.low_dtype = low_dtype or "f32", low_dtype or nil
    local total = self.total
    -- Only some of the first region's f32 values are present.
    self.divided_count = divided and regions[1].count or 0
    self.values_count = divided and regions[1].count / partition.size + total - regions[1].count or total
    self.value_buffer = memory.buffer(self.values_count * 4)
    self.master = self.value_buffer:tensor(0, "f32", { self.values_count })
    self.value = not divided and self.master or nil
    if options.training ~= false then
        if self.trained == 0 then error("parameters: every parameter is frozen", 2) end
        self.grad_buffer = memory.buffer(self.trained * 4)
        self.grad = self.grad_buffer:tensor(0, "f32", { self.trained })
    end
    if low_dtype then
        self.low_buffer = memory.buffer(total * 2)
        self.low = self.low_buffer:tensor(0, low_dtype, { total })
    end

    -- What has a place in the buffers, joint parameters as well.
    self.members = {}
    for _, group in ipairs(self.groups) do
        if group.joint then
            bind_views(self, group.joint)
            self.members[group.joint] = true
        end
        for _, entry in ipairs(group) do
            bind_views(self, entry)
            self.members[entry] = true
        end
    end

    local count = #self.order
    local decay_at, scale_at = round_up(count * 16, 64), round_up(count * 16, 64) + round_up(count * 4, 64)
    self.layout_buffer = memory.buffer(scale_at + round_up(count * 4, 64))
    self.segments = self.layout_buffer:tensor(0, "i64", { count, 2 })
    self.decay = self.layout_buffer:tensor(decay_at, "f32", { count })
    self.scale_slot = self.layout_buffer:tensor(scale_at, "f32", { count })
    local segments = {}
    for i, entry in ipairs(self.order) do segments[i] = { entry.offset, entry.numel } end
    self.segments:set(segments)
    self:initialize(options.seed or 0)
    return self
end

--- Where a parameter's f32 values start in `master`, from 0; nil if only some of them are present.
function ParameterStore:value_place(entry)
    if entry.offset < self.divided_count then return nil end
    return entry.offset - self.total + self.values_count
end

local function fill_initial(entry, stored, seed)
    if entry.init == "normal" then
        ops.fill_normal(stored, 0, entry.std, seed, entry.index)
    else
        ops.fill(stored, entry.init == "ones" and 1 or 0)
    end
end

--- Set every parameter to its initial value.
-- @param seed parameter i draws from Philox stream i of this seed, whatever the device and the number of ranks
function ParameterStore:initialize(seed)
    for _, entry in ipairs(self.list) do
        if entry.value then
            if entry.init == "normal" then ops.fill(entry.value, 0) end
            fill_initial(entry, entry.init == "normal" and entry.stored or entry.value, seed)
        else
            tensor.scope(function()
                local values = tensor.new("f32", entry.stored_dims)
                fill_initial(entry, values, seed)
                self:put(entry, values)
            end)
        end
    end
    self:sync_low()
end

--- Set a parameter from f32 values without pad rows; called on every rank, each of which keeps what it needs.
-- @param entry from `list`
-- @param values contiguous f32 tensor of its stored_dims
function ParameterStore:put(entry, values)
    if entry.value then
        ops.copy(entry.stored, values)
        if self.low then ops.copy(self:low_of(entry), values) end
        return
    end
    ops.copy(self:low_of(entry), values)
    local flat, count = values:view(-1), values:numel()
    self.partition:owned(entry.offset, count, function(first, length, state)
        local from = first - entry.offset
        ops.copy(self.master:slice(1, state + 1, state + length), flat:slice(1, from + 1, from + length))
    end)
end

--- A parameter's place in the low-precision copy, without pad rows.
function ParameterStore:low_of(entry)
    local count = product(entry.stored_dims)
    return self.low:slice(1, entry.offset + 1, entry.offset + count):view(entry.stored_dims)
end

--- Set the weight decay of all parameters that are subject to it; 0 for the rest.
-- @param weight_decay number
-- @param of function(name) -> weight decay of one parameter, nil for the above; or nil
function ParameterStore:set_decay(weight_decay, of)
    local decay = {}
    for i, entry in ipairs(self.order) do
        decay[i] = of and of(entry.name) or entry.decay and weight_decay or 0
    end
    self.decay:set(decay)
end

--- Set what the learning rate of each parameter is multiplied by: `lr_scale`, f32, which is nil before.
-- @param of function(name) -> factor, nil for 1
function ParameterStore:set_lr_scale(of)
    local scales = {}
    for i, entry in ipairs(self.order) do scales[i] = of(entry.name) or 1 end
    self.lr_scale = self.scale_slot:set(scales)
end

--- The parameter with this name, or nil.
function ParameterStore:get(name)
    return self.by_name[name]
end

--- Set all gradients to 0. Call before the first micro-step of a step.
function ParameterStore:zero_grad()
    ops.fill(self.grad, 0)
end

--- Rewrite the low-precision copy from the values. Call after setting values by hand or loading them.
-- Parameters of which only some values are present get their copy from put().
function ParameterStore:sync_low()
    if not self.low then return end
    local first = self.divided_count
    local place = first - self.total + self.values_count
    if first < self.total then
        ops.copy(self.low:slice(1, first + 1, self.total), self.master:slice(1, place + 1, self.values_count))
    end
end

--- Free the memory. The store and its tensors must not be used afterwards.
function ParameterStore:free()
    for _, name in ipairs { "value_buffer", "grad_buffer", "low_buffer", "layout_buffer" } do
        if self[name] then self[name]:free() end
    end
end

--- The bytes a training run with this store needs in addition to activations: {values, gradients, low copy}.
function ParameterStore:bytes()
    return { value = self.values_count * 4, grad = self.grad and self.trained * 4 or 0,
        low = self.low and self.total * 2 or 0 }
end

--- CRC32C of all values present on every rank, as 8 hex digits: equal stores have equal checksums.
function ParameterStore:checksum()
    local crc
    if self.value then
        crc = storage.crc32c(self.value)
    else
        crc = storage.crc32c(self.low:slice(1, 1, self.divided_count))
        local place = self.divided_count - self.total + self.values_count
        if place < self.values_count then
            crc = storage.crc32c(self.master:slice(1, place + 1, self.values_count), crc)
        end
    end
    return ("%08x"):format(crc)
end

-- Parameters shown at either end of a long list.
local FIRST, LAST = 8, 6

--- What it holds, a screen at most: memory, and names and shapes of the first and last parameters.
function ParameterStore:__tostring()
    local list, values = self.list, 0
    for _, entry in ipairs(list) do values = values + entry.numel end
    local lines = { ("ParameterStore: %d parameters, %s values%s"):format(#list, summary.count(values),
        self.precision and ", " .. self.precision or ", no memory yet: allocate()") }
    if self.value_buffer then
        local bytes = self:bytes()
        lines[2] = ("  values %s, gradients %s%s"):format(summary.bytes(bytes.value), summary.bytes(bytes.grad),
            bytes.low > 0 and (", %s copy %s"):format(self.low_dtype, summary.bytes(bytes.low)) or "")
    end
    for i, entry in ipairs(list) do
        local shown = #list <= FIRST + LAST or i <= FIRST or i > #list - LAST
        if shown then
            lines[#lines + 1] = ("  %s  %s"):format(entry.name, table.concat(entry.dims, "x"))
        elseif i == FIRST + 1 then
            lines[#lines + 1] = ("  ... %d more"):format(#list - FIRST - LAST)
        end
    end
    return table.concat(lines, "\n")
end

return ParameterStore
