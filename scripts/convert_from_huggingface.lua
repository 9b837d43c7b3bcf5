--- Converts another program's model to a checkpoint: a Hugging Face folder, PyTorch's .bin, Paddle's .pdparams, .npz.
--
--     bertlua scripts/convert_from_huggingface.lua --input bert-base-uncased --output-dir converted
--
-- Recipes read such models directly (--from-pretrained-params); convert one to keep it in our format.
-- scripts/convert_to_huggingface.lua converts the result back, bit for bit.

local convert = require "bertlua.jobs.convert"

convert.from_huggingface(convert.from_settings:parse({ ... }, nil, {
    program = "scripts/convert_from_huggingface.lua",
    description = "Write a checkpoint from the parameters of another program.",
}))
