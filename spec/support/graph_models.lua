--- Small random models in folders as transformers writes them, and what the model in Lua computes of them: for specs of
-- the engine's encoder.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local BertForTokenClassification = require "bertlua.models.token_classification"
local SentenceEmbedding = require "bertlua.models.sentence_embedding"
local Tape = require "bertlua.autograd.tape"
local fill_mask = require "bertlua.models.fill_mask"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local M = {}

-- No two sizes are the same; the vocabulary is no multiple of 8.
M.SIZES = {
    vocab_size = 43, hidden_size = 24, num_hidden_layers = 3, num_attention_heads = 4, intermediate_size = 52,
    max_position_embeddings = 37, type_vocab_size = 2, hidden_act = "gelu", layer_norm_eps = 1e-6,
}
M.LABELS = 5

local SPECIAL = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }

--- Token number id of the vocabulary: words are w5, w6, ...
function M.word(id)
    return SPECIAL[id + 1] or "w" .. id
end

-- By architecture: the model, and its logits of a batch.
local KINDS = {
    BertModel = {
        function(config) return SentenceEmbedding.new(config) end,
        function(model, tape, batch) return model.bert:forward(tape, batch) end,
    },
    BertForPreTraining = {
        function(config) return BertForPretraining.new(config) end,
        function(model, tape, batch) return model:logits(tape, batch).mlm end,
    },
    BertForMaskedLM = {
        function(config) return BertForPretraining.new(config, nil, { next_sentence = false }) end,
        function(model, tape, batch) return model:logits(tape, batch).mlm end,
    },
    BertForSequenceClassification = { function(config) return BertForSequenceClassification.new(config) end },
    BertForTokenClassification = { function(config) return BertForTokenClassification.new(config) end },
    BertForQuestionAnswering = { function(config) return BertForQuestionAnswering.new(config) end },
}

--- A model in Lua with random parameters, large enough for softmax and GELU to leave their linear parts.
-- @param architecture as config.json names it
-- @param options precision ("fp32"), seed, sizes: other sizes
function M.model(architecture, options)
    options = options or {}
    local values = {}
    for name, value in pairs(M.SIZES) do values[name] = options.sizes and options.sizes[name] or value end
    local config = BertConfig.new(values)
    config.labels = {}
    for i = 1, options.labels or M.LABELS do config.labels[i] = "label " .. i end
    local model = KINDS[architecture][1](config)
    model.store:allocate { precision = options.precision, training = false }
    for i, entry in ipairs(model.store.list) do
        local is_scale = entry.name:find "LayerNorm%.weight$"
        ops.fill_normal(entry.stored, is_scale and 1 or 0, is_scale and 0.2 or entry.dims[2] and 0.15 or 0.3,
            options.seed or 7, i)
    end
    model.store:sync_low()
    model.architecture_name, model.values = architecture, values
    return model
end

--- Tensors of a model for storage.save.
-- @param rename function(name) -> name in the file, a list of names, or nil to leave it out; or nil
function M.tensors(model, rename)
    local tensors = {}
    for _, entry in ipairs(model.store.list) do
        local names = rename and rename(entry.name) or not rename and entry.name
        for _, name in ipairs(type(names) == "table" and names or { names or nil }) do
            tensors[#tensors + 1] = { name = name, tensor = entry.stored }
        end
    end
    return tensors
end

--- Write everything but the parameters.
-- @param changes fields of config.json
function M.write_rest(model, folder, changes)
    assert(fs.mkdirs(folder))
    local values, words = { model_type = "bert", architectures = { model.architecture_name } }, {}
    for name, value in pairs(model.values) do values[name] = value end
    if model.classes then
        values.id2label = {}
        for i, label in ipairs(model.config.labels) do values.id2label[tostring(i - 1)] = label end
    end
    for name, value in pairs(changes or {}) do values[name] = value end
    for id = 0, model.values.vocab_size - 1 do words[id + 1] = M.word(id) end
    assert(fs.write(folder .. "/config.json", json.encode(values)))
    assert(fs.write(folder .. "/vocab.txt", table.concat(words, "\n") .. "\n"))
end

--- Write a model's folder.
-- @param options rename: as in tensors(); config: fields of config.json; metadata of the file
function M.write(model, folder, options)
    options = options or {}
    M.write_rest(model, folder, options.config)
    assert(storage.save(folder .. "/model.safetensors", M.tensors(model, options.rename), options.metadata))
    return folder
end

--- A random sequence: {ids, first = tokens of type 0, masked = {places from 0}}.
function M.sequence(random, length)
    local s = { ids = {}, masked = {}, first = random:integer(2, length) }
    for i = 1, length do s.ids[i] = random:integer(5, M.SIZES.vocab_size - 1) end
    s.ids[1], s.ids[length] = 2, 3
    for place = 1, length - 2 do
        if random:integer(0, 3) == 0 then s.masked[#s.masked + 1] = place end
    end
    return s
end

--- A sequence as a text that has these tokens, without a second one.
function M.text(sequence)
    local words = {}
    for i = 2, #sequence.ids - 1 do words[i - 1] = M.word(sequence.ids[i]) end
    return table.concat(words, " ")
end

local tape

--- What the model in Lua computes of a sequence alone.
-- @param compute function(model, tape, batch) -> variable; the model's logits if left out
-- @return rows, each a list of numbers
function M.logits(model, sequence, compute)
    tape = tape or Tape.new { capacity = 2 ^ 26 }
    local batch = fill_mask.batch(sequence.ids, #sequence.masked > 0 and sequence.masked or { 0 })
    local types = {}
    for i = 1, #sequence.ids do types[i] = i <= sequence.first and 0 or 1 end
    batch.types:set(types)
    tape:start(0, 0, false)
    compute = compute or KINDS[model.architecture_name][2] or function(m, t, b) return m:logits(t, b) end
    local value = compute(model, tape, batch).value
    local rows = tensor.new("f32", value:dims()):copy_from(value):tolist()
    batch.buffer:free()
    return rows
end

--- The largest difference between lists of rows.
function M.distance(a, b)
    local worst = 0
    assert(#a == #b, ("%d rows and %d"):format(#a, #b))
    for i = 1, #a do
        assert(#a[i] == #b[i], ("%d columns and %d"):format(#a[i], #b[i]))
        for k = 1, #a[i] do
            local d = math.abs(a[i][k] - b[i][k])
            if d > worst or d ~= d then worst = d end
        end
    end
    return worst
end

return M
