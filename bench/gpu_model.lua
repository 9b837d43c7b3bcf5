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
    { name = "hidden_act", type = "choice", choices = { "gelu", "gelu_pytorch_tanh" }, default = "gelu",
        help = "the model's activation" },
    { name = "docs", type = "path", help = "file whose text between the markers of the model is replaced" },
}

-- Sequences, their length, masked positions of each; micro-steps of an update in the recipe on one GPU of eight.
local CASES = {
    { name = "phase 1, 256 x 128", sequences = 256, length = 128, masked = 20, merged = 32 },
    { name = "phase 2, 32 x 512", sequences = 32, length = 512, masked = 80, merged = 128 },
    { name = "SQuAD, 32 x 384", sequences = 32, length = 384, merged = 1 },
}

local function config_with(activation, folder)
    local path = paths.find("config", "bert-large-uncased.json")
    if activation == "gelu" then return path end
    local text = fault.check(fs.read(path))
    local changed, times = text:gsub('("hidden_act":%s*)"gelu"', '%1"' .. activation .. '"')
    if times ~= 1 then fault.raisef("%s: no \"hidden_act\": \"gelu\"", path) end
    local own = fs.join(folder, "config.json")
    fault.check(fs.write(own, changed))
    return own
end

--- Entries of a case, as GPUs of this kind get them.
local function entries_of(case, gpu, values)
    local path = fs.join(values.folder, ("%s-%s-%d.json"):format(values.hidden_act, gpu.arch, case.length))
    if not values.again and fs.is_file(path) then return record.read(path) end
    local lengths = {}
    for i = 1, case.sequences do lengths[i] = case.length end
    return record.run({
        name = case.name, config_file = config_with(values.hidden_act, values.folder), precision = "bf16",
        lengths = lengths, max_length = case.length, max_predictions = case.masked, packed = false,
        arena_bytes = 32 * 2 ^ 30,
    }, gpu, path)
end

local function predict(values)
    local kinds, names, found = {}, record.names(), {}
    for _, gpu in ipairs(gpus.list) do
        local kind = kinds[gpu.arch]
        if not kind then
            kind = { kernels = code.read(fs.join(paths.root(), "build/engine/cuda"), gpu.arch), entries = {} }
            kinds[gpu.arch] = kind
        end
        for n, case in ipairs(CASES) do
            kind.entries[n] = kind.entries[n] or warps.count(entries_of(case, gpu, values), kind.kernels, names, gpu)
            found[#found + 1] = { gpu = gpu, case = case, entries = kind.entries[n] }
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
    if values.kernels then io.write(tables.kernels(found), "\n") end
    local text = tables.report(found, CASES)
    if values.docs then
        tables.replace(values.docs, text)
    else
        io.write(text)
    end
end

main()
