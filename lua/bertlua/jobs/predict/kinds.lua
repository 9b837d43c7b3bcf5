--- What the kinds of models predict of a row, and how it is written.
--
-- A kind: {columns(values) -> fields of rows.open(); run(model, rows, values, where) -> a record per row; order of a
-- record's fields; header of the TSV form, or nil; line(record) -> the TSV form of a record}.

local fault = require "bertlua.fault"
local float_text = require "bertlua.util.float_text"
local json = require "bertlua.util.json"

local M = {}

local function check_number(x, where)
    if x - x ~= 0 then
        fault.raisef("%s: the model's score is %s: its parameters hold NaN, or are not those of this model", where,
            tostring(x))
    end
    -- JSON writes it with as many digits as a 32-bit float needs.
    return tonumber(float_text.shortest(x))
end

--- A list of {label or token or text, probability} as records.
local function top_of(list, name, count, where)
    local top = {}
    for i = 1, math.min(count, #list) do
        local entry = list[i]
        top[i] = { [name] = entry[name] or entry.text, score = check_number(entry.probability, where) }
    end
    return json.array(top)
end

--- A text for a field of TSV: what would end the field becomes a blank.
local function field(text)
    return (tostring(text):gsub("[\t\r\n]", " "))
end

local function joined(list)
    local parts = {}
    for i, item in ipairs(list) do parts[i] = field(item) end
    return table.concat(parts, ",")
end

local function texts_of(rows)
    local list = {}
    for i, row in ipairs(rows) do list[i] = row.pair and { row.text, row.pair } or row.text end
    return list
end

local function text_columns(values)
    return { text = values.text_column or "text", pair = values.pair_column }
end

local function label_record(result, top_k, where)
    local record = {}
    if result.value then return { value = check_number(result.value, where) } end
    if result.values then
        for i, value in ipairs(result.values) do record[i] = check_number(value, where) end
        return { values = record }
    end
    if result.label then
        record.label, record.score = result.label, check_number(result.probability, where)
    else
        record.labels, record.scores = json.array(result.labels), json.array()
        for i, probability in ipairs(result.probabilities) do record.scores[i] = check_number(probability, where) end
        check_number(result.all[1].probability, where)
    end
    if top_k then record.top = top_of(result.all, "label", top_k, where) end
    return record
end

M.labels = {
    columns = text_columns, order = { "label", "score", "labels", "scores", "value", "values", "top" },
    run = function(model, rows, values, where)
        local list = {}
        local results = model:classify(texts_of(rows), { batch_size = values.batch_size,
            threshold = values.threshold })
        for i, result in ipairs(results) do list[i] = label_record(result, values.top_k, where(rows[i])) end
        return list
    end,
    line = function(record)
        if record.value then return tostring(record.value) end
        if record.values then return table.concat(record.values, "\t") end
        return record.label and field(record.label) .. "\t" .. record.score
            or joined(record.labels) .. "\t" .. table.concat(record.scores, ",")
    end,
}

M.tags = {
    columns = function(values)
        return { words = true, text = values.text_column or "text", text_column = values.text_column }
    end,
    order = { "words", "tags", "scores" },
    run = function(model, rows, values, where)
        local list, words = {}, {}
        for i, row in ipairs(rows) do words[i] = row.words end
        local tags, scores = model:tag(words, { batch_size = values.batch_size, stride = values.doc_stride })
        for i, row in ipairs(rows) do
            list[i] = { words = row.words, tags = tags[i], scores = {} }
            for w, score in ipairs(scores[i]) do list[i].scores[w] = check_number(score, where(row)) end
        end
        return list
    end,
    -- CoNLL columns.
    line = function(record)
        local lines = {}
        for w, word in ipairs(record.words) do
            lines[w] = ("%s\t%s\t%s\n"):format(field(word), field(record.tags[w]), record.scores[w])
        end
        return table.concat(lines)
    end,
}

M.embeddings = {
    columns = text_columns,
    order = { "embedding" },
    run = function(model, rows, values, where)
        local list = {}
        local vectors = model:embed(texts_of(rows), { batch_size = values.batch_size, pooling = values.pooling,
            normalize = values.normalize })
        for i, vector in ipairs(vectors:tolist()) do
            for h, x in ipairs(vector) do vector[h] = check_number(x, where(rows[i])) end
            list[i] = { embedding = vector }
        end
        return list
    end,
    line = function(record) return table.concat(record.embedding, "\t") end,
}

--- Call fn of one row; a fault gets the row's place in front.
local function at(place, fn, ...)
    local ok, result = pcall(fn, ...)
    if ok then return result end
    if not fault.is(result) then error(result, 0) end
    fault.raisef("%s: %s", place, fault.message(result))
end

M.answers = {
    columns = function(values)
        return { text = values.text_column or "context", pair = values.pair_column or "question" }
    end,
    order = { "answer", "score", "top" },
    run = function(model, rows, values, where)
        local list, options = {}, { batch_size = values.batch_size, max_seq_length = values.max_seq_length,
            doc_stride = values.doc_stride, n_best_size = math.max(20, values.top_k or 0) }
        for i, row in ipairs(rows) do
            local place = where(row)
            local answer = at(place, model.answer, model, row.pair, row.text, options)
            list[i] = { answer = answer.text, score = check_number(answer.probability, place),
                top = values.top_k and top_of(answer.all, "answer", values.top_k, place) }
        end
        return list
    end,
    line = function(record) return field(record.answer) .. "\t" .. record.score end,
}

M.mask = {
    columns = function(values) return { text = values.text_column or "text" } end,
    order = { "tokens", "scores", "top" },
    run = function(model, rows, values, where)
        local list, k, options = {}, values.top_k or 1, { batch_size = values.batch_size }
        local ok, filled = pcall(model.fill_mask, model, texts_of(rows), k, options)
        if not ok and not fault.is(filled) then error(filled, 0) end
        for i, row in ipairs(rows) do
            local place = where(row)
            local record = { tokens = {}, scores = {}, top = values.top_k and {} }
            -- One of them cannot be filled: find out which.
            local masks = ok and filled[i] or at(place, model.fill_mask, model, row.text, k)
            for m, guesses in ipairs(masks) do
                record.tokens[m], record.scores[m] = guesses[1].token, check_number(guesses[1].probability, place)
                if record.top then record.top[m] = top_of(guesses, "token", values.top_k, place) end
            end
            list[i] = record
        end
        return list
    end,
    line = function(record) return joined(record.tokens) .. "\t" .. table.concat(record.scores, ",") end,
}

--- What a model is for: the name of a kind.
-- @param model of bl.load
-- @param wanted the kind that the user asks for, or nil
function M.of(model, wanted)
    local heads, has = model.heads, {}
    has.labels, has.tags, has.answers, has.mask = heads.labels, heads.tags, heads.answers, heads.mlm
    has.embeddings = true
    if wanted then
        if not has[wanted] then
            fault.raisef("--task %s: %s has no head for it%s", wanted, model.folder, heads.unknown
                and (", and that of a %s is not known here"):format(heads.unknown) or "")
        end
        return wanted
    end
    if heads.unknown then
        fault.raisef("%s: the head of a %s is not known here; --task embeddings uses the encoder without it",
            model.folder, heads.unknown)
    end
    -- A folder of sentence-transformers may have the heads of what it was made from.
    if next(model.sentences) then return "embeddings" end
    for _, name in ipairs { "answers", "labels", "tags", "mask" } do
        if has[name] then return name end
    end
    return "embeddings"
end

return M
