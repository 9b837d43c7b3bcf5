--- Files of pairs, triples and scored pairs: which columns they have, their rows, and sequences of them.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local plural = require "bertlua.util.plural"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"

local M = {}

--- The columns that the settings name; a fault where they contradict each other.
-- @treturn table {texts: the text, its pair, negatives: list of names; label: name or nil; kind: "scored pair",
--   "pair", "triple"}
function M.columns(values)
    local columns, seen = { texts = { values.text_column, values.pair_column }, label = values.label_column }, {}
    if values.negative_column and values.label_column then
        fault.raise "--negative-column and --label-column are both set: data are triples or scored pairs, not both"
    end
    for name in ((values.negative_column or "") .. ","):gmatch "([^,]*)," do
        if name ~= "" then
            columns.texts[#columns.texts + 1] = name
        elseif values.negative_column then
            fault.raisef("--negative-column %s: a name is empty, expected NAME or NAME,NAME", values.negative_column)
        end
    end
    columns.kind = columns.label and "scored pair" or #columns.texts > 2 and "triple" or "pair"
    for i = 1, #columns.texts + 1 do
        local name = columns.texts[i] or columns.label
        if name and seen[name] then
            fault.raisef("column %s is named twice, expected a column each for the text, its pair and what else is set",
                name)
        end
        seen[name or ""] = true
    end
    return columns
end

--- A score as a number; nil where it is none.
local function score_of(text)
    local value = tonumber(text)
    if not value or value - value ~= 0 or text:find "^%s*0[xX]" then return nil end
    return value
end

--- What is wrong with a record in itself; nil if nothing is.
local function problem_of(record, columns)
    for _, name in ipairs(columns.texts) do
        if not record[name]:find "%S" then return ("the text in column %s is empty"):format(name) end
    end
    local label = columns.label
    if label and not score_of(record[label]) then
        return ("column %s is %q, expected a number"):format(label, record[label])
    end
    return nil
end

--- Read a file.
-- @param path of the file
-- @param columns of columns()
-- @param reading encoding, invalid_utf8, header, bad_rows: as in data/records.lua
-- @treturn table {path; rows: list of lists of texts; lines: where they start; scores: 0-based array, or nil; least,
--   most: of the scores; kind; by_number: whether it has no header; skipped: {count, first} of what was left out}
function M.read(path, columns, reading)
    local wanted = { unpack(columns.texts) }
    wanted[#wanted + 1] = columns.label
    local texts, settings = {}, { [columns.label or ""] = "--label-column" }
    for i, name in ipairs(columns.texts) do
        texts[name] = true
        settings[name] = i == 1 and "--text-column" or i == 2 and "--pair-column" or "--negative-column"
    end
    local list, lines, by_number, skipped = records.read(path, wanted, { encoding = reading.encoding,
        invalid_utf8 = reading.invalid_utf8, header = reading.header, bad_rows = reading.bad_rows, texts = texts,
        settings = settings,
        check = function(record) return problem_of(record, columns) end })
    local found = { path = path, rows = {}, lines = lines, kind = columns.kind, by_number = by_number,
        skipped = skipped, scores = columns.label and array.double(#list) or nil, least = math.huge,
        most = -math.huge }
    for i, record in ipairs(list) do
        local row = {}
        for k, name in ipairs(columns.texts) do row[k] = record[name] end
        found.rows[i] = row
        if columns.label then
            local score = score_of(record[columns.label])
            found.scores[i - 1] = score
            found.least, found.most = math.min(found.least, score), math.max(found.most, score)
        end
    end
    return found
end

--- What a file holds, for the log.
-- @param set of its sequences
function M.line(found, set)
    return ("%s: %s of up to %d tokens%s%s"):format(found.path, plural.count(#found.rows, found.kind), set.longest,
        found.scores and (", scores from %.6g to %.6g"):format(found.least, found.most) or "",
        found.by_number and "; no header, columns by number" or "")
end

--- Its rows as groups of sequences, to train on.
-- @param words tokenizer
-- @param max_length tokens of a text
-- @param divisor what scores are divided by
-- @return set as in data/sequences.lua; texts that were cut
function M.groups(found, words, max_length, divisor)
    local builder, labels = sequences.builder(words, max_length), nil
    for _, row in ipairs(found.rows) do
        for _, text in ipairs(row) do builder:add(text) end
    end
    if found.scores then
        local scores = array.float(#found.rows)
        for i = 0, #found.rows - 1 do scores[i] = found.scores[i] / divisor end
        labels = { scores = { values = scores, dtype = "f32", per = "groups" } }
    end
    local set = builder:finish(labels)
    return set, builder.cut
end

--- Its distinct texts as sequences, to evaluate on; found gets set, and numbers: {[text] = its sequence}.
-- @return texts that were cut
function M.distinct(found, words, max_length)
    local builder, numbers, count = sequences.builder(words, max_length), {}, 0
    for _, row in ipairs(found.rows) do
        for _, text in ipairs(row) do
            if not numbers[text] then
                builder:add(text)
                numbers[text], count = count, count + 1
            end
        end
    end
    found.set, found.numbers = builder:finish(), numbers
    return builder.cut, count
end

return M
