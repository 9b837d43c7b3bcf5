--- Own data: pre-train on the masked words of text files, read as the run needs them, without shards.
--
--     TEXTS=my_texts bertlua examples/own_data.lua --max-steps 1000 --bert-model bert-base-uncased
--
-- TEXTS is a folder of text files. The engine tokenizes, masks, batches and packs what the function below yields, and
-- drops what was used already when the same command resumes the run.

local fs = require "bertlua.util.fs"
local recipe = require "bertlua.recipe"

local folder = os.getenv "TEXTS" or "texts"

-- Called for each epoch; the iterator that it returns must yield the same items for the same run.epoch.
local function passages(run)
    local words_per_item = run.max_seq_length * 3 / 4
    return coroutine.wrap(function()
        for _, name in ipairs(assert(fs.list(folder))) do
            local lines, words = {}, 0
            for line in io.lines(fs.join(folder, name)) do
                lines[#lines + 1] = line
                words = words + select(2, line:gsub("%S+", ""))
                if words >= words_per_item then
                    coroutine.yield { text = table.concat(lines, " ") }
                    lines, words = {}, 0
                end
            end
            if words > 0 then coroutine.yield { text = table.concat(lines, " ") } end
        end
    end)
end

recipe.pretrain({
    phase1 = true, output_dir = "results/own_data", last_step_of_checkpoint = "auto",
    data = passages, shuffle_buffer = 1000, objectives = { "mlm" },
    max_seq_length = 128, max_predictions_per_seq = 20, learning_rate = 1e-3,
}, "Pre-train on text files.")
