--- Writes the encoder's last hidden states for each line of a text, for comparison with another program.
--
--     build/bertlua spec/peers/dump_embeddings.lua MODEL CONFIG VOCAB SENTENCES.txt OUT.safetensors
--
-- MODEL is anything that from_pretrained_params accepts. OUT gets input_ids and
-- attention_mask i32 [B,S] and last_hidden_state f32 [B,S,H], computed in fp32
-- (rows past a sequence's length are 0). See spec/peers/check_embeddings.py.

local BertConfig = require "bertlua.models.bert_config"
local BertModel = require("bertlua.models.bert").BertModel
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"

local model_path, config_file, vocab_file, text_file, out = ...
if not out then
    fault.raise "usage: bertlua spec/peers/dump_embeddings.lua MODEL CONFIG VOCAB SENTENCES.txt OUT.safetensors"
end

local config = BertConfig.load(config_file)
local store = ParameterStore.new()
local model = BertModel.new(config, store, "bert")
store:allocate { training = false }
local report = checkpoint.load_pretrained(model_path, { store = store, config = config, vocab_file = vocab_file })
print(("missing: %s; unused: %s"):format(table.concat(report.missing, ", "), table.concat(report.unexpected, ", ")))
local words = tokenizer.load(vocab_file, { do_lower_case = vocabulary.casing(vocab_file) ~= false })

local sequences, length = {}, 0
for line in io.lines(text_file) do
    local ids = words:encode(line)
    while #ids > config.max_position_embeddings - 2 do ids[#ids] = nil end
    table.insert(ids, 1, words.cls_id)
    ids[#ids + 1] = words.sep_id
    sequences[#sequences + 1] = ids
    length = math.max(length, #ids)
end

local ids, positions, types, mask, segments = {}, {}, {}, {}, {}
for b, sequence in ipairs(sequences) do
    segments[b] = { (b - 1) * length, #sequence }
    for s = 1, length do
        local i = (b - 1) * length + s
        ids[i], positions[i], types[i], mask[i] = sequence[s] or 0, s - 1, 0, sequence[s] and 1 or 0
    end
end
local batch = {
    ids = tensor.from(ids, "i32"), positions = tensor.from(positions, "i32"), types = tensor.from(types, "i32"),
    segments = tensor.from(segments, "i32"), max_length = length,
}
local tape = Tape.new()
tape:start(0, 0, false)
local hidden = tensor.new("f32", { #sequences * length, config.hidden_size })
hidden:copy_from(model:forward(tape, batch).value)
for b, sequence in ipairs(sequences) do
    if #sequence < length then hidden:slice(1, (b - 1) * length + #sequence + 1, b * length):fill(0) end
end
fault.check(storage.save(out, {
    { name = "input_ids", tensor = batch.ids:view(#sequences, length) },
    { name = "attention_mask", tensor = tensor.from(mask, "i32"):view(#sequences, length) },
    { name = "last_hidden_state", tensor = hidden:view(#sequences, length, config.hidden_size) },
}))
