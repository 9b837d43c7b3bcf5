--- Names of labels: those of data, and those that a trained model knows.

local BertConfig = require "bertlua.models.bert_config"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local model_choice = require "bertlua.jobs.common.model_choice"

local M = {}

-- Classes of transformers that have labels, even where they have no names.
local UNNAMED = { BertForSequenceClassification = true, BertForTokenClassification = true }
-- No model has so many.
local MOST = 1e6

--- Distinct labels, sorted; numerically if all are numbers.
-- @param each function(visit): calls visit(label) for each label of the data
-- @return list; {[label] = how often it occurs}
function M.distinct(each)
    local counts, labels, numeric = {}, {}, true
    each(function(label)
        if not counts[label] then
            counts[label], labels[#labels + 1] = 0, label
            numeric = numeric and tonumber(label) ~= nil
        end
        counts[label] = counts[label] + 1
    end)
    table.sort(labels, numeric and function(a, b) return tonumber(a) < tonumber(b) end or nil)
    return labels, counts
end

--- The labels of a model that was already trained, as recorded in its folder; nil for one that was not. Where
-- nobody has named them, transformers leaves them out: then they are LABEL_0 and LABEL_1, or num_labels of these.
-- @return list; problem_type, or nil where the folder says none
function M.trained(run, values)
    if run.work.train and run.start.kind ~= "resume" or not run.start.path then return nil end
    local file = fs.join(run.start.path, "config.json")
    local config = fs.is_file(file) and BertConfig.load(file, { own = model_choice.is_own(values) })
    local names = config and config.labels
    if config and not names then
        local saved = BertConfig.read(file)
        local class = type(saved.architectures) == "table" and saved.architectures[1]
        local count = saved.num_labels or 2
        if UNNAMED[class] and type(count) == "number" and count <= MOST then
            names = {}
            for i = 1, count do names[i] = "LABEL_" .. i - 1 end
        end
    end
    if not names then
        fault.raisef("%s: contains no id2label: the names of the model's labels are unknown; if it is of another run, "
            .. "choose another --output-dir", file)
    end
    return names, config.problem_type
end

--- A fault where a run that resumes has other labels than it began with: its data are others.
-- @param trained labels of the run, or nil where it is a new one
-- @param names labels of the data to train on now
function M.check_resumed(run, trained, names)
    if not trained or not run.work.train or run.start.kind ~= "resume" then return end
    local known = M.numbers(trained)
    for _, name in ipairs(names) do
        if not known[name] then
            fault.raisef("label %q is not one of the %d that the run in %s began with: its data were others; choose "
                .. "another --output-dir for these", name, #trained, run.start.path)
        end
    end
end

--- {[label] = its number from 0}.
function M.numbers(labels)
    local numbers = {}
    for i, label in ipairs(labels) do numbers[label] = i - 1 end
    return numbers
end

return M
