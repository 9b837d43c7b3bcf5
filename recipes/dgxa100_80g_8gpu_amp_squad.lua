--- SQuAD v1.1 on BERT-large with the settings published for 8 A100 80 GB, mixed precision:
-- 2 epochs of 256 sequences an update.
--
-- One process in place of 8 keeps the global batch: world_size below makes it
-- accumulate 8 micro-steps, and the run says so.
-- The data is train-v1.1.json and dev-v1.1.json, the parameters those that
-- pre-training ended with; --from-pretrained-params names others.

local recipe = require "bertlua.recipe"

recipe.finetune_squad({
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
    world_size = 8,
    learning_rate = 4.6e-5,
    warmup_proportion = 0.2,
    epochs = 2,
    amp = true,
    scale_loss = 128,
    use_dynamic_loss_scaling = true,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT-large on SQuAD v1.1 with the settings published for 8 A100 80 GB, mixed precision.")
