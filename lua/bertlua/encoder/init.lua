--- bl.load: a trained model with its tokenizer, ready to use.
--
--     m = bl.load "results/bert-base-uncased/phase2"     a checkpoint of ours, or the folder of its steps
--     m = bl.load "all-MiniLM-L6-v2"                     a Hugging Face folder
--     m:fill_mask "the [MASK] of the house"
--     m:embed { "a text", "another" }
--     m:classify "what a film"; m:classify { "a text", "another" }
--     m:tag { "Ada", "lives", "in", "London" }
--     m:answer("Who wrote it?", "It was written by Ada.")
--     m:hidden_states "a text"; m:attention "a text"; m:tokens "a text"
--
-- The interface is these methods, m.config, m.tokenizer, m.folder, m.heads and tostring(m). It is the engine's encoder
-- (engine/api/encoder.h), which maps the parameters from their file; only hidden_states and attention, which show the
-- model's insides, run on the graph in Lua, whose parameters are loaded when one of them is called first.
-- What a text may hold: [MASK], [SEP] and the other special tokens are taken as such. A text that is longer than
-- m.limit tokens loses its end, which is told on standard error.

local Graph = require "bertlua.encoder.graph"
local Tokenizer = require "bertlua.text.tokenizer"
local context = require "bertlua.context"
local device = require "bertlua.device"
local encoder_api = require "bertlua.encoder_api"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local options_of = require "bertlua.util.options"
local plural = require "bertlua.util.plural"
local reader = require "bertlua.squad.reader"
local results = require "bertlua.encoder.results"
local squad_text = require "bertlua.squad.text"
local states = require "bertlua.encoder.states"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"
local text_native = require "bertlua.text"
local text_source = require "bertlua.data.text_source"
local texts = require "bertlua.encoder.texts"

local Encoder = {}
Encoder.__index = Encoder

-- command_line is for recipes: messages call the others --vocab-file etc.
local OPTIONS = { "precision", "vocab_file", "config_file", "do_lower_case", "model_prefix", "max_seq_length",
    command_line = true }
local EMBED_OPTIONS = { "pooling", "normalize", "batch_size" }
local CLASSIFY_OPTIONS, TAG_OPTIONS = { "batch_size", "threshold" }, { "batch_size", "stride" }
local ANSWER_SIZES = { "max_seq_length", "doc_stride", "max_query_length", "n_best_size", "max_answer_length",
    "batch_size" }
local ANSWER_OPTIONS = { "version_2_with_negative", "null_score_diff_threshold", unpack(ANSWER_SIZES) }

local DTYPES = { fp32 = "f32", bf16 = "bf16", fp16 = "f16" }

-- Lines that were told already.
local told = {}

--- What a folder's files hold that is read otherwise than it may seem, once each.
-- @param found of files.look, which has told the keys of config.json that are ignored
local function tell_notes(engine, found)
    for _, line in ipairs(engine:notes()) do
        if not told[line] and line:sub(1, #found.config_file + 10) ~= found.config_file .. ": ignored " then
            told[line] = true
            term.warn(line)
        end
    end
end

--- Open the engine's encoder; the parameters of a file that it does not read are the graph's.
local function open_engine(found, graph, options)
    local on, parameters = context.current(), not graph.direct and graph:parameters() or nil
    -- The engine works in a queue of its own.
    if parameters then context.synchronize() end
    local engine, message = encoder_api.open(graph.direct and found.file or found.folder, {
        device = on.device, device_index = on.device_index, threads = on.threads,
        dtype = DTYPES[options.precision or "fp32"], vocab_file = found.vocab_file, config_file = found.config_file,
        lower_case = options.do_lower_case, max_length = options.max_seq_length,
        parameters = parameters })
    if not engine then fault.raise(message) end
    return engine
end

--- The options, in fp32 where a CPU computes slower in the precision that they ask for.
local function computable(options)
    local precision = options.precision or "fp32"
    if not device.is_host() or context.fast_dtype(DTYPES[precision]) then return options end
    local line = ("this CPU computes %s slower than fp32: the model computes in fp32"):format(precision)
    if not told[line] then
        told[line] = true
        term.warn(line)
    end
    local changed = {}
    for name, value in pairs(options) do changed[name] = value end
    changed.precision = "fp32"
    return changed
end

local function kind_of(value)
    return value == nil and "nil" or "a " .. type(value)
end

--- Open a model.
-- @tparam string path folder of a model (ours or Hugging Face's), of a checkpoint or of checkpoints (the best is taken
--   if their run keeps one, else the newest), or a file of parameters next to a config.json
-- @tparam[opt] table options precision ("fp32", "bf16", "fp16"); vocab_file, config_file, do_lower_case,
--   model_prefix, max_seq_length: instead of what the folder holds
-- @return the model; a fault if there is none, or if it is no BERT
function Encoder.load(path, options)
    if type(path) ~= "string" then error("load: path is " .. kind_of(path) .. ", expected a string", 2) end
    options = options_of.check("load", options, OPTIONS, 2)
    if not DTYPES[options.precision or "fp32"] then
        error(("load: precision is %s, expected fp32, bf16 or fp16"):format(tostring(options.precision)), 2)
    end
    options = computable(options)
    -- Trailing slashes would show up in every message.
    path = path:gsub("^~/", (os.getenv "HOME" or "~") .. "/"):gsub("(.)/+$", "%1")
    local found = files.look(path, options)
    local graph = Graph.new(found, options, path)
    local engine = open_engine(found, graph, options)
    tell_notes(engine, found)
    local about = engine:describe()
    return setmetatable({
        config = found.config, folder = found.folder, heads = found.heads, limit = about.max_length,
        problem = found.problem, kind = about.problem, int8 = about.int8, sentences = found.sentences or {},
        engine = engine, graph = graph, size = graph.size,
        tokenizer = Tokenizer.of(text_native.wrap(engine:tokenizer(), engine), found.vocab_file, about.lower_case),
    }, Encoder)
end

-- A method's first line.
local function live(self, use)
    if getmetatable(self) ~= Encoder then error(("%s: call it with a colon: m:%s(...)"):format(use, use), 3) end
    if not self.engine then error(use .. ": the model has been closed", 3) end
end

local function need(self, present, head, use)
    if not present then
        local has = self.heads
        local other = has.mlm and "an MLM head" or has.labels and "a classification head"
            or has.tags and "a token-classification head" or has.answers and "a question-answering head" or "none"
        fault.raisef("%s: this encoder has no %s head (it has %s): load a model that has one", use, head, has.unknown
            and ("that of a %s, which is not known here"):format(has.unknown) or other)
    end
end

-- The level is that of error(), seen from here.
local function check_text(use, what, text, level)
    if type(text) ~= "string" then
        error(("%s: the %s is %s, expected a string"):format(use, what, kind_of(text)), level)
    end
end

-- A program that counts them itself sets self.on_cut.
local function tell_cut(self, use, count, total)
    if count == 0 then return end
    if self.on_cut then return self.on_cut(count) end
    io.stderr:write(("%s: %s longer than %d tokens: the end is left out\n"):format(use,
        total == 1 and "the text is" or count == 1 and "1 text is" or plural.count(count, "text") .. " are",
        self.limit))
end

--- A text as the engine takes it. Characters that are no text, NUL among them, are no part of any token.
local function plain(text, what)
    text_source.checked(text, what)
    return text:find("%z") and text:gsub("%z", "") or text
end

--- How many of some texts, or pairs, are longer than the limit.
-- @param second texts, or false for none
local function count_cut(self, first, second)
    local list, pairs_, cuts = {}, {}, 0
    for i, text in ipairs(first) do
        local pair = second[i] or false
        -- No text has more tokens than bytes.
        if #text + (pair and #pair + 1 or 0) > self.limit - 2 then
            list[#list + 1], pairs_[#list + 1] = text, pair
        end
    end
    if #list == 0 then return 0 end
    for _, length in ipairs(fault.check(self.engine:lengths(list, pairs_))) do
        if length > self.limit then cuts = cuts + 1 end
    end
    return cuts
end

--- Encode one text or pair; tells when it is cut.
-- @param level of the method's caller, seen from here
local function encode(self, use, text, pair, level)
    check_text(use, "text", text, level + 1)
    if pair ~= nil then check_text(use, "second text", pair, level + 1) end
    text, pair = plain(text, "the text"), pair and plain(pair, "the pair")
    tell_cut(self, use, count_cut(self, { text }, { pair or false }), 1)
    local ids, count, first = self.engine:ids(text, pair)
    local list = {}
    for i = 1, fault.check(ids, count) and count do list[i] = ids[i - 1] end
    return list, first
end

--- A list of texts and pairs: those texts; second texts, false for none, or nil if there are none at all.
local function take_all(self, use, list)
    local first, second, any = {}, {}, false
    for i, text in ipairs(list) do
        local pair
        if type(text) == "table" then text, pair = text[1], text[2] end
        check_text(use, "text number " .. i, text, 4)
        if pair ~= nil then check_text(use, "second text of number " .. i, pair, 4) end
        first[i], second[i] = plain(text, "the text"), pair and plain(pair, "the pair") or false
        any = any or pair ~= nil
    end
    tell_cut(self, use, count_cut(self, first, second), #list)
    return first, any and second or nil
end

--- Call fn(from, to) for parts of n things, at most batch_size each; with all of them if it is nil.
local function in_parts(n, batch_size, fn)
    local step = batch_size or math.max(1, n)
    for from = 1, n, step do fn(from, math.min(n, from + step - 1)) end
end

--- Items from .. to of a list; nil for nil.
local function part_of(list, from, to)
    if not list or from == 1 and to == #list then return list end
    local part = {}
    for i = from, to do part[i - from + 1] = list[i] end
    return part
end

--- Tokens of a text as the model sees them, special tokens included: what the rows of hidden_states() stand for.
-- @tparam string text
-- @tparam[opt] string pair second text
-- @treturn {string,...}
function Encoder:tokens(text, pair)
    live(self, "tokens")
    local list = {}
    for i, id in ipairs((encode(self, "tokens", text, pair, 3))) do list[i] = self.tokenizer:token(id) end
    return list
end

local function batch_size_of(use, options)
    local size = options.batch_size
    if size ~= nil and (type(size) ~= "number" or size < 1 or size % 1 ~= 0) then
        error(("%s: batch_size is %s, expected a whole number from 1"):format(use, tostring(size)), 3)
    end
    return size
end

--- The likeliest words for each [MASK] of a text.
-- @tparam string|table text a text, or a list of texts
-- @tparam[opt] number k how many (5)
-- @tparam[opt] table options batch_size: most texts computed at a time (all that the engine's memory takes)
-- @return for each [MASK] a list of {token, id, probability}, likeliest first; for a list one of these for each text
function Encoder:fill_mask(text, k, options)
    live(self, "fill_mask")
    local texts_given = type(text) == "table" and text or { text }
    for i, one in ipairs(texts_given) do
        check_text("fill_mask", texts_given == text and "text number " .. i or "text", one, 3)
    end
    if #texts_given == 0 then check_text("fill_mask", "text", nil, 3) end
    need(self, self.heads.mlm, "MLM", "fill_mask")
    if k ~= nil and (type(k) ~= "number" or k < 1 or k % 1 ~= 0) then
        error(("fill_mask: k is %s, expected a whole number from 1"):format(tostring(k)), 2)
    end
    options = options_of.check("fill_mask", options, { "batch_size" }, 2)
    local batch_size, list, filled = batch_size_of("fill_mask", options), {}, {}
    k = math.min(k or 5, self.config.vocab_size, self.tokenizer:size())
    for i, one in ipairs(texts_given) do
        if not one:find("[MASK]", 1, true) then fault.raisef('fill_mask: "%s" has no [MASK]', one) end
        list[i] = plain(one, texts_given == text and "text number " .. i or "the text")
    end
    in_parts(#list, batch_size, function(from, to)
        local part, message = self.engine:fill_masks(part_of(list, from, to), k)
        if not part then
            fault.raise((message:gsub("texts%[(%d+)%]", function(i)
                return texts_given == text and "text number " .. from + i or "the text"
            end)))
        end
        for _, masks in ipairs(part) do filled[#filled + 1] = results.masks(masks) end
    end)
    return texts_given == text and filled or filled[1]
end

--- One vector per text.
-- The mean over a text's tokens, [CLS] and [SEP] included, is that of sentence-transformers, whose folders say what the
-- model was trained for.
-- @param list of texts, or one text
-- @tparam[opt] table options pooling: "mean" or "cls"; normalize: true scales each vector to length 1; both are as the
--   model's folder says if left out, and mean and false where it says nothing; batch_size: most texts computed at a
--   time (all that the engine's memory takes)
-- @return tensor f32 [N,H], also for one text
function Encoder:embed(list, options)
    live(self, "embed")
    if type(list) == "string" then list = { list } end
    if type(list) ~= "table" or #list == 0 then
        error(("embed: got %s, expected a text or a list of texts"):format(
            type(list) == "table" and "an empty list" or "a " .. type(list)), 2)
    end
    options = options_of.check("embed", options, EMBED_OPTIONS, 2)
    local batch_size = batch_size_of("embed", options)
    local of_folder = self.sentences
    if of_folder.problem and not options.pooling then
        fault.raisef('embed: %s; { pooling = "mean" } makes vectors regardless', of_folder.problem)
    end
    local pooling, to_unit = options.pooling or of_folder.pooling or "mean", options.normalize
    if to_unit == nil then to_unit = of_folder.normalize end
    if pooling ~= "mean" and pooling ~= "cls" then
        error(("embed: pooling is %s, expected mean or cls"):format(tostring(pooling)), 2)
    end
    local first, second = take_all(self, "embed", list)
    local vectors = tensor.new("f32", { #list, self.config.hidden_size })
    in_parts(#list, batch_size, function(from, to)
        local part = fault.check(self.engine:embed(part_of(first, from, to), pooling, to_unit == true,
            part_of(second, from, to)))
        vectors:slice(1, from, to):copy_from(part)
    end)
    return vectors
end

--- Call fn with a batch of one text.
local function with_batch(self, use, text, pair, fn)
    local batch = texts.batch(encode(self, use, text, pair, 4))
    local graph = self.graph:load()
    local list = fn(graph.bert, graph.tape, batch)
    batch.buffer:free()
    return list
end

--- Outputs of the embeddings and of every layer.
-- @tparam string text
-- @tparam[opt] string pair second text
-- @return list of layers + 1 tensors f32 [T,H]; row i belongs to token i of m:tokens(text, pair)
function Encoder:hidden_states(text, pair)
    live(self, "hidden_states")
    local list = with_batch(self, "hidden_states", text, pair, states.hidden_states)
    return list
end

--- Attention weights of every layer.
-- @tparam string text
-- @tparam[opt] string pair second text
-- @return list of tensors f32 [A,T,T]: how much token i (second dimension) takes from token j (third) in each head
function Encoder:attention(text, pair)
    live(self, "attention")
    local list = with_batch(self, "attention", text, pair, states.attention)
    return list
end

--- What the model says of a text, or of each of many.
-- Which of these it is, the model's `problem_type` says (m.problem): one label; several labels; a number. Without one
-- it is one label, or a number where the head has a single output.
-- @tparam string|table text a text, or a list of texts or of pairs { text, pair }
-- @param pair second text, or nil; for a list: options {batch_size: most texts computed at a time (all that the
--   engine's memory takes), threshold (0.5): above this probability a text has a label, where it may have several}
-- @tparam[opt] table options of a single text
-- @return table, or a list of them: label, probability, all = list of {label, probability}, likeliest first; or labels,
--   probabilities, all; or value (values where the head has several outputs)
function Encoder:classify(text, pair, options)
    live(self, "classify")
    need(self, self.heads.labels, "classification", "classify")
    local list = type(text) == "table" and text or { { text, pair } }
    if list == text then options = pair else check_text("classify", "text", text, 3) end
    options = options_of.check("classify", options, CLASSIFY_OPTIONS, 2)
    if #list == 0 then error("classify: got an empty list, expected a text or a list of texts", 2) end
    local batch_size = batch_size_of("classify", options)
    local first, second = take_all(self, "classify", list)
    local judged, names = {}, self.config.labels
    in_parts(#list, batch_size, function(from, to)
        local scores = fault.check(self.engine:classify(part_of(first, from, to), part_of(second, from, to)))
        for _, row in ipairs(scores:tolist()) do
            judged[#judged + 1] = results.labels(self.kind, names, row, options.threshold or 0.5)
        end
    end)
    if list ~= text then return judged[1] end
    return results.list(judged)
end

--- The words of a text, parted by blanks.
local function words_of(text)
    local words = {}
    for word in text:gmatch "%S+" do words[#words + 1] = word end
    return words
end

--- The words of a sentence as the engine takes them.
-- @param where for messages
local function plain_words(words, where)
    local list = {}
    for w, word in ipairs(words) do list[w] = plain(word, ("word number %d%s"):format(w, where)) end
    return list
end

--- The tag of each word. A sentence that is longer than the model's texts is read in windows that overlap.
-- @tparam table|string words a list of words, a text (split at blanks), or a list of these lists
-- @tparam[opt] table options batch_size: most sentences computed at a time (all); stride: tokens from the start of a
--   window to that of the next (half a window)
-- @treturn {string,...} tags of the words; for a list of sentences, one list for each
-- @treturn {number,...} their probabilities, likewise
function Encoder:tag(words, options)
    live(self, "tag")
    need(self, self.heads.tags, "token-classification", "tag")
    if type(words) == "string" then words = words_of(words) end
    if type(words) ~= "table" or #words == 0 then
        error(("tag: got %s, expected a list of words"):format(
            type(words) == "table" and "an empty list" or "a " .. type(words)), 2)
    end
    options = options_of.check("tag", options, TAG_OPTIONS, 2)
    local batch_size = batch_size_of("tag", options)
    local many, sentences = type(words[1]) == "table", {}
    for i, list in ipairs(many and words or { words }) do
        for w, word in ipairs(list) do
            check_text("tag", ("word number %d%s"):format(w, many and " of sentence " .. i or ""), word, 3)
        end
        if #list == 0 then error(("tag: sentence %d has no words"):format(i), 2) end
        sentences[i] = plain_words(list, many and " of sentence " .. i or "")
    end
    local tags, scores, names, cuts, total = {}, {}, self.config.labels, 0, 0
    in_parts(#sentences, batch_size, function(from, to)
        local labels, their, cut = self.engine:tag(part_of(sentences, from, to), options.stride)
        for s, list in ipairs(fault.check(labels, their)) do
            for w, label in ipairs(list) do list[w] = names[label + 1] end
            tags[#tags + 1], scores[#scores + 1], total = list, their[s], total + #list
        end
        cuts = cuts + cut
    end)
    tell_cut(self, "tag", cuts, total)
    if many then return tags, scores end
    return tags[1], scores[1]
end

--- The part of a context that answers a question. A long context is read in windows that overlap.
-- @tparam string question
-- @tparam string context
-- @tparam[opt] table options max_seq_length, doc_stride, max_query_length, n_best_size, max_answer_length,
--   version_2_with_negative, null_score_diff_threshold (default: as the model was fine-tuned); batch_size: most windows
--   computed at a time (32)
-- @return table: text ("" for no answer), probability, all = list of {text, probability}, likeliest first
function Encoder:answer(question, context_text, options)
    live(self, "answer")
    check_text("answer", "question", question, 3)
    check_text("answer", "context", context_text, 3)
    need(self, self.heads.answers, "question-answering", "answer")
    options = options_of.check("answer", options, ANSWER_OPTIONS, 2)
    local asked = { null_score_diff_threshold = options.null_score_diff_threshold }
    for _, name in ipairs(ANSWER_SIZES) do
        local value = options[name]
        if value ~= nil and (type(value) ~= "number" or value < 1 or value % 1 ~= 0 or value >= 2 ^ 31) then
            error(("answer: %s is %s, expected a whole number from 1"):format(name, tostring(value)), 2)
        end
        asked[name] = value
    end
    local most = self.config.max_position_embeddings
    if (asked.max_seq_length or 0) > most then
        fault.raisef("answer: max_seq_length is %d, but the model has max_position_embeddings %d",
            asked.max_seq_length, most)
    end
    self.trained = self.trained or reader.read_settings(self.folder)
    asked.allow_none = options.version_2_with_negative
    if asked.allow_none == nil then asked.allow_none = self.trained.version_2_with_negative == true end
    asked.n_best_size = asked.n_best_size or self.trained.n_best_size or 20
    asked.most = asked.n_best_size + 1
    question, context_text = plain(question, "the question"), plain(context_text, "the context")
    local list = fault.check(self.engine:answer(question, context_text, asked))
    for i, answer in ipairs(list) do
        local text = answer.first and squad_text.join_words(context_text, answer.first - 1, answer.last) or ""
        list[i] = { text = text, probability = answer.probability }
    end
    local answer = results.answer(list)
    return answer
end

--- Give the memory back; the model can't be used afterwards, nor its tokenizer.
function Encoder:close()
    if not self.engine then return end
    self.tokenizer.native:leave()
    -- Its parameters may be the graph's.
    self.engine:close()
    self.graph:close()
    self.engine = nil
end

function Encoder:__tostring()
    local config, heads, uses, size = self.config, self.heads, {}, self.size
    if heads.mlm then uses[1] = "m:fill_mask" end
    if heads.labels then uses[1] = "m:classify" end
    if heads.tags then uses[1] = "m:tag" end
    if heads.answers then uses[1] = "m:answer" end
    for _, name in ipairs { "m:embed", "m:hidden_states", "m:attention", "m:tokens" } do uses[#uses + 1] = name end
    local lines = {
        ("%s of %s%s"):format(self.graph.model.class_name, self.folder, self.engine and "" or " (closed)"),
        ("  %s, hidden size %d, %s, %s parameters%s"):format(plural.count(config.num_hidden_layers, "layer"),
            config.hidden_size, plural.count(config.num_attention_heads, "head"),
            size < 1e6 and ("%d"):format(size) or ("%.1f M"):format(size / 1e6),
            self.int8 and ", matrices of 8 bits" or ""),
        ("  %d words, %s; texts of up to %d tokens"):format(config.vocab_size,
            self.tokenizer.do_lower_case and "lower-cased" or "cased", self.limit),
    }
    if heads.labels or heads.tags then lines[#lines + 1] = "  labels: " .. table.concat(config.labels, ", ") end
    if heads.unknown then lines[#lines + 1] = ("  its head, of a %s, is left out"):format(heads.unknown) end
    lines[#lines + 1] = "  " .. table.concat(uses, ", ")
    return table.concat(lines, "\n")
end

return Encoder
