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
-- The interface is these methods, m.config, m.tokenizer, m.folder, m.heads and tostring(m). What runs them is a
-- BertModel on a tape; callers don't see it.
-- What a text may hold: [MASK], [SEP] and the other special tokens are taken as such. A text that is longer than
-- m.limit tokens loses its end, which is told on standard error.

local BertModel = require("bertlua.models.bert").BertModel
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local BertForTokenClassification = require "bertlua.models.token_classification"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local fill_mask = require "bertlua.models.fill_mask"
local fs = require "bertlua.util.fs"
local inference = require "bertlua.train.inference"
local judging = require "bertlua.encoder.judging"
local options_of = require "bertlua.util.options"
local plural = require "bertlua.util.plural"
local reader = require "bertlua.squad.reader"
local states = require "bertlua.encoder.states"
local tagged = require "bertlua.data.tagged"
local tensor = require "bertlua.tensor"
local text_source = require "bertlua.data.text_source"
local texts = require "bertlua.encoder.texts"

local Encoder = {}
Encoder.__index = Encoder

local OPTIONS = { "precision", "vocab_file", "config_file", "do_lower_case", "model_prefix", "max_seq_length",
    "command_line" }
local EMBED_OPTIONS = { "pooling", "normalize", "batch_size" }
local CLASSIFY_OPTIONS, TAG_OPTIONS = { "batch_size", "threshold" }, { "batch_size", "stride" }

local PRECISIONS = { fp32 = true, bf16 = true, fp16 = true }

--- The model for what a file holds, and names of parameters that it may lack.
local function build(found)
    local config, heads = found.config, found.heads
    if heads.answers then return BertForQuestionAnswering.new(config), {} end
    local classes = heads.labels or heads.tags
    if classes then
        if not config.labels or #config.labels ~= classes then
            config.labels = {}
            for i = 1, classes do config.labels[i] = "LABEL_" .. i - 1 end
        end
        return (heads.labels and BertForSequenceClassification or BertForTokenClassification).new(config), {}
    end
    -- A model trained on masked words alone has neither pooler nor next sentences; nothing here asks for them.
    if heads.mlm then return BertForPretraining.new(config), { "^bert%.pooler%.", "^cls%.seq_relationship%." } end
    return BertModel.new(config, ParameterStore.new(), "bert", { pooler = heads.pooler }), {}
end

--- Open a model.
-- @tparam string path folder of a model (ours or Hugging Face's), of a checkpoint or of checkpoints (the best is taken
--   if their run keeps one, else the newest), or a file of parameters next to a config.json
-- @tparam[opt] table options precision ("fp32", "bf16", "fp16"); vocab_file, config_file, do_lower_case,
--   model_prefix, max_seq_length: instead of what the folder holds; command_line: messages call these --vocab-file etc.
-- @return the model; a fault if there is none, or if it is no BERT
function Encoder.load(path, options)
    if type(path) ~= "string" then error("load: path is a " .. type(path) .. ", expected a string", 2) end
    options = options_of.check("load", options, OPTIONS, 2)
    if not PRECISIONS[options.precision or "fp32"] then
        error(("load: precision is %s, expected fp32, bf16 or fp16"):format(tostring(options.precision)), 2)
    end
    -- Trailing slashes would show up in every message.
    path = path:gsub("^~/", (os.getenv "HOME" or "~") .. "/"):gsub("(.)/+$", "%1")
    local found = files.inspect(path, options)
    local model, missing = build(found)
    model.store:allocate { precision = options.precision or "fp32", training = false }
    -- A path names the file itself where the folder has several.
    local source = fs.is_directory(path) and found.folder or found.file
    local report = checkpoint.load_pretrained(source, { store = model.store, config = found.config, missing = missing,
        model_prefix = options.model_prefix })
    local size = model:size()
    for _, name in ipairs(report.missing) do size = size - model.store:get(name).numel end
    return setmetatable({
        config = found.config, tokenizer = found.words, folder = found.folder, heads = found.heads,
        limit = found.limit, problem = found.problem, sentences = found.sentences or {}, model = model,
        bert = model.bert or model, tape = Tape.new(), size = size,
    }, Encoder)
end

-- A method's first line.
local function live(self, use)
    if getmetatable(self) ~= Encoder then error(("%s: call it with a colon: m:%s(...)"):format(use, use), 3) end
    if not self.tape then error(use .. ": the model has been closed", 3) end
end

local function need(self, present, head, use)
    if not present then
        fault.raisef("%s: this encoder has no %s head%s", use, head, self.heads.unknown
            and (", and the head of a %s is not known here"):format(self.heads.unknown) or "")
    end
end

-- The level is that of error(), seen from here.
local function check_text(use, what, text, level)
    if type(text) ~= "string" then
        error(("%s: the %s is a %s, expected a string"):format(use, what, type(text)), level)
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

--- Encode one text or pair; tells when it is cut.
-- @param level of the method's caller, seen from here
local function encode(self, use, text, pair, level)
    check_text(use, "text", text, level + 1)
    if pair ~= nil then check_text(use, "second text", pair, level + 1) end
    local ids, first, cut = texts.encode(self.tokenizer, text, pair, self.limit)
    tell_cut(self, use, cut and 1 or 0, 1)
    return ids, first
end

--- A list of texts as sequences.
local function encode_all(self, use, list)
    local encoded, cuts = {}, 0
    for i, text in ipairs(list) do
        local pair
        if type(text) == "table" then text, pair = text[1], text[2] end
        check_text(use, "text number " .. i, text, 4)
        if pair ~= nil then check_text(use, "second text of number " .. i, pair, 4) end
        local ids, first, cut = texts.encode(self.tokenizer, text, pair, self.limit)
        encoded[i] = { ids = ids, first = first }
        if cut then cuts = cuts + 1 end
    end
    tell_cut(self, use, cuts, #list)
    return texts.sequences(encoded, self.limit)
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
    local size = options.batch_size or 32
    if type(size) ~= "number" or size < 1 or size % 1 ~= 0 then
        error(("%s: batch_size is %s, expected a whole number from 1"):format(use, tostring(size)), 3)
    end
    return size
end

-- How many of a list are shown.
local MOST_SHOWN = 20

local function shares(guesses)
    local parts = {}
    for i, guess in ipairs(guesses) do
        if i > MOST_SHOWN then
            parts[i] = ("... %d more"):format(#guesses - MOST_SHOWN)
            break
        end
        parts[i] = ("%s %.1f %%"):format(guess.token or guess.label, 100 * guess.probability)
    end
    return table.concat(parts, ", ")
end

local Guesses = { __tostring = shares }
local GuessesOfAll = { __tostring = function(list)
    local lines = {}
    for i, guesses in ipairs(list) do lines[i] = (#list > 1 and i .. ": " or "") .. tostring(guesses) end
    return table.concat(lines, "\n")
end }

--- The likeliest words for each [MASK] of a text.
-- @tparam string|table text a text, or a list of texts
-- @tparam[opt] number k how many (5)
-- @tparam[opt] table options batch_size (32), for a list
-- @return for each [MASK] a list of {token, id, probability}, likeliest first; for a list one of these for each text
function Encoder:fill_mask(text, k, options)
    live(self, "fill_mask")
    local texts_given = type(text) == "table" and text or { text }
    for i, one in ipairs(texts_given) do
        check_text("fill_mask", texts_given == text and "text number " .. i or "text", one, 3)
        text_source.checked(one, texts_given == text and "text number " .. i or "the text")
    end
    if #texts_given == 0 then check_text("fill_mask", "text", nil, 3) end
    need(self, self.heads.mlm, "MLM", "fill_mask")
    if k ~= nil and (type(k) ~= "number" or k < 1 or k % 1 ~= 0) then
        error(("fill_mask: k is %s, expected a whole number from 1"):format(tostring(k)), 2)
    end
    options = options_of.check("fill_mask", options, { "batch_size" }, 2)
    local lists = fill_mask.fill_masks(self.model, self.tokenizer, texts_given, k, self.tape,
        batch_size_of("fill_mask", options))
    for _, list in ipairs(lists) do
        for _, guesses in ipairs(list) do setmetatable(guesses, Guesses) end
        setmetatable(list, GuessesOfAll)
    end
    return texts_given == text and lists or lists[1]
end

-- What inference.run asks for, of the encoder without a head.
local Last = {}
Last.__index = Last

--- The last layer's output. Returns a variable [T,H].
function Last:logits(tape, batch)
    return self.bert:forward(tape, batch)
end

--- The mean of a sequence's rows, or its first row, into row s of `out`.
local function pool(values, out, batch, hidden, pooling)
    local segments = array.wrap(batch.segments)
    for b, s in ipairs(batch.members) do
        local first, length, to = segments[2 * b - 2] * hidden, segments[2 * b - 1], s * hidden
        local rows = pooling == "cls" and 1 or length
        for h = 0, hidden - 1 do
            local sum = 0
            for row = 0, rows - 1 do sum = sum + values[first + row * hidden + h] end
            out[to + h] = sum / rows
        end
    end
end

local function normalize(out, count, hidden)
    for s = 0, count - 1 do
        local sum = 0
        for h = s * hidden, (s + 1) * hidden - 1 do sum = sum + out[h] * out[h] end
        local scale = 1 / math.max(math.sqrt(sum), 1e-12)
        for h = s * hidden, (s + 1) * hidden - 1 do out[h] = out[h] * scale end
    end
end

local function tensor_of(values, dims)
    local t = tensor.new("f32", dims)
    local list, width = {}, dims[2]
    for s = 1, dims[1] do
        local row = {}
        for h = 1, width do row[h] = values[(s - 1) * width + h - 1] end
        list[s] = row
    end
    return t:set(list)
end

--- One vector per text.
-- The mean over a text's tokens, [CLS] and [SEP] included, is that of sentence-transformers, whose folders say what the
-- model was trained for.
-- @param list of texts, or one text
-- @tparam[opt] table options pooling: "mean" or "cls"; normalize: true scales each vector to length 1; both are as the
--   model's folder says if left out, and mean and false where it says nothing; batch_size (32)
-- @return tensor f32 [N,H], also for one text
function Encoder:embed(list, options)
    live(self, "embed")
    if type(list) == "string" then list = { list } end
    if type(list) ~= "table" or #list == 0 then
        error(("embed: got %s, expected a text or a list of texts"):format(
            type(list) == "table" and "an empty list" or "a " .. type(list)), 2)
    end
    options = options_of.check("embed", options, EMBED_OPTIONS, 2)
    local batch_size = options.batch_size or 32
    if type(batch_size) ~= "number" or batch_size < 1 or batch_size % 1 ~= 0 then
        error(("embed: batch_size is %s, expected a whole number from 1"):format(tostring(batch_size)), 2)
    end
    local of_folder = self.sentences
    if of_folder.problem and not options.pooling then
        fault.raisef('embed: %s; { pooling = "mean" } makes vectors regardless', of_folder.problem)
    end
    local pooling, to_unit = options.pooling or of_folder.pooling or "mean", options.normalize
    if to_unit == nil then to_unit = of_folder.normalize end
    if pooling ~= "mean" and pooling ~= "cls" then
        error(("embed: pooling is %s, expected mean or cls"):format(tostring(pooling)), 2)
    end
    local set, hidden = encode_all(self, "embed", list), self.config.hidden_size
    local out = array.double(#list * hidden)
    inference.run(setmetatable({ bert = self.bert }, Last), self.tape, set, { batch_size = batch_size },
        function(batch, rows) pool(array.wrap(rows), out, batch, hidden, pooling) end)
    if to_unit then normalize(out, #list, hidden) end
    local vectors = tensor_of(out, { #list, hidden })
    return vectors
end

--- Call fn with a batch of one text.
local function with_batch(self, use, text, pair, fn)
    local batch = texts.batch(encode(self, use, text, pair, 4))
    local list = fn(self.bert, self.tape, batch)
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

local Labels = { __tostring = function(result)
    if result.value then return ("%.6g"):format(result.value) end
    if result.values then
        local parts = {}
        for i, value in ipairs(result.values) do parts[i] = ("%.6g"):format(value) end
        return table.concat(parts, ", ")
    end
    return shares(result.all)
end }
local LabelsOfAll = { __tostring = GuessesOfAll.__tostring }

--- What the model says of a text, or of each of many.
-- Which of these it is, the model's `problem_type` says (m.problem): one label; several labels; a number. Without one
-- it is one label, or a number where the head has a single output.
-- @tparam string|table text a text, or a list of texts or of pairs { text, pair }
-- @param pair second text, or nil; for a list: options {batch_size (32), threshold (0.5): above this probability a text
--   has a label, where it may have several}
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
    local set, results = encode_all(self, "classify", list), {}
    local judge = judging.texts(self.config.labels, self.problem, options.threshold or 0.5)
    inference.run(self.model, self.tape, set, { batch_size = batch_size }, function(batch, logits)
        local scores = array.wrap(logits)
        for b, s in ipairs(batch.members) do
            results[s + 1] = setmetatable(judge(scores, (b - 1) * #self.config.labels), Labels)
        end
    end)
    if list ~= text then return results[1] end
    return setmetatable(results, LabelsOfAll)
end

--- The words of a text, parted by blanks.
local function words_of(text)
    local words = {}
    for word in text:gmatch "%S+" do words[#words + 1] = word end
    return words
end

--- The tag of each word. A sentence that is longer than the model's texts is read in windows that overlap.
-- @tparam table|string words a list of words, a text (split at blanks), or a list of these lists
-- @tparam[opt] table options batch_size (32); stride: tokens from the start of a window to that of the next (half a
--   window)
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
            local what = ("word number %d%s"):format(w, many and " of sentence " .. i or "")
            check_text("tag", what, word, 3)
            text_source.checked(word, what)
        end
        if #list == 0 then error(("tag: sentence %d has no words"):format(i), 2) end
        sentences[i] = { words = list }
    end
    local room = self.limit - 2
    local set = tagged.sequences(self.tokenizer, sentences, { max_length = self.limit,
        stride = math.min(room, options.stride or math.max(1, math.floor(self.limit / 2))) })
    tell_cut(self, "tag", set.cut, set.words)
    local names = self.config.labels
    local best, probability = array.int32(set.words), array.float(set.words)
    local read = tagged.reader(set, #names, best, probability)
    set.max_length = math.max(1, set.longest)
    inference.run(self.model, self.tape, set, { batch_size = batch_size },
        function(batch, logits) read(batch, array.wrap(logits)) end)
    local tags, scores = tagged.by_sentence(sentences, best, probability, names)
    if many then return tags, scores end
    return tags[1], scores[1]
end

local Answer = { __tostring = function(answer)
    return ("%s (%.1f %%)"):format(answer.text == "" and "no answer" or answer.text, 100 * answer.probability)
end }

--- The part of a context that answers a question. A long context is read in windows that overlap.
-- @tparam string question
-- @tparam string context
-- @tparam[opt] table options as Reader:ask of bertlua.squad.reader
-- @return table: text ("" for no answer), probability, all = list of {text, probability}, likeliest first
function Encoder:answer(question, context, options)
    live(self, "answer")
    check_text("answer", "question", question, 3)
    check_text("answer", "context", context, 3)
    need(self, self.heads.answers, "question-answering", "answer")
    local ask = reader.wrap(self.model, self.tokenizer, self.folder, self.tape)
    local list, details = ask:ask(question, context, options)
    local best = list[1]
    for _, entry in ipairs(list) do
        if entry.text == details.answer then
            best = entry
            break
        end
    end
    return setmetatable({ text = best.text, probability = best.probability, all = list }, Answer)
end

--- Give the memory back; the model can't be used afterwards.
function Encoder:close()
    if not self.tape then return end
    self.tape:close()
    self.model.store:free()
    self.tape = nil
end

function Encoder:__tostring()
    local config, heads, uses, size = self.config, self.heads, {}, self.size
    if heads.mlm then uses[1] = "m:fill_mask" end
    if heads.labels then uses[1] = "m:classify" end
    if heads.tags then uses[1] = "m:tag" end
    if heads.answers then uses[1] = "m:answer" end
    for _, name in ipairs { "m:embed", "m:hidden_states", "m:attention", "m:tokens" } do uses[#uses + 1] = name end
    local lines = {
        ("%s of %s%s"):format(self.model.class_name, self.folder, self.tape and "" or " (closed)"),
        ("  %s, hidden size %d, %s, %s parameters"):format(plural.count(config.num_hidden_layers, "layer"),
            config.hidden_size, plural.count(config.num_attention_heads, "head"),
            size < 1e6 and ("%d"):format(size) or ("%.1f M"):format(size / 1e6)),
        ("  %d words, %s; texts of up to %d tokens"):format(config.vocab_size,
            self.tokenizer.do_lower_case and "lower-cased" or "cased", self.limit),
    }
    if heads.labels or heads.tags then lines[#lines + 1] = "  labels: " .. table.concat(config.labels, ", ") end
    if heads.unknown then lines[#lines + 1] = ("  its head, of a %s, is left out"):format(heads.unknown) end
    lines[#lines + 1] = "  " .. table.concat(uses, ", ")
    return table.concat(lines, "\n")
end

return Encoder
