--- What decides the bytes of a file of vectors, beside the texts: what an interrupted run is compared with before
-- another one goes on with it. Where files are makes no difference, how many threads compute none but in last bits.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local origin = require "bertlua.jobs.common.origin"
local storage = require "bertlua.storage"

local M = {}

-- Settings that are compared as they are.
local SETTINGS = { "dtype", "chunk_size", "precision", "text_column", "header", "encoding", "invalid_utf8",
    "do_lower_case" }

--- Names, sizes and checksums of a model's files of parameters.
local function parameters_of(path)
    local parts = {}
    for i, file in ipairs(fault.check(origin.of(path)).files) do
        parts[i] = ("%s of %.0f bytes, CRC32C %08x"):format(file[1], file[2], file[3])
    end
    return table.concat(parts, "; ")
end

--- Names and a checksum of the files beside them: configuration, vocabulary, what sentence-transformers says of vectors
-- in its modules' folders.
local function descriptions_of(folder, below, names, crc)
    for _, name in ipairs(fault.check(fs.list(folder))) do
        local path = fs.join(folder, name)
        if fs.is_file(path) and (name:find "%.json$" or name:find "%.txt$") then
            names[#names + 1] = name
            crc = storage.crc32c(("%s %d;"):format(name, fault.check(storage.file_crc32c(path))), crc)
        elseif below and fs.is_directory(path) and name:find "^%d+_" then
            crc = descriptions_of(path, false, names, crc)
        end
    end
    return crc
end

--- What a run is told.
-- @param job see jobs/embed/embed.lua: values, input, form, folder, parameters, device, limit, pooling, normalize
-- @return list of {name, text}
function M.of(job)
    local values, names = job.values, {}
    local crc = descriptions_of(job.folder, true, names, 0)
    local list = {
        { "the input", job.input.piped and "standard input" or "a file" },
        { "--format", job.form },
        { "the parameters", parameters_of(job.parameters) },
        { "the model's folder", ("%s, CRC32C %08x"):format(table.concat(names, " "), crc) },
        { "the vocabulary", values.vocab_file and ("CRC32C %08x"):format(
            fault.check(storage.file_crc32c(values.vocab_file))) or "the folder's" },
        { "--max-seq-length", tostring(job.limit) },
        { "--pooling", job.pooling },
        { "--normalize", tostring(job.normalize) },
        { "--input-form", job.input.form },
        { "--device", job.device },
    }
    for _, name in ipairs(SETTINGS) do
        list[#list + 1] = { "--" .. name:gsub("_", "-"), values[name] == nil and "unset" or tostring(values[name]) }
    end
    return list
end

return M
