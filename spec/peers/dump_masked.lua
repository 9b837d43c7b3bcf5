--- Writes masked sequences of a text, and what a saved model makes of them, for comparison with another program.
--
--     build/bertlua spec/peers/dump_masked.lua FOLDER TEXT OUT.jsonl [SENTENCES]
--
-- FOLDER contains a BertForMaskedLM with its vocabulary. OUT gets a JSON line for each of the first four batches of
-- eight full sequences of 128 tokens of TEXT, whole words masked: {ids: as the model sees them, labels: -100 where
-- nothing is predicted, mlm_loss} in fp32, without dropout; and last {sentences: lists of ids, pseudo_perplexity}. See
-- spec/peers/check_masked.py.

local Feeder = require "bertlua.train.feeder"
local Tape = require "bertlua.autograd.tape"
local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local masked_sequences = require "bertlua.data.masked_sequences"
local packing = require "bertlua.data.packing"
local pseudo_perplexity = require "bertlua.jobs.mlm.pseudo_perplexity"
local token_corpus = require "bertlua.data.token_corpus"

local LENGTH, SIZE = 128, 8

local folder, text, out, sentences = ...
if not out then fault.raise "usage: bertlua spec/peers/dump_masked.lua FOLDER TEXT OUT.jsonl [SENTENCES]" end

local opened = checkpoint_model.open(folder)
local words = checkpoint_model.tokenizer(opened)
local corpus = token_corpus.read { files = { text }, words = words }
local batches = masked_sequences.open(packing.full(corpus, words, LENGTH), { words = words, batch_size = SIZE,
    whole_words = true, pack_sequences = true })
local tape, feeder = Tape.new(), Feeder.new()
local file = fault.check(io.open(out, "wb"))

for n = 0, 3 do
    local batch = batches:batch(n)
    local flat, labels, at = batch.ids:tolist(), {}, batch.masked_index:tolist()
    for k, label in ipairs(batch.masked_labels:tolist()) do
        if label >= 0 then labels[at[k] + 1] = label end
    end
    local record = { ids = {}, labels = {} }
    for b, segment in ipairs(batch.segments:tolist()) do
        record.ids[b], record.labels[b] = {}, {}
        for i = 1, segment[2] do
            record.ids[b][i], record.labels[b][i] = flat[segment[1] + i], labels[segment[1] + i] or -100
        end
    end
    tape:reset(false)
    record.mlm_loss = opened.model:forward(tape, feeder:load(batch)).mlm_loss:item()
    file:write(json.encode(record), "\n")
end

local limit = tonumber(sentences) or 20
local found = pseudo_perplexity.run(opened.model, tape, words, corpus, { limit = limit, max_seq_length = LENGTH,
    batch_size = SIZE, pack_sequences = true })
local record = { sentences = {}, pseudo_perplexity = found.pseudo_perplexity }
for i, sentence in ipairs((pseudo_perplexity.sentences(corpus, limit, LENGTH - 2))) do
    record.sentences[i] = {}
    for t = 1, sentence[2] do record.sentences[i][t] = corpus.tokens[sentence[1] + t - 1] end
end
file:write(json.encode(record), "\n")
fault.check(file:close())
