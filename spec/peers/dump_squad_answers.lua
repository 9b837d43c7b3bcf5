--- Writes answers for logits computed elsewhere, for comparison with another program.
--
--     build/bertlua spec/peers/dump_squad_answers.lua --data-file dev.json --vocab-file V.txt \
--         --logits logits.safetensors --output-dir /tmp/answers
--
-- logits.safetensors contains start_logits and end_logits f32 [features, max_seq_length].
-- Writes predictions.json, nbest_predictions.json and null_odds.json. See spec/peers/check_squad_answers.py.

local extraction = require "bertlua.squad.extraction"
local array = require "bertlua.array"
local clock = require "bertlua.util.clock"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local settings = require "bertlua.settings"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local Tokenizer = require "bertlua.text.tokenizer"

local spec = settings.define(features.settings):extend(extraction.settings):extend {
    { name = "data_file", type = "path", required = true, help = "SQuAD file" },
    { name = "vocab_file", type = "path", required = true, help = "one token per line" },
    { name = "do_lower_case", type = "boolean", default = true, help = "must match the vocabulary" },
    { name = "version_2_with_negative", type = "boolean", default = false, help = "questions may have no answer" },
    { name = "logits", type = "path", required = true, help = "safetensors file" },
    { name = "output_dir", type = "path", required = true, help = "folder for the files" },
}
local values = spec:parse(arg, {}, { program = "spec/peers/dump_squad_answers.lua", description = "Write answers." })

local examples = dataset.load(values.data_file, values)
local tokenizer = Tokenizer.load(values.vocab_file, { do_lower_case = values.do_lower_case })
local set = features.convert(examples, tokenizer, values)

local file = fault.check(storage.open(values.logits))
local logits = {}
for _, name in ipairs { "start_logits", "end_logits" } do
    local t = tensor.new("f32", { set.count, values.max_seq_length })
    fault.check(file:read(name, t))
    logits[name] = array.wrap(t)
end

values.tokenizer = tokenizer
local started = clock.monotonic()
local predictions, n_best, null_odds = extraction.extract(examples, set, logits.start_logits, logits.end_logits, values)
io.stdout:write(("%d questions, %d features: answers in %.2f s\n"):format(#examples, set.count,
    clock.monotonic() - started))
fault.check(extraction.write(values.output_dir, examples, predictions, n_best, null_odds))
