--- Models and texts of bench/inference.lua: what all programs read, made once and kept.
--
-- WORK/base/folder: the configuration's model with parameters drawn at random, as transformers saves it.
-- WORK/MODEL/made/PEER: what a peer makes of a model's folder (bench/peers/inference_models.py).
-- WORK/MODEL/int8: what `bertlua quantize` makes of it, where this build has the command.
-- WORK/MODEL/source: what the above was made of. WORK/MODEL/*.txt: texts; those that OpenVINO's int8 was calibrated
-- with are the first that --texts named.

local lfs = require "lfs"

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local bl = require "bertlua"
local checkpoint = require "bertlua.train.checkpoint"
local commands = require "bertlua.prompt.commands"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local records = require "bertlua.data.records"
local rng = require "bertlua.rng"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")

local M = {}

-- Tokens of the longest texts; texts that NNCF calibrates with.
local LIMIT, CALIBRATION = 512, 128

--- The last line of a text that is not blank.
function M.last_line(text)
    local last = "it ended without a word"
    for line in text:gmatch "[^\n]+" do
        if line:find "%S" then last = line end
    end
    return last
end

--- What a file was when models were made of it.
local function identity(path)
    local about = lfs.attributes(path) or fault.raisef("%s: no such file", path)
    return ("%s %d bytes %d\n"):format(path, about.size, about.modification)
end

--- Parameters at random, in a folder that every program opens.
function M.write_random(folder, config_file)
    local config = BertConfig.load(config_file)
    local store = BertForPretraining.new(config).store
    store:allocate { precision = "fp32", seed = 1, training = false }
    checkpoint.export(folder, { store = store, config = config, do_lower_case = true,
        vocab_file = paths.root() .. "/vocab/bert-base-uncased-vocab.txt" })
    -- The machine's memory is the measured programs'.
    store:free()
end

local function write_lines(path, list)
    fault.check(fs.write(path, table.concat(list, "\n") .. "\n"))
    return { path = path, count = #list }
end

--- The texts of --texts.
local function mixed_texts(values)
    local list = {}
    if values.texts:find "%.[ct]sv$" or values.texts:find "%.jsonl?$" then
        for i, record in ipairs((records.read(values.texts, { values.column }))) do list[i] = record[values.column] end
    else
        for line in fault.check(fs.read(values.texts)):gmatch "[^\r\n]+" do list[#list + 1] = line end
    end
    local texts = {}
    for i = 1, math.min(#list, values.most_texts or #list) do texts[i] = list[i]:gsub("%s+", " ") end
    if #texts == 0 then fault.raisef("--texts %s: holds no texts", values.texts) end
    return texts
end

--- Texts of one length: words that are one token each, drawn at random.
local function even_texts(model, count, length)
    local words, texts, random = {}, {}, rng.new(1)
    for word in fault.check(fs.read(fs.join(model.folder, "vocab.txt"))):gmatch "[^\n]+" do
        if word:find "^%l%l%l+$" then words[#words + 1] = word end
    end
    for i = 1, count do
        local list = {}
        for j = 1, length - 2 do list[j] = words[random:integer(1, #words)] end
        texts[i] = table.concat(list, " ")
    end
    return texts
end

--- The texts of a point in a file.
-- @return {path, count}
function M.texts(values, point, model)
    local path = fs.join(values.work, point.model, point.name:match ":(.*)" .. ".txt")
    if point.mix then return write_lines(path, mixed_texts(values)) end
    local texts = even_texts(model, point.batch, point.length)
    local encoder = bl.load(model.folder, { max_seq_length = LIMIT })
    for _, text in ipairs(texts) do
        local tokens = #encoder:tokens(text)
        if tokens ~= point.length then
            fault.raisef("%s: %q has %d tokens, expected %d: words of this vocabulary are not one token each",
                model.folder, text, tokens, point.length)
        end
    end
    encoder:close()
    return write_lines(path, texts)
end

--- Our int8 model, if this build makes one.
local function quantize(model, home, missing)
    if not commands.find "quantize" then
        missing[#missing + 1] = { what = "bertlua int8", why = "this build has no bertlua quantize" }
        return nil
    end
    local folder = fs.join(home, "int8")
    if fs.is_directory(folder) then return folder end
    io.stderr:write(("%s: bertlua quantize\n"):format(model.folder))
    local errors = fs.join(home, "errors.txt")
    if os.execute(("%s quantize %s %s >%s 2>&1"):format(quote(paths.program()), quote(model.folder), quote(folder),
        quote(errors))) == 0 then return folder end
    missing[#missing + 1] = { what = "bertlua int8", why = M.last_line(fs.read(errors) or "") }
    return nil
end

--- Let a peer make its files; what it cannot make is left out.
local function make(values, name, model, calibration, missing)
    io.stderr:write(("%s: files of %s\n"):format(model.folder, name))
    local errors = fs.join(values.work, "errors.txt")
    local result, output = command.peer(values.python, "inference_models.py", ("%s %s %s %s 2>%s"):format(quote(name),
        quote(model.folder), quote(fs.join(model.made, name)), quote(calibration), quote(errors)), values.threads)
    if not result then
        fault.raisef("files of %s for %s: %s", name, model.folder,
            M.last_line((fs.read(errors) or "") .. output))
    end
    model.lacks[name] = result.lacks
    for precision, why in pairs(result.lacks) do
        missing[#missing + 1] = { what = ("%s %s of %s"):format(name, precision, model.folder), why = why }
    end
end

--- A model, with what each program needs.
-- @param name "base" or "model"
-- @param list programs
-- @param missing list of {what, why}, which grows
-- @return {folder, made, int8: folder or nil, lacks: {[program] = {[precision] = why}}, about}
function M.model(values, name, list, missing)
    local home = fs.join(values.work, name)
    local model = { folder = name == "model" and values.model or fs.join(home, "folder"), made = fs.join(home, "made"),
        lacks = {} }
    fault.check(fs.mkdirs(model.made))
    local source, kept = identity(name == "base" and values.config_file or fs.join(values.model, "model.safetensors")),
        fs.read(fs.join(home, "source"))
    if kept and kept ~= source then
        fault.raisef("--work %s: its models were made of %s, not of %s: take another folder, or delete it", values.work,
            kept:match "[^\n]*", source:match "[^\n]*")
    end
    if name == "base" and not kept then M.write_random(model.folder, values.config_file) end
    fault.check(fs.write(fs.join(home, "source"), source))
    model.about = name == "base" and values.config_file .. ", parameters at random" or values.model

    local texts = values.texts and mixed_texts(values) or even_texts(model, CALIBRATION, 64)
    local calibration, seen = write_lines(fs.join(home, "calibration.txt"), texts).path, {}
    for _, program in ipairs(list) do
        if program.name == "bertlua" then
            if program.precision == "int8" then
                model.int8 = quantize(model, home, missing)
                model.lacks.bertlua = { int8 = not model.int8 }
            end
        elseif not seen[program.name] then
            seen[program.name] = true
            make(values, program.name, model, calibration, missing)
        end
    end
    return model
end

return M
