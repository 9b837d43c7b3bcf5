--- Job: exact match and F1 of a predictions file.

local cjson = require "cjson"

local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local metrics = require "bertlua.squad.metrics"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local settings = require "bertlua.settings"
local term = require "bertlua.util.term"

local M = {}

M.settings = settings.define {
    { name = "predict_file", type = "path", required = true, group = "Files", help = "SQuAD file with gold answers" },
    { name = "predictions", type = "path", required = true, group = "Files",
      help = "JSON object mapping question ids to answers, as written by the recipes" },
    { name = "version_2_with_negative", type = "boolean", default = false, group = "SQuAD v2.0",
      help = "evaluate as v2.0: questions may have no answer" },
    { name = "na_prob_file", type = "path", group = "SQuAD v2.0",
      help = "JSON object mapping question ids to the probability (or score) of no answer" },
    { name = "na_prob_thresh", type = "number", default = 1, group = "SQuAD v2.0",
      help = "above this probability a question counts as unanswered" },
}

-- At most this many ids of unanswered questions are listed.
local LISTED = 5

--- A JSON object whose values are all of one type.
local function read_object(path, kind)
    local object, contents = dataset.read_json(path)
    if type(object) ~= "table" or #object > 0 then
        fault.raisef("%s: not a JSON object, expected %ss by question id", path, kind)
    end
    for id, value in pairs(object) do
        if type(value) ~= kind then
            fault.raisef("%s: the value of %q is %s, expected a %s", path, id,
                value == cjson.null and "null" or "a " .. type(value), kind)
        end
    end
    return object, contents
end

--- Keys of a flat JSON object of numbers, in the order of the file.
local function key_order(contents)
    local keys, seen, at = {}, {}, 1
    while true do
        local first = contents:find('"', at, true)
        if not first then return keys end
        local last = first + 1
        while contents:sub(last, last) ~= '"' do
            last = last + (contents:sub(last, last) == "\\" and 2 or 1)
        end
        local key = cjson.decode("[" .. contents:sub(first, last) .. "]")[1]
        if not seen[key] then keys[#keys + 1] = key end
        seen[key] = true
        at = last + 1
    end
end

local function warn_unanswered(unanswered, path)
    if #unanswered == 0 then return end
    local shown = table.concat(unanswered, ", ", 1, math.min(LISTED, #unanswered))
    io.stderr:write(("bertlua: warning: %s: %s unanswered, scored 0: %s%s\n"):format(printable.text(path),
        plural.count(#unanswered, "question"), printable.text(shown), #unanswered > LISTED and ", ..." or ""))
end

--- Evaluate files.
-- @param values of M.settings
-- @return result of bertlua.squad.metrics
function M.evaluate(values)
    local examples, summary = dataset.load(values.predict_file, { refuse_negative = true,
        version_2_with_negative = values.version_2_with_negative })
    local warning = dataset.id_warning(values.predict_file, summary)
    if warning then term.warn(warning) end
    local predictions = read_object(values.predictions, "string")
    if not values.version_2_with_negative then
        if values.na_prob_file then fault.raise("--na-prob-file requires --version-2-with-negative") end
        local result, notes = metrics.v1(examples, predictions)
        warn_unanswered(notes.unanswered, values.predictions)
        return result
    end
    local options = { na_prob_thresh = values.na_prob_thresh }
    if values.na_prob_file then
        local contents
        options.na_probs, contents = read_object(values.na_prob_file, "number")
        options.na_order = key_order(contents)
    end
    return metrics.v2(examples, predictions, options)
end

--- Run the job: the result in the official evaluator's form on standard output.
function M.run(values)
    local result = M.evaluate(values)
    io.stdout:write(metrics.format(result), "\n")
    return result
end

--- What the recipe calls: its own settings, then the command line.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        description = description,
    })
    return M.run(values)
end

return M
