--- Another program's model as a checkpoint: a Hugging Face folder, PyTorch's .bin, Paddle's .pdparams, .npz.
--
--     bertlua scripts/convert_from_huggingface.lua --input bert-base-uncased --output-dir converted
--
-- Recipes read such models as they are (--from-pretrained-params); converting them first is for keeping.
-- scripts/convert_to_huggingface.lua turns the result back, bit for bit.

local convert = require "bertlua.jobs.convert"

convert.from_huggingface(convert.from_settings:parse({ ... }, nil, {
    program = "scripts/convert_from_huggingface.lua",
    description = "Write a checkpoint from the parameters of another program.",
}))
