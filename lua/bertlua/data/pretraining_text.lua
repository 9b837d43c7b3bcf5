--- Makes of any texts what create_pretraining reads: UTF-8, one sentence per line, a blank line between documents. A
-- file that is already so is used as it stands; of others a copy is written, file by file and piece by piece.
-- @module bertlua.data.pretraining_text

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local prose = require "bertlua.data.prose"
local splitters = require "bertlua.text.sentences"
local text_source = require "bertlua.data.text_source"
local text_walk = require "bertlua.data.text_walk"

local pretraining_text = {}

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
            fault.raisef("%s: lies in the folder that this run writes its sentences to: choose another output_dir",
                path)
        end
    end
    for name in (fs.read(fs.join(folder, LIST)) or ""):gmatch "[^\n]+" do
        local path = fs.join(folder, name)
        if not name:find("/", 1, true) and lfs.symlinkattributes(path, "mode") == "file" then
            fault.check(fs.remove(path))
        end
    end
end

--- Write the sentences of a source's documents.
-- @tparam function add appends a text
local function write_sentences(source, add, options, split, summary, report)
    local splitter = splitters.splitter(options.locale)
    local before = summary.sentences
    local function sentence(text)
        add(text)
        add "\n"
        summary.sentences = summary.sentences + 1
    end
    local function paragraph(text)
        for _, piece in ipairs(prose.sentences(splitter, text)) do sentence(piece) end
    end
    text_walk.walk(source, {
        border_of = prose.border_of(options.border, #options.files == 1),
        lines = not split,
        on_paragraph = split and paragraph or sentence,
        on_end = function()
            local field = summary.sentences > before and "documents" or "empty"
            if field == "documents" then add "\n" end
            summary[field], before = summary[field] + 1, summary.sentences
        end,
        on_progress = report,
    })
end

--- One file's copy.
local function write(path, source, options, split, summary, report)
    local file = fault.check(corpus.text_file(path))
    local good, problem = pcall(function()
        local function add(text) fault.check(file:add(text)) end
        if split or source.form ~= "text" then
            write_sentences(source, add, options, split, summary, report)
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
--   prose and all else is sentences; locale = of the sentence rules; border = between documents of prose, see
--   bertlua.data.prose, nil: found out; encoding, invalid_utf8, text_field as in bertlua.data.text_source; folder = for
--   the copies; on_progress = function(additional bytes, total bytes), or nil
-- @return list of files to read; summary {copied: files, split: files whose text was split into sentences, documents
--   and sentences: of the copies, empty: records without text, replaced: bytes, kinds: see text_source.told}
function pretraining_text.prepare(options)
    local form = FORMS[options.form]
    if not form then
        error(("pretraining_text: form is %s, expected one of %s"):format(tostring(options.form),
            table.concat(pretraining_text.FORMS, ", ")), 2)
    end
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
        fault.check(fs.put(list, name, "\n"))
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
            write(files[i], source, options, split, summary, report)
            if split then summary.split = summary.split + 1 end
        end
        summary.kinds[i] = source:special() or false
        summary.replaced = summary.replaced + source:replaced()
        source:close()
    end
    return files, summary
end

return pretraining_text
