--- Converts another program's model to a checkpoint: a Hugging Face folder, PyTorch's .bin, Paddle's .pdparams, .npz.
--
--     bertlua convert from-huggingface --input bert-base-uncased --output-dir converted
--
-- Recipes read such models directly (--from-pretrained-params); convert one to keep it in our format.
-- `bertlua convert to-huggingface` converts the result back, bit for bit.

local convert = require "bertlua.jobs.convert"

convert.from_huggingface(convert.from_settings:parse({ ... }, nil, {
    program = arg[0],
    description = "Write a checkpoint from the parameters of another program.",
}))
