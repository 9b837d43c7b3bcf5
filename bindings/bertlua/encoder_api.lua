--- The engine's encoder: a model's folder, from texts to vectors, labels, answers and words, all in C. What it gives is
-- what a C program gets (engine/api/encoder.h); bertlua.encoder is the model in Lua, which also shows its insides.
--
--     e = encoder_api.open "all-MiniLM-L6-v2"
--     e:embed { "a text", "another" }            tensor f32 [2,H]
--
-- What a folder or the system refuses comes back as nil and a message; so does a text that is refused.
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

local function code_of(codes, what, name)
    local code = codes[name]
    if code then return code end
    local names = {}
    for known in pairs(codes) do names[#names + 1] = known end
    table.sort(names)
    error(("encoder: %s is %s, expected %s"):format(what, tostring(name), table.concat(names, ", ")), 3)
end

--- Open a model's folder.
-- @tparam string folder
-- @tparam[opt] table options device ("cpu"), device_index, threads, dtype ("f32" or "bf16"), memory (bytes),
--   max_length, lower_case (true, false; nil: as the folder says), vocab_file, refuse_long: see engine/api/encoder.h
-- @return the encoder; or nil, message
function M.open(folder, options)
    options = options or {}
    local c = ffi.new "bl_encoder_options"
    c.device = code_of(DEVICE, "device", options.device or "cpu")
    c.dtype = bl.dtype(options.dtype or "f32")
    c.device_index, c.threads = options.device_index or 0, options.threads or 0
    c.memory, c.max_length = options.memory or 0, options.max_length or 0
    if options.lower_case ~= nil then c.lower_case = options.lower_case and 1 or -1 end
    c.vocab_file, c.refuse_long = options.vocab_file, options.refuse_long or false
    local out = ffi.new "bl_encoder *[1]"
    local status = lib.bl_encoder_open(out, folder, c)
    if status ~= 0 then return refused(status) end
    return setmetatable({ handle = ffi.gc(out[0], lib.bl_encoder_free), info = ffi.new "bl_encoder_info" }, Encoder)
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
        error(("encoder: texts is a %s, expected a list"):format(type(texts)), 3)
    elseif pairs_ and #pairs_ ~= #texts then
        error(("encoder: %d pairs for %d texts"):format(#pairs_, #texts), 3)
    end
    return strings(texts), pairs_ and strings(pairs_) or nil
end

--- What it is: {hidden_size, layers, attention_heads, vocab_size, max_length, labels, problem = "single", "multiple" or
-- "values", pooling = number, fills_masks, classifies, tags, answers, parameters, bytes_of_calls}.
function Encoder:describe()
    local info, table_of = self.info, {}
    bl.check(lib.bl_encoder_describe(live(self), info))
    for _, name in ipairs { "hidden_size", "layers", "attention_heads", "vocab_size", "max_length", "labels", "pooling",
        "parameters", "bytes_of_calls" } do
        table_of[name] = tonumber(info[name])
    end
    for _, name in ipairs { "fills_masks", "classifies", "tags", "answers" } do table_of[name] = info[name] end
    table_of.problem = PROBLEM[info.problem]
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

--- One vector a text.
-- @tparam {string,...} texts
-- @tparam[opt] string pooling "model" (default), "mean" or "cls"
-- @tparam[opt] boolean normalize whether each gets length 1, also where the model's folder does not say so
-- @treturn tensor f32 [n,H]; or nil, message
function Encoder:embed(texts, pooling, normalize)
    local first = texts_and_pairs(texts)
    local code = code_of(POOLING, "pooling", pooling or "model") + (normalize and NORMALIZED or 0)
    local vectors = tensor.new("f32", { #texts, self:describe().hidden_size })
    local status = lib.bl_encoder_embed(live(self), first, #texts, code, vectors:data_ptr "float")
    if status ~= 0 then return refused(status) end
    return vectors
end

--- The last layer's output for each token of a text or pair.
-- @treturn tensor f32 [T,H]; or nil, message
function Encoder:hidden(text, pair)
    local info, rows = self:describe(), ffi.new "int64_t[1]"
    local lengths, message = self:lengths({ text }, pair and { pair })
    if not lengths then return nil, message end
    local states = tensor.new("f32", { math.min(lengths[1], info.max_length), info.hidden_size })
    local status = lib.bl_encoder_hidden(live(self), text, pair, states:dims()[1], states:data_ptr "float", rows)
    if status ~= 0 then return refused(status) end
    return states
end

--- Scores of texts or pairs, as the problem says: probabilities, or values.
-- @treturn tensor f32 [n,labels]; or nil, message
function Encoder:classify(texts, pairs_)
    local first, second = texts_and_pairs(texts, pairs_)
    local scores = tensor.new("f32", { #texts, self:describe().labels })
    local status = lib.bl_encoder_classify(live(self), first, second, #texts, scores:data_ptr "float")
    if status ~= 0 then return refused(status) end
    return scores
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

--- Parts of a context that answer a question, the likeliest first.
-- @tparam[opt] table options allow_none (false): "no answer" is among them; most (1)
-- @treturn {{first, last: bytes of the context, from 1; text, probability},...}; first is nil for no answer. Or nil,
--   message
function Encoder:answer(question, context, options)
    options = options or {}
    local most, count, list = options.most or 1, ffi.new "int32_t[1]", {}
    local answers = ffi.new("bl_encoder_answer[?]", most)
    local status = lib.bl_encoder_answer_question(live(self), question, context, options.allow_none or false, most,
        answers, count)
    if status ~= 0 then return refused(status) end
    for i = 0, count[0] - 1 do
        local first, last = tonumber(answers[i]["begin"]), tonumber(answers[i]["end"])
        local answer = { text = context:sub(first + 1, last), probability = answers[i].probability }
        if last > 0 then answer.first, answer.last = first + 1, last end
        list[i + 1] = answer
    end
    return list
end

--- The k likeliest tokens for each [MASK] of a text.
-- @tparam string text
-- @tparam[opt] number k (5)
-- @treturn for each [MASK] a list of {id, token, probability}; or nil, message
function Encoder:fill_mask(text, k)
    k = k or 5
    local _, possible = text:gsub("%[MASK%]", "")
    local guesses, masks, list = ffi.new("bl_guess[?]", math.max(1, possible * k)), ffi.new "int64_t[1]", {}
    local status = lib.bl_encoder_fill_mask(live(self), text, k, possible * k, guesses, masks)
    if status ~= 0 then return refused(status) end
    for m = 1, tonumber(masks[0]) do
        list[m] = {}
        for i = 1, k do
            local guess = guesses[(m - 1) * k + i - 1]
            list[m][i] = { id = guess.id, token = ffi.string(guess.token), probability = guess.probability }
        end
    end
    return list
end

--- Give back its memory. It must not be used afterwards.
function Encoder:close()
    if self.handle then lib.bl_encoder_free(ffi.gc(self.handle, nil)) end
    self.handle = nil
end

return M
