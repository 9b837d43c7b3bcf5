--- Job: the most likely words in place of [MASK].

local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local devices = require "bertlua.jobs.common.devices"
local fill_mask = require "bertlua.models.fill_mask"
local paths = require "bertlua.paths"
local printable = require "bertlua.printable"
local settings = require "bertlua.settings"
local term = require "bertlua.util.term"
local text_source = require "bertlua.data.text_source"

local M = {}

M.settings = settings.define {
    { name = "checkpoint", type = "path", required = true, help = "checkpoint folder, or the folder of its steps" },
    { name = "vocab_file", type = "path", find = paths.vocabulary,
        help = "unset: vocab.txt or tokenizer.json of the checkpoint" },
    { name = "do_lower_case", type = "boolean",
        help = "lower-case the text; unset: only if the vocabulary has no capitals" },
    { name = "top", type = "integer", min = 1, max = 1000, default = 5, help = "number of guesses per [MASK]" },
    { name = "model_prefix", type = "string", default = "model", help = "reads MODEL_PREFIX.safetensors" },
    devices.setting,
    { name = "threads", type = "integer", min = 0, default = 0, help = "0: OMP_NUM_THREADS, or all cores" },
}

--- The guesses for one text as lines.
-- @param opened of checkpoint_model.open()
-- @param words tokenizer
function M.text(opened, words, text, top)
    local lines = { "  " .. text }
    for _, guesses in ipairs(fill_mask.fill_mask(opened.model, words, text, top)) do
        local shown = {}
        for i, guess in ipairs(guesses) do
            shown[i] = ("%s %.1f %%"):format(printable.text(guess.token), 100 * guess.probability)
        end
        lines[#lines + 1] = "    " .. table.concat(shown, ", ")
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Run the job over values.text, or the lines of standard input.
function M.run(values)
    devices.open(values)
    local opened = checkpoint_model.open(values.checkpoint, values)
    local words = checkpoint_model.tokenizer(opened, values.do_lower_case)
    if #values.text > 0 then
        for _, text in ipairs(values.text) do text_source.checked(text, "the text") end
        for _, text in ipairs(values.text) do io.stdout:write(M.text(opened, words, text, values.top)) end
        return
    end
    local count = 0
    for text in text_source.open("-", { form = "text" }):lines() do
        if text:match("%S") then
            io.stdout:write(M.text(opened, words, text, values.top))
            io.stdout:flush()
            count = count + 1
        end
    end
    -- No error: in a pipe, as those of grep may be empty, the right output is empty too.
    if count == 0 then term.warn "standard input: no text in it" end
end

return M
