--- A model of BERT-large's training step on GPUs that nobody has measured it on.
--
--     make gpu-model                               the tables of docs/gpu.md anew
--     build/bertlua bench/gpu_model.lua            print them
--     build/bertlua bench/gpu_model.lua --kernels  and every kernel's counts
--
-- What a step gives the GPU to do is counted, not estimated: a real step runs through the real engine on the emulated
-- device, which writes down each launch with its grid and the bytes that a sample of its blocks touch
-- (spec/cuda/emulation/record.h); the instructions are those of the compiled machine code, one warp of each sampled
-- launch followed through it (bench/model/walk.lua). bench/model/gpus.lua turns counts into time, and says what it
-- assumes. The outcome is a prediction. Needs `make cuda`, cuobjdump, and the watched emulation of `make gpu-model`.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"

local code = dofile(paths.root() .. "/bench/model/code.lua")
local gpus = dofile(paths.root() .. "/bench/model/gpus.lua")
local record = dofile(paths.root() .. "/bench/model/record.lua")
local tables = dofile(paths.root() .. "/bench/model/tables.lua")
local warps = dofile(paths.root() .. "/bench/model/warps.lua")

local spec = settings.define {
    { name = "kernels", type = "boolean", default = false, help = "print what was counted of every kernel" },
    { name = "folder", type = "path", default = "build/model", help = "where records go" },
    { name = "again", type = "boolean", default = true, help = "record anew; false: read the records of the last run" },
    { name = "docs", type = "path", help = "file whose text between the markers of the model is replaced" },
}

-- Sequences, their length, masked positions of each; micro-steps of an update in the recipe on one GPU of eight; what
-- NVIDIA's BERT for PaddlePaddle publishes for one A100 of 80 GB in mixed precision, sequences/s.
local CASES = {
    { name = "phase 1, 256 x 128", sequences = 256, length = 128, masked = 20, merged = 32, published = 529 },
    { name = "phase 2, 32 x 512", sequences = 32, length = 512, masked = 80, merged = 128, published = 103 },
    { name = "SQuAD, 32 x 384", sequences = 32, length = 384, merged = 1, published = 120 },
}

local ERF, TANH = "gelu", "gelu_pytorch_tanh"

local function config_with(activation, folder)
    local path = paths.find("config", "bert-large-uncased.json")
    if activation == ERF then return path end
    local text = fault.check(fs.read(path))
    local changed, times = text:gsub('("hidden_act":%s*)"gelu"', '%1"' .. activation .. '"')
    if times ~= 1 then fault.raisef("%s: no \"hidden_act\": \"gelu\"", path) end
    local own = fs.join(folder, "config.json")
    fault.check(fs.write(own, changed))
    return own
end

--- Entries of a case, as GPUs of this kind get them.
local function entries_of(case, gpu, activation, values)
    local name = ("%s-%s-%d"):format(activation, gpu.arch, case.length)
    local path, choices = fs.join(values.folder, name .. ".json"), fs.join(values.folder, name .. "-choices.txt")
    if not values.again and fs.is_file(path) then return record.read(path) end
    if fs.is_file(choices) then fault.check(fs.remove(choices)) end
    local lengths = {}
    for i = 1, case.sequences do lengths[i] = case.length end
    return record.run({
        name = case.name, config_file = config_with(activation, values.folder), precision = "bf16",
        lengths = lengths, max_length = case.length, max_predictions = case.masked, packed = false,
        arena_bytes = 32 * 2 ^ 30,
        -- With choices timed by what is recorded, epilogues take the place of passes.
        choices = activation == TANH and choices or nil,
    }, gpu, path)
end

--- {activation = one of each GPU and case}
local function predict(values)
    local kinds, names, found = {}, record.names(), { [ERF] = {}, [TANH] = {} }
    for _, gpu in ipairs(gpus.list) do
        local kind = kinds[gpu.arch]
        if not kind then
            kind = { kernels = code.read(fs.join(paths.root(), "build/engine/cuda"), gpu.arch),
                entries = { [ERF] = {}, [TANH] = {} } }
            kinds[gpu.arch] = kind
        end
        for activation, list in pairs(found) do
            local entries = kind.entries[activation]
            for n, case in ipairs(CASES) do
                if not entries[n] then
                    entries[n] = warps.count(entries_of(case, gpu, activation, values), kind.kernels, names, gpu)
                end
                list[#list + 1] = { gpu = gpu, case = case, entries = entries[n] }
            end
        end
    end
    return found
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/gpu_model.lua",
        description = "Predict BERT-large's training step on GPUs from what is counted of it." })
    if not values then return end
    fault.check(fs.mkdirs(values.folder))
    local found = predict(values)
    if values.kernels then io.write(tables.kernels(found[ERF]), "\n", tables.kernels(found[TANH]), "\n") end
    local text = tables.report(found[ERF], found[TANH], CASES)
    if values.docs then
        tables.replace(values.docs, text)
    else
        io.write(text)
    end
end

main()
