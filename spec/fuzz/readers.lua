--- A script for bertlua: what the readers written in Lua make of changed files.
--
--     bertlua spec/fuzz/readers.lua weights|settings|tables SECONDS [FOLDER]
--
-- Files of spec/fixtures and spec/fuzz/corpus are changed at random (from a fixed seed: always the same way) and read.
-- Good is a fault in one line that names the file, or a result whose parts are what they should be; else the file is
-- kept in FOLDER and the exit code is 1. Bad: an error of Lua, a crash, 10 seconds or 512 MB for one file, a line that
-- says nothing. First, files of the corpus are read as they are.

-- The specs' own modules, from the root of the sources.
package.path = package.path .. ";./?.lua"
-- Compiled code calls no hooks, and a hook is what ends a reader that does not end.
jit.off()
jit.flush()

local BertConfig = require "bertlua.models.bert_config"
local clock = require "bertlua.util.clock"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local hidden_act = require "bertlua.nn.hidden_act"
local manifest = require "bertlua.corpus.manifest"
local mutation = require "spec.fuzz.mutation"
local progress_file = require "bertlua.train.progress_file"
local records = require "bertlua.data.records"
local refusal = require "bertlua.jobs.serve.problem"
local requests = require "bertlua.jobs.serve.requests"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local tagged = require "bertlua.data.tagged"
local tensor = require "bertlua.tensor"
local text_source = require "bertlua.data.text_source"
local text_walk = require "bertlua.data.text_walk"
local tokenizer = require "bertlua.text.tokenizer"

local SEED, SECONDS_FOR_ONE, MEGABYTES = 13, 10, 512
local MOST_ELEMENTS = 65536

local FLOATS = { F64 = true, F32 = true, F16 = true, BF16 = true }

--- Elements of a shape; an error if it is none.
local function elements_of(dims)
    local count = 1
    for _, dim in ipairs(dims) do
        assert(type(dim) == "number" and dim >= 0 and dim % 1 == 0 and dim < 2 ^ 63, "a dimension is " .. tostring(dim))
        count = count * dim
    end
    return count
end

local function read_weights(path)
    local file = formats.open(path)
    for _, name in ipairs(file:names()) do
        local info = file:info(name)
        assert(type(info.dtype) == "string", "no dtype")
        local count = elements_of(info.dims)
        if #info.dims <= 4 and count <= MOST_ELEMENTS then
            local target = tensor.new(FLOATS[info.dtype] and "f32" or "i64", info.dims)
            local ok, message = file:read(name, target)
            assert(ok == true or ok == nil and type(message) == "string", "read gave neither true nor a message")
            if not ok then fault.raise(message) end
        end
    end
    file:metadata()
    file:close()
end

local function read_config(path)
    local config = BertConfig.load(path)
    assert(config.hidden_size >= 1 and config.vocab_size >= 1 and hidden_act(config.hidden_act))
    assert(config.labels == nil or #config.labels > 0)
    config:to_table(true)
end

local function read_tokenizer(path)
    local words = tokenizer.load(path, { do_lower_case = true, any_casing = true })
    for _, id in ipairs(words:encode "The old mill, grey.") do assert(id >= 0 and id < words:size()) end
end

local function read_progress(path)
    local progress, message = progress_file.read(fs.dirname(path))
    if not progress then fault.raise(message or "no message") end
    assert(progress.step >= 0)
end

local function read_manifest(path)
    local value = manifest.read(fs.dirname(path))
    for _, made in pairs(value.stages) do
        for _, file in ipairs(made.files) do assert(file.path:sub(1, 1) ~= "/") end
    end
end

local function read_modules(path)
    local found = sentence_transformers.read(fs.dirname(path))
    assert(type(found.normalize) == "boolean" and (found.problem or found.pooling))
    assert(not found.problem or not found.problem:find "%c")
end

local function read_records(path)
    local list, lines = records.read(path, { "text", "label" })
    assert(#list > 0 and #list == #lines)
    for _, record in ipairs(list) do assert(type(record.text) == "string" and type(record.label) == "string") end
end

local function read_squad(path)
    for _, training in ipairs { true, false } do
        local examples, summary = dataset.load(path, { is_training = training, version_2_with_negative = true })
        assert(#examples + summary.skipped == summary.questions)
        dataset.warning(path, summary)
    end
end

--- An archive whose members have no checksum, as PyTorch can be told to write them: so changes reach their readers.
local function without_crc(text)
    return (text:gsub("(PK\1\2" .. ("."):rep(12) .. ")....", "%1\0\0\0\0"))
end

local function read_tagged(path)
    for _, sentence in ipairs(tagged.read(path, { labeled = true })) do
        assert(#sentence.words > 0 and #sentence.words == #sentence.tags and sentence.line > 0)
    end
end

local function read_texts(path)
    local source = text_source.open(path)
    local good, problem = pcall(text_walk.walk, source, {
        border_of = function() return "heading" end,
        on_paragraph = function(paragraph) assert(type(paragraph) == "string") end,
        on_end = function() end,
    })
    source:close()
    if not good then error(problem, 0) end
end

local LIMITS = { model = "m", max_inputs = 4, max_context = 200, hidden_size = 4, classifies = true, answers = true,
    fills_masks = true, pooling = "model" }

--- A body as each route of a server reads it.
local function read_request(path)
    local body, first = assert(fs.read(path)), nil
    for _, name in ipairs { "embed", "embed_all", "predict", "tokenize", "fill_mask", "answer", "openai_embeddings" } do
        local ok, question = pcall(function() return requests[name](requests.decode(body), LIMITS) end)
        if ok then
            for i, text in ipairs(question.texts) do
                assert(type(text) == "string" and not text:find "%z", "a text is none")
                local pair = question.pairs and question.pairs[i]
                assert(not pair or type(pair) == "string" and not pair:find "%z", "a pair is none")
            end
            return
        end
        assert(refusal.is(question), tostring(question))
        assert(question.status >= 400 and question.status < 500 and #question.message < 400, question.message)
        first = first or question.message
    end
    fault.raise(path .. ": " .. first)
end

local function weight_file(name) return { "spec/fixtures/weights/" .. name, name, read_weights } end
local function corpus_file(folder, name, read) return { "spec/fuzz/corpus/" .. folder .. "/" .. name, name, read } end

-- What is changed, the name it is read under, the reader.
local KINDS = {
    weights = {
        files = { weight_file "views.bin", weight_file "views_legacy.bin", weight_file "protocol2.pdparams",
            weight_file "protocol4.pdparams", weight_file "nested.pdparams", weight_file "static.pdparams",
            weight_file "tensorflow.npz", weight_file "bf16.pdparams", weight_file "model.bin",
            weight_file "reference.safetensors",
            corpus_file("weights", "model.safetensors.index.json", read_weights) },
        tokens = { "PK\3\4", "PK\1\2", "PK\5\6", "PK\6\6", "\128\2", "\128\4\149",
            "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n", "(", "t", "R", "}", "]", "u", "e",
            "s", "b", "Q", "0", "1", "2", "q\0", "h\0", "r\0\0\1\0", "\138\8", "G", "X\4\0\0\0", "\147NUMPY",
            "'shape': (", "'descr': '<f4'", "F1e999\n", "Inan\n" },
    },
    settings = {
        files = { corpus_file("settings", "config.json", read_config),
            corpus_file("settings", "progress.json", read_progress),
            corpus_file("settings", "manifest.json", read_manifest),
            corpus_file("settings", "tokenizer.json", read_tokenizer),
            corpus_file("settings", "modules.json", read_modules),
            corpus_file("settings", "request.json", read_request) },
        tokens = { "{", "}", "[", "]", ",", ":", '"', "null", "true", "false", '"nan"', "-0", "1e400", "[[[[[[[[",
            '"../x"', "\\u0000", "\\ud800", "\239\187\191", '"id2label":{"0":"a"},' },
    },
    tables = {
        files = { corpus_file("tables", "train.csv", read_records), corpus_file("tables", "train.tsv", read_records),
            corpus_file("tables", "train.jsonl", read_records), corpus_file("tables", "squad.json", read_squad),
            corpus_file("tables", "tags.txt", read_tagged), corpus_file("tables", "tags.jsonl", read_tagged),
            corpus_file("tables", "wiki_00", read_texts), corpus_file("tables", "texts.jsonl", read_texts),
            corpus_file("tables", "plain.txt", read_texts) },
        tokens = { '"', '""', '"""', ",", "\t", "\n", "\r\n", "text", "label", "{", "}", "[", "]", "null", "false",
            "1e999", "\239\187\191", "\194\173", '"answer_start":', '"answers":[]', '"is_impossible":true', "\0", "# ",
            '<doc id="1" url="u" title="', "</doc>", "&lt;", "-DOCSTART-", "\r", "\31\139\8\0" },
    },
}

local kind, seconds, keep = arg[1], tonumber(arg[2]), arg[3]
local target = KINDS[kind or ""]
assert(target and seconds, "usage: bertlua spec/fuzz/readers.lua weights|settings|tables SECONDS [FOLDER]")

local folder = fs.temporary_folder "bertlua-fuzz"
local failures, read_count, refused = 0, 0, 0
local told = {}

local function watched(read, path)
    local started = clock.monotonic()
    debug.sethook(function()
        if clock.monotonic() - started > SECONDS_FOR_ONE then error("takes too long", 0) end
        if collectgarbage "count" > MEGABYTES * 1024 then error("takes too much memory", 0) end
    end, "", 100000)
    local ok, problem = xpcall(read, function(value)
        return fault.is(value) and value or debug.traceback(tostring(value))
    end, path)
    debug.sethook()
    if ok and clock.monotonic() - started > SECONDS_FOR_ONE then return false, "takes too long" end
    return ok, problem
end

--- What is wrong with what a reader did; nil if nothing is.
local function problem_of(file, path)
    local ok, problem = watched(file[3], path)
    read_count = read_count + 1
    if ok then return nil end
    if not fault.is(problem) then return problem end
    refused = refused + 1
    if problem.message:find "%c" or not problem.message:find(folder, 1, true) then
        return "not a line that names the file: " .. problem.message
    end
    return nil
end

local function try(file, text)
    local path = folder .. "/" .. file[2]
    local handle = assert(io.open(path, "wb"))
    handle:write(text)
    handle:close()
    local problem = problem_of(file, path)
    local what = problem and file[2] .. problem:match "[^\n]*":gsub("%d%d%d%d+", "N")
    -- One of each sort.
    if not problem or told[what] then return end
    told[what], failures = true, failures + 1
    print(("%s: %s"):format(file[2], problem))
    if keep then
        local kept = ("%s/readers-%s-%d-%s"):format(keep, kind, failures, file[2])
        print("kept as " .. kept)
        fs.write(kept, text)
    end
end

local random = mutation.random(SEED)
local texts = {}
for i, file in ipairs(target.files) do
    texts[i] = without_crc(assert(fs.read(file[1])))
    try(file, texts[i])
end
assert(refused <= 1, "files that are not changed are refused")
-- Inputs that failed once: NAME or NUMBER-NAME, read under NAME.
for _, name in ipairs(fs.list("spec/fuzz/corpus/" .. kind)) do
    for _, file in ipairs(target.files) do
        if name:match "^%d+%-(.*)$" == file[2] then
            try(file, assert(fs.read("spec/fuzz/corpus/" .. kind .. "/" .. name)))
        end
    end
end
local started = clock.monotonic()
while clock.monotonic() - started < seconds and failures < 20 do
    local i = random(#target.files)
    local other = texts[random(#texts)]
    try(target.files[i], mutation.change(texts[i], random, other, target.tokens))
end
fs.remove(folder)
print(("%d files read, %d of them refused, %d failures"):format(read_count, refused, failures))
os.exit(failures == 0 and 0 or 1)
