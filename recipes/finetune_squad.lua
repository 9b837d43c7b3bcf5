--- Fine-tune BERT on SQuAD and evaluate it.
-- v1.1, or v2.0 with --version-2-with-negative.
--
--     bertlua recipes/finetune_squad.lua --from-pretrained-params results/bert-large-uncased/phase2
--
-- downloads the published data to data/squad; use --train-file and --predict-file
-- for your own. --mode train, prediction or eval does only a part. The model and
-- the answers go to OUTPUT_DIR/BERT_MODEL/squad. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.finetune_squad({
    mode = "train_eval",
    output_dir = "results",
    max_seq_length = 384,
    doc_stride = 128,
    train_batch_size = 32,
    learning_rate = 4.6e-5,
    warmup_proportion = 0.2,
    epochs = 2,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT on SQuAD, answer its questions, evaluate the answers.")
