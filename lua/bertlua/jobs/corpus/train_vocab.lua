--- Job: learns a WordPiece vocabulary from a folder of text, with a progress bar and a summary.

local clock = require "bertlua.util.clock"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local named_file = require "bertlua.util.named_file"
local plural = require "bertlua.util.plural"
local process = require "bertlua.process"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"
local text_records = require "bertlua.data.text_records"
local text_source = require "bertlua.data.text_source"
local text_stream = require "bertlua.text_stream"
local trainer = require "bertlua.text.vocab_trainer"

local M = {}

local default = trainer.DEFAULTS

M.settings = settings.define {
    { name = "input_dir", type = "path", group = "Text", help = "folder of text files, including subfolders" },
    { name = "input_files", type = "string", group = "Text", help = "comma-separated files, instead of input_dir" },
    { name = "output_file", type = "path", required = true, group = "Text",
      help = "vocabulary to write, one token per line" },
    { name = "vocab_size", type = "integer", default = default.vocab_size, min = 6, max = 2 ^ 24, group = "Vocabulary",
      help = "tokens to learn, including special tokens and characters" },
    { name = "do_lower_case", type = "boolean", default = default.do_lower_case, group = "Vocabulary",
      help = "lower-case and strip accents first" },
    { name = "min_frequency", type = "integer", default = default.min_frequency, min = 1, group = "Vocabulary",
      help = "how often a pair of pieces must occur to be joined" },
    { name = "alphabet_limit", type = "integer", default = default.alphabet_limit, min = 1, max = 1114112,
      group = "Vocabulary", help = "distinct characters to keep, the most frequent" },
    { name = "memory_limit", type = "integer", default = 2048, min = 96, group = "Text",
      help = "MiB; if the distinct words do not fit, they are counted on disk and the rarest are ignored" },
    { name = "text_form", type = "choice", choices = { "auto", "text", "jsonl", "wikiextractor" }, default = "auto",
      group = "Text", help = "text: all of a file; jsonl: a JSON object per line; wikiextractor: its <doc> files; "
        .. "auto: JSON lines and <doc> are recognized" },
    unpack(text_source.settings)
}

local function input_files(values)
    if values.input_files and values.input_dir then
        fault.raise("input_dir and input_files are both set: set only one of them")
    elseif values.input_files then
        return text_source.list(values.input_files), 0
    elseif not values.input_dir then
        fault.raise("no text given: set input_dir (a folder of .txt files) or input_files")
    end
    local form = values.text_form
    if form == "auto" or form == "text" then return trainer.find_files(values.input_dir) end
    local files, others = text_source.find(values.input_dir, { form = form })
    if #files == 0 then fault.raisef("%s: contains no files to read as %s", values.input_dir, form) end
    return files, others
end

--- How the trainer reads a file: a function for its `pieces`.
-- @tparam table found gets kinds (see text_source.told) and replaced
local function reader(values, found)
    local options = { encoding = values.encoding, invalid_utf8 = values.invalid_utf8, text_field = values.text_field,
        form = values.text_form ~= "auto" and values.text_form or nil }
    return function(path)
        local source = text_source.open(path, options)
        local documents = source.form ~= "text" and text_records.documents(source)
        return function()
            local piece = documents and documents() or not documents and source:chunk()
            if piece then return documents and piece .. "\n" or piece, source:position() end
            found.kinds[#found.kinds + 1] = source:special() or false
            found.replaced = found.replaced + source:replaced()
            source:close()
        end
    end
end

--- The result as human-readable lines.
function M.text(stats, summary)
    local lines = {
        ("text        %.1f MB in %s"):format(summary.bytes / 1e6, plural.count(summary.files, "file")),
        ("words       %d, %d distinct"):format(stats.words, stats.distinct_words),
        ("alphabet    %d of %d characters"):format(stats.alphabet, stats.characters),
        ("vocabulary  %d tokens in %s; the last pair joined occurs %s"):format(stats.tokens,
            summary.output_file, plural.count(stats.last_pair_count, "time")),
        ("time        %.1f s: %.1f s reading (%.1f MB/s), %.1f s learning"):format(summary.read_seconds
            + summary.join_seconds, summary.read_seconds, summary.bytes / 1e6 / math.max(summary.read_seconds, 1e-9),
            summary.join_seconds),
    }
    for _, note in ipairs(trainer.notes(stats, summary)) do lines[#lines + 1] = "note: " .. note end
    return table.concat(lines, "\n") .. "\n"
end

--- Run the job.
-- @param values of M.settings
-- @return stats from bertlua.text.vocab_trainer
function M.run(values)
    named_file.check_file("--output-file", values.output_file)
    local files, others = input_files(values)
    if values.encoding then fault.check(text_stream.check_encoding(values.encoding)) end
    local found = { kinds = {}, replaced = 0 }
    local total, done = 0, 0
    for _, path in ipairs(files) do
        if not fs.exists(path) then fault.raise(path .. ": no such file") end
        total = total + fs.size(path)
    end
    local memory, lowered = process.memory_within(values.memory_limit * 2 ^ 20)
    if lowered then io.stdout:write("memory      ", lowered, "\n") end
    local started = clock.monotonic()
    local read_until
    local bar = progress.new { total = total, label = "reading", unit = "bytes" }
    local function on_join(tokens, vocab_size)
        if not read_until then
            bar:finish()
            read_until = clock.monotonic()
            bar = progress.new { total = vocab_size, label = "learning", unit = "tokens" }
        end
        bar:update(tokens)
    end
    local _, stats = trainer.train {
        files = files,
        pieces = reader(values, found),
        vocab_size = values.vocab_size,
        do_lower_case = values.do_lower_case,
        min_frequency = values.min_frequency,
        alphabet_limit = values.alphabet_limit,
        output_file = values.output_file,
        memory_limit = memory,
        scratch_folder = fs.dirname(values.output_file),
        on_read = function(more)
            done = done + more
            bar:update(math.min(done, total))
        end,
        on_join = on_join,
    }
    bar:finish()
    for _, line in ipairs(text_source.told(found.kinds)) do io.stdout:write("input       ", line, "\n") end
    local unused = text_source.unused_field(values.text_field, found.kinds)
    if unused then io.stdout:write("note: ", unused, "\n") end
    if others > 0 then
        io.stdout:write(("note: %s in %s not read: only text is (by its name)\n"):format(
            plural.count(others, "other file"), values.input_dir))
    end
    if found.replaced > 0 then
        io.stdout:write(("warning: invalid UTF-8: %s replaced by U+FFFD\n"):format(
            plural.count(found.replaced, "byte")))
    end
    io.stdout:write(M.text(stats, {
        bytes = total,
        files = #files,
        output_file = values.output_file,
        vocab_size = values.vocab_size,
        min_frequency = values.min_frequency,
        read_seconds = read_until - started,
        join_seconds = clock.monotonic() - read_until,
    }))
    return stats
end

--- Entry point of the recipe: its own settings, then the command line.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        description = description,
    })
    return M.run(values)
end

return M
