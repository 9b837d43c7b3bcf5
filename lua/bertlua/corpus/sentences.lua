--- Stage sentences: one sentence per line, by bertlua.text.sentences.
-- @module bertlua.corpus.sentences

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local splitters = require "bertlua.text.sentences"
local stage = require "bertlua.corpus.stage"

local sentences = {}

--- One part per text file.
function sentences.parts(files)
    local parts = {}
    for i, file in ipairs(files) do
        parts[i] = { name = fs.basename(file.path):gsub("%.txt$", ""), size = file.bytes, file = file }
    end
    return parts
end

--- Bytes that a process needs at most for a part of any size: several times its longest line.
function sentences.memory()
    return 64 * 2 ^ 20
end

--- The function that makes one part, for bertlua.corpus.stage.
function sentences.run(job, folder, language)
    return function(part, report)
        local splitter = splitters.splitter(language)
        local source = fs.join(job.output_dir, part.file.path)
        local input = fault.check(io.open(source, "rb"))
        local done = 0
        local counts = { documents = 0, sentences = 0, source = part.file.path }
        local inside = false
        local path = fs.join(folder, part.name .. ".txt")
        local written = stage.write_text(path, function(add)
            for line in input:lines() do
                done = done + #line + 1
                if line == "" then
                    if inside then add "\n" end
                    inside = false
                else
                    for _, sentence in ipairs(splitter:split(line)) do
                        add(sentence)
                        add "\n"
                        counts.sentences = counts.sentences + 1
                        if not inside then counts.documents = counts.documents + 1 end
                        inside = true
                    end
                    report(done)
                end
            end
        end)
        input:close()
        local record = { files = {} }
        if written then record.files[1] = stage.describe(job, path, counts) end
        return record
    end
end

return sentences
