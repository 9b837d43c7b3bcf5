--- Writes a model with the matrices of its encoder as weights of 8 bits: a smaller file, and faster products.
--
--     bertlua quantize all-MiniLM-L6-v2 all-MiniLM-L6-v2-int8
--
-- The folder opens here as any other does (predict, evaluate, embed, serve, bl.load, bl_encoder_open), and in
-- transformers with the package compressed-tensors. No data to calibrate with are needed: activations are quantized as
-- they come, each row by its own range.

local quantize = require "bertlua.jobs.quantize"

quantize.run((quantize.settings:parse({ ... }, nil, {
    program = arg[0],
    description = "Write a model with weights of 8 bits for faster inference.",
    positional = quantize.positional,
})))
