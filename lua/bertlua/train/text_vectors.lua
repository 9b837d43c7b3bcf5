--- What a folder says about the vectors of texts that its model was trained to make: a folder of sentence-transformers,
-- or a checkpoint of a run that trained them. How they are made does not belong here.

local checkpoint = require "bertlua.train.checkpoint"
local sentence_transformers = require "bertlua.weights.sentence_transformers"

local text_vectors = {}

--- What the run of a checkpoint was told, if it trained vectors.
local function of_run(path)
    local progress = checkpoint.progress(path)
    local settings = progress and type(progress.began) == "table" and progress.began.settings
    if type(settings) ~= "table" or type(settings.pooling) ~= "string" then return nil end
    return { pooling = settings.pooling, normalize = settings.normalize == true,
        max_length = tonumber(settings.max_seq_length), similarity = "cosine" }
end

--- Look at a folder of parameters.
-- @treturn table as sentence_transformers.read returns it; nil where the folder says nothing
function text_vectors.of(path)
    return of_run(path) or sentence_transformers.read(path)
end

--- Say the same in another folder of the same encoder, in sentence-transformers' files; nothing where nothing is said.
-- @param from folder of parameters
-- @param to folder
-- @param hidden numbers of a vector
function text_vectors.carry(from, to, hidden)
    local found = of_run(from)
    if found then
        return sentence_transformers.write(to, { pooling = found.pooling, normalize = found.normalize,
            max_length = found.max_length, hidden = hidden })
    end
    found = sentence_transformers.read(from)
    if found then sentence_transformers.copy(from, to, found) end
end

return text_vectors
