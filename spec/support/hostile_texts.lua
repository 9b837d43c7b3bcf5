--- Feeds every text path texts that quadratic code chokes on. spec/lua/text/hostile_texts_spec.lua runs this in a
-- process of its own, which the system ends when it has used too much processor time.
--
--     bertlua spec/support/hostile_texts.lua FOLDER BYTES [PATH]
--
-- prints "PATH: SHAPE SECONDS" for each, the seconds being processor time, and "done" at the end.

local Tokenizer = require "bertlua.text.tokenizer"
local corpus = require "bertlua.corpus"
local dataset = require "bertlua.squad.dataset"
local document_files = require "bertlua.data.document_files"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local plain = require "bertlua.corpus.plain"
local records = require "bertlua.data.records"
local sentences = require "bertlua.text.sentences"
local streamed = require "bertlua.corpus.streamed"
local tagged = require "bertlua.data.tagged"
local texts = require "bertlua.data.pretraining_text"
local trainer = require "bertlua.text.vocab_trainer"

local folder, bytes, only = arg[1], tonumber(arg[2]), arg[3]

-- A text is `first`, then `piece` over and over, then `last`; `path`: of use to one path alone.
local shapes = {
    { "spaces", " ", first = "word", last = "word" },
    { "spaces at the end", " ", first = "word" },
    { "newlines", "\n", first = "word", last = "word" },
    { "tabs", "\t", first = "word", last = "word" },
    { "carriage returns", "\r", first = "word", last = "word" },
    { "equals", "=", first = "= word " },
    { "a line that begins with =", "word ", first = "= " },
    { "equals and spaces", "= " },
    { "opening brackets", "[({" },
    { "closing brackets", "])", first = "word. " },
    { "quotes", '"' },
    { "a quotation over lines", "a\n", first = '"', last = '"', path = "records csv" },
    { "titles", ' title="' },
    { "dots", "." },
    { "one word", "a" },
    { "combining marks", "\204\129", first = "e" },
    { "digits with dots", "1." },
    { "ordinals", "1. " },
    { "initials", "A. " },
    { "abbreviations", "a. " },
    { "Chinese stops and brackets", "\227\128\130\227\128\140" },
    { "guillemets", "\194\187 ", first = "word. " },
    { "no-break spaces", "\194\160", first = "word.", last = "word" },
    { "Thai", "\224\184\129 " },
    { "sigmas", "\206\163" },
    { "invalid bytes", "\255" },
}

local function text_of(shape, size)
    local first, last = shape.first or "", shape.last or ""
    return first .. shape[2]:rep(math.floor((size - #first - #last) / #shape[2])) .. last
end

local function write(name, text)
    local path = folder .. "/" .. name
    assert(fs.write(path, text))
    return path
end

--- What may refuse a text, but must do so soon.
local function try(run, ...)
    local good, problem = pcall(run, ...)
    if not good and not fault.is(problem) then error(problem, 0) end
end

local tokenizer
local paths = {}

-- Whose rules differ most.
for _, language in ipairs { "de", "ja", "th" } do
    paths["sentences " .. language] = function(text) sentences.splitter(language):split(text) end
end

function paths.corpus(text)
    local path = write("a.txt", text)
    local job = { output_dir = folder }
    local reading = streamed.reading { invalid_utf8 = "replace" }
    try(function()
        for _, part in ipairs((plain.parts({ path }, "auto", "hostile", reading))) do
            plain.run(job, folder, reading)(part, function() end)
        end
    end)
    os.remove(path)
end

-- A text as it stands, in a document of WikiExtractor, and in the tag of one.
paths["texts for shards"] = function(text)
    local forms = { prose = text, wikiextractor = '<doc id="1" url="u" title="a">\n' .. text .. "\n</doc>" }
    if text:find("title", 1, true) then forms.auto = '<doc id="1" title="' .. text end
    for form, content in pairs(forms) do
        local path = write("a.txt", content)
        try(texts.prepare, { files = { path }, form = form, locale = "en", invalid_utf8 = "replace",
            text_field = "text", folder = folder .. "/copies" })
        os.remove(path)
    end
end

paths["tagged words"] = function(text)
    local path = write("a.conll", text)
    try(function() tagged.sequences(tokenizer, tagged.read(path, {}), { max_length = 128, stride = 32 }) end)
    os.remove(path)
end

function paths.wikitext(text)
    corpus.wikitext("6 File\n"):convert(text)
end

function paths.tokenizer(text)
    tokenizer:encode_array_with_offsets(text)
end

paths["documents"] = function(text)
    local path = write("a.txt", text)
    local documents = document_files.scan { path }
    local plan, order = document_files.deal(documents, 1, 1)
    if documents:count() > 0 then document_files.tokenize(documents, order, plan[1], tokenizer) end
    os.remove(path)
end

paths["vocabulary"] = function(text)
    local path = write("a.txt", text)
    try(trainer.train, { files = { path }, vocab_size = 300, output_file = folder .. "/vocab.txt" })
    os.remove(path)
end

for _, kind in ipairs { "csv", "tsv", "jsonl" } do
    paths["records " .. kind] = function(text)
        local content = "text\n" .. text
        if kind == "jsonl" then content = json.encode { text = text } end
        -- Inside a quoted field, line breaks and commas are text.
        if kind == "csv" then content = 'text\n"' .. text:gsub('"', '""') .. '"\n' end
        local path = write("a." .. kind, content)
        try(records.read, path, { "text" })
        os.remove(path)
    end
end

paths["SQuAD"] = function(text)
    local question = { id = "1", question = "why", answers = { { text = "w", answer_start = 0 } } }
    local path = write("a.json", json.encode { data = { { title = "a",
        paragraphs = { { context = text, qas = { question } } } } } })
    try(function()
        local list = dataset.load(path, { is_training = true })
        if #list == 0 then list = dataset.load(path) end
        features.convert(list, tokenizer, { max_seq_length = 384, doc_stride = 128, max_query_length = 64,
            num_workers = 1 })
    end)
    os.remove(path)
end

tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
local names = {}
for name in pairs(paths) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
    for _, shape in ipairs(shapes) do
        if (not only or only == name) and (not shape.path or shape.path == name) then
            io.write(name, ": ", shape[1])
            io.flush()
            local text = text_of(shape, bytes)
            local started = os.clock()
            paths[name](text)
            print((" %.3f"):format(os.clock() - started))
        end
    end
end
print "done"
