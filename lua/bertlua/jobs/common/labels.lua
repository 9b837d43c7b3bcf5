--- Names of labels: those of data, and those that a trained model knows.

local BertConfig = require "bertlua.models.bert_config"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local model_choice = require "bertlua.jobs.common.model_choice"

local M = {}

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

--- The labels of a model that was already trained, as recorded in its folder; nil for one that was not.
function M.trained(run, values)
    if run.work.train and run.start.kind ~= "resume" or not run.start.path then return nil end
    local file = fs.join(run.start.path, "config.json")
    local labels = fs.is_file(file) and BertConfig.load(file, { own = model_choice.is_own(values) }).labels
    if not labels then fault.raisef("%s: contains no id2label: the names of the model's labels are unknown", file) end
    return labels
end

--- {[label] = its number from 0}.
function M.numbers(labels)
    local numbers = {}
    for i, label in ipairs(labels) do numbers[label] = i - 1 end
    return numbers
end

return M
