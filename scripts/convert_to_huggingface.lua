--- Converts a checkpoint to a Hugging Face folder: config.json, model.safetensors, vocab.txt, tokenizer_config.json.
--
--     bertlua scripts/convert_to_huggingface.lua --checkpoint results/bert-large-uncased/phase2 --output-dir exported
--
-- It can be opened with transformers' AutoTokenizer and AutoModel. Parameters keep every bit.

local convert = require "bertlua.jobs.convert"

convert.to_huggingface(convert.to_settings:parse({ ... }, nil, {
    program = "scripts/convert_to_huggingface.lua",
    description = "Write a checkpoint as a folder that transformers can open.",
}))
