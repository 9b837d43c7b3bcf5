--- Whether the files of a checkpoint are as progress.json says. What a run goes on from are the tensors; config.json
-- and vocab.txt are copies of what a run has elsewhere: where they were edited or lost, the checkpoint is used, and a
-- warning says so.
-- @module bertlua.train.checkpoint_files

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"

local checkpoint_files = {}

-- settings.json is of older versions.
local COPIES = { ["config.json"] = true, ["vocab.txt"] = true, ["settings.json"] = true }

--- Whether a file, by its name, is a copy.
function checkpoint_files.is_copy(name)
    return COPIES[name] or false
end

--- Why a file is not as it was written, judging by its size; nil if it is.
-- @param path the checkpoint's folder
-- @param record {bytes, crc32c} of progress.json
function checkpoint_files.size_problem(path, name, record)
    local size = fs.size(path .. "/" .. name)
    if not size then return name .. " is missing" end
    if not fs.is_file(path .. "/" .. name) then return name .. " is not a plain file" end
    if size ~= record.bytes then
        return ("%s has %s, expected %.0f"):format(name, plural.count(size, "byte"), record.bytes)
    end
    return nil
end

--- The same, judging by every byte.
local function content_problem(path, name, record)
    local problem = checkpoint_files.size_problem(path, name, record)
    if problem then return problem end
    local crc, reason = storage.file_crc32c(path .. "/" .. name)
    if not crc then return reason end
    if crc ~= record.crc32c then
        return ("%s is damaged: its CRC32C is %.0f, expected %.0f"):format(name, crc, record.crc32c)
    end
    return nil
end

--- Compare all files, byte by byte.
-- @param path the checkpoint's folder
-- @param records of progress.json, by name
-- @return why the checkpoint cannot be used, or nil; what is wrong with copies: sorted list
function checkpoint_files.compare(path, records)
    local altered = {}
    for name, record in pairs(records) do
        local problem = content_problem(path, name, record)
        if problem and not COPIES[name] then return problem, {} end
        if problem then altered[#altered + 1] = problem:gsub(" is damaged: .*", " was edited or is damaged") end
    end
    table.sort(altered)
    return nil, altered
end

--- Say what is wrong with the copies; a fault if the vocabulary to be used is one of them.
-- @param path the checkpoint's folder
-- @param altered of compare()
-- @param vocab_file to be used, or nil
function checkpoint_files.tell(path, altered, vocab_file)
    for _, problem in ipairs(altered) do
        if vocab_file == path .. "/vocab.txt" and problem:find "^vocab%.txt" then
            fault.raisef("%s: %s: name the vocabulary that the model was trained with", path, problem)
        end
        term.warn(("%s: %s; the tensors are whole, so it is used"):format(path, problem))
    end
end

return checkpoint_files
