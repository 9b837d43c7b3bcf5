--- Text to shards: MB/s of text on one thread, compared with Python, Hugging Face tokenizers and h5py.
--
--     build/bertlua bench/data_preparation.lua [--text FILE] [--python python3] [--repeats 3]
--
-- Both sides read the same sentences, sample and mask them dupe_factor times and
-- write gzip-compressed HDF5; loading libraries and the vocabulary is not
-- counted. Runs alternate and the best of each side counts. If Python has no
-- tokenizers and h5py, the script reports it and measures only bertlua.

local clock = require "bertlua.util.clock"
local create = require "bertlua.data.create_pretraining"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")

local spec = settings.define {
    { name = "text", type = "path",
        help = "one sentence per line, blank line between documents; unset: the Jargon File" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "repeats", type = "integer", min = 1, default = 3, help = "runs of each side" },
    { name = "max_seq_length", type = "integer", min = 8, max = 512, default = 128, help = "tokens per sample" },
    { name = "max_predictions_per_seq", type = "integer", min = 1, max = 100, default = 20,
        help = "masked tokens per sample" },
    { name = "dupe_factor", type = "integer", min = 1, default = 10, help = "passes over the text" },
    { name = "gzip", type = "integer", min = 0, max = 9, default = 4, help = "compression level; h5py's default is 4" },
}

--- The text to work on, made from Debian's jargon-text if none is given.
local function text_file(values, folder)
    if values.text then return values.text end
    local jargon = require "bertlua.jobs.demo.jargon"
    local prose = require "bertlua.data.prose"
    local path = folder .. "/jargon.txt"
    prose.write(path, jargon.documents(jargon.read()))
    return path
end

--- One run of ours: seconds in total, and for tokenizing alone.
local function run_own(values, text, tokenizer, folder)
    local document_files = require "bertlua.data.document_files"
    local begin = clock.monotonic()
    local summary = create.run {
        input_files = { text }, output_dir = folder .. "/own", tokenizer = tokenizer, shards = 1, overwrite = true,
        max_seq_length = values.max_seq_length, max_predictions_per_seq = values.max_predictions_per_seq,
        dupe_factor = values.dupe_factor, gzip = values.gzip,
    }
    local total = clock.monotonic() - begin
    local documents = document_files.scan { text }
    local plan, order = document_files.deal(documents, 1, 1)
    begin = clock.monotonic()
    document_files.tokenize(documents, order, plan[1], tokenizer)
    return { total = total, tokenize = clock.monotonic() - begin, tokens = summary.tokens,
        instances = summary.instances }
end

--- One run of the peer, or nil.
local function run_peer(values, text, vocab_file, folder)
    return (command.peer(values.python, "data_preparation.py", table.concat({ quote(text), quote(vocab_file),
        quote(folder .. "/peer.hdf5"), "true", values.max_seq_length, values.max_predictions_per_seq,
        values.dupe_factor, "2>" .. quote(folder .. "/peer.log") }, " ")))
end

--- Smallest value of each field over the runs.
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
    local values = spec:parse(arg or {}, {}, { program = "bench/data_preparation.lua",
        description = "Rate of data preparation on one thread." })
    local folder = fault.check(fs.temporary_folder("bench-data"))
    local text = text_file(values, folder)
    local vocab_file = paths.find("vocab", "bert-base-uncased-vocab.txt")
    local tokenizer = require("bertlua.text.tokenizer").load(vocab_file, { do_lower_case = true })
    local own, peer, version = {}, {}, nil
    for repeat_number = 1, values.repeats do
        own[repeat_number] = run_own(values, text, tokenizer, folder)
        local other = run_peer(values, text, vocab_file, folder)
        peer[#peer + 1] = other
        version = other and other.version
    end
    local megabytes = fs.size(text) / 1e6
    local a, b = best(own), best(peer)
    print(("text %.2f MB, S=%d, P=%d, dupe_factor %d, gzip %d, one thread, best of %d"):format(megabytes,
        values.max_seq_length, values.max_predictions_per_seq, values.dupe_factor, values.gzip, values.repeats))
    print(("%-34s %10s %10s %9s %10s"):format("", "total", "tokenize", "tokens", "instances"))
    local row = "%-34s %5.2f MB/s %5.1f MB/s %9d %10d"
    print(row:format("bertlua", megabytes / a.total, megabytes / a.tokenize, a.tokens, a.instances))
    if #peer > 0 then
        print(row:format("Python, tokenizers " .. version .. ", h5py", megabytes / b.total, megabytes / b.tokenize,
            b.tokens, b.instances))
        print(("bertlua / Python: %.1f times in total, %.1f times tokenizing"):format(b.total / a.total,
            b.tokenize / a.tokenize))
    else
        print("Python: not measured (" .. values.python .. " lacks tokenizers or h5py; use --python PATH)")
    end
    fs.remove(folder)
end

main()
