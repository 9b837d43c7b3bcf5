--- Job: the vector of each text of a file or of standard input.
--
-- Texts are taken in chunks, sorted by length inside one, run in packed batches and written in their order. A file
-- appears when it is whole; a run that was killed goes on where its last whole chunk ended (part.lua). Chunks and
-- batches depend on the texts and the settings alone, so the file is the same, byte for byte.

local stdlib = require "posix.stdlib"

local array = require "bertlua.array"
local devices = require "bertlua.jobs.common.devices"
local encoder_api = require "bertlua.encoder_api"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local formats = require "bertlua.jobs.embed.formats"
local fs = require "bertlua.util.fs"
local identity = require "bertlua.jobs.embed.identity"
local part = require "bertlua.jobs.embed.part"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local predict = require "bertlua.jobs.predict.predict"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"
local signal = require "bertlua.signal"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"
local writer = require "bertlua.jobs.predict.writer"

local M = {}

-- A chunk also ends when its texts have so many bytes.
local MOST_BYTES = 16 * 2 ^ 20
-- What describe() says of the folder: bl_pooling of engine/api/encoder.h.
local POOLING, NORMALIZED = { "mean", "cls" }, 16
-- Text between two looks at signals and two steps of the bar: some thousand tokens.
local SLICE_BYTES = 32 * 2 ^ 10

local KIND = "embeddings"

--- Settings of predict.lua that mean the same here.
local function of_predict(list, left_out)
    local kept = {}
    for _, setting in ipairs(list) do
        if not left_out[setting.name] then
            local copy = {}
            for key, value in pairs(setting) do copy[key] = value end
            kept[#kept + 1] = copy
            kept[setting.name] = copy
        end
    end
    return kept
end

local function all_settings()
    local rows = of_predict(predict.of_rows, { pair_column = true })
    rows.input_form.choices = { "text", "csv", "tsv", "jsonl" }
    rows.input_form.help = "text: a text a line; csv, tsv; jsonl: JSON lines. Unset: by the file's ending, else by its "
        .. "first line: an object, columns by name, or a text"
    rows.text_column.help = "column of the text; unset: text"
    local model = of_predict(predict.of_model, { task = true, threshold = true, doc_stride = true, batch_size = true,
        model_prefix = true })
    model.pooling.choices, model.pooling.default = { "model", "mean", "cls" }, "model"
    model.pooling.help = "mean of all tokens, or the first one's vector; model: as its folder says, or mean"
    model.normalize.help = "vectors of length 1; unset: as the model's folder says, or as they are"
    -- What the engine's encoder computes in.
    model.precision.choices = { "fp32", "bf16" }
    model.max_seq_length.help = "tokens of a text, whose end is cut off; unset: as the model was trained"
    local list = {
        { name = "checkpoint", type = "path", required = true, group = "Files",
            help = "the model: OUTPUT_DIR of a run, its model, a checkpoint, or a Hugging Face folder" },
        { name = "input", type = "path", default = "-", group = "Files",
            help = "texts, in a file of any size, which may be compressed; -: standard input" },
        { name = "output", type = "path", default = "-", group = "Files",
            help = "file for the vectors; OUTPUT.part and OUTPUT.part.json hold what is done until it is whole, and "
                .. "the same command goes on with them after a kill, unless it reads standard input. -: standard "
                .. "output" },
        { name = "format", type = "choice", choices = formats.NAMES, group = "Files",
            help = "npy: NumPy's; safetensors: one tensor, embeddings; jsonl: JSON lines of text and embedding. Unset: "
                .. "by the ending of OUTPUT, jsonl on standard output" },
        { name = "dtype", type = "choice", choices = formats.DTYPES, default = "f32", group = "Files",
            help = "of the numbers in .npy and safetensors" },
        { name = "overwrite", type = "boolean", default = false, group = "Files",
            help = "begin anew where an interrupted run has left OUTPUT.part" },
        { name = "chunk_size", type = "integer", min = 1, default = 4096, group = "Files",
            help = "texts that are sorted by length together and then kept: what memory must hold (4 bytes a number of "
                .. "their vectors, 16 MiB of text at most), and what a kill may cost" },
    }
    for _, more in ipairs { rows, model } do
        for _, setting in ipairs(more) do list[#list + 1] = setting end
    end
    for _, name in ipairs { "device", "threads" } do list[#list + 1] = predict.settings.by_name[name] end
    return list
end

M.settings = settings.define(all_settings())

--- Rules between settings, before anything is opened.
-- @return form
local function plan(values, sources)
    if values.output ~= "-" and fs.is_directory(values.output) then
        fault.raisef("%s: is a folder, expected a file to write", values.output)
    end
    local form = formats.of(values.format, values.output)
    if form == "jsonl" then
        if sources.dtype then fault.raise "--dtype: JSON lines have numbers as text; leave it out" end
    elseif values.output == "-" or fs.exists(values.output) and not fs.is_file(values.output) then
        fault.raisef("--format %s: the number of vectors stands at its beginning, which %s cannot be told afterwards: "
            .. "name a file, or take --format jsonl", form, values.output == "-" and "standard output" or values.output)
    end
    predict.check_output(values.output, { input = values.input })
    return form
end

--- The texts that come next: at most a chunk of them; fewer from a pipe whose answers somebody waits for.
local function chunk_of(input, most, waited_for)
    local rows, bytes = {}, 0
    repeat
        local row = input:next()
        if not row then break end
        if not waited_for then signal.check() end
        rows[#rows + 1], bytes = row, bytes + #row.text
    until #rows >= most or bytes >= MOST_BYTES or waited_for and not input:is_ready()
    return rows
end

--- The engine's message, with the place of the text that it speaks of.
local function placed(message, place)
    return (message:gsub("%(text (%d+), from 0%)", function(i) return "(" .. place(tonumber(i) + 1) .. ")" end))
end

--- Vectors of texts, in their order: tensor f32 [n,H].
-- @param job encoder, pooling, normalize, width, cut: how many texts were cut so far
-- @param place function(i) -> "FILE:LINE" of a text
-- @param step called with the number of texts done, now and then
local function vectors_of(job, texts, place, step)
    local order, width, limit = {}, job.width, job.limit
    for i = 1, #texts do order[i] = i end
    table.sort(order, function(a, b)
        if #texts[a] ~= #texts[b] then return #texts[a] > #texts[b] end
        return a < b
    end)
    local out = tensor.new("f32", { #texts, width })
    local to, first = array.wrap(out), 1
    while first <= #order do
        local list, bytes = {}, 0
        repeat
            -- NUL is no part of a text for the tokenizer either.
            local text = texts[order[first + #list]]:gsub("%z", "")
            list[#list + 1], bytes = text, bytes + #text
        until bytes >= SLICE_BYTES or first + #list > #order
        for _, length in ipairs(fault.check(job.encoder:lengths(list))) do
            if length > limit then job.on_cut(1) end
        end
        local some, message = job.encoder:embed(list, job.pooling, job.normalize)
        if not some then fault.raise(placed(message, function(i) return place(order[first + i - 1]) end)) end
        local from = array.wrap(some)
        for i = 1, #list do
            array.copy(to + (order[first + i - 1] - 1) * width, from + (i - 1) * width, 4 * width)
        end
        first = first + #list
        step(first - 1)
    end
    return out
end

--- CRC32C of texts and of where one ends.
local function checksum(texts, crc)
    for _, text in ipairs(texts) do crc = storage.crc32c(text, storage.crc32c(("%d:"):format(#text), crc)) end
    return crc
end

--- Pass over the texts that an interrupted run has done.
-- @return the line of the last one, or 0
local function pass_over(input, output)
    local left, crc, line = output.rows, 0, 0
    while left > 0 do
        local row = input:next()
        if not row then break end
        crc, left, line = checksum({ row.text }, crc), left - 1, row.line
    end
    if left > 0 or crc ~= (output.notes.texts or 0) then
        fault.raisef("%s: the texts of the %s in %s are no longer the same: --overwrite discards them and begins anew",
            input.name, plural.count(output.rows, "vector"), output.part)
    end
    return line
end

--- What has been cut off and replaced, in a line each.
local function tell(job, tell_cuts)
    tell_cuts()
    job.input:tell_replaced()
end

--- Read, compute and write; returns the number of vectors.
-- @param job values, encoder and what belongs to it, form, input, output: a Part if into_file, else a writer
local function work(job)
    local values, input, output = job.values, job.input, job.output
    local before = job.into_file and output.notes or {}
    local tell_cuts, cuts = predict.watch_cuts(job, KIND, input, before.cut)
    local count, line, crc = job.into_file and output.rows or 0, 0, before.texts or 0
    if count > 0 then
        job.refused = true
        line = pass_over(input, output)
        job.refused = false
        io.stdout:write(("%s: continues after %s of an interrupted run\n"):format(values.output,
            plural.count(count, "vector")))
        io.stdout:flush()
    end
    local bar = job.into_file and progress.new { total = input:count_lines(), start = line, label = "embed",
        unit = "lines" }
    local counted = bar and bar.total
    while true do
        local rows = chunk_of(input, values.chunk_size, not job.into_file)
        if #rows == 0 then break end
        local texts, first, size = {}, line, rows[#rows].line - line
        for i, row in ipairs(rows) do texts[i] = row.text end
        if bar and not counted then bar:expect(input:expected_lines(rows[#rows].line)) end
        local function place(i) return input:where(rows[i]) end
        local vectors = vectors_of(job, texts, place, function(done)
            if bar then bar:update(first + size * done / #rows) end
            if job.into_file then signal.check() end
        end)
        formats.check(vectors, values.dtype, place)
        local bytes = formats.rows(job.form, values.dtype, vectors, texts)
        count, line, crc = count + #rows, rows[#rows].line, checksum(texts, crc)
        if job.into_file then
            output:append(bytes, #rows, { cut = cuts(), texts = crc })
        else
            output:write(bytes)
        end
    end
    if count == 0 then predict.tell_nothing(input, values.output, "embed") end
    if bar then bar:finish { texts = count } end
    tell(job, tell_cuts)
    return count
end

--- Open the model, and settle how its vectors are made.
local function open_model(job)
    local values = job.values
    job.device = devices.open(values)
    local file
    job.folder, file = files.find(values.checkpoint, nil, "--checkpoint")
    job.parameters = files.named(values.checkpoint, job.folder, file)
    paths.check_vocabulary(values.vocab_file)
    local ok, encoder, problem = pcall(encoder_api.open, job.parameters, { device = job.device,
        threads = values.threads, dtype = values.precision == "bf16" and "bf16" or "f32",
        max_length = values.max_seq_length, lower_case = values.do_lower_case, vocab_file = values.vocab_file })
    -- What is wrong with an argument is wrong with a setting here.
    if not ok then problem = fault.message(encoder) end
    if problem then
        fault.raise((problem:gsub("^encoder: max_length", "--max-seq-length"):gsub("vocabulary in vocab_file",
            "vocabulary with --vocab-file")))
    end
    for _, line in ipairs(encoder:notes()) do term.warn(line) end
    -- Whether the folder says anything that is not implemented, before anything is written.
    local tried
    tried, problem = encoder:embed({ "" }, values.pooling)
    if not tried then
        encoder:close()
        fault.raise((problem:gsub("^embed: ", ""):gsub("BL_POOL_MEAN", "--pooling mean")))
    end
    local info = encoder:describe()
    job.encoder, job.width, job.limit = encoder, info.hidden_size, info.max_length
    job.pooling = values.pooling ~= "model" and values.pooling or POOLING[info.pooling % NORMALIZED]
    job.normalize = values.normalize
    if job.normalize == nil then job.normalize = info.pooling >= NORMALIZED end
end

--- Where the vectors go: a Part for a plain file, or a writer for a device, a pipe or standard output.
local function open_output(job)
    local values = job.values
    if not job.into_file then return writer.open(job.path) end
    return part.open(job.path, { head = #formats.head(job.form, values.dtype, 0, job.width),
        overwrite = values.overwrite, told = identity.of(job) })
end

local function finish(job, count)
    if not job.into_file then return job.output:finish() end
    job.output:finish(formats.head(job.form, job.values.dtype, count, job.width))
    io.stdout:write(("%s: %s of %s%s\n"):format(job.values.output, plural.count(count, "vector"),
        plural.count(job.width, "number"), job.form == "jsonl" and "" or ", " .. job.values.dtype))
end

--- Run the job.
-- @param values of M.settings
-- @param sources of the values, as settings.parse returns them
-- @return number of vectors
function M.run(values, sources)
    local job = { values = values, form = plan(values, sources or {}) }
    job.into_file = values.output ~= "-" and (fs.is_file(values.output) or not fs.exists(values.output))
    -- What a link leads to is written, not the link; any other file keeps the name that the user gave it.
    job.path = values.output
    if job.into_file and not fs.is_replaceable(job.path) then job.path = stdlib.realpath(job.path) or job.path end
    open_model(job)
    if job.into_file then signal.trap "stopping; the chunks that are finished are kept" end
    job.input = predict.open_rows(values, values.input, KIND)
    local ok, result = pcall(function()
        job.output = open_output(job)
        local count = work(job)
        finish(job, count)
        return count
    end)
    job.input:close()
    job.encoder:close()
    if job.into_file then signal.untrap() end
    if ok then return result end
    local left = job.output and job.output:abandon(job.input.piped or nil)
    if left and not job.refused and fault.is(result) then
        fault.raise(("%s; %s"):format(fault.message(result), left), result.code)
    end
    error(result, 0)
end

--- What the recipe calls: its own settings, then the command line.
function M.main(overrides, description)
    local values, sources = M.settings:parse(arg or {}, overrides, { description = description })
    return M.run(values, sources)
end

return M
