--- Job: makes pre-training shards from text, with a progress bar and a summary.

local clock = require "bertlua.util.clock"
local create = require "bertlua.data.create_pretraining"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local pretraining_text = require "bertlua.data.pretraining_text"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"
local text_source = require "bertlua.data.text_source"
local text_stream = require "bertlua.text_stream"

local M = {}

local TEXT = {
    { name = "text_form", type = "choice", choices = pretraining_text.FORMS, default = "auto", group = "Text",
      help = "sentences: one per line, a blank line between documents; prose: paragraphs, split into sentences; jsonl: "
          .. "a JSON object per line; wikiextractor: its <doc> files; auto: JSON lines and <doc> are recognized and "
          .. "split, all else is sentences" },
    { name = "border", type = "choice", choices = { "auto", "heading", "blank", "line", "none" }, default = "auto",
      group = "Text", help = "text_form prose: what separates the documents in a file; line: each line is a document" },
    { name = "locale", type = "string", default = "en@ss=standard", group = "Text",
      help = "ICU locale whose sentence rules split prose" },
}

local function all_settings()
    local list = {}
    for _, setting in ipairs(TEXT) do list[#list + 1] = setting end
    for _, setting in ipairs(text_source.settings) do list[#list + 1] = setting end
    for _, setting in ipairs(create.settings) do list[#list + 1] = setting end
    return list
end

M.settings = settings.define(all_settings())

--- The files that the settings name.
local function files_of(values)
    if values.input_files and values.input_dir then
        fault.raise("input_dir and input_files are both set: set only one of them")
    end
    if values.input_files then return text_source.list(values.input_files), 0 end
    if not values.input_dir then fault.raise("no text given: set input_dir (a folder of .txt files) or input_files") end
    if not fs.is_directory(values.input_dir) then
        fault.raisef("%s: no such folder; input_dir must hold .txt files", values.input_dir)
    end
    local files, others = text_source.find(values.input_dir, { form = values.text_form, skip = values.output_dir })
    if #files == 0 then
        fault.raisef("%s: contains no text (no *.txt or *.jsonl among %s)", values.input_dir,
            plural.count(#fs.list(values.input_dir), "entry", "entries"))
    end
    return files, others
end

--- Files of sentences, made of whatever the settings name, and what is to be said about them.
local function sentence_files(values, quiet)
    local files, others = files_of(values)
    if values.encoding then fault.check(text_stream.check_encoding(values.encoding)) end
    local bar
    local ready, found = pretraining_text.prepare {
        files = files, form = values.text_form, locale = values.locale, encoding = values.encoding,
        invalid_utf8 = values.invalid_utf8, text_field = values.text_field,
        border = values.border ~= "auto" and values.border or nil,
        folder = fs.join(values.output_dir, "sentences"),
        on_progress = not quiet and function(more, total)
            bar = bar or progress.new { total = total, label = "text", unit = "bytes" }
            bar:advance(more)
        end or nil,
    }
    if bar then bar:finish() end
    local lines = {}
    for i, line in ipairs(text_source.told(found.kinds)) do lines[i] = "input       " .. line end
    if found.copied > 0 then
        lines[#lines + 1] = ("text        %s as UTF-8%s in %s"):format(plural.count(found.copied, "file"),
            found.split > 0 and (", split into %s,"):format(plural.count(found.sentences, "sentence")) or "",
            fs.join(values.output_dir, "sentences"))
    end
    local unused = text_source.unused_field(values.text_field, found.kinds)
    if unused then lines[#lines + 1] = "note: " .. unused end
    if found.empty > 0 then
        lines[#lines + 1] = ("note: without text, left out: %s"):format(plural.count(found.empty, "record"))
    end
    if others > 0 then
        lines[#lines + 1] = ("note: %s in %s not read: only text is (by its name)"):format(
            plural.count(others, "other file"), values.input_dir)
    end
    if found.replaced > 0 then
        lines[#lines + 1] = ("warning: invalid UTF-8: %s replaced by U+FFFD"):format(
            plural.count(found.replaced, "byte"))
    end
    return ready, lines
end

--- The summary as human-readable lines.
-- @tparam table summary, number seconds, table values of M.settings
function M.text(summary, seconds, values)
    local lines = {
        ("documents   %d"):format(summary.documents),
        ("sentences   %d"):format(summary.sentences),
        ("tokens      %d"):format(summary.tokens),
        ("instances   %d"):format(summary.instances),
        ("shards      %d, %d of them for testing, %.1f MB in %s"):format(summary.shards, summary.test_shards,
            summary.file_bytes / 1e6, values.output_dir),
        ("text        %.1f MB in %s, %.2f MB/s"):format(summary.bytes / 1e6, clock.format(seconds),
            summary.bytes / 1e6 / seconds),
    }
    for _, line in ipairs(create.warnings(summary, values)) do lines[#lines + 1] = "warning: " .. line end
    return table.concat(lines, "\n") .. "\n"
end

--- Run the job.
-- @param values of M.settings
-- @param write function(text) that gets the summary, and then no progress is shown; default: standard output
-- @return summary from bertlua.data.create_pretraining
function M.run(values, write)
    local started = clock.monotonic()
    if values.border ~= "auto" and values.text_form ~= "prose" then
        fault.raise("border is for --text-form prose: sentences have one per line, and blank lines between documents; "
            .. "a record is a document")
    end
    create.check(values)
    local files, told = sentence_files(values, write ~= nil)
    local bar
    local function on_progress(more, total)
        bar = bar or progress.new { total = total, label = "shards", unit = "bytes" }
        bar:advance(more)
    end
    local options = { on_progress = not write and on_progress or nil, tokenizer = values.tokenizer, checked = true }
    for _, setting in ipairs(create.settings) do options[setting.name] = values[setting.name] end
    options.input_dir, options.input_files = nil, files
    local summary = create.run(options)
    if bar then
        bar:update(summary.bytes)
        bar:finish()
    end
    table.insert(told, M.text(summary, clock.monotonic() - started, values))
    local text = table.concat(told, "\n")
    if write then write(text) else io.stdout:write(text) end
    return summary
end

--- Entry point of the recipe: its own settings, then the command line.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        description = description,
    })
    return M.run(values)
end

return M
