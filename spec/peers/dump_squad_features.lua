--- Writes the features of a SQuAD file, for comparison with another program.
--
--     build/bertlua spec/peers/dump_squad_features.lua --data-file dev.json \
--         --vocab-file vocab/bert-base-uncased-vocab.txt --output-dir /tmp/features
--
-- Prints the path of the safetensors file and the time of the conversion,
-- excluding reading and writing. Arrays: lua/bertlua/squad/feature_set.lua.
-- See spec/peers/check_squad_features.py.

local clock = require "bertlua.util.clock"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local feature_cache = require "bertlua.squad.feature_cache"
local settings = require "bertlua.settings"
local Tokenizer = require "bertlua.text.tokenizer"

local spec = settings.define(features.settings):extend {
    { name = "data_file", type = "path", required = true, help = "SQuAD file" },
    { name = "vocab_file", type = "path", required = true, help = "one token per line" },
    { name = "do_lower_case", type = "boolean", default = true, help = "must match the vocabulary" },
    { name = "is_training", type = "boolean", default = true, help = "find the answers' positions" },
    { name = "version_2_with_negative", type = "boolean", default = false, help = "questions may have no answer" },
    { name = "output_dir", type = "path", required = true, help = "folder for the file" },
}
local values = spec:parse(arg, {}, { program = "spec/peers/dump_squad_features.lua", description = "Write features." })

local examples, summary = dataset.load(values.data_file, values)
local tokenizer = Tokenizer.load(values.vocab_file, { do_lower_case = values.do_lower_case })
local best, set = math.huge, nil
for _ = 1, 3 do
    local started = clock.monotonic()
    set = features.convert(examples, tokenizer, values)
    best = math.min(best, clock.monotonic() - started)
end
local entry = feature_cache.entry(examples, tokenizer, set.settings, values.data_file, values.output_dir)
fault.check(feature_cache.save(entry, set))
io.stdout:write(("%s\n%d questions, %d skipped, %d features in %.3f s (best of 3): %.0f features/s\n"):format(
    entry.path, summary.questions, summary.skipped, set.count, best, set.count / best))
