--- Writes the logits of a saved model for one fixed batch, for comparison with another program.
--
--     build/bertlua spec/peers/dump_logits.lua FOLDER OUT.safetensors
--
-- FOLDER contains config.json and model.safetensors. OUT gets input_ids,
-- token_type_ids and attention_mask i32 [B,S], and prediction_logits f32
-- [B,S,V] and seq_relationship_logits f32 [B,2] of BertForPreTraining in fp32
-- (rows past a sequence's length are 0). See spec/peers/check_huggingface_export.py.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Tape = require "bertlua.autograd.tape"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local folder, out = ...
if not out then fault.raise "usage: bertlua spec/peers/dump_logits.lua FOLDER OUT.safetensors" end

local config = BertConfig.load(folder .. "/config.json")
local model = BertForPretraining.new(config)
model.store:allocate { training = false }
checkpoint.load(folder, { store = model.store, config = config })

local length = math.min(48, config.max_position_embeddings)
local lengths = { length, math.ceil(length * 0.6), math.ceil(length * 0.25) }

local ids, positions, types, mask, segments, cls, rows = {}, {}, {}, {}, {}, {}, {}
local value = 12345
for b, n in ipairs(lengths) do
    segments[b], cls[b] = { (b - 1) * length, n }, (b - 1) * length
    for s = 0, length - 1 do
        local i = (b - 1) * length + s + 1
        value = (value * 48271) % 2147483647
        local real = s < n
        ids[i], mask[i] = real and value % config.vocab_size or 0, real and 1 or 0
        types[i], positions[i], rows[i] = real and s >= n / 2 and 1 or 0, s, i - 1
    end
end
local batch = {
    ids = tensor.from(ids, "i32"), positions = tensor.from(positions, "i32"), types = tensor.from(types, "i32"),
    segments = tensor.from(segments, "i32"), cls_index = tensor.from(cls, "i32"),
    masked_index = tensor.from(rows, "i32"), max_length = length,
}

local tape = Tape.new()
tape:start(0, 0, false)
local logits = model:logits(tape, batch)
local words = tensor.new("f32", { #lengths * length, config.vocab_size })
words:copy_from(logits.mlm.value:slice(2, 1, config.vocab_size))
for b, n in ipairs(lengths) do
    if n < length then words:slice(1, (b - 1) * length + n + 1, b * length):fill(0) end
end
local next_sentence = tensor.new("f32", { #lengths, 2 })
next_sentence:copy_from(logits.nsp.value)

fault.check(storage.save(out, {
    { name = "input_ids", tensor = batch.ids:view(#lengths, length) },
    { name = "token_type_ids", tensor = batch.types:view(#lengths, length) },
    { name = "attention_mask", tensor = tensor.from(mask, "i32"):view(#lengths, length) },
    { name = "prediction_logits", tensor = words:view(#lengths, length, config.vocab_size) },
    { name = "seq_relationship_logits", tensor = next_sentence },
}))
