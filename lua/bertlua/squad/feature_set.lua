--- Features in flat arrays, from which training batches and answers are made.
--
-- N = count features, T = offsets[N] tokens, D context tokens.
-- All arrays are int32 and 0-based; features are numbered from 0.
--
--     offsets         [N+1] feature f is ids[offsets[f] .. offsets[f+1] - 1]
--     ids             [T]   [CLS] question [SEP] window [SEP], no padding
--     query_length    [N]   tokens of the question; the window starts at query_length + 2
--     start_position  [N]   of the answer in the sequence; 0 if the window does not hold it
--     end_position    [N]
--     example         [N]   number of the example in its list, from 1
--     span            [N]   number of the window within the example, from 0
--     doc_token       [N]   the window's first context token in the two arrays below
--     max_first       [N]   first and last position in the sequence whose token has its maximum
--     max_last        [N]   context here; first > last if there is none
--     word_start      [D]   byte range in the context of the word that holds the token: first
--     word_stop       [D]   byte, and one past the last
--
-- features.lua computes them.
-- @classmod bertlua.squad.feature_set

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local random = require "bertlua.rng"
local sequences = require "bertlua.data.sequences"

local FeatureSet = {}
FeatureSet.__index = FeatureSet

-- Stream of the seed that chooses training windows; the loader's orders start at 2^40.
local WINDOW_STREAM = 2 ^ 39

--- What a part of a set stores per feature, context token and question token; a part holds each context and
-- question once, and only the whole set lays out the sequences.
local COLUMNS = {
    { size = "features", "query_length", "start_position", "end_position", "example", "span", "doc_token",
        "max_first", "max_last", "window", "query" },
    { size = "doc_tokens", "word_start", "word_stop", "doc_ids" },
    { size = "query_tokens", "query_ids" },
}
-- Not in the set: window is the length of the window, query is where its question starts in query_ids.
local SCRATCH = { window = true, query = true, doc_ids = true, query_ids = true }
-- Columns whose values are relative to the start of the part.
local RELATIVE = { doc_token = "doc_tokens", query = "query_tokens" }

--- An array that grows.
local function vector()
    return { data = array.int32(1024), count = 0, capacity = 1024 }
end

--- Make room for n more values; returns the array and where they go.
local function extend(v, n)
    local count = v.count
    if count + n > v.capacity then
        local capacity = math.max(2 * v.capacity, count + n)
        local data = array.int32(capacity)
        array.copy(data, v.data, 4 * count)
        v.data, v.capacity = data, capacity
    end
    v.count = count + n
    return v.data, count
end
FeatureSet.extend = extend

--- Call visit(name, size) for every column of a part.
local function each_column(visit)
    for _, group in ipairs(COLUMNS) do
        for _, name in ipairs(group) do visit(name, group.size) end
    end
end

--- An empty part of a set, which grows; doc_token and query are relative to its start.
function FeatureSet.new_part()
    local part = {}
    each_column(function(name) part[name] = vector() end)
    return part
end

--- Sizes of a part, as numbers that can be sent between processes.
function FeatureSet.sizes(part)
    return { features = part.span.count, doc_tokens = part.doc_ids.count, query_tokens = part.query_ids.count }
end

--- Write a part to a file, for the process that joins the parts. Returns true; or nil, message.
function FeatureSet.write_part(path, part)
    local pieces = {}
    each_column(function(name) pieces[#pieces + 1] = array.string(part[name].data, 4 * part[name].count) end)
    local file, message = io.open(path, "wb")
    if not file then return nil, message end
    local written, problem = fs.put(file, unpack(pieces))
    local closed, late_problem = file:close()
    if not written or not closed then return nil, path .. ": " .. (problem or late_problem) end
    return true
end

--- Read a part of known sizes. Returns the part; or nil, message.
function FeatureSet.read_part(path, sizes)
    local file, message = io.open(path, "rb")
    if not file then return nil, message end
    local part, complete = FeatureSet.new_part(), true
    each_column(function(name, size)
        local n = sizes[size]
        local bytes = n > 0 and file:read(4 * n) or ""
        complete = complete and #(bytes or "") == 4 * n
        if complete then array.copy(extend(part[name], n), bytes, 4 * n) end
    end)
    file:close()
    if not complete then return nil, path .. ": shorter than when it was written" end
    return part
end

--- Concatenate parts: table of columns by name, and the total sizes.
local function join_columns(parts)
    local total, at = { features = 0, doc_tokens = 0, query_tokens = 0 }, {}
    for _, part in ipairs(parts) do
        for name, n in pairs(FeatureSet.sizes(part)) do total[name] = total[name] + n end
    end
    for name in pairs(total) do at[name] = 0 end
    local columns = {}
    each_column(function(name, size) columns[name] = array.int32(total[size]) end)
    for _, part in ipairs(parts) do
        each_column(function(name, size)
            local column, from, first = columns[name], part[name], at[size]
            local shift = RELATIVE[name] and at[RELATIVE[name]] or 0
            for i = 0, from.count - 1 do column[first + i] = from.data[i] + shift end
        end)
        for name, n in pairs(FeatureSet.sizes(part)) do at[name] = at[name] + n end
    end
    return columns, total
end

--- The sequences of all features.
local function lay_out(set, columns, cls_id, sep_id)
    local ids, offsets = set.ids, set.offsets
    for f = 0, set.count - 1 do
        local at, length, window = offsets[f], set.query_length[f], columns.window[f]
        ids[at] = cls_id
        array.copy(ids + at + 1, columns.query_ids + columns.query[f], 4 * length)
        ids[at + length + 1] = sep_id
        array.copy(ids + at + length + 2, columns.doc_ids + set.doc_token[f], 4 * window)
        ids[at + length + window + 2] = sep_id
    end
end

--- Join parts, in order, into a set.
-- @param parts list
-- @param settings of the conversion, kept as set.settings
-- @param tokenizer the one that made the tokens
function FeatureSet.join(parts, settings, tokenizer)
    local columns, total = join_columns(parts)
    local tokens = 3 * total.features
    for f = 0, total.features - 1 do tokens = tokens + columns.query_length[f] + columns.window[f] end
    if tokens > 2 ^ 31 - 1 then
        fault.raisef("%d features have %d tokens, expected at most 2^31 - 1; use a longer doc_stride or less text",
            total.features, tokens)
    end
    local set = setmetatable({ count = total.features, tokens = tokens, doc_tokens = total.doc_tokens,
        settings = settings, ids = array.int32(tokens), offsets = array.int32(total.features + 1) }, FeatureSet)
    each_column(function(name)
        if not SCRATCH[name] then set[name] = columns[name] end
    end)
    for f = 0, set.count - 1 do
        set.offsets[f + 1] = set.offsets[f] + 3 + set.query_length[f] + columns.window[f]
    end
    lay_out(set, columns, tokenizer.cls_id, tokenizer.sep_id)
    return set
end

--- A set of these sizes, full of zeros.
-- @tparam table sizes features, tokens, doc_tokens
function FeatureSet.new(sizes, settings)
    local set = setmetatable({ count = sizes.features, tokens = sizes.tokens, doc_tokens = sizes.doc_tokens,
        settings = settings, ids = array.int32(sizes.tokens), offsets = array.int32(sizes.features + 1) }, FeatureSet)
    each_column(function(name, size)
        if not SCRATCH[name] then set[name] = array.int32(sizes[size]) end
    end)
    return set
end

--- The arrays as a list of {name, array, count}, for files.
function FeatureSet:arrays()
    local list = { { "ids", self.ids, self.tokens }, { "offsets", self.offsets, self.count + 1 } }
    each_column(function(name, size)
        if SCRATCH[name] then return end
        list[#list + 1] = { name, self[name], size == "features" and self.count or self.doc_tokens }
    end)
    return list
end

--- Number of tokens of a feature.
function FeatureSet:length(f)
    return self.offsets[f + 1] - self.offsets[f]
end

--- Features of each example, in order: {first=, last=} by example number; nil for an example that has none.
function FeatureSet:by_example()
    local list, example = {}, self.example
    for f = 0, self.count - 1 do
        local entry = list[example[f]]
        if entry then entry.last = f else list[example[f]] = { first = f, last = f } end
    end
    return list
end

--- Features to train on when only a share of the windows that miss their question's answer should be kept.
-- Windows with the answer, and those of questions without one (SQuAD v2.0), are always kept.
-- @param share of the other windows to keep, chosen at random: 0 to 1
-- @param seed of the choice
-- @return int32 array of feature numbers, ascending; their number
function FeatureSet:training_features(share, seed)
    local answered = {}
    for f = 0, self.count - 1 do
        if self.end_position[f] > 0 then answered[self.example[f]] = true end
    end
    local kept, count, draw = array.int32(self.count), 0, random.new(seed, WINDOW_STREAM)
    for f = 0, self.count - 1 do
        -- One random number per feature, so that one choice does not affect the others.
        local chosen = draw:double() < share
        if chosen or self.end_position[f] > 0 or not answered[self.example[f]] then
            kept[count] = f
            count = count + 1
        end
    end
    return kept, count
end

--- The features as sequences (see bertlua.data.sequences), whose labels are the answers' first and last tokens.
function FeatureSet:sequences()
    local first_length = array.int32(self.count)
    for f = 0, self.count - 1 do first_length[f] = self.query_length[f] + 2 end
    return { count = self.count, ids = self.ids, offsets = self.offsets, first_length = first_length,
        labels = { starts = self.start_position, ends = self.end_position }, max_length = self.settings.max_seq_length }
end

--- Open the features for training.
-- @tparam table options as in sequences.open; null_window_share (1): see training_features; seed (42): of that choice
--   too
function FeatureSet:batches(options)
    local all = { seed = 42 }
    for name, value in pairs(options) do all[name] = value end
    local share = options.null_window_share or 1
    if share < 1 then all.kept = { self:training_features(share, all.seed) } end
    return sequences.open(self:sequences(), all)
end

function FeatureSet:__tostring()
    return ("FeatureSet(%d features, %d tokens)"):format(self.count, self.tokens)
end

return FeatureSet
