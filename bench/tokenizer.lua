--- WordPiece tokenization and vocabulary training on one thread, compared with Hugging Face tokenizers (Rust).
--
--     build/bertlua bench/tokenizer.lua [--file FILE] [--do-lower-case false] [--python python3] [--repeats 5]
--
-- MB/s counts the bytes of the text without line ends. "line by line" is one
-- call per line; "whole" is one call for the whole text here and encode_batch of
-- all lines there. Training learns train_size tokens from the file, including
-- reading it. Loading libraries and vocabularies is not counted. Runs alternate
-- and the best of each side counts. If Python has no tokenizers, the script
-- reports it and measures only bertlua.

local clock = require "bertlua.util.clock"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local Tokenizer = require "bertlua.text.tokenizer"
local vocab_trainer = require "bertlua.text.vocab_trainer"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")

local spec = settings.define {
    { name = "file", type = "path", help = "text to work on; unset: the Jargon File from Debian's jargon-text" },
    { name = "do_lower_case", type = "boolean", default = true, help = "uncased or cased BERT vocabulary" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "repeats", type = "integer", min = 1, default = 5, help = "runs of each side" },
    { name = "train_size", type = "integer", min = 500, default = 8000, help = "tokens of the vocabulary to learn" },
}

--- Path of the text: the given file, or the Jargon File unpacked into folder.
local function text_file(values, folder)
    if values.file then return values.file end
    local path = folder .. "/jargon.txt"
    fault.check(fs.write(path, require("bertlua.jobs.demo.jargon").read()))
    return path
end

--- Our seconds for each job.
local function run_own(values, path, tokenizer, lines, text)
    local begin = clock.monotonic()
    local tokens = 0
    for i = 1, #lines do
        local _, count = tokenizer:encode_array(lines[i])
        tokens = tokens + count
    end
    local single = clock.monotonic() - begin
    begin = clock.monotonic()
    tokenizer:encode_array(text)
    local batch = clock.monotonic() - begin
    begin = clock.monotonic()
    vocab_trainer.train { files = { path }, vocab_size = values.train_size, do_lower_case = values.do_lower_case }
    return { single = single, batch = batch, train = clock.monotonic() - begin, tokens = tokens }
end

--- The peer's seconds for each job; nil if it cannot run.
local function run_peer(values, path, vocab_file)
    return (command.peer(values.python, "tokenizer.py", table.concat({ quote(path), quote(vocab_file),
        tostring(values.do_lower_case), values.train_size, "2>/dev/null" }, " ")))
end

local function best(runs)
    local least = {}
    for _, run in ipairs(runs) do
        for name, value in pairs(run) do
            if type(value) == "number" and (not least[name] or value < least[name]) then least[name] = value end
        end
    end
    return least
end

local function main()
    local values = spec:parse(arg or {}, {}, { program = "bench/tokenizer.lua",
        description = "Rates of tokenization and vocabulary training on one thread." })
    local folder = fault.check(fs.temporary_folder "bertlua-bench")
    local path = text_file(values, folder)
    local text = fault.check(fs.read(path))
    local lines, bytes = {}, 0
    for line in text:gmatch "[^\n]+" do
        lines[#lines + 1] = line
        bytes = bytes + #line
    end
    local casing = values.do_lower_case and "uncased" or "cased"
    local vocab_file = fault.check(paths.find("vocab", ("bert-base-%s-vocab.txt"):format(casing)))
    local tokenizer = Tokenizer.load(vocab_file, { do_lower_case = values.do_lower_case })
    local own, peer, version = {}, {}, nil
    for i = 1, values.repeats do
        own[i] = run_own(values, path, tokenizer, lines, text)
        local other = run_peer(values, path, vocab_file)
        peer[#peer + 1] = other
        version = other and other.version
    end
    fs.remove(folder)

    local a, b = best(own), best(peer)
    local megabytes = bytes / 1e6
    print(("%s: %.2f MB, %d lines, bert-base-%s, one thread, best of %d"):format(values.file or "Jargon File",
        megabytes, #lines, casing, values.repeats))
    print(("%-28s %25s %25s %14s %9s"):format("", "line by line", "whole", ("learn %d"):format(values.train_size),
        "tokens"))
    local function row(name, r)
        local form = "%-28s %6.1f MB/s %6.2f Mtok/s %6.1f MB/s %6.2f Mtok/s %12.2f s %9d"
        local millions = r.tokens / 1e6
        print(form:format(name, megabytes / r.single, millions / r.single, megabytes / r.batch, millions / r.batch,
            r.train, r.tokens))
    end
    row("bertlua", a)
    if #peer == 0 then
        print("Python: not measured (" .. values.python .. " lacks tokenizers; use --python PATH)")
        return
    end
    row("tokenizers " .. version, b)
    print(("bertlua / tokenizers, the faster way of each: %.1f times encoding, %.1f times learning"):format(
        math.min(b.single, b.batch) / math.min(a.single, a.batch), b.train / a.train))
end

main()
