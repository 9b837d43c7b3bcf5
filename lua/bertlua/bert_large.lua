--- What the published runs of BERT-large share: the settings that the recipes
-- dgxa100_80g_* have in common. Each of them gives only what is its own.
--
-- Nothing is hidden: --help and the start of a run show every value. For a
-- recipe of your own, copy recipes/pretrain.lua or recipes/finetune_squad.lua,
-- which spell their settings out, or change some of these:
--
--     recipe.pretrain_phases(bert_large.pretraining { phase1 = { max_steps = 900 } }, "My run.")

local M = {}

local function pretraining()
    return {
        common = {
            output_dir = "results",
            bert_model = "bert-large-uncased",
            last_step_of_checkpoint = "auto",
        },
        phase1 = {
            input_dir = "data/phase1",
            max_seq_length = 128,
            max_predictions_per_seq = 20,
            learning_rate = 6e-3,
            warmup_proportion = 0.2843,
            max_steps = 7038,
            num_steps_per_checkpoint = 200,
        },
        phase2 = {
            input_dir = "data/phase2",
            max_seq_length = 512,
            max_predictions_per_seq = 80,
            learning_rate = 4e-3,
            warmup_proportion = 0.128,
            max_steps = 1563,
            num_steps_per_checkpoint = 200,
        },
    }
end

local function squad()
    return {
        mode = "train_eval",
        train_file = "data/squad/v1.1/train-v1.1.json",
        predict_file = "data/squad/v1.1/dev-v1.1.json",
        from_pretrained_params = "results/bert-large-uncased/phase2",
        output_dir = "results",
        bert_model = "bert-large-uncased",
        max_seq_length = 384,
        doc_stride = 128,
        train_batch_size = 32,
        gradient_merge_steps = 1,
        learning_rate = 4.6e-5,
        warmup_proportion = 0.2,
        epochs = 2,
        last_step_of_checkpoint = "auto",
    }
end

local function put(settings, changes)
    for name, value in pairs(changes) do settings[name] = value end
    return settings
end

--- Settings for recipe.pretrain_phases: 65536 sequences per update in phase 1, 32768 in phase 2, once a recipe adds
-- world_size, batch_size and gradient_merge_steps.
-- @param changes what the recipe adds or changes: { common = {...}, phase1 = {...}, phase2 = {...} }
function M.pretraining(changes)
    local settings = pretraining()
    for group, values in pairs(changes) do
        if not settings[group] then
            error(("bert_large.pretraining: got %s, expected common, phase1 or phase2"):format(tostring(group)), 2)
        end
        put(settings[group], values)
    end
    return settings
end

--- Settings for recipe.finetune_squad: SQuAD v1.1, 32 sequences per update and device.
-- @param changes what the recipe adds or changes
function M.squad(changes)
    return put(squad(), changes)
end

return M
