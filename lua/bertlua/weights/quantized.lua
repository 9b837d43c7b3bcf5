--- Files of parameters whose matrices are weights of 8 bits, as compressed-tensors writes them ("int-quantized"): NAME
-- is I8 [out,in], NAME_scale F32 [out,1], the weights are NAME * NAME_scale. The engine's encoder computes with them as
-- they are; all others read them as f32, through view().
-- @module bertlua.weights.quantized

local fault = require "bertlua.fault"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"

local quantized = {}

local SCALE, ZERO = "_scale", "_zero_point"
local FLOATS = { F32 = true, F16 = true, BF16 = true }

-- The linear maps of a layer of the encoder, by our names.
local LINEARS = { "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "intermediate.dense", "output.dense" }

--- Our names of the weights that are quantized: those of the encoder's layers.
-- @tparam number layers
-- @return list of names
function quantized.names(layers)
    local list = {}
    for layer = 0, layers - 1 do
        for _, linear in ipairs(LINEARS) do
            list[#list + 1] = ("bert.encoder.layer.%d.%s.weight"):format(layer, linear)
        end
    end
    return list
end

--- Name of the scales that belong to weights.
function quantized.scale_of(name)
    return name .. SCALE
end

--- What config.json says of such a folder, so that transformers opens it with compressed-tensors: a scale for each row
-- of the weights; rows of activations are quantized when they are multiplied, by their own minimum and maximum.
-- @tparam {string,...} ignore names of the linear modules that are left as they are
-- @return value of its key quantization_config
function quantized.config(ignore)
    local function numbers(values)
        values.num_bits, values.type = 8, "int"
        return values
    end
    return { quant_method = "compressed-tensors", format = "int-quantized", quantization_status = "compressed",
        ignore = ignore, config_groups = { group_0 = { targets = { "Linear" },
            weights = numbers { symmetric = true, strategy = "channel", dynamic = false },
            input_activations = numbers { symmetric = false, strategy = "token", dynamic = true } } } }
end

--- Refuse weights that have no scale for each row, or more than that.
local function check(file, name, dims)
    local scale = file:info(name .. SCALE)
    if file:info(name .. ZERO) then
        fault.raisef("%s: %s has zero points: only symmetric weights of 8 bits are read", file.path,
            printable.text(name))
    end
    if #dims ~= 2 or #scale.dims ~= 2 or scale.dims[1] ~= dims[1] or scale.dims[2] ~= 1 or not FLOATS[scale.dtype] then
        fault.raisef("%s: %s is %s [%s], expected floating-point numbers, one for each row of %s [%s]", file.path,
            printable.text(name .. SCALE), printable.text(scale.dtype), table.concat(scale.dims, ","),
            printable.text(name), table.concat(dims, ","))
    end
end

local View = {}
View.__index = View

--- Names of all tensors but the scales.
function View:names()
    local list = {}
    for _, name in ipairs(self.file:names()) do
        if not self.scales[name] then list[#list + 1] = name end
    end
    return list
end

--- {dtype, dims} of one tensor, F32 for weights of 8 bits; nil if there is none.
function View:info(name)
    if self.scales[name] then return nil end
    local info = self.file:info(name)
    return self.matrices[name] and { dtype = "F32", dims = info.dims } or info
end

--- Names and values that the file carries beside its tensors.
function View:metadata()
    return self.file:metadata()
end

-- Files that were told already.
local told = {}

local function tell(self)
    if told[self.path] then return end
    told[self.path] = true
    term.warn(("%s: %s of 8 bits, read as f32 numbers: what rounding took stays lost"):format(self.path,
        plural.count(self.count, "matrix", "matrices")))
end

--- Read into a contiguous tensor of the same shape. Returns true; or nil, message.
function View:read(name, target)
    if not self.matrices[name] then return self.file:read(name, target) end
    tell(self)
    local dims = self.file:info(name).dims
    local q, scale = storage.host_tensor("i8", dims), storage.host_tensor("f32", { dims[1], 1 })
    local weights = storage.host_tensor("f32", dims)
    for from, to in pairs { [name] = q, [name .. SCALE] = scale } do
        local ok, message = self.file:read(from, to)
        if not ok then return nil, message end
    end
    storage.dequantize_rows(q, scale, weights)
    target:copy_from(weights)
    return true
end

--- Whether two tensors are the same bytes.
function View:shares(a, b)
    return self.file.shares ~= nil and self.file:shares(a, b)
end

--- Close the file.
function View:close()
    self.file:close()
end

--- A file whose weights of 8 bits look like f32, which is told when they are read first. A fault where they are of a
-- form that is not read here.
-- @param file an open file (bertlua.weights.formats)
-- @return the file itself if it has none; else one with the same methods, and count: how many matrices these are
function quantized.view(file)
    local matrices, scales, count = {}, {}, 0
    for _, name in ipairs(file:names()) do
        local info = file:info(name)
        if info.dtype == "I8" and file:info(name .. SCALE) then
            check(file, name, info.dims)
            matrices[name], scales[name .. SCALE], count = true, true, count + 1
        end
    end
    if count == 0 then return file end
    return setmetatable({ file = file, path = file.path, owner = file.owner, matrices = matrices, scales = scales,
        count = count }, View)
end

return quantized
