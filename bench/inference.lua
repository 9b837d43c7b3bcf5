--- Vectors of texts on the CPU, compared with ONNX Runtime, OpenVINO, PyTorch, sentence-transformers
-- and llama.cpp.
--
--     build/bertlua bench/inference.lua [--python PATH] [--model FOLDER] [--texts FILE] [--rounds 3]
--         [--only bertlua,onnxruntime] [--points base:1x128,model:mix] [--work FOLDER] [--json FILE]
--
-- Each measurement is a process of its own. In a round all programs take their turn at a point, so that a slow spell
-- of the machine hits all of them. Peers that the Python lacks are left out, and the script says so. Models and texts
-- are made by inference_setup.lua, the tables by inference_report.lua.

local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")
local report = dofile(paths.root() .. "/bench/inference_report.lua")
local setup = dofile(paths.root() .. "/bench/inference_setup.lua")

local NAMES = { "bertlua", "onnxruntime", "openvino", "torch", "sentence-transformers", "llama.cpp" }

local spec = settings.define {
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peers" },
    { name = "config_file", type = "path",
        help = "the model called base, its parameters drawn at random; unset: bert_configs/bert-base-uncased.json" },
    { name = "model", type = "path", help = "folder of transformers or sentence-transformers: the model called model" },
    { name = "texts", type = "path", help = "texts of the mix: a text a line, or a table (.csv, .tsv, .jsonl)" },
    { name = "column", type = "string", default = "1", help = "column of a table's texts, by its name or number" },
    { name = "most_texts", type = "integer", min = 1, help = "how many of them, from the first; unset: all" },
    { name = "points", type = "string", help = "what to measure: MODEL:BATCHxLENGTH or MODEL:mix, comma-separated; "
        .. "unset: batches of 1 and 32, lengths of 16, 128 and 384, and the mix, of each model" },
    { name = "only", type = "string", default = table.concat(NAMES, ","), help = "programs, comma-separated" },
    { name = "precisions", type = "string", default = "fp32,half,int8", help = "classes of precision, comma-separated; "
        .. "half: bf16, f16, and what OpenVINO chooses by itself; int8: q8_0 too" },
    { name = "rounds", type = "integer", min = 1, default = 3, help = "processes of each kind" },
    { name = "seconds", type = "number", above = 0, default = 5,
        help = "of steps per process; three times that, if it takes that for 3 steps, or for one of a mix" },
    { name = "threads", type = "integer", min = 1, help = "of each program; unset: all cores" },
    { name = "work", type = "path", default = "build/bench_inference",
        help = "folder for models, kept for the next time" },
    { name = "json", type = "path", help = "file for each process's figures" },
}

-- Of bertlua, and of each peer in bench/peers/inference.py: the classes that --precisions names.
local CLASSES = { fp32 = "fp32", bf16 = "half", default = "half", f16 = "half", int8 = "int8", q8_0 = "int8" }

local function words(text)
    local list, set = {}, {}
    for word in text:gmatch "[^,%s]+" do list[#list + 1], set[word] = word, true end
    return list, set
end

--- Words of a setting, each of which must be one of a list.
local function chosen(text, option, known)
    local list, set = words(text)
    local _, is_known = words(table.concat(known, ","))
    for _, word in ipairs(list) do
        if not is_known[word] then
            fault.raisef("--%s %s: %q is not known, expected some of %s", option, text, word, table.concat(known, ", "))
        end
    end
    return list, set
end

local function default_points(values)
    local list = {}
    for _, model in ipairs { "base", "model" } do
        if model == "base" or values.model then
            for _, batch in ipairs { 1, 32 } do
                for _, length in ipairs { 16, 128, 384 } do
                    list[#list + 1] = ("%s:%dx%d"):format(model, batch, length)
                end
            end
            if values.texts then list[#list + 1] = model .. ":mix" end
        end
    end
    return list
end

--- The points as {name, model, batch, length}, or {name, model, mix = true}.
local function points_of(values)
    local list = {}
    for i, name in ipairs(values.points and words(values.points) or default_points(values)) do
        local model, shape = name:match "^(%l+):(%w+)$"
        local batch, length = (shape or ""):match "^(%d+)x(%d+)$"
        if model ~= "base" and model ~= "model" or not batch and shape ~= "mix" then
            fault.raisef("--points: got %s, expected (base or model):(BATCHxLENGTH or mix)", name)
        elseif model == "model" and not values.model then
            fault.raisef("--points %s: which model? Give its folder by --model", name)
        elseif shape == "mix" and not values.texts then
            fault.raisef("--points %s: which texts? Give their file by --texts", name)
        end
        list[i] = { name = name, model = model, batch = tonumber(batch), length = tonumber(length),
            mix = shape == "mix" }
    end
    return list
end

--- What of the programs can be measured: list of {name, precision, class}; list of {what, why} that cannot.
local function programs(values)
    local list, missing = {}, {}
    local _, classes = chosen(values.precisions, "precisions", { "fp32", "half", "int8" })
    for _, name in ipairs((chosen(values.only, "only", NAMES))) do
        local precisions = { "fp32", "bf16", "int8" }
        if name ~= "bertlua" then
            local found = command.peer(values.python, "inference.py", "available " .. quote(name) .. " 2>/dev/null")
                or { lacks = values.python .. " does not run" }
            precisions = found.precisions or {}
            if found.lacks then missing[#missing + 1] = { what = name, why = found.lacks } end
        end
        for _, precision in ipairs(precisions) do
            local class = CLASSES[precision]
            if classes[class] then list[#list + 1] = { name = name, precision = precision, class = class } end
        end
    end
    return list, missing
end

--- Run one measurement.
-- @return its result; or nil, why not
local function run(values, program, model, point, texts)
    local made, shape = fs.join(model.made, program.name), point.mix and "mix" or "batch"
    local errors = fs.join(values.work, "errors.txt")
    local folder = program.name == "bertlua" and program.precision == "int8" and model.int8 or model.folder
    local tail = ("%s %s %d %g %.6f 2>%s"):format(quote(texts), shape, values.threads, values.seconds,
        clock.monotonic(), quote(errors))
    local result, output
    if program.name == "bertlua" then
        result, output = command.own("inference_worker.lua",
            ("%s %s %s"):format(program.precision, quote(folder), tail))
    else
        result, output = command.peer(values.python, "inference.py", ("%s %s %s %s %s"):format(program.name,
            program.precision, quote(folder), quote(made), tail), values.threads)
    end
    if result then return result end
    return nil, setup.last_line((fs.read(errors) or "") .. output)
end

--- Whether a program has a place in a point's table.
local function takes_part(program, model, point)
    if program.name == "sentence-transformers" and not point.mix then return false end
    return not (model.lacks[program.name] and model.lacks[program.name][program.precision])
end

local function measure(values, point, model, list, missing)
    local texts, rows, failed = setup.texts(values, point, model), {}, {}
    for round = 1, values.rounds do
        for i, program in ipairs(list) do
            if takes_part(program, model, point) and not failed[i] then
                io.stderr:write(("%s: round %d of %d: %s %s\n"):format(point.name, round, values.rounds, program.name,
                    program.precision))
                local result, why = run(values, program, model, point, texts.path)
                if result then
                    rows[#rows + 1] = { point = point.name, round = round, program = program.name,
                        asked = program.precision, class = program.class, result = result, texts = texts.count }
                else
                    failed[i] = true
                    missing[#missing + 1] = { what = ("%s %s at %s"):format(program.name, program.precision,
                        point.name), why = why }
                end
            end
        end
    end
    return rows
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/inference.lua",
        description = "Measure vectors of texts on the CPU, compared with other programs." })
    local points = points_of(values)
    local list, missing = programs(values)
    values.threads = values.threads or context.threads()
    values.config_file = values.config_file or paths.find("config", "bert-base-uncased.json")
    local models, tables, raw = {}, {}, {}
    io.stdout:setvbuf "line"
    print(context.describe())
    for _, point in ipairs(points) do
        local model = models[point.model]
        if not model then
            model = setup.model(values, point.model, list, missing)
            models[point.model] = model
            print(("%s: %s"):format(point.model, model.about))
        end
        local rows = measure(values, point, model, list, missing)
        tables[#tables + 1] = report.point(point, rows)
        for _, row in ipairs(rows) do
            row.result.vectors = nil
            raw[#raw + 1] = row
        end
        if values.json then fault.check(fs.write(values.json, json.encode(json.array(raw)) .. "\n")) end
    end
    print("\n" .. report.ratios(tables))
    for _, entry in ipairs(missing) do print(("Left out: %s: %s"):format(entry.what, entry.why)) end
    print("\n" .. report.DEFINITIONS)
end

main()
