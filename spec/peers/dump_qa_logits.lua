--- Writes the logits of a fine-tuned model for one fixed batch, for comparison with another program.
--
--     build/bertlua spec/peers/dump_qa_logits.lua FOLDER OUT.safetensors
--
-- FOLDER contains config.json and model.safetensors. OUT gets input_ids,
-- token_type_ids and attention_mask i32 [B,S], and start_logits and end_logits
-- f32 [B,S] in fp32 (0 past a sequence's length). See spec/peers/check_huggingface_qa.py.

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local Tape = require "bertlua.autograd.tape"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local rng = require "bertlua.rng"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local folder, out = ...
if not out then fault.raise "usage: bertlua spec/peers/dump_qa_logits.lua FOLDER OUT.safetensors" end

local config = BertConfig.load(folder .. "/config.json")
local model = BertForQuestionAnswering.new(config)
model.store:allocate { training = false }
checkpoint.load(folder, { store = model.store, config = config })

local length = math.min(384, config.max_position_embeddings)
local lengths = { length, math.ceil(length * 0.6), math.ceil(length * 0.25) }
local random = rng.new(1)

local ids, positions, types, mask, segments = {}, {}, {}, {}, {}
for b, n in ipairs(lengths) do
    segments[b] = { (b - 1) * length, n }
    for s = 0, length - 1 do
        local i = (b - 1) * length + s + 1
        local real = s < n
        ids[i], mask[i] = real and random:integer(0, config.vocab_size - 1) or 0, real and 1 or 0
        types[i], positions[i] = real and s >= n / 6 and 1 or 0, s
    end
end
local batch = { ids = tensor.from(ids, "i32"), positions = tensor.from(positions, "i32"),
    types = tensor.from(types, "i32"), segments = tensor.from(segments, "i32"), max_length = length }

local tape = Tape.new()
tape:start(0, 0, false)
local logits = model:logits(tape, batch).value:tolist()
local columns = { {}, {} }
for i, pair in ipairs(logits) do
    for c = 1, 2 do columns[c][i] = mask[i] == 1 and pair[c] or 0 end
end

local function rows(t) return t:view(#lengths, length) end

fault.check(storage.save(out, {
    { name = "input_ids", tensor = rows(batch.ids) },
    { name = "token_type_ids", tensor = rows(batch.types) },
    { name = "attention_mask", tensor = rows(tensor.from(mask, "i32")) },
    { name = "start_logits", tensor = rows(tensor.from(columns[1])) },
    { name = "end_logits", tensor = rows(tensor.from(columns[2])) },
}))
