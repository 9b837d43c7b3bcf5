--- The engine's encoder: a model's folder, from texts to vectors, labels, answers and words, all in C. What it gives is
-- what a C program gets (engine/api/encoder.h); bl.load (bertlua.encoder) runs on it.
--
--     e = encoder_api.open "all-MiniLM-L6-v2"
--     e:embed { "a text", "another" }            tensor f32 [2,H]
--
-- What a folder or the system refuses comes back as nil and a message; so does a text that is refused. Such a message
-- is C's and counts texts as C does: `texts[0]` is the first.
-- @module bertlua.encoder_api

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local tensor = require "bertlua.tensor"

local lib, refused = bl.lib, bl.refused

local M = {}

local Encoder = {}
Encoder.__index = Encoder

local DEVICE = { cpu = 0, cuda = 1 }
local POOLING = { model = 0, mean = 1, cls = 2 }
local NORMALIZED = 16
local PROBLEM = { [0] = "single", "multiple", "values" }

local OPTIONS = { "config_file", "device", "device_index", "dtype", "lower_case", "max_length", "memory", "parameters",
    "refuse_long", "share_parameters", "threads", "vocab_file" }
-- What fits into C's numbers; C itself says which of them mean something.
local WHOLE = { device_index = 2 ^ 31, max_length = 2 ^ 31, memory = 2 ^ 63, threads = 2 ^ 31 }

--- Options that are misspelled, or that C would round or take for others, end here. The level is that of error().
local function check_options(options, level)
    local known = {}
    for _, name in ipairs(OPTIONS) do known[name] = true end
    for name in pairs(options) do
        if not known[name] then
            error(("encoder: option %s is not known, expected %s"):format(tostring(name), table.concat(OPTIONS, ", ")),
                level + 1)
        end
    end
    for name, most in pairs(WHOLE) do
        local value = options[name]
        if value ~= nil and not (type(value) == "number" and value >= -most and value < most and value % 1 == 0) then
            error(("encoder: %s is %s, expected a whole number"):format(name, tostring(value)), level + 1)
        end
    end
end

local function code_of(codes, what, name)
    local code = codes[name]
    if code then return code end
    local names = {}
    for known in pairs(codes) do names[#names + 1] = known end
    table.sort(names)
    error(("encoder: %s is %s, expected %s"):format(what, tostring(name), table.concat(names, ", ")), 3)
end

--- Parameters in memory as C has them, and what must outlive the encoder.
-- @param list of {name, tensor}
local function parameters_of(list)
    local kept = { names = ffi.new("const char *[?]", #list + 1), tensors = ffi.new("bl_tensor[?]", #list + 1),
        list = list }
    for i, entry in ipairs(list) do
        kept.names[i - 1] = entry.name
        ffi.copy(kept.tensors + (i - 1), entry.tensor, ffi.sizeof "bl_tensor")
    end
    kept.c = ffi.new("bl_encoder_parameters", #list, kept.names, kept.tensors)
    return kept
end

--- Open a model's folder.
-- @tparam string folder
-- @tparam[opt] table options device ("cpu"), device_index, threads, dtype ("f32", "bf16", "f16"), memory
--   (bytes), max_length, lower_case (true, false; nil: as the folder says), vocab_file, config_file, refuse_long,
--   share_parameters: see engine/api/encoder.h; parameters: list of {name, tensor} in place of the folder's files of
--   them. They must keep their memory while the encoder is open. Other names, and numbers that are not whole, are
--   errors
-- @return the encoder; or nil, message
function M.open(folder, options)
    options = options or {}
    check_options(options, 2)
    local c = ffi.new "bl_encoder_options"
    local kept = options.parameters and parameters_of(options.parameters)
    if kept then c.parameters = kept.c end
    c.config_file = options.config_file
    c.device = code_of(DEVICE, "device", options.device or "cpu")
    c.dtype = bl.dtype(options.dtype or "f32")
    c.device_index, c.threads = options.device_index or 0, options.threads or 0
    c.memory, c.max_length = options.memory or 0, options.max_length or 0
    if options.lower_case ~= nil then c.lower_case = options.lower_case and 1 or -1 end
    c.vocab_file, c.refuse_long = options.vocab_file, options.refuse_long or false
    c.share_parameters = options.share_parameters or false
    local out = ffi.new "bl_encoder *[1]"
    local status = lib.bl_encoder_open(out, folder, c)
    if status ~= 0 then return refused(status) end
    return setmetatable({ handle = ffi.gc(out[0], lib.bl_encoder_free), info = ffi.new "bl_encoder_info",
        kept = kept }, Encoder)
end

--- A f32 tensor for results, and the array that C writes them to: its own memory on the CPU.
local function results(dims)
    local t = tensor.new("f32", dims)
    if t.device == 0 then return t, t:data_ptr "float" end
    return t, ffi.new("float[?]", math.max(1, t:numel()))
end

--- The tensor, with what C wrote.
local function finished(t, array)
    return t.device == 0 and t or t:set(array)
end

local function live(self)
    if not self.handle then error("encoder: it has been closed", 3) end
    return self.handle
end

--- Texts as C has them; `false` in a list of pairs stands for none. The list keeps the strings.
local function strings(list)
    local pointers = ffi.new("const char *[?]", math.max(#list, 1))
    for i = 1, #list do
        local text = list[i]
        if text then
            if type(text) ~= "string" then
                error(("encoder: text number %d is a %s, expected a string"):format(i, type(text)), 3)
            elseif text:find("\0", 1, true) then
                error(("encoder: text number %d holds a NUL byte"):format(i), 3)
            end
            pointers[i - 1] = text
        end
    end
    return pointers
end

local function texts_and_pairs(texts, pairs_)
    if type(texts) ~= "table" then
        error(("encoder: texts is %s, expected a list"):format(texts == nil and "nil" or "a " .. type(texts)), 3)
    elseif pairs_ and #pairs_ ~= #texts then
        error(("encoder: %d pairs for %d texts"):format(#pairs_, #texts), 3)
    end
    return strings(texts), pairs_ and strings(pairs_) or nil
end

--- What it is: {hidden_size, layers, attention_heads, vocab_size, max_length, labels, problem = "single", "multiple" or
-- "values", pooling = number, fills_masks, classifies, tags, answers, parameters, bytes_of_calls, lower_case, int8,
-- dtype = name}.
function Encoder:describe()
    local info, table_of = self.info, {}
    bl.check(lib.bl_encoder_describe(live(self), info))
    for _, name in ipairs { "hidden_size", "layers", "attention_heads", "vocab_size", "max_length", "labels", "pooling",
        "parameters", "bytes_of_calls" } do
        table_of[name] = tonumber(info[name])
    end
    for _, name in ipairs { "fills_masks", "classifies", "tags", "answers", "lower_case", "int8" } do
        table_of[name] = info[name]
    end
    table_of.problem, table_of.dtype = PROBLEM[info.problem], bl.DTYPE_NAME[info.dtype]
    return table_of
end

--- Name of label number index, from 0; nil if there is none.
function Encoder:label(index)
    local name = lib.bl_encoder_label(live(self), index)
    return name ~= nil and ffi.string(name) or nil
end

--- Lines about what is read otherwise than the folder may suggest.
function Encoder:notes()
    local list = {}
    repeat
        local line = lib.bl_encoder_note(live(self), #list)
        if line ~= nil then list[#list + 1] = ffi.string(line) end
    until line == nil
    return list
end

--- Tokens of each text, special ones included, before anything is cut.
-- @tparam {string,...} texts
-- @tparam[opt] {string,...} pairs_ second texts, false for none
-- @treturn {number,...}; or nil, message
function Encoder:lengths(texts, pairs_)
    local first, second = texts_and_pairs(texts, pairs_)
    local lengths, list = ffi.new("int32_t[?]", math.max(#texts, 1)), {}
    local status = lib.bl_encoder_lengths(live(self), first, second, #texts, lengths)
    if status ~= 0 then return refused(status) end
    for i = 1, #texts do list[i] = lengths[i - 1] end
    return list
end

--- Token ids of a text or pair as the model sees them: special tokens included, cut to the longest length.
-- @treturn cdata int32 array (0-based); how many; how many of them belong to the first text. Or nil, message
function Encoder:ids(text, pair)
    local most, count, first = self:describe().max_length, ffi.new "int64_t[1]", ffi.new "int64_t[1]"
    local ids = ffi.new("int32_t[?]", most)
    local status = lib.bl_encoder_ids(live(self), text, pair, most, ids, count, first)
    if status ~= 0 then return refused(status) end
    return ids, tonumber(count[0]), tonumber(first[0])
end

--- What cuts its texts: a bl_tokenizer, for bertlua.text. It must not be used once the encoder is closed.
function Encoder:tokenizer()
    return lib.bl_encoder_tokenizer(live(self))
end

--- One vector a text.
-- @tparam {string,...} texts
-- @tparam[opt] string pooling "model" (default), "mean" or "cls"
-- @tparam[opt] boolean normalize whether each gets length 1, also where the model's folder does not say so
-- @tparam[opt] {string,...} pairs_ second texts, false for none
-- @treturn tensor f32 [n,H]; or nil, message
function Encoder:embed(texts, pooling, normalize, pairs_)
    local first, second = texts_and_pairs(texts, pairs_)
    local code = code_of(POOLING, "pooling", pooling or "model") + (normalize and NORMALIZED or 0)
    local vectors, array = results { #texts, self:describe().hidden_size }
    local status = lib.bl_encoder_embed_pairs(live(self), first, second, #texts, code, array)
    if status ~= 0 then return refused(status) end
    return finished(vectors, array)
end

--- The last layer's output for each token of a text or pair.
-- @treturn tensor f32 [T,H]; or nil, message
function Encoder:hidden(text, pair)
    local info, rows = self:describe(), ffi.new "int64_t[1]"
    local lengths, message = self:lengths({ text }, pair and { pair })
    if not lengths then return nil, message end
    local count = math.min(lengths[1], info.max_length)
    local states, array = results { count, info.hidden_size }
    local status = lib.bl_encoder_hidden(live(self), text, pair, count, array, rows)
    if status ~= 0 then return refused(status) end
    return finished(states, array)
end

--- Scores of texts or pairs, as the problem says: probabilities, or values.
-- @treturn tensor f32 [n,labels]; or nil, message
function Encoder:classify(texts, pairs_)
    local first, second = texts_and_pairs(texts, pairs_)
    local scores, array = results { #texts, self:describe().labels }
    local status = lib.bl_encoder_classify(live(self), first, second, #texts, array)
    if status ~= 0 then return refused(status) end
    return finished(scores, array)
end

--- The likeliest label of each word of a sentence.
-- @tparam {string,...} words
-- @treturn {{label = number from 0, or -1, score = probability},...}; or nil, message
function Encoder:tokens(words)
    local first, count = texts_and_pairs(words), math.max(#words, 1)
    local labels, scores, list = ffi.new("int32_t[?]", count), ffi.new("float[?]", count), {}
    local status = lib.bl_encoder_tokens(live(self), first, #words, labels, scores)
    if status ~= 0 then return refused(status) end
    for i = 1, #words do list[i] = { label = labels[i - 1], score = scores[i - 1] } end
    return list
end

--- The likeliest label of each word of sentences, computed together.
-- @tparam {{string,...},...} sentences
-- @tparam[opt] number stride pieces from the start of a window to that of the next (half of the longest length)
-- @treturn {{number,...},...} labels of each sentence's words, from 0
-- @treturn {{number,...},...} their probabilities
-- @treturn number words that lost pieces, since a window holds less. Or nil, message
function Encoder:tag(sentences, stride)
    local words, offsets, cut = {}, ffi.new("int64_t[?]", #sentences + 1), ffi.new "int64_t[1]"
    for s, sentence in ipairs(sentences) do
        for _, word in ipairs(sentence) do words[#words + 1] = word end
        offsets[s] = #words
    end
    local labels, scores = ffi.new("int32_t[?]", #words + 1), ffi.new("float[?]", #words + 1)
    local status = lib.bl_encoder_tag(live(self), strings(words), offsets, #sentences, stride or 0, labels, scores, cut)
    if status ~= 0 then return refused(status) end
    local all, their, at = {}, {}, 0
    for s, sentence in ipairs(sentences) do
        all[s], their[s] = {}, {}
        for w = 1, #sentence do
            all[s][w], their[s][w] = labels[at], scores[at]
            at = at + 1
        end
    end
    return all, their, tonumber(cut[0])
end

local ANSWER_SIZES = { "max_seq_length", "doc_stride", "max_query_length", "n_best_size", "max_answer_length",
    "batch_size" }

--- Parts of a context that answer a question, the likeliest first.
-- @tparam[opt] table options allow_none (false): "no answer" is among them; most (1): how many; max_seq_length,
--   doc_stride, max_query_length, n_best_size, max_answer_length, null_score_diff_threshold (as the model was
--   fine-tuned), batch_size (32): windows computed at a time
-- @treturn {{first, last: bytes of the context, from 1; text, probability},...}; first is nil for no answer. Or nil,
--   message
function Encoder:answer(question, context, options)
    options = options or {}
    local c, most, count, list = ffi.new "bl_answer_options", options.most or 1, ffi.new "int32_t[1]", {}
    for _, name in ipairs(ANSWER_SIZES) do c[name] = options[name] or 0 end
    c.allow_none, c.has_threshold = options.allow_none or false, options.null_score_diff_threshold ~= nil
    c.null_score_diff_threshold = options.null_score_diff_threshold or 0
    local answers = ffi.new("bl_encoder_answer[?]", most)
    local status = lib.bl_encoder_answer_with(live(self), question, context, c, most, answers, count)
    if status ~= 0 then return refused(status) end
    for i = 0, count[0] - 1 do
        local first, last = tonumber(answers[i]["begin"]), tonumber(answers[i]["end"])
        local answer = { text = context:sub(first + 1, last), probability = answers[i].probability }
        if last > 0 then answer.first, answer.last = first + 1, last end
        list[i + 1] = answer
    end
    return list
end

local function count_masks(text)
    return select(2, text:gsub("%[MASK%]", ""))
end

--- Guesses for the masks of a text.
-- @param guesses k for each mask
-- @param at the first of them
local function masks_of(guesses, at, masks, k)
    local list = {}
    for m = 1, masks do
        list[m] = {}
        for i = 1, k do
            local guess = guesses[at + (m - 1) * k + i - 1]
            list[m][i] = { id = guess.id, token = ffi.string(guess.token), probability = guess.probability }
        end
    end
    return list
end

--- The k likeliest tokens for each [MASK] of texts, computed together.
-- @tparam {string,...} texts
-- @tparam[opt] number k (5)
-- @treturn for each text, for each [MASK] a list of {id, token, probability}; or nil, message
function Encoder:fill_masks(texts, k)
    k = k or 5
    local room, masks, list, at = 0, ffi.new("int64_t[?]", math.max(1, #texts)), {}, 0
    for _, text in ipairs(texts) do room = room + k * count_masks(text) end
    local guesses = ffi.new("bl_guess[?]", math.max(1, room))
    local status = lib.bl_encoder_fill_masks(live(self), strings(texts), #texts, k, room, guesses, masks)
    if status ~= 0 then return refused(status) end
    for t = 1, #texts do
        list[t] = masks_of(guesses, at, tonumber(masks[t - 1]), k)
        at = at + k * #list[t]
    end
    return list
end

--- The same of one text.
-- @tparam string text
-- @tparam[opt] number k (5)
-- @treturn for each [MASK] a list of {id, token, probability}; or nil, message
function Encoder:fill_mask(text, k)
    k = k or 5
    local room, masks = count_masks(text) * k, ffi.new "int64_t[1]"
    local guesses = ffi.new("bl_guess[?]", math.max(1, room))
    local status = lib.bl_encoder_fill_mask(live(self), text, k, room, guesses, masks)
    if status ~= 0 then return refused(status) end
    local list = masks_of(guesses, 0, tonumber(masks[0]), k)
    return list
end

--- Give back its memory. It must not be used afterwards.
function Encoder:close()
    if self.handle then lib.bl_encoder_free(ffi.gc(self.handle, nil)) end
    self.handle, self.kept = nil, nil
end

return M
