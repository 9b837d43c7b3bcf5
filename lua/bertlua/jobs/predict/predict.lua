--- Job: what a model predicts of the rows of a file or of standard input.
--
-- Rows are taken in windows, sorted by length inside one, run in packed batches and written in their order. From a
-- pipe a window is what has come so far, so that whoever waits for a prediction gets it.

local Encoder = require "bertlua.encoder"
local applicable = require "bertlua.jobs.predict.applicable"
local devices = require "bertlua.jobs.common.devices"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local kinds = require "bertlua.jobs.predict.kinds"
local leaks = require "bertlua.jobs.common.leaks"
local named_file = require "bertlua.util.named_file"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local rows = require "bertlua.jobs.predict.rows"
local settings = require "bertlua.settings"
local term = require "bertlua.util.term"
local text_source = require "bertlua.data.text_source"
local writer = require "bertlua.jobs.predict.writer"

local M = {}

-- Batches in a window.
local WINDOW = 16

--- Settings of the model, for all jobs that use one.
M.of_model = {
    { name = "task", type = "choice", choices = { "labels", "tags", "embeddings", "answers", "mask" }, group = "Model",
        help = "what to predict; unset: what the model's head is for, or embeddings" },
    { name = "threshold", type = "number", min = 0, max = 1, default = 0.5, group = "Model",
        help = "models of several labels: a text has those of more than this probability" },
    { name = "pooling", type = "choice", choices = { "mean", "cls" }, group = "Model",
        help = "embeddings: of all tokens or of the first; unset: as the model's folder says, or mean" },
    { name = "normalize", type = "boolean", group = "Model",
        help = "embeddings: of length 1; unset: as the model's folder says, or as they are" },
    { name = "max_seq_length", type = "integer", min = 8, max = 4096, group = "Model",
        help = "tokens of a text, whose end is cut off, or of a window; unset: as the model was trained" },
    { name = "doc_stride", type = "integer", min = 1, group = "Model",
        help = "tags, answers: tokens from the start of a window to that of the next; unset: half a window, or as the "
            .. "model was trained" },
    { name = "batch_size", type = "integer", min = 1, default = 32, group = "Model", help = "texts in a batch" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16", "fp16" }, default = "fp32", group = "Model",
        help = "of matrices and activations" },
    { name = "vocab_file", type = "path", find = paths.vocabulary, group = "Model",
        help = "unset: vocab.txt or tokenizer.json of the model" },
    { name = "do_lower_case", type = "boolean", group = "Model",
        help = "lower-case the text; unset: as the model was trained" },
    { name = "model_prefix", type = "string", default = "model", group = "Model",
        help = "reads MODEL_PREFIX.safetensors" },
}

--- Settings of the files of rows.
M.of_rows = {
    { name = "input_form", type = "choice", choices = rows.FORMS, group = "Data",
        help = "text: a text a line; csv, tsv; jsonl: JSON lines; conll: a word a line. Unset: by the file's ending, "
            .. "else by its first line: an object, columns by name, tags behind tabs, or a text" },
    { name = "text_column", type = "string", group = "Data",
        help = "column of the text; unset: text; for tags the list words of JSON lines, or the first column; for "
            .. "answers context" },
    { name = "header", type = "boolean", group = "Data",
        help = "whether .csv and .tsv files have a line of column names; unset: they have none if all columns are "
            .. "given by number" },
    { name = "pair_column", type = "string", group = "Data",
        help = "column of a second text; unset: single texts; for answers question" },
}
for _, setting in ipairs(text_source.settings) do
    if setting.name ~= "text_field" then
        local copy = {}
        for key, value in pairs(setting) do copy[key] = value end
        copy.group = "Data"
        M.of_rows[#M.of_rows + 1] = copy
    end
end

local function all_settings()
    local list = {
        { name = "checkpoint", type = "path", required = true, group = "Files",
            help = "the model: OUTPUT_DIR of a run, its model, a checkpoint, or a Hugging Face folder" },
        { name = "input", type = "path", default = "-", group = "Files", help = "rows to predict; -: standard input" },
        { name = "output", type = "path", default = "-", group = "Files",
            help = "file for the predictions; -: standard output" },
        { name = "format", type = "choice", choices = { "jsonl", "tsv" }, default = "jsonl", group = "Files",
            help = "of the predictions: a JSON object a row, or columns" },
        { name = "top_k", type = "integer", min = 1, max = 1000, group = "Files",
            help = "also give this many of the likeliest labels, words or answers" },
    }
    for _, more in ipairs { M.of_rows, M.of_model } do
        for _, setting in ipairs(more) do list[#list + 1] = setting end
    end
    local device = {}
    for key, value in pairs(devices.setting) do device[key] = value end
    device.group = "Machine"
    list[#list + 1] = device
    list[#list + 1] = { name = "threads", type = "integer", min = 0, default = 0, group = "Machine",
        help = "0: OMP_NUM_THREADS, or all cores" }
    return list
end

M.settings = settings.define(all_settings())

--- Refuse an output whose folder is missing, or that is one of the files that are read.
-- @param output path, "-" or nil
-- @param inputs by the setting that names each: path, "-" or nil
function M.check_output(output, inputs)
    named_file.check("--output", output)
    -- A file that is called "-" is neither standard input nor output.
    if not output or output == "-" or not fs.is_file(output) then return end
    for name, path in pairs(inputs) do
        if path ~= "-" and fs.identity(path) == fs.identity(output) then
            fault.raisef("--output %s is the same file as --%s %s: name another one", output, name, path)
        end
    end
end

--- Open the model, and say what it predicts.
-- @param sources of the values, as Spec:parse returns them, or nil
-- @return model; name of its kind
function M.open_model(values, sources)
    local model = Encoder.load(values.checkpoint, { precision = values.precision, vocab_file = values.vocab_file,
        do_lower_case = values.do_lower_case, model_prefix = values.model_prefix,
        max_seq_length = values.max_seq_length, command_line = true })
    local kind = kinds.of(model, values.task)
    applicable.check(applicable.use(model, kind), values.checkpoint, sources or {})
    local problem = kind == "embeddings" and model.sentences.problem
    if problem and not values.pooling then
        fault.raisef("%s; --pooling mean makes vectors regardless", problem)
    end
    return model, kind
end

--- Open a file of rows for a kind.
-- @param label column of labels, or nil
-- @param labeled whether rows have labels or tags
function M.open_rows(values, path, kind, label, labeled)
    local wanted = kinds[kind].columns(values)
    leaks.check_columns { text_column = wanted.words and values.text_column or not wanted.words and wanted.text or nil,
        pair_column = wanted.pair, label_column = label }
    wanted.path, wanted.form, wanted.label = path, values.input_form, label
    wanted.encoding, wanted.invalid_utf8, wanted.header = values.encoding, values.invalid_utf8, values.header
    wanted.columns_named = (values.text_column or values.pair_column or label) ~= nil
    wanted.label_column, wanted.labeled = label, labeled
    return rows.open(wanted)
end

--- Predictions of a window, in its order.
-- @param list of rows
-- @param where function(row) -> its place
function M.window(model, kind, list, values, where)
    local order, sorted, result = {}, {}, {}
    local function size(row) return row.words and #row.words or #row.text + #(row.pair or "") end
    for i = 1, #list do order[i] = i end
    table.sort(order, function(a, b)
        local x, y = size(list[a]), size(list[b])
        if x ~= y then return x > y end
        return a < b
    end)
    for i, place in ipairs(order) do sorted[i] = list[place] end
    for i, record in ipairs(kinds[kind].run(model, sorted, values, where)) do result[order[i]] = record end
    return result
end

--- Tell what was cut off: at once where nobody knows when the end comes, and how often at the end.
-- @param model has limit; its on_cut is set
-- @param before how many texts were cut before, by a run that this one goes on with
-- @return function that tells it at the end; function() -> how many texts were cut so far
function M.watch_cuts(model, kind, input, before)
    local count = before or 0
    local what = kind == "tags" and "word" or "text"
    model.on_cut = function(more)
        if count == 0 and input.piped then
            term.warn(("a %s is longer than %d tokens: its end is left out, as are those of later ones"):format(what,
                model.limit))
        end
        count = count + more
    end
    return function()
        if count == 0 then return end
        term.warn(("%s: %s longer than %d tokens: the end is left out"):format(input.name,
            plural.count(count, what .. " is", what .. "s are"), model.limit))
    end, function() return count end
end

--- An input without a row: a fault where the user named a file; in a pipe, as those of grep may be empty, the right
-- output is empty too, and a warning says so.
-- @param output its path, or "-"
function M.tell_nothing(input, output, verb)
    local text = ("%s: nothing in it to %s"):format(input.name, verb)
    if not input.piped or output ~= "-" then fault.raise(text) end
    term.warn(text)
end

local function encoded(record, kind, format)
    if format == "tsv" then return kinds[kind].line(record) .. "\n" end
    return json.encode(record, { order = kinds[kind].order }) .. "\n"
end

--- Read, predict and write; returns the number of rows.
local function work(values, model, kind, input, output)
    local window, count = {}, 0
    local tell_cuts = M.watch_cuts(model, kind, input)
    local bar = values.output ~= "-" and progress.new { total = input:count_lines(), label = "predict", unit = "lines" }
    local function where(row) return input:where(row) end
    local function flush()
        if #window == 0 then return end
        local lines = {}
        for i, record in ipairs(M.window(model, kind, window, values, where)) do
            lines[i] = encoded(record, kind, values.format)
        end
        output:write(table.concat(lines))
        count = count + #window
        if bar then bar:update(window[#window].line) end
        window = {}
    end
    repeat
        local ok, row = pcall(input.next, input)
        if not ok then
            -- What came before a row that is wrong is predicted, where somebody reads along.
            if not output.temporary then flush() end
            error(row, 0)
        end
        window[#window + 1] = row
        if not row or #window >= WINDOW * values.batch_size or not input:is_ready() then flush() end
    until not row
    if bar and count > 0 then bar:finish { rows = count } end
    tell_cuts()
    input:tell_replaced()
    if count == 0 then M.tell_nothing(input, values.output, "predict") end
    return count
end

--- Run the job.
-- @param values of M.settings
-- @param sources where each was given, as Spec:parse returns it, or nil
-- @return number of rows
function M.run(values, sources)
    M.check_output(values.output, { input = values.input })
    devices.open(values)
    local model, kind = M.open_model(values, sources)
    if values.top_k and values.format == "tsv" then
        term.warn "--top-k has no place in --format tsv: ignored; JSON lines have it"
    end
    if values.format == "jsonl" and values.output:lower():find "%.tsv$" then
        term.warn(("%s holds JSON lines in spite of its name: --format tsv writes columns"):format(values.output))
    end
    local input = M.open_rows(values, values.input, kind)
    local output = writer.open(values.output)
    local ok, result = pcall(work, values, model, kind, input, output)
    if ok then ok, result = pcall(function()
        output:finish()
        return result
    end) end
    input:close()
    model:close()
    if ok then return result end
    local left = output:abandon()
    if left and fault.is(result) then fault.raisef("%s; %s", fault.message(result), left) end
    error(result, 0)
end

--- What the recipe calls: its own settings, then the command line.
function M.main(overrides, description)
    return M.run(M.settings:parse(arg or {}, overrides, { description = description }))
end

return M
