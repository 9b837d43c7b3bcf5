--- Answers from logits: the best spans over all windows of a question, as text,
-- with their probabilities. Follows the rules of Google's run_squad.py, operation
-- by operation, so that equal logits give identical files.
-- @module bertlua.squad.extraction

local aside = require "bertlua.util.aside"
local fault = require "bertlua.fault"
local final_text = require "bertlua.squad.final_text"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local text = require "bertlua.squad.text"

local extraction = {}

--- The settings, in the form bertlua.settings expects.
extraction.settings = {
    { name = "n_best_size", type = "integer", evaluated = true, default = 20, min = 1, max = 10000, group = "Answers",
      help = "starts and ends tried per window, and answers kept per question" },
    { name = "max_answer_length", type = "integer", evaluated = true, default = 30, min = 1, group = "Answers",
      help = "maximum tokens per answer" },
    { name = "null_score_diff_threshold", type = "number", evaluated = true, default = 0, group = "Answers",
      help = "v2.0: predict no answer if its score exceeds the best answer's by more than this" },
    { name = "verbose_logging", type = "boolean", passing = "what is shown", default = false, group = "Answers",
      help = "log each answer that could not be aligned with the context" },
}

--- The n best of `count` logits from `base`: their positions, best first, ties in order of position.
-- @param places, scores tables to fill
-- @treturn number how many were filled; nil if a logit is NaN
local function best_places(logits, base, count, n, places, scores)
    local filled = 0
    for i = 0, count - 1 do
        local score = logits[base + i]
        if score ~= score then return nil end
        if filled < n or score > scores[filled] then
            local at = filled < n and filled + 1 or n
            while at > 1 and scores[at - 1] < score do
                scores[at], places[at] = scores[at - 1], places[at - 1]
                at = at - 1
            end
            scores[at], places[at] = score, i
            if filled < n then filled = filled + 1 end
        end
    end
    return filled
end

--- A heap of candidates: highest score first, ties in order of insertion. Faster than sorting
-- them all, as only the first few are needed.
local function before(heap, i, j)
    local a, b = heap.score[i], heap.score[j]
    if a ~= b then return a > b end
    return heap.order[i] < heap.order[j]
end

local FIELDS = { "score", "order", "feature", "start", "stop", "start_logit", "end_logit" }

local function swap(heap, i, j)
    for k = 1, #FIELDS do
        local field = heap[FIELDS[k]]
        field[i], field[j] = field[j], field[i]
    end
end

local function sift_down(heap, i)
    local n = heap.count
    while true do
        local top, left = i, 2 * i
        if left <= n and before(heap, left, top) then top = left end
        if left + 1 <= n and before(heap, left + 1, top) then top = left + 1 end
        if top == i then return end
        swap(heap, i, top)
        i = top
    end
end

local function new_heap()
    local heap = { count = 0 }
    for _, field in ipairs(FIELDS) do heap[field] = {} end
    return heap
end

local function add(heap, feature, start, stop, start_logit, end_logit)
    local n = heap.count + 1
    heap.count = n
    heap.score[n], heap.order[n] = start_logit + end_logit, n
    heap.feature[n], heap.start[n], heap.stop[n] = feature, start, stop
    heap.start_logit[n], heap.end_logit[n] = start_logit, end_logit
end

--- Remove and return the best candidate: feature, start, stop, start_logit, end_logit.
local function pop(heap)
    local feature, start, stop = heap.feature[1], heap.start[1], heap.stop[1]
    local start_logit, end_logit = heap.start_logit[1], heap.end_logit[1]
    swap(heap, 1, heap.count)
    heap.count = heap.count - 1
    sift_down(heap, 1)
    return feature, start, stop, start_logit, end_logit
end

--- Where the logits of a feature are.
local function row(job, f)
    if job.packed then return job.set.offsets[f], job.set:length(f) end
    return f * job.width, job.width
end

--- Valid spans of one window.
local function add_candidates(job, heap, f)
    local set, options = job.set, job.options
    local base, count = row(job, f)
    local starts = best_places(job.start_logits, base, count, options.n_best_size, job.start_places, job.start_scores)
    local stops = best_places(job.end_logits, base, count, options.n_best_size, job.end_places, job.end_scores)
    if not starts or not stops then
        fault.raisef("logits of feature %d (question %s) are NaN", f, job.examples[set.example[f]].id)
    end
    -- The best positions may lie in the question, on a special token or in padding: those are not answers.
    local last = set:length(f) - 2
    local low, high = set.max_first[f], set.max_last[f]
    for i = 1, starts do
        local start = job.start_places[i]
        if start >= low and start <= high then
            local limit = math.min(last, start + options.max_answer_length - 1)
            for j = 1, stops do
                local stop = job.end_places[j]
                if stop >= start and stop <= limit then
                    add(heap, f, start, stop, job.start_scores[i], job.end_scores[j])
                end
            end
        end
    end
end

--- The score of "no answer": the lowest over the windows.
local function null_score(job, windows)
    local null = { score = 1000000, feature = windows and windows.first or -1, start_logit = 0, end_logit = 0 }
    for f = windows and windows.first or 0, windows and windows.last or -1 do
        local base = row(job, f)
        local start_logit, end_logit = job.start_logits[base], job.end_logits[base]
        if start_logit + end_logit < null.score then
            null = { score = start_logit + end_logit, feature = f, start_logit = start_logit, end_logit = end_logit }
        end
    end
    return null
end

--- Text of a span of a window's tokens.
local function span_text(job, example, f, start, stop)
    local set, tokenizer = job.set, job.tokenizer
    local tokens, base = {}, set.offsets[f]
    for i = start, stop do tokens[#tokens + 1] = tokenizer:token(set.ids[base + i]) end
    local doc = set.doc_token[f] - set.query_length[f] - 2
    local original = text.join_words(example.context, set.word_start[doc + start], set.word_stop[doc + stop])
    if not job.prepared or job.prepared.original ~= original then
        job.prepared = final_text.prepare(tokenizer, original)
    end
    local answer, reason = final_text.align(final_text.join_pieces(tokens), job.prepared)
    if reason and job.options.verbose_logging then job.log(("question %s: %s"):format(example.id, reason)) end
    return answer
end

--- The n best distinct answers among the candidates.
local function choose(job, example, heap, null)
    local list, seen = {}, {}
    while heap.count > 0 and #list < job.options.n_best_size do
        local f, start, stop, start_logit, end_logit = pop(heap)
        local is_null = start == 0
        local answer = is_null and "" or span_text(job, example, f, start, stop)
        if is_null or not seen[answer] then
            seen[answer] = true
            list[#list + 1] = { text = answer, start_logit = start_logit, end_logit = end_logit }
        end
    end
    if null and not seen[""] then
        list[#list + 1] = { text = "", start_logit = null.start_logit, end_logit = null.end_logit }
    end
    -- An empty context has no window.
    if #list == 0 then list[1] = { text = "empty", start_logit = 0, end_logit = 0 } end
    return list
end

--- Softmax over the scores, in the order of the list.
local function add_probabilities(list)
    local highest, sum = -math.huge, 0
    for _, entry in ipairs(list) do highest = math.max(highest, entry.start_logit + entry.end_logit) end
    for _, entry in ipairs(list) do
        entry.probability = math.exp(entry.start_logit + entry.end_logit - highest)
        sum = sum + entry.probability
    end
    for _, entry in ipairs(list) do entry.probability = entry.probability / sum end
end

local function best_answer(list)
    for _, entry in ipairs(list) do
        if entry.text ~= "" then return entry end
    end
end

--- Answer one question; windows: {first=, last=} or nil.
local function answer_example(job, example, windows)
    local options = job.options
    local heap = new_heap()
    for f = windows and windows.first or 0, windows and windows.last or -1 do add_candidates(job, heap, f) end
    local null
    if options.version_2_with_negative then
        null = null_score(job, windows)
        add(heap, null.feature, 0, 0, null.start_logit, null.end_logit)
    end
    for i = math.floor(heap.count / 2), 1, -1 do sift_down(heap, i) end
    local list = choose(job, example, heap, null)
    add_probabilities(list)
    if not null then return list[1].text, list end
    local best = best_answer(list)
    -- No valid span: nothing can beat "no answer".
    if not best then return "", list, null.score end
    local odds = null.score - best.start_logit - best.end_logit
    return odds > options.null_score_diff_threshold and "" or best.text, list, odds
end

local function new_job(examples, set, start_logits, end_logits, options)
    local values = { version_2_with_negative = options.version_2_with_negative or false }
    for _, setting in ipairs(extraction.settings) do
        values[setting.name] = options[setting.name]
        if values[setting.name] == nil then values[setting.name] = setting.default end
    end
    local layout = options.layout or "padded"
    if layout ~= "padded" and layout ~= "packed" then
        error(("extraction.extract: layout is %s, expected \"padded\" or \"packed\""):format(tostring(layout)), 3)
    end
    if not options.tokenizer then error("extraction.extract: tokenizer is missing", 3) end
    return {
        examples = examples, set = set, start_logits = start_logits, end_logits = end_logits, options = values,
        tokenizer = options.tokenizer, packed = layout == "packed",
        width = options.width or set.settings.max_seq_length,
        start_places = {}, start_scores = {}, end_places = {}, end_scores = {},
        log = options.log or function(line) io.stderr:write(line, "\n") end,
    }
end

--- Answers for all examples.
-- @param examples list from bertlua.squad.dataset
-- @param set FeatureSet of the same examples
-- @param start_logits, end_logits float arrays (0-based). "padded": feature f's logits are [f * width, (f+1) * width)
--   and padding competes for the n best, as in the reference; "packed": [offsets[f], offsets[f+1])
-- @tparam table options tokenizer (the one that made the features; its casing matters); n_best_size, max_answer_length,
--   null_score_diff_threshold, verbose_logging (see extraction.settings); version_2_with_negative; layout = "padded"
--   (default) or "packed"; width (default max_seq_length); progress = function(done, total) of questions;
--   log = function(line) for verbose_logging (default: standard error)
-- @treturn table predictions id -> text
-- @treturn table n_best id -> list of {text, probability, start_logit, end_logit}, best first
-- @treturn table null_odds id -> score of no answer minus the best answer's score; empty unless
--   version_2_with_negative
function extraction.extract(examples, set, start_logits, end_logits, options)
    local job = new_job(examples, set, start_logits, end_logits, options)
    local predictions, n_best, null_odds = {}, {}, {}
    local windows = set:by_example()
    for number, example in ipairs(examples) do
        local answer, list, odds = answer_example(job, example, windows[number])
        predictions[example.id], n_best[example.id], null_odds[example.id] = answer, list, odds
        if options.progress then options.progress(number, #examples) end
    end
    return predictions, n_best, null_odds
end

--- Write predictions.json, nbest_predictions.json and, if there are null odds, null_odds.json to a folder,
-- with questions in the order of the examples. Files of earlier answers that differ are kept under another name, and
-- so are null odds that these answers do not have. Returns true, list of these names; or nil, message.
function extraction.write(folder, examples, predictions, n_best, null_odds)
    local order = {}
    for i, example in ipairs(examples) do order[i] = example.id end
    local ok, message = fs.mkdirs(folder)
    if not ok then return nil, message end
    local kept, values = {}, { predictions = predictions, nbest_predictions = n_best, null_odds = null_odds }
    for _, name in ipairs { "predictions", "nbest_predictions", "null_odds" } do
        local path, value = fs.join(folder, name .. ".json"), values[name]
        local earlier
        if name == "null_odds" and next(value or {}) == nil then
            earlier, message = aside.keep(path)
            if message then return nil, message end
        else
            ok, earlier = aside.write(path,
                json.encode(value, { pretty = true, order = order, nan = "string" }) .. "\n")
            if not ok then return nil, earlier end
        end
        kept[#kept + 1] = earlier
    end
    return true, kept
end

return extraction
