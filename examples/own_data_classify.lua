--- Own data for classification: the training set is a Lua table, made by a few lines of code.
--
--     bertlua examples/own_data_classify.lua --bert-model bert-base-uncased --from-pretrained-params MODEL
--
-- The function is called once and its items stay in memory, so that epochs and shuffling work as with a train_file.
-- Files take over for the rest: --dev-file for an evaluation, --test-file for one at the end, with predictions.

local recipe = require "bertlua.recipe"

local QUESTIONS = {
    place = { "where is %s", "how far is it to %s", "which way leads to %s" },
    time = { "when does %s open", "how long does %s take", "since when is there %s" },
    price = { "what does %s cost", "how much is %s", "is there a discount for %s" },
}
local THINGS = { "the museum", "the old bridge", "a ticket", "the boat", "the concert", "the market", "a guided tour",
    "the tower" }

local function questions()
    local items = {}
    for _, thing in ipairs(THINGS) do
        for label, patterns in pairs(QUESTIONS) do
            for _, pattern in ipairs(patterns) do
                items[#items + 1] = { text = pattern:format(thing), label = label }
            end
        end
    end
    -- The same order in every process and after a restart, which pairs() does not promise.
    table.sort(items, function(a, b) return a.text < b.text end)
    return items
end

recipe.run("classify", {
    output_dir = "results/own_data_classify", data = questions, optimizer = "AdamW",
    train_batch_size = 8, epochs = 4, learning_rate = 5e-5, warmup_proportion = 0.1, max_seq_length = 32,
    last_step_of_checkpoint = "auto",
}, "Fine-tune on classification of a Lua table.")
