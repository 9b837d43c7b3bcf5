--- Makes of any texts what create_pretraining reads: UTF-8, one sentence per line, a blank line between documents. A
-- file that is already so is used as it stands; of others a copy is written, file by file and piece by piece.
-- @module bertlua.data.pretraining_text

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local prose = require "bertlua.data.prose"
local text_records = require "bertlua.data.text_records"
local text_source = require "bertlua.data.text_source"

local pretraining_text = {}

-- Prose is split in pieces of about this size.
local PIECE = 8 * 1024 * 1024
-- Names of the files that a run has made, so that the next one removes them: nobody else's.
local LIST = ".files"

--- Forms of text: what the lines are, and whether records were named.
local FORMS = { auto = {}, sentences = { literal = true, split = false }, prose = { literal = true, split = true },
    jsonl = { form = "jsonl", split = true }, wikiextractor = { form = "wikiextractor", split = true } }

--- Names of the forms, for a setting.
pretraining_text.FORMS = { "auto", "sentences", "prose", "jsonl", "wikiextractor" }

--- Names for the copies: those of the files, each once.
local function names_of(files)
    local taken, names = {}, {}
    for i, path in ipairs(files) do
        local stem = fs.basename(path):gsub("%.[gbxz][zs][t2]?$", ""):gsub("%.%a+$", "")
        local name, count = stem .. ".txt", 1
        while taken[name] do
            count = count + 1
            name = ("%s-%d.txt"):format(stem, count)
        end
        taken[name], names[i] = true, name
    end
    return names
end

--- Remove what an earlier run left in the folder; a fault if this run's input is among it.
local function clear(folder, files)
    local lfs = require "lfs"
    local own = lfs.attributes(folder, "ino")
    for _, path in ipairs(own and files or {}) do
        if lfs.attributes(fs.dirname(path), "ino") == own
            and lfs.attributes(fs.dirname(path), "dev") == lfs.attributes(folder, "dev") then
            fault.raisef("%s: lies in the folder that this run writes its sentences to: choose another output_dir", path)
        end
    end
    for name in (fs.read(fs.join(folder, LIST)) or ""):gmatch "[^\n]+" do
        local path = fs.join(folder, name)
        if not name:find("/", 1, true) and lfs.symlinkattributes(path, "mode") == "file" then
            fault.check(fs.remove(path))
        end
    end
end

--- A writer of documents to a file.
-- @tparam function add appends a text
local function writer(add, options, summary)
    local splitter = native.sentences(options.locale)
    local english = options.locale:match "^en" ~= nil
    local inside = false
    local self = {}
    function self.sentence(sentence)
        add(sentence)
        add "\n"
        summary.sentences, inside = summary.sentences + 1, true
    end
    function self.paragraph(paragraph)
        for _, sentence in ipairs(prose.sentences(splitter, paragraph, english)) do self.sentence(sentence) end
    end
    function self.finish()
        if inside then
            add "\n"
            summary.documents, inside = summary.documents + 1, false
        end
        return inside
    end
    return self
end

--- Plain prose: documents by headings, blank lines or files.
local function write_prose(source, out, single, report)
    local border
    for text, clean, last in source:pieces(PIECE, prose.has_headings) do
        border = border or prose.has_headings(text) and "heading" or single and "blank" or "none"
        -- The document at the end of a piece may go on in the next one.
        local held = false
        prose.walk(text, border, function(paragraph)
            if held then
                out.finish()
                held = false
            end
            out.paragraph(paragraph)
        end, function() held = true end)
        if last or clean and border ~= "none" then out.finish() end
        report(source:position())
    end
end

--- Records: each is a document.
local function write_records(source, out, split, summary, report)
    for text in text_records.documents(source) do
        local before = summary.sentences
        if split then
            prose.walk(text, "none", out.paragraph, function() end)
        else
            for line in text:gmatch "[^\r\n]+" do
                if line:find "%S" then out.sentence(line) end
            end
        end
        if summary.sentences == before then summary.empty = summary.empty + 1 end
        out.finish()
        report(source:position())
    end
end

--- One file's copy.
local function write(path, source, options, split, single, summary, report)
    local file = fault.check(corpus.text_file(path))
    local good, problem = pcall(function()
        local function add(text) fault.check(file:add(text)) end
        local out = writer(add, options, summary)
        if source.form ~= "text" then
            write_records(source, out, split, summary, report)
        elseif split then
            write_prose(source, out, single, report)
        else
            for piece in source.chunk, source do
                add(piece)
                report(source:position())
            end
        end
        fault.check(file:commit())
    end)
    file:close()
    if not good then error(problem, 0) end
end

--- Prepare texts.
-- @tparam table options files = list of paths; form = one of FORMS: auto: what the files hold is found out, records are
--   prose and all else is sentences; locale = of the sentence rules; encoding, invalid_utf8, text_field as in
--   bertlua.data.text_source; folder = for the copies; on_progress = function(additional bytes, total bytes), or nil
-- @return list of files to read; summary {copied: files, split: files whose text was split into sentences, documents and
--   sentences: of the copies, empty: records without text, replaced: bytes, kinds: see text_source.told}
function pretraining_text.prepare(options)
    local form = FORMS[options.form]
    if not form then error("pretraining_text: form is " .. tostring(options.form) .. ", expected auto or another", 2) end
    local open = { encoding = options.encoding, invalid_utf8 = options.invalid_utf8, text_field = options.text_field,
        form = form.form, literal = form.literal, as_text = "sentences" }
    local files, names = {}, names_of(options.files)
    local summary = { copied = 0, split = 0, documents = 0, sentences = 0, empty = 0, replaced = 0, kinds = {} }
    local total = 0
    for _, path in ipairs(options.files) do total = total + (fs.size(path) or 0) end
    --- Path of a copy, noted as ours before it exists.
    local function copy(name)
        if summary.copied == 0 then
            clear(options.folder, options.files)
            fault.check(fs.mkdirs(options.folder))
            fault.check(fs.write(fs.join(options.folder, LIST), ""))
        end
        local list = fault.check(io.open(fs.join(options.folder, LIST), "ab"))
        fault.check(list:write(name, "\n"))
        fault.check(list:close())
        summary.copied = summary.copied + 1
        return fs.join(options.folder, name)
    end
    for i, path in ipairs(options.files) do
        local source = text_source.open(path, open)
        local last = 0
        local function report(position)
            -- A text with replaced bytes is read twice.
            if options.on_progress and position > last then options.on_progress(position - last, total) end
            last = math.max(last, position)
        end
        local split = form.split
        if split == nil then split = source.form ~= "text" end
        local as_it_is = source.plain and not split
        if as_it_is then
            for _ in source.chunk, source do report(source:position()) end
            if source:replaced() > 0 then
                source:close()
                source, as_it_is = text_source.open(path, open), false
            end
        end
        if as_it_is then
            files[i] = path
        else
            files[i] = copy(names[i])
            write(files[i], source, options, split, #options.files == 1, summary, report)
            if split then summary.split = summary.split + 1 end
        end
        summary.kinds[i] = source:special() or false
        summary.replaced = summary.replaced + source:replaced()
        source:close()
    end
    return files, summary
end

return pretraining_text
