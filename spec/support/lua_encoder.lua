--- What bl.load's methods give, computed by the graph in Lua and by Lua's readings of folders, texts and scores alone:
-- what specs compare the engine's encoder with.

local Graph = require "bertlua.encoder.graph"
local array = require "bertlua.array"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local fill_mask = require "bertlua.models.fill_mask"
local inference = require "bertlua.train.inference"
local reader = require "bertlua.squad.reader"
local states = require "bertlua.encoder.states"
local tagged = require "bertlua.data.tagged"
local texts = require "bertlua.encoder.texts"

local M = {}

local Reference = {}
Reference.__index = Reference

local SPECIAL = { "MASK", "SEP", "CLS", "PAD", "UNK" }

--- Ids of a text, without [CLS] and [SEP] around it.
local function ids_of(words, text)
    local ids, from, at = {}, 1, 1
    local function add(part)
        for _, id in ipairs(words:encode(part)) do ids[#ids + 1] = id end
    end
    while true do
        local first, last, name = text:find("%[(%u+)%]", at)
        if not first then break end
        local id
        for _, special in ipairs(SPECIAL) do
            if name == special then id = words:id(("[%s]"):format(name)) end
        end
        if id then
            add(text:sub(from, first - 1))
            ids[#ids + 1] = id
            from = last + 1
        end
        at = last + 1
    end
    add(text:sub(from))
    return ids
end

--- [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]; the longer text loses its end.
-- @return list of ids; how many of them belong to the first text; how many were cut off
function M.encode(words, text, pair, limit)
    local a, b, cut = ids_of(words, text), pair and ids_of(words, pair) or nil, 0
    while #a + (b and #b + 1 or 0) + 2 > limit do
        local longer = (not b or #a > #b) and a or b
        longer[#longer] = nil
        cut = cut + 1
    end
    local ids = { words.cls_id }
    for _, id in ipairs(a) do ids[#ids + 1] = id end
    ids[#ids + 1] = words.sep_id
    local first = #ids
    for _, id in ipairs(b or {}) do ids[#ids + 1] = id end
    if b then ids[#ids + 1] = words.sep_id end
    return ids, first, cut
end

--- Open a folder.
-- @param options do_lower_case, vocab_file, max_seq_length, model_prefix, config_file: as bl.load
function M.load(path, options)
    options = options or {}
    local found = files.inspect(path, options)
    local graph = Graph.new(found, options, path):load()
    return setmetatable({ graph = graph, model = graph.model, tape = graph.tape, config = found.config,
        tokenizer = found.words, folder = found.folder, limit = found.limit, heads = found.heads,
        sentences = found.sentences or {} }, Reference)
end

--- Call fn with a batch of one text; returns what it does.
local function with_batch(self, text, pair, fn)
    local ids, first = M.encode(self.tokenizer, text, pair, self.limit)
    local batch = texts.batch(ids, first)
    local result = fn(batch)
    batch.buffer:free()
    return result
end

--- Outputs of the embeddings and of every layer.
function Reference:hidden_states(text, pair)
    return with_batch(self, text, pair, function(batch)
        return states.hidden_states(self.graph.bert, self.tape, batch)
    end)
end

--- Vectors of texts as the folder says, or as asked for: list of lists.
function Reference:embed(list, options)
    local of_folder, vectors = options or self.sentences, {}
    if of_folder.problem then fault.raisef('embed: %s; { pooling = "mean" } makes vectors', of_folder.problem) end
    for i, text in ipairs(list) do
        local all = self:hidden_states(text)
        local rows, vector, squares = all[#all]:tolist(), {}, 0
        for h = 1, #rows[1] do
            local sum, count = 0, of_folder.pooling == "cls" and 1 or #rows
            for row = 1, count do sum = sum + rows[row][h] end
            vector[h] = sum / count
            squares = squares + vector[h] ^ 2
        end
        for h = 1, of_folder.normalize and #vector or 0 do vector[h] = vector[h] / math.sqrt(squares) end
        vectors[i] = vector
    end
    return vectors
end

--- Scores of a text or pair before they are judged.
function Reference:scores(text, pair)
    return with_batch(self, text, pair, function(batch)
        self.tape:start(0, 0, false)
        return self.model:logits(self.tape, batch).value:tolist()[1]
    end)
end

--- Probabilities of labels that exclude each other.
function M.softmax(scores)
    local top, sum, result = math.max(unpack(scores)), 0, {}
    for _, score in ipairs(scores) do sum = sum + math.exp(score - top) end
    for i, score in ipairs(scores) do result[i] = math.exp(score - top) / sum end
    return result
end

--- The likeliest words for each [MASK] of a text.
function Reference:fill_mask(text, k)
    local list = fill_mask.fill_mask(self.model, self.tokenizer, text, k, self.tape)
    return list
end

--- Tags of the words of sentences, and their probabilities; how many words lost pieces.
function Reference:tag(sentences, stride)
    local list = {}
    for i, words in ipairs(sentences) do list[i] = { words = words } end
    local set = tagged.sequences(self.tokenizer, list, { max_length = self.limit,
        stride = math.min(self.limit - 2, stride or math.max(1, math.floor(self.limit / 2))) })
    local names = self.config.labels
    local best, probability = array.int32(set.words), array.float(set.words)
    local read = tagged.reader(set, #names, best, probability)
    set.max_length = math.max(1, set.longest)
    inference.run(self.model, self.tape, set, { batch_size = 8 },
        function(batch, logits) read(batch, array.wrap(logits)) end)
    local tags, scores = tagged.by_sentence(list, best, probability, names)
    return tags, scores, set.cut
end

--- Answers to a question: all of them, and the text chosen.
function Reference:answer(question, context, options)
    self.reader = self.reader or reader.open(self.folder)
    local list, details = self.reader:ask(question, context, options)
    local best = list[1]
    for _, entry in ipairs(list) do
        if entry.text == details.answer then
            best = entry
            break
        end
    end
    return { text = best.text, probability = best.probability, all = list }
end

--- Give the memory back.
function Reference:close()
    if self.reader then self.reader:close() end
    self.graph:close()
end

return M
