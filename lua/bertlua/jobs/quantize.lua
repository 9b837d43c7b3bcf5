--- Job: write a model's folder anew with the matrices of its encoder as weights of 8 bits.
-- What such a file looks like: bertlua.weights.quantized. Everything else is copied as it is.

local BertConfig = require "bertlua.models.bert_config"
local Graph = require "bertlua.encoder.graph"
local checkpoint = require "bertlua.train.checkpoint"
local checksums = require "bertlua.weights.checksums"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local finite = require "bertlua.train.finite"
local folder = require "bertlua.weights.folder"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local json = require "bertlua.util.json"
local names = require "bertlua.weights.names"
local new_folder = require "bertlua.util.new_folder"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local quantized = require "bertlua.weights.quantized"
local reader = require "bertlua.squad.reader"
local settings = require "bertlua.settings"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"
local tensor = require "bertlua.tensor"
local text_vectors = require "bertlua.train.text_vectors"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local M = {}

M.settings = settings.define {}

M.positional = { name = "folder out", help = "FOLDER: of a model, of a checkpoint or of a run, or a file of parameters "
    .. "in one; OUT: the folder to write, which must be empty or not exist" }

local MODEL = "model.safetensors"

-- Parameters in any format, which are written anew or would be the old ones.
local PARAMETERS = { "%.safetensors$", "%.index%.json$", "%.bin$", "%.pt$", "%.pth$", "%.ckpt", "%.pdparams$", "%.npz$",
    "%.h5$", "%.msgpack$", "%.ot$", "%.onnx$", "%.gguf$" }

-- Files of these are copied byte for byte, so that a later change of one shows.
local KNOWN = { MODEL, "config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json" }

local function is_copied(name)
    if name:sub(1, 1) == "." or name == "config.json" or name == "checksums.json" then return false end
    for _, pattern in ipairs(PARAMETERS) do
        if name:find(pattern) then return false end
    end
    return true
end

--- Look at the model and refuse what cannot be quantized. Nothing of the parameters is read.
-- @return table: folder, file, config, heads, progress of a checkpoint (nil: none)
local function look(path)
    local home, file = files.find(path, nil, "quantize")
    local config_file = fs.join(home, "config.json")
    if not fs.is_file(config_file) then
        fault.raisef("quantize: %s holds no config.json, which describes its parameters", home)
    end
    local found = { folder = home, file = file, config = BertConfig.load(config_file) }
    local opened = weights.open(file)
    local count = opened.count
    found.heads = heads.of(opened, heads.class_of(BertConfig.read(config_file)))
    opened:close()
    if count then
        fault.raisef("quantize: %s: %s of 8 bits already: quantize the model that it was made from", file,
            count == 1 and "a matrix is" or ("%d matrices are"):format(count))
    end
    if fs.is_file(fs.join(home, "progress.json")) then
        local ok, reason = checkpoint.verify(home)
        if not ok then fault.raisef("%s: %s: use an older checkpoint", home, reason) end
        found.progress = checkpoint.progress(home)
    else
        for _, text in ipairs(fault.check(checksums.check(home))) do term.warn(text) end
    end
    -- Compares names and shapes with the configuration.
    if not Graph.new(found, {}, path).direct then
        fault.raisef("quantize: %s: only safetensors with the names and shapes of transformers: convert it first "
            .. "(bertlua convert from-huggingface --input %s --output-dir FOLDER)", file, path)
    end
    return found
end

local function check_values(file, name, values, is_sound)
    local sound, kind = is_sound(values)
    if not sound then
        fault.raisef("%s: %s holds %s: fetch or save it again, or use other parameters", file.path,
            printable.text(name), kind)
    end
end

--- The tensors of the result, with the matrices of the encoder quantized.
-- @return items for storage.save, and {matrices, worst: largest error of a matrix, where: its name}
local function tensors_of(file, config, is_sound)
    local map, is_matrix, items = names.index(file), {}, {}
    local about = { matrices = 0, worst = -1 }
    for _, name in ipairs(quantized.names(config.num_hidden_layers)) do is_matrix[map[name].name] = true end
    local dropped = {}
    for _, name in ipairs(file:names()) do
        local info = file:info(name)
        local dtype = info.native or weights.is_float(info.dtype) and "f32"
        if is_matrix[name] then
            local scale_name = quantized.scale_of(name)
            if file:info(scale_name) then
                fault.raisef("%s: %s has the name of the scales of %s", file.path, printable.text(scale_name),
                    printable.text(name))
            end
            local q, scale = tensor.new("i8", info.dims), tensor.new("f32", { info.dims[1], 1 })
            tensor.scope(function()
                local values = tensor.new("f32", info.dims)
                fault.check(file:read(name, values))
                check_values(file, name, values, is_sound)
                local miss = storage.quantize_rows(values, q, scale)
                if miss > about.worst then about.worst, about.where = miss, name end
            end)
            about.matrices = about.matrices + 1
            items[#items + 1] = { name = name, tensor = q }
            items[#items + 1] = { name = scale_name, tensor = scale }
        elseif dtype and #info.dims <= 4 then
            items[#items + 1] = { name = name, dtype = dtype, dims = info.dims, fetch = function()
                local values = tensor.new(dtype, info.dims)
                fault.check(file:read(name, values))
                if weights.is_float(info.dtype) then check_values(file, name, values, is_sound) end
                return values
            end }
        else
            dropped[#dropped + 1] = ("%s (%s)"):format(printable.text(name), printable.text(info.dtype))
        end
    end
    if #dropped > 0 then
        term.warn(("%s: left out, since no tensor here can hold it: %s"):format(file.path,
            table.concat(dropped, ", ")))
    end
    return items, about
end

local function write_parameters(found, out)
    local file = formats.open(found.file)
    local metadata = file:metadata()
    metadata.format = metadata.format or "pt"
    metadata.quantized_by = "bertlua " .. storage.engine_version()
    local about = finite.with_check(function(is_sound)
        local items, about = tensors_of(file, found.config, is_sound)
        fault.check(storage.save(fs.join(out, MODEL), items, metadata))
        return about
    end)
    file:close()
    return about
end

--- Names of the linear modules that are not quantized, with and without the name that BERT has in a larger model:
-- transformers may open either.
local function unquantized(found)
    local list, has = { "bert.pooler.dense", "pooler.dense" }, found.heads
    if has.mlm then
        list[#list + 1] = "cls.predictions.decoder"
        list[#list + 1] = "cls.predictions.transform.dense"
    end
    if has.nsp then list[#list + 1] = "cls.seq_relationship" end
    if has.labels or has.tags or has.unknown then list[#list + 1] = "classifier" end
    if has.answers then list[#list + 1] = "qa_outputs" end
    return list
end

local function write_config(found, out)
    local values = BertConfig.read(fs.join(found.folder, "config.json"))
    values.quantization_config = quantized.config(unquantized(found))
    fault.check(fs.write(fs.join(out, "config.json"), json.encode(values, { pretty = true }) .. "\n"))
end

--- What progress.json says of a checkpoint's texts, as files that belong to no run.
local function write_of_run(found, out)
    local home, progress = found.folder, found.progress
    local vocab_file = vocabulary.beside(home)
    local of_run = type(progress.began) == "table" and progress.began.settings
    if vocab_file then
        fault.check(vocabulary.copy(vocab_file, fs.join(out, "vocab.txt")))
        local lower = folder.casing(home, progress)
        checkpoint.write_tokenizer(out, { vocab_file = vocab_file, do_lower_case = lower, config = found.config,
            max_length = type(of_run) == "table" and tonumber(of_run.max_seq_length) or nil })
    end
    if found.heads.answers then fault.check(reader.write_settings(out, reader.read_settings(home))) end
end

local function write_rest(found, out)
    if found.progress then
        write_of_run(found, out)
    else
        for _, name in ipairs(fault.check(fs.list(found.folder))) do
            local from = fs.join(found.folder, name)
            if is_copied(name) and fs.is_file(from) then fault.check(fs.copy(from, fs.join(out, name))) end
        end
    end
    text_vectors.carry(found.folder, out, found.config.hidden_size)
    write_config(found, out)
    local present = {}
    for _, name in ipairs(KNOWN) do present[#present + 1] = fs.is_file(fs.join(out, name)) and name or nil end
    fault.check(checksums.write(out, present))
end

local function bytes_of(path)
    local sum, seen, file = 0, {}, formats.open(path)
    for _, owner in pairs(file.owner or { file }) do
        if not seen[owner.path] then sum = sum + fs.size(owner.path) end
        seen[owner.path] = true
    end
    file:close()
    return sum
end

local function megabytes(bytes)
    return bytes < 1e6 and plural.count(bytes, "byte") or ("%.1f MB"):format(bytes / 1e6)
end

--- Quantize a model.
-- @tparam table values ["folder out"]: list of the two paths
-- @return {matrices, worst: largest error of a matrix relative to it, where: its name, before, after: bytes of
--   parameters}
function M.run(values)
    local from, out, more = unpack(values[M.positional.name])
    if not out or more then
        fault.raisef("quantize: expected two folders, that of the model and the one to write, got %s",
            not from and "none" or out and "more" or "one")
    end
    local free, reason = new_folder.check(out)
    if not free then fault.raisef("quantize: %s %s: choose another", out, reason) end
    context.open { device = "cpu" }
    local found, about = look(from), nil
    new_folder.write(out, "config.json", function(path)
        about = write_parameters(found, path)
        write_rest(found, path)
    end)
    about.before, about.after = bytes_of(found.file), fs.size(fs.join(out, MODEL))
    io.stdout:write(("%s: %s of 8 bits, from %s\n"):format(out, plural.count(about.matrices, "matrix", "matrices"),
        printable.text(found.file)))
    io.stdout:write(("parameters: %s before, %s after\n"):format(megabytes(about.before), megabytes(about.after)))
    io.stdout:write(("largest rounding error of a matrix, relative to it: %.2f %% (%s)\n"):format(100 * about.worst,
        printable.text(about.where)))
    return about
end

return M
