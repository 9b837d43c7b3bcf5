--- Examples and features of a SQuAD file, with a progress bar, warnings and a line about what was found.

local clock = require "bertlua.util.clock"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"

local M = {}

--- Load a file and convert it.
-- @param path SQuAD JSON
-- @param words tokenizer
-- @param values the settings
-- @param is_training true: with the answers' positions
-- @param is_evaluated true: answers are compared with those of the file
-- @return { path, examples, set, summary, seconds, line = for the log, warnings }
function M.load(path, words, values, is_training, is_evaluated)
    local begun = clock.monotonic()
    local examples, summary = dataset.load(path, {
        version_2_with_negative = values.version_2_with_negative, is_training = is_training,
        refuse_negative = true, needs_answers = is_evaluated,
    })
    if #examples == 0 then
        fault.raisef("%s: no questions left to train on: no answer is found at its answer_start", path)
    end
    local bar
    local set, cache = features.cached(examples, words, {
        data_file = path, cache_dir = values.cache_dir, is_training = is_training,
        version_2_with_negative = values.version_2_with_negative, max_seq_length = values.max_seq_length,
        doc_stride = values.doc_stride, max_query_length = values.max_query_length, num_workers = values.num_workers,
        progress = function(more, total)
            bar = bar or progress.new { total = total, label = "features", unit = "units" }
            bar:advance(more)
        end,
    })
    if bar then bar:finish() end
    local data = { path = path, examples = examples, set = set, summary = summary, warnings = {},
        seconds = clock.monotonic() - begun }
    if is_training then data.warnings[1] = dataset.warning(path, summary) end
    data.warnings[#data.warnings + 1] = not is_training and dataset.id_warning(path, summary) or nil
    data.warnings[#data.warnings + 1] = cache.warning
    data.line = ("%s: %s in %s of up to %d tokens, %s in %.1f s"):format(path, plural.count(#examples, "question"),
        plural.count(set.count, "window"), values.max_seq_length, cache.hit and "from the cache" or "converted",
        data.seconds)
    return data
end

return M
