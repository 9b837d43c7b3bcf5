--- What decides the bytes of a file of vectors, beside the texts: what an interrupted run is compared with before
-- another one goes on with it. Where files are and how many threads compute makes no difference.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local origin = require "bertlua.jobs.common.origin"
local storage = require "bertlua.storage"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local M = {}

-- Settings that are compared as they are.
local SETTINGS = { "dtype", "chunk_size", "batch_size", "precision", "text_column", "header", "encoding",
    "invalid_utf8" }

--- Names, sizes and checksums of the files of a model.
local function files_of(model, values)
    local path = fs.is_file(values.checkpoint) and values.checkpoint or model.folder
    local parts = {}
    for i, file in ipairs(fault.check(origin.of(path, values.model_prefix)).files) do
        parts[i] = ("%s of %.0f bytes, CRC32C %08x"):format(file[1], file[2], file[3])
    end
    return table.concat(parts, "; ")
end

--- What a run is told.
-- @param values resolved settings
-- @param model of bl.load
-- @param input Rows
-- @param form of the output
-- @param device "cpu" or "cuda"
-- @return list of {name, text}
function M.of(values, model, input, form, device)
    local pooling = values.pooling ~= "model" and values.pooling or model.sentences.pooling or "mean"
    local normalize = values.normalize
    if normalize == nil then normalize = model.sentences.normalize or false end
    local words = model.tokenizer
    local config = fault.check(storage.file_crc32c(fs.join(model.folder, "config.json")))
    local list = {
        { "the input", input.piped and "standard input" or "a file" },
        { "--format", form },
        { "the parameters", files_of(model, values) },
        { "config.json", ("CRC32C %08x"):format(config) },
        { "the vocabulary", ("%s, %s"):format(vocabulary_file.identity(words.vocab_file, words.do_lower_case),
            words.do_lower_case and "lower-cased" or "cased") },
        { "--max-seq-length", tostring(model.limit) },
        { "--pooling", pooling },
        { "--normalize", tostring(normalize) },
        { "--input-form", input.form },
        { "--device", device },
    }
    for _, name in ipairs(SETTINGS) do
        list[#list + 1] = { "--" .. name:gsub("_", "-"), values[name] == nil and "unset" or tostring(values[name]) }
    end
    return list
end

return M
