--- Converts examples to features: sequences "[CLS] question [SEP] window [SEP]" with
-- the answer's position, identical to Google's run_squad.py. A context is tokenised
-- once for all its questions; contexts are divided among processes.
-- Arrays: feature_set.lua. Rules of windows: windows.lua. Cache: feature_cache.lua.
-- @module bertlua.squad.features

local array = require "bertlua.array"
local FeatureSet = require "bertlua.squad.feature_set"
local fault = require "bertlua.fault"
local feature_cache = require "bertlua.squad.feature_cache"
local fs = require "bertlua.util.fs"
local text = require "bertlua.squad.text"
local windows = require "bertlua.squad.windows"
local workers = require "bertlua.data.workers"

local features = {}

local extend = FeatureSet.extend

--- The settings, in the form bertlua.settings expects.
features.settings = {
    { name = "max_seq_length", type = "integer", default = 384, min = 8, max = 4096, group = "Features",
      help = "tokens per sequence: question, window of the context, [CLS] and two [SEP]" },
    { name = "doc_stride", type = "integer", default = 128, min = 1, group = "Features",
      help = "tokens from the start of one window to the next" },
    { name = "max_query_length", type = "integer", default = 64, min = 1, group = "Features",
      help = "maximum tokens of the question; longer ones are truncated" },
    { name = "num_workers", type = "integer", passing = "who does the work",
      default = 0, min = 0, max = 1024, group = "Features",
      help = "processes that build features; 0: one per core" },
}

-- Less text than this does not justify another process; each gets several shares, as articles differ in length.
local BYTES_WORTH_A_WORKER, SHARES_PER_WORKER = 2 * 1024 * 1024, 8
-- Tokenising a context costs about as much as laying out its windows for this many questions does.
local CONTEXT_WEIGHT = 8

--- Append a context's tokens to the part; for training also the first token of each word.
local function read_document(part, tokenizer, context, with_words)
    local starts, stops, words = text.words(context)
    local ids, token_starts, _, count = tokenizer:encode_array_with_offsets(context)
    local doc_ids, base = extend(part.doc_ids, count)
    array.copy(doc_ids + base, ids, 4 * count)
    local first_token = with_words and array.int32(words + 1) or nil
    local word_start = extend(part.word_start, count)
    local word_stop = extend(part.word_stop, count)
    local word = 0
    for k = 0, count - 1 do
        while token_starts[k] >= stops[word] do
            word = word + 1
            if first_token then first_token[word] = k end
        end
        word_start[base + k], word_stop[base + k] = starts[word], stops[word]
    end
    if first_token then
        for later = word + 1, words do first_token[later] = count end
    end
    return { count = count, words = words, first_token = first_token, base = base, layouts = {} }
end

--- Windows for questions that leave this much room; few lengths occur, so each is laid out only once.
local function layout(document, room, stride)
    local spans = document.layouts[room]
    if not spans then
        spans = windows.spans(document.count, room, stride)
        windows.mark_max_context(spans, document.count)
        document.layouts[room] = spans
    end
    return spans
end

--- Tokens of the context that form the answer.
local function answer_tokens(part, document, example, tokenizer)
    local first = document.first_token[example.first_word]
    local last = document.count - 1
    if example.last_word < document.words - 1 then last = document.first_token[example.last_word + 1] - 1 end
    local answer, count = tokenizer:encode_array(example.answer_text)
    return windows.improve_span(part.doc_ids.data + document.base, first, last, answer, count)
end

local function append(v, value)
    local data, at = extend(v, 1)
    data[at] = value
end

--- All features of one example.
local function add_example(part, job, document, number)
    local example, options = job.examples[number], job.options
    local first, last
    if options.is_training and not example.is_impossible then
        first, last = answer_tokens(part, document, example, job.tokenizer)
    end
    local found, found_count = job.tokenizer:encode_array(example.question)
    local query_length = math.min(found_count, options.max_query_length)
    local query_ids, query = extend(part.query_ids, query_length)
    array.copy(query_ids + query, found, 4 * query_length)
    local shift = query_length + 2
    local spans = layout(document, options.max_seq_length - query_length - 3, options.doc_stride)
    for i = 0, spans.count - 1 do
        local start, length = spans.start[i], spans.length[i]
        local from, to = 0, 0
        if first then from, to = windows.place(start, length, first, last, shift) end
        append(part.example, number)
        append(part.span, i)
        append(part.query_length, query_length)
        append(part.query, query)
        append(part.window, length)
        append(part.doc_token, document.base + start)
        append(part.start_position, from)
        append(part.end_position, to)
        local none = spans.first[i] > spans.last[i]
        append(part.max_first, none and 1 or spans.first[i] - start + shift)
        append(part.max_last, none and 0 or spans.last[i] - start + shift)
    end
end

--- Runs of examples with the same context: list of {first=, last=, cost=}.
local function group(examples)
    local groups = {}
    for number, example in ipairs(examples) do
        local current = groups[#groups]
        if not current or examples[current.first].context ~= example.context then
            current = { first = number, cost = CONTEXT_WEIGHT * #example.context + 1 }
            groups[#groups + 1] = current
        end
        current.last = number
        current.cost = current.cost + #example.context
    end
    return groups
end

--- Cut the groups into shares of about the same cost: list of {first=, last=}.
local function deal(groups, shares)
    local total = 0
    for _, one in ipairs(groups) do total = total + one.cost end
    local list, done = {}, 0
    for i, one in ipairs(groups) do
        local current = list[#list]
        if not current or done >= total * #list / shares then
            current = { first = i }
            list[#list + 1] = current
        end
        current.last = i
        done = done + one.cost
    end
    return list
end

--- The features of groups first..last as a part.
local function convert_share(job, first, last, report)
    local part, done = FeatureSet.new_part(), 0
    for i = first, last do
        local one = job.groups[i]
        local document = read_document(part, job.tokenizer, job.examples[one.first].context, job.options.is_training)
        for number = one.first, one.last do add_example(part, job, document, number) end
        done = done + one.cost
        report(done)
    end
    return part
end

--- Divide the work among processes; their parts come back through files.
local function convert_forked(job, shares, count, on_progress)
    local folder = fault.check(fs.temporary_folder "bertlua-features")
    local function path(share) return ("%s/%d.part"):format(folder, share) end
    local ok, result = pcall(function()
        local sizes = workers.run(count, #shares, function(share, report)
            -- A collection touches every example and so copies the parent's memory page by page: collect rarely.
            collectgarbage("setpause", 400)
            local part = convert_share(job, shares[share].first, shares[share].last, report)
            fault.check(FeatureSet.write_part(path(share), part))
            return FeatureSet.sizes(part)
        end, on_progress)
        local parts = {}
        for share in ipairs(shares) do
            parts[share] = fault.check(FeatureSet.read_part(path(share), sizes[share]))
            fs.remove(path(share))
        end
        return parts
    end)
    fs.remove(folder)
    if not ok then error(result, 0) end
    return result
end

local function with_defaults(options)
    local values = { is_training = options.is_training or false,
        version_2_with_negative = options.version_2_with_negative or false }
    for _, setting in ipairs(features.settings) do
        values[setting.name] = options[setting.name]
        if values[setting.name] == nil then values[setting.name] = setting.default end
    end
    if values.max_seq_length - values.max_query_length - 3 < 1 then
        fault.raisef("max_seq_length %d leaves no room for context after max_query_length %d, [CLS] and two [SEP]; "
            .. "make max_query_length at most %d", values.max_seq_length, values.max_query_length,
            values.max_seq_length - 4)
    end
    return values
end

local function worker_count(wanted, groups, total)
    if wanted == 0 then
        wanted = math.min(require("bertlua.context").threads(),
            1 + math.floor(total / (CONTEXT_WEIGHT * BYTES_WORTH_A_WORKER)))
    end
    return math.min(wanted, #groups)
end

--- Convert examples.
-- @param examples from bertlua.squad.dataset
-- @param tokenizer bertlua.text.tokenizer
-- @tparam table options max_seq_length, doc_stride, max_query_length, num_workers (see features.settings);
--   is_training (find the answers' positions); progress = function(more, total) in units of work
-- @return FeatureSet
function features.convert(examples, tokenizer, options)
    local values = with_defaults(options or {})
    local groups, total = group(examples), 0
    for _, one in ipairs(groups) do total = total + one.cost end
    local job = {
        examples = examples, groups = groups, tokenizer = tokenizer, options = values,
    }
    local progress = options and options.progress
    local on_progress = progress and function(more) progress(more, total) end
    local count = worker_count(values.num_workers, groups, total)
    if count > 1 then
        local shares = deal(groups, SHARES_PER_WORKER * count)
        return FeatureSet.join(convert_forked(job, shares, count, on_progress), values, tokenizer)
    end
    local last = 0
    local part = convert_share(job, 1, #groups, function(done)
        if on_progress then on_progress(done - last) end
        last = done
    end)
    return FeatureSet.join({ part }, values, tokenizer)
end

--- Features of a file's examples, from the cache if it has them, else converted and cached.
-- @param examples what dataset.load returned for data_file
-- @param tokenizer bertlua.text.tokenizer
-- @tparam table options as for convert, and data_file; cache_dir (default: next to data_file)
-- @return FeatureSet
-- @treturn table {path =, hit = boolean, warning = why the cache was not usable, or nil}
function features.cached(examples, tokenizer, options)
    local values = with_defaults(options)
    local entry = feature_cache.entry(examples, tokenizer, values, options.data_file, options.cache_dir)
    local set, problem = feature_cache.load(entry, values)
    if set then return set, { path = entry.path, hit = true } end
    set = features.convert(examples, tokenizer, options)
    local ok, message = feature_cache.save(entry, set)
    if not ok then problem = message .. "; the features are not cached" end
    return set, { path = entry.path, hit = false, warning = problem }
end

return features
