--- What a folder says about the vectors of texts that its model was trained to make: a folder of sentence-transformers,
-- or a checkpoint of a run that trained them. How they are made does not belong here.

local checkpoint = require "bertlua.train.checkpoint"
local sentence_transformers = require "bertlua.weights.sentence_transformers"

local text_vectors = {}

--- Look at a folder of parameters.
-- @treturn table as sentence_transformers.read returns it; nil where the folder says nothing
function text_vectors.of(path)
    local progress = checkpoint.progress(path)
    local settings = progress and type(progress.began) == "table" and progress.began.settings
    if type(settings) == "table" and type(settings.pooling) == "string" then
        return { pooling = settings.pooling, normalize = settings.normalize == true,
            max_length = tonumber(settings.max_seq_length), similarity = "cosine" }
    end
    return sentence_transformers.read(path)
end

return text_vectors
