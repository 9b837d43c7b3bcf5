--- Exact match and F1 as in the official evaluators, v1.1 and v2.0, to the last digit:
-- the same normalisation of answers over all of Unicode, the same order of
-- floating-point operations, numbers printed as Python prints them.
-- @module bertlua.squad.metrics

local fault = require "bertlua.fault"
local native = require "bertlua.text"
local text = require "bertlua.squad.text"

local metrics = {}

local ARTICLES = { a = " ", an = " ", the = " " }

--- Replace articles between word boundaries by spaces, in a run of ASCII word characters and non-ASCII characters.
local function remove_articles_beyond_ascii(run)
    if not run:find "[\128-\255]" then return ARTICLES[run] end
    local out, word, at = {}, "", 1
    local function flush()
        out[#out + 1] = ARTICLES[word] or word
        word = ""
    end
    while at <= #run do
        local code_point, length = text.decode(run, at)
        local character = run:sub(at, at + length - 1)
        if native.is_word_character(code_point) then
            word = word .. character
        else
            flush()
            out[#out + 1] = character
        end
        at = at + length
    end
    flush()
    return table.concat(out)
end

--- Lower-cased, with ASCII punctuation, the articles a, an, the and extra white space removed.
-- @tparam string answer
-- @treturn string
function metrics.normalize(answer)
    local s = native.lower(answer):gsub("%p", "")
    if s:find "[\128-\255]" then
        s = s:gsub("[%w\128-\255]+", remove_articles_beyond_ascii)
    else
        s = s:gsub("%w+", ARTICLES)
    end
    return text.fold_spaces(s)
end

--- Number of words that two lists share, counted with multiplicity.
local function shared_words(a, b)
    local counts, shared = {}, 0
    for _, word in ipairs(a) do counts[word] = (counts[word] or 0) + 1 end
    for _, word in ipairs(b) do
        if (counts[word] or 0) > 0 then
            counts[word] = counts[word] - 1
            shared = shared + 1
        end
    end
    return shared
end

--- F1 of two normalised answers; `both_empty` if both are empty.
local function f1_of(predicted, gold, both_empty)
    local p, g = text.split(predicted), text.split(gold)
    if #p == 0 and #g == 0 then return both_empty end
    local shared = shared_words(p, g)
    if shared == 0 then return 0 end
    local precision, recall = shared / #p, shared / #g
    return (2 * precision * recall) / (precision + recall)
end

--- Exact match and F1 of one prediction against one gold answer, as in v1.1: each between 0 and 1.
function metrics.score(predicted, gold)
    local p, g = metrics.normalize(predicted), metrics.normalize(gold)
    return p == g and 1 or 0, f1_of(p, g, 0)
end

--- The best scores over the normalised gold answers.
local function best_scores(predicted, golds, both_empty)
    local p, exact, f1 = metrics.normalize(predicted), 0, 0
    for _, gold in ipairs(golds) do
        if p == gold then exact = 1 end
        f1 = math.max(f1, f1_of(p, gold, both_empty))
    end
    return exact, f1
end

--- SQuAD v1.1. A question without a prediction scores 0.
-- @param examples list from bertlua.squad.dataset (not loaded for training)
-- @tparam table predictions id -> text
-- @treturn table {exact_match, f1} in percent
-- @treturn table {unanswered = list of ids}
function metrics.v1(examples, predictions)
    if #examples == 0 then error("metrics.v1: no questions", 2) end
    local exact_match, f1, unanswered = 0, 0, {}
    for _, example in ipairs(examples) do
        local predicted = predictions[example.id]
        if not predicted then
            unanswered[#unanswered + 1] = example.id
        elseif #example.answers == 0 then
            fault.raisef("question %s has no gold answer, which SQuAD v1.1 does not allow; evaluate as v2.0 with "
                .. "version_2_with_negative", example.id)
        else
            local golds = {}
            for i, answer in ipairs(example.answers) do golds[i] = metrics.normalize(answer.text) end
            local exact, score = best_scores(predicted, golds, 0)
            exact_match, f1 = exact_match + exact, f1 + score
        end
    end
    return { exact_match = 100 * exact_match / #examples, f1 = 100 * f1 / #examples }, { unanswered = unanswered }
end

--- Scores of every question of v2.0: list of {id, has_answer, exact, f1, predicted}, one per id.
local function raw_scores(examples, predictions)
    local list, by_id = {}, {}
    for _, example in ipairs(examples) do
        local predicted = predictions[example.id]
        if not predicted then
            fault.raisef("question %s has no prediction; v2.0 needs one for every question (\"\" for no answer)",
                example.id)
        end
        local golds = {}
        for _, answer in ipairs(example.answers) do
            local gold = metrics.normalize(answer.text)
            if gold ~= "" then golds[#golds + 1] = gold end
        end
        if #golds == 0 then golds[1] = "" end
        local entry = by_id[example.id]
        if not entry then
            entry = { id = example.id }
            by_id[example.id], list[#list + 1] = entry, entry
        end
        entry.has_answer, entry.predicted = #example.answers > 0, predicted
        entry.exact, entry.f1 = best_scores(predicted, golds, 1)
    end
    return list, by_id
end

--- Scores with the questions whose no-answer probability exceeds the threshold counted as not answered.
local function thresholded(entry, field, na_probs, threshold)
    if na_probs and na_probs[entry.id] > threshold then return entry.has_answer and 0 or 1 end
    return entry[field]
end

local function add_group(result, prefix, list, na_probs, threshold)
    if #list == 0 then return end
    for _, field in ipairs { "exact", "f1" } do
        local sum = 0
        for _, entry in ipairs(list) do sum = sum + thresholded(entry, field, na_probs, threshold) end
        result[prefix .. field] = 100 * sum / #list
    end
    result[prefix .. "total"] = #list
end

--- The threshold at which a score would be highest.
-- @param order ids by ascending probability
local function best_threshold(list, by_id, field, na_probs, order)
    local current = 0
    for _, entry in ipairs(list) do current = current + (entry.has_answer and 0 or 1) end
    local best, threshold = current, 0
    for _, id in ipairs(order) do
        local entry = by_id[id]
        if entry then
            local change = entry.has_answer and entry[field] or entry.predicted ~= "" and -1 or 0
            current = current + change
            if current > best then best, threshold = current, na_probs[id] end
        end
    end
    return 100 * best / #list, threshold
end

--- Ids by ascending probability, ties in the order of the file.
local function by_probability(ids, na_probs)
    local place, order = {}, {}
    for i, id in ipairs(ids) do place[id], order[i] = i, id end
    table.sort(order, function(a, b)
        if na_probs[a] ~= na_probs[b] then return na_probs[a] < na_probs[b] end
        return place[a] < place[b]
    end)
    return order
end

--- SQuAD v2.0.
-- @param examples list from bertlua.squad.dataset
-- @tparam table predictions id -> text, "" for no answer; one for every question
-- @tparam[opt] table options na_probs = id -> probability (or score) of no answer, na_order = its ids in the order
--   of the file, na_prob_thresh (default 1): a question above it counts as not answered
-- @treturn table {exact, f1, total, HasAns_exact, ..., NoAns_exact, ...} in percent; with na_probs also best_exact,
--   best_exact_thresh, best_f1, best_f1_thresh
function metrics.v2(examples, predictions, options)
    if #examples == 0 then error("metrics.v2: no questions", 2) end
    options = options or {}
    local na_probs, threshold = options.na_probs, options.na_prob_thresh or 1
    local list, by_id = raw_scores(examples, predictions)
    local with, without = {}, {}
    for _, entry in ipairs(list) do
        if na_probs and not na_probs[entry.id] then
            fault.raisef("question %s has no no-answer probability", entry.id)
        end
        local group = entry.has_answer and with or without
        group[#group + 1] = entry
    end
    local result = {}
    add_group(result, "", list, na_probs, threshold)
    add_group(result, "HasAns_", with, na_probs, threshold)
    add_group(result, "NoAns_", without, na_probs, threshold)
    if na_probs then
        local order = by_probability(options.na_order, na_probs)
        result.best_exact, result.best_exact_thresh = best_threshold(list, by_id, "exact", na_probs, order)
        result.best_f1, result.best_f1_thresh = best_threshold(list, by_id, "f1", na_probs, order)
    end
    return result
end

--- A number as Python writes a float: the shortest string that reads back as the same value, "100.0", "1e-05".
function metrics.python_float(x)
    local shortest
    for digits = 1, 17 do
        shortest = ("%." .. digits - 1 .. "e"):format(x)
        if tonumber(shortest) == x then break end
    end
    local sign, mantissa, exponent = shortest:match "^(%-?)([%d.]+)e([+-]%d+)$"
    if not mantissa then return tostring(x) end
    local digits, power = mantissa:gsub("%.", ""), tonumber(exponent)
    if power < -4 or power >= 16 then
        local head = digits:sub(1, 1) .. (#digits > 1 and "." .. digits:sub(2) or "")
        return ("%s%se%s%02d"):format(sign, head, power < 0 and "-" or "+", math.abs(power))
    end
    if power < 0 then return sign .. "0." .. ("0"):rep(-power - 1) .. digits end
    digits = digits .. ("0"):rep(power + 2 - #digits)
    return sign .. digits:sub(1, power + 1) .. "." .. digits:sub(power + 2)
end

local V2_ORDER = { "exact", "f1", "total", "HasAns_exact", "HasAns_f1", "HasAns_total", "NoAns_exact", "NoAns_f1",
    "NoAns_total", "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh" }

--- The result as the official evaluators print it: v1.1 on one line, v2.0 one number per line.
function metrics.format(result)
    if result.exact_match then
        return ('{"exact_match": %s, "f1": %s}'):format(metrics.python_float(result.exact_match),
            metrics.python_float(result.f1))
    end
    local lines = {}
    for _, name in ipairs(V2_ORDER) do
        local value = result[name]
        if value then
            lines[#lines + 1] = ('  "%s": %s'):format(name, name:find "total" and ("%d"):format(value)
                or metrics.python_float(value))
        end
    end
    return "{\n" .. table.concat(lines, ",\n") .. "\n}"
end

return metrics
