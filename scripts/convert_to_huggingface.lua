--- Converts a checkpoint to a Hugging Face folder: config.json, model.safetensors, vocab.txt, tokenizer_config.json.
--
--     bertlua convert to-huggingface --checkpoint results/bert-large-uncased/phase2 --output-dir exported
--
-- It can be opened with transformers' AutoTokenizer and AutoModel. Parameters keep every bit.

local convert = require "bertlua.jobs.convert"

convert.to_huggingface(convert.to_settings:parse({ ... }, nil, {
    program = arg[0],
    description = "Write a checkpoint as a folder that transformers can open.",
}))
