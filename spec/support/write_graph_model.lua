--- Write a small model and texts of every length for threads.c: bertlua spec/support/write_graph_model.lua FOLDER TEXTS

local fs = require "bertlua.util.fs"
local models = require "spec.support.graph_models"
local rng = require "bertlua.rng"

local random, lines = rng.new(1), {}
for length = 2, models.SIZES.max_position_embeddings do
    lines[length - 1] = models.text(models.sequence(random, length))
end
models.write(models.model "BertModel", arg[1])
assert(fs.write(arg[2], table.concat(lines, "\n") .. "\n"))
