--- Stage sentences: splits paragraphs into one sentence per line, using ICU's sentence
-- breaks and a list of abbreviations that do not end a sentence.
-- @module bertlua.corpus.sentences

local abbreviations = require "bertlua.corpus.abbreviations"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local stage = require "bertlua.corpus.stage"

local sentences = {}

local Splitter = {}
Splitter.__index = Splitter

--- The splitter for a language.
-- @tparam string language ISO 639 code, or an ICU locale such as "en@ss=standard"
function sentences.splitter(language)
    local locale = language:find("@", 1, true) and language or language .. "@ss=standard"
    return setmetatable({
        breaks = native.sentences(locale),
        words = abbreviations[language:match "^%a+"] or {},
    }, Splitter)
end

--- Whether a "sentence" ends in an abbreviation or an initial ("Harry S.").
local function is_open(sentence, words)
    -- Most do not, and a match from the front would scan the whole sentence.
    local tail = sentence:sub(-24)
    local word = tail:match "([%a\128-\255]+)%.$"
    if not word then return false end
    if words[word] then return true end
    return #word == 1 and word:match "%u" ~= nil and #sentence > 2
end

--- List of the sentences of a paragraph.
function Splitter:split(paragraph)
    local found = self.breaks:split(paragraph)
    local list, count = {}, 0
    for i = 1, #found do
        local last = list[count]
        -- After "Why?" or an unknown abbreviation, a lower-case letter continues the sentence.
        if last and (found[i]:find "^%l" or is_open(last, self.words)) then
            list[count] = last .. " " .. found[i]
        else
            count = count + 1
            list[count] = found[i]
        end
    end
    return list
end

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
        local splitter = sentences.splitter(language)
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
