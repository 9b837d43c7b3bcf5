--- Reads SQuAD files (v1.1 and v2.0) into a flat list of examples, checking every field.
--
-- An example: {id, question, context, title, answers = { {text, start}, ... },
-- answer_text, answer_start (of the first answer), is_impossible}; starts are
-- in code points, from 0, as in the file. For training also first_word and
-- last_word: the words of the context (separated by white space, from 0) that
-- hold the answer. Nothing here deals with tokens.
-- @module bertlua.squad.dataset

local cjson = require "cjson"

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local text = require "bertlua.squad.text"
local text_source = require "bertlua.data.text_source"

local dataset = {}

local EXPECTED = { table = "a list", string = "a string", number = "a whole number", boolean = "true or false" }

--- "data[0].paragraphs[2].qas[1]" for a position {article, paragraph, question, answer}, all from 1.
local function location(at)
    local parts = {}
    for i, name in ipairs { "data", "paragraphs", "qas", "answers" } do
        if not at[i] then break end
        parts[i] = ("%s[%d]"):format(name, at[i] - 1)
    end
    return table.concat(parts, ".")
end

local function json_type(value)
    if value == cjson.null then return "null" end
    if type(value) == "table" then return next(value) ~= nil and #value == 0 and "an object" or "a list" end
    return EXPECTED[type(value)] and type(value) == "number" and "the number " .. value or EXPECTED[type(value)]
end

--- A field that must be present and of the given type; at is the position of the node it belongs to.
local function need(source, node, key, kind, at)
    local value = node[key]
    local fits = type(value) == kind
    if fits and kind == "table" then fits = next(value) == nil or #value > 0 end
    if fits then return value end
    local path = location(at)
    path = path == "" and key or path .. "." .. key
    if value == nil then fault.raisef("%s: %s is missing, expected %s", source, path, EXPECTED[kind]) end
    fault.raisef("%s: %s is %s, expected %s", source, path, json_type(value), EXPECTED[kind])
end

--- Entry i of a list, which must be an object.
local function object(source, list, at)
    local node = list[at[#at]]
    if type(node) ~= "table" or #node > 0 then
        fault.raisef("%s: %s is %s, expected an object", source, location(at), json_type(node))
    end
    return node
end

--- Ids are strings; some data sets number their questions.
local function question_id(source, node, at)
    local id = node.id
    if type(id) == "number" and id == math.floor(id) then return ("%d"):format(id) end
    return need(source, node, "id", "string", at)
end

--- The answers to a question; none if the field is absent or null.
local function answer_list(source, node, at)
    if node.answers == nil or node.answers == cjson.null then return {} end
    local list = {}
    for i in ipairs(need(source, node, "answers", "table", at)) do
        local here = { at[1], at[2], at[3], i }
        local answer = object(source, node.answers, here)
        local entry = { text = need(source, answer, "text", "string", here) }
        if answer.answer_start ~= nil then entry.start = need(source, answer, "answer_start", "number", here) end
        list[i] = entry
    end
    return list
end

--- Words and code points of a context, computed once for all its questions.
local function measure(context)
    local starts, stops, words = text.words(context)
    local offsets, count = text.code_points(context)
    return { context = context, starts = starts, stops = stops, words = words, offsets = offsets, count = count }
end

--- Number of the last word that starts at or before a byte; -1 if there is none.
local function word_at(measured, at)
    local low, high = 0, measured.words
    while low < high do
        local middle = math.floor((low + high) / 2)
        if measured.starts[middle] <= at then low = middle + 1 else high = middle end
    end
    return low - 1
end

--- Words of the context that hold the answer; nil if it is not where it should be.
-- As in the reference: the words that the answer's characters fall in must contain the answer,
-- with white space folded. An answer that is only white space is never found.
local function locate(measured, answer)
    local start, length = answer.start, text.length(answer.text)
    local wanted = text.fold_spaces(answer.text)
    if wanted == "" or start ~= math.floor(start) or start < 0 or start + length > measured.count then return nil end
    local first = word_at(measured, measured.offsets[start])
    local last = word_at(measured, measured.offsets[start + length - 1])
    if first < 0 then return nil end
    local found = text.join_words(measured.context, measured.starts[first], measured.stops[last])
    if not found:find(wanted, 1, true) then return nil end
    return first, last
end

--- Fill in the answer to a training example.
-- @return false if the example must be skipped
local function prepare_training(source, example, measured, at, summary)
    if example.is_impossible then return true end
    if #example.answers == 0 then
        fault.raisef("%s: %s.answers is empty, expected an answer to train on; for questions without answers set "
            .. "version_2_with_negative", source, location(at))
    end
    if #example.answers > 1 then summary.several_answers = summary.several_answers + 1 end
    local answer = example.answers[1]
    if not answer.start then
        fault.raisef("%s: %s.answers[0].answer_start is missing, expected a whole number", source, location(at))
    end
    example.first_word, example.last_word = locate(measured, answer)
    if example.first_word then return true end
    summary.skipped = summary.skipped + 1
    summary.first_skipped = summary.first_skipped or { id = example.id, path = location(at), text = answer.text }
    return false
end

local function read_question(source, paragraph, at, options)
    local node = object(source, paragraph.qas, at)
    local example = {
        id = question_id(source, node, at),
        question = need(source, node, "question", "string", at),
        answers = answer_list(source, node, at),
        is_impossible = false,
    }
    if options.version_2_with_negative then
        if node.is_impossible == nil then
            example.is_impossible = #example.answers == 0
        else
            example.is_impossible = need(source, node, "is_impossible", "boolean", at)
        end
    elseif options.refuse_negative and node.is_impossible == true then
        fault.raisef("%s: %s.is_impossible is true: this is SQuAD v2.0, whose questions may have no answer: set "
            .. "version_2_with_negative", source, location(at))
    elseif options.needs_answers and #example.answers == 0 then
        fault.raisef("%s: %s.answers is empty, but SQuAD v1.1 has an answer to every question, and they are to be "
            .. "evaluated: for v2.0 set version_2_with_negative", source, location(at))
    end
    local first = example.answers[1]
    if first then example.answer_text, example.answer_start = first.text, first.start end
    return example
end

--- Count ids that occur more than once.
local function count_id(summary, id)
    local times = (summary.ids[id] or 0) + 1
    summary.ids[id] = times
    if times ~= 2 then return end
    summary.repeated = summary.repeated + 1
    summary.first_repeated = summary.first_repeated or id
end

local function read_paragraph(source, paragraph, at, title, options, examples, summary)
    local context = need(source, paragraph, "context", "string", at)
    local measured = options.is_training and measure(context) or nil
    for i in ipairs(need(source, paragraph, "qas", "table", at)) do
        local here = { at[1], at[2], i }
        local example = read_question(source, paragraph, here, options)
        count_id(summary, example.id)
        example.context, example.title = context, title
        summary.questions = summary.questions + 1
        if not options.is_training or prepare_training(source, example, measured, here, summary) then
            examples[#examples + 1] = example
        end
    end
end

--- Examples of a decoded SQuAD file.
-- @tparam string source its name in messages
-- @param root the decoded JSON
-- @tparam[opt] table options as for load
-- @return list of examples, summary
function dataset.examples(source, root, options)
    options = options or {}
    if type(root) ~= "table" or #root > 0 then
        fault.raisef('%s: the file holds %s, expected an object {"data": [...]}', source, json_type(root))
    end
    local examples = {}
    local summary = { articles = 0, paragraphs = 0, questions = 0, skipped = 0, several_answers = 0, repeated = 0,
        ids = {} }
    for a in ipairs(need(source, root, "data", "table", {})) do
        local article = object(source, root.data, { a })
        local title = type(article.title) == "string" and article.title or nil
        summary.articles = summary.articles + 1
        for p in ipairs(need(source, article, "paragraphs", "table", { a })) do
            local paragraph = object(source, article.paragraphs, { a, p })
            summary.paragraphs = summary.paragraphs + 1
            read_paragraph(source, paragraph, { a, p }, title, options, examples, summary)
        end
    end
    if summary.questions == 0 then fault.raisef("%s: contains no questions", source) end
    summary.ids = nil
    return examples, summary
end

--- Read and decode a JSON file: UTF-8, or as its byte order mark says, perhaps compressed.
-- @return value and the text; a fault that names the line of the error
function dataset.read_json(path)
    local contents = fault.check(text_source.read(path))
    local value, reason = json.decode(contents, path)
    -- A file that holds nothing but false is refused by whoever looks into it.
    if value == nil then fault.raise(reason) end
    return value, contents
end

--- Load a SQuAD file.
-- @tparam string path
-- @tparam[opt] table options version_2_with_negative (questions may have no answer); is_training (keep only
--   questions whose first answer is found at its offset, and find its words); without
--   version_2_with_negative also refuse_negative (a question marked as one without answer is a fault) and needs_answers
--   (one that has none is)
-- @return list of examples
-- @treturn table {articles, paragraphs, questions, skipped, several_answers; first_skipped = {id, path, text};
--   repeated, first_repeated}: skipped counts the training questions left out, several_answers those of whose answers
--   only the first is used, repeated the ids that more than one question has
function dataset.load(path, options)
    if type(path) ~= "string" then error("dataset.load: path is a " .. type(path) .. ", expected a string", 2) end
    return dataset.examples(path, (dataset.read_json(path)), options)
end

--- One line about what was left out of training; nil if nothing was.
function dataset.warning(path, summary)
    if summary.skipped == 0 then return nil end
    local first = summary.first_skipped
    return ("%s: %d of %d questions skipped because the answer is not at answer_start; the first is %s (id %s)")
        :format(path, summary.skipped, summary.questions, first.path, first.id)
end

--- One line about ids that several questions share; nil if none do.
function dataset.id_warning(path, summary)
    if summary.repeated == 0 then return nil end
    local one = summary.repeated == 1
    return ("%s: %d %s more than once, the first is %s; answers are kept by id, so its questions share one")
        :format(path, summary.repeated, one and "id occurs" or "ids occur", summary.first_repeated)
end

return dataset
