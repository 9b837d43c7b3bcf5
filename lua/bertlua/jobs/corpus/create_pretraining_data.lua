--- Job: makes pre-training shards from text, with a progress bar and a summary.

local clock = require "bertlua.util.clock"
local create = require "bertlua.data.create_pretraining"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"
local prose = require "bertlua.data.prose"

local M = {}

local TEXT = {
    { name = "text_form", type = "choice", choices = { "sentences", "prose" }, default = "sentences", group = "Text",
      help = "prose: first split paragraphs into sentences, in OUTPUT_DIR/sentences" },
    { name = "border", type = "choice", choices = { "auto", "heading", "blank", "line", "none" }, default = "auto",
      group = "Text", help = "text_form prose: what separates the documents in a file; line: each line is a document" },
    { name = "locale", type = "string", default = "en@ss=standard", group = "Text",
      help = "ICU locale whose sentence rules split prose" },
}

local function all_settings()
    local list = {}
    for _, setting in ipairs(TEXT) do list[#list + 1] = setting end
    for _, setting in ipairs(create.settings) do list[#list + 1] = setting end
    return list
end

M.settings = settings.define(all_settings())

--- Split prose into sentence files; values then point to them.
local function cut_prose(values)
    if not values.output_dir then fault.raise("output_dir is not set: name the folder for the shards") end
    local files
    if values.input_files then
        files = {}
        for path in values.input_files:gmatch("[^,]+") do files[#files + 1] = path end
    elseif not values.input_dir then
        fault.raise("no text given: set input_dir (a folder of .txt files) or input_files")
    end
    local summary = prose.convert {
        files = files,
        input_dir = values.input_dir,
        output_dir = fs.join(values.output_dir, "sentences"),
        locale = values.locale,
        border = values.border ~= "auto" and values.border or nil,
    }
    values.input_dir, values.input_files = fs.join(values.output_dir, "sentences"), nil
    return summary
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
    if values.text_form == "prose" then
        cut_prose(values)
    elseif values.border ~= "auto" then
        fault.raise("border is for --text-form prose: sentences have one per line, and blank lines between documents")
    end
    local bar
    local function on_progress(more, total)
        bar = bar or progress.new { total = total, label = "shards", unit = "bytes" }
        bar:advance(more)
    end
    local summary = create.run(setmetatable({ on_progress = not write and on_progress or nil }, { __index = values }))
    if bar then
        bar:update(summary.bytes)
        bar:finish()
    end
    local text = M.text(summary, clock.monotonic() - started, values)
    if write then write(text) else io.stdout:write(text) end
    return summary
end

--- Entry point of the recipe: its own settings, then the command line.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        program = "recipes/create_pretraining_data.lua",
        description = description,
    })
    return M.run(values)
end

return M
