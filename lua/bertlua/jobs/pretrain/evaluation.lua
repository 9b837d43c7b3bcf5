--- Losses and accuracies of a pre-training model on shards, compared with what guessing without a model would reach.

local Feeder = require "bertlua.train.feeder"
local array = require "bertlua.array"
local number = require("bertlua.train.meter").number
local plural = require "bertlua.util.plural"

local M = {}

--- Count the labels of a batch into `counts`; returns how many there were (-1 is filler).
local function count_labels(labels, counts)
    local values, total = array.wrap(labels), 0
    for i = 0, labels:numel() - 1 do
        local label = values[i]
        if label >= 0 then
            counts[label] = (counts[label] or 0) + 1
            total = total + 1
        end
    end
    return total
end

--- Count what is at the masked positions: total and labels by the token that the model sees there.
local function count_places(batch, places)
    local ids, index, labels = array.wrap(batch.ids), array.wrap(batch.masked_index), array.wrap(batch.masked_labels)
    for i = 0, batch.masked_labels:numel() - 1 do
        local label = labels[i]
        if label >= 0 then
            local id = ids[index[i]]
            local place = places[id] or { total = 0, labels = {} }
            places[id] = place
            place.total = place.total + 1
            place.labels[label] = (place.labels[label] or 0) + 1
        end
    end
end

local function most_frequent(counts)
    local best_label, best = nil, 0
    for label, count in pairs(counts) do
        if count > best or (count == best and label < best_label) then best_label, best = label, count end
    end
    return best_label, best
end

--- Right answers when guessing without context: keep a word that was not hidden, and always guess the same word for
-- [MASK], which is what most masked positions show.
local function right_without_context(places)
    local mask, kept, hidden = nil, 0, 0
    for id, place in pairs(places) do
        if not mask or place.total > places[mask].total then mask = id end
    end
    for id, place in pairs(places) do
        if id == mask then
            hidden = select(2, most_frequent(place.labels))
        else
            kept = kept + (place.labels[id] or 0)
        end
    end
    return kept + hidden
end

--- Evaluate on whole batches of the loader, each sample at most once.
-- @param model BertForPretraining
-- @param tape a tape to work on
-- @param loader opened without dynamic masking
-- @param options batch_size: that of the loader; max_batches: stop there; on_batch(n, total): for progress
-- @return table of samples, masked (tokens), loss, mlm_loss, nsp_loss, mlm_accuracy, nsp_accuracy, and the
--   accuracies that constant answers reach on the same samples: mlm_chance (always the most frequent masked token,
--   mlm_token) and nsp_chance (always the more frequent answer); mlm_copy is mlm_chance when words that masking left
--   in place (a tenth of the masked ones) are kept. A model without NSP leaves out the nsp_ fields
function M.run(model, tape, loader, options)
    local total = math.floor(loader.samples / options.batch_size)
    if options.max_batches then total = math.min(total, options.max_batches) end
    local sums = { mlm_loss = 0, mlm_accuracy = 0, nsp_loss = 0, nsp_accuracy = 0 }
    local feeder = Feeder.new()
    local samples, masked, words, answers, places, predicts_next = 0, 0, {}, {}, {}, nil
    for n = 0, total - 1 do
        local batch = loader:batch(n)
        tape:start(n, 0, false)
        local result = model:forward(tape, feeder:load(batch))
        predicts_next = result.nsp_loss ~= nil
        local in_batch = count_labels(batch.masked_labels, words)
        count_labels(batch.nsp_labels, answers)
        count_places(batch, places)
        for name in pairs(sums) do
            local weight = name:find "^mlm_" and in_batch or batch.batch_size
            sums[name] = sums[name] + weight * (result[name] and number(result[name]) or 0)
        end
        samples, masked = samples + batch.batch_size, masked + in_batch
        if options.on_batch then options.on_batch(n + 1, total) end
    end
    feeder:free()
    if samples == 0 then error("evaluate: the loader has fewer samples than a batch", 2) end
    local token, token_count = most_frequent(words)
    local _, answer_count = most_frequent(answers)
    local report = {
        samples = samples, masked = masked,
        mlm_loss = sums.mlm_loss / masked, mlm_accuracy = sums.mlm_accuracy / masked,
        mlm_token = token, mlm_chance = token_count / masked, mlm_copy = right_without_context(places) / masked,
    }
    report.loss = report.mlm_loss
    if predicts_next then
        report.nsp_loss, report.nsp_accuracy = sums.nsp_loss / samples, sums.nsp_accuracy / samples
        report.nsp_chance = answer_count / samples
        report.loss = report.mlm_loss + report.nsp_loss
    end
    return report
end

--- The report as text.
function M.text(report, token_text)
    local text = ([[
  %s, %s
  MLM  loss %.4f  accuracy %5.1f %%   always guessing %s: %.1f %%; keeping what is not hidden: %.1f %%
]]):format(plural.count(report.samples, "sample"), plural.count(report.masked, "masked token"), report.mlm_loss,
        100 * report.mlm_accuracy,
        token_text and ("%q"):format(token_text) or "token " .. report.mlm_token, 100 * report.mlm_chance,
        100 * report.mlm_copy)
    if not report.nsp_loss then return text end
    return text .. ("  NSP  loss %.4f  accuracy %5.1f %%   always the same answer: %.1f %%\n"):format(report.nsp_loss,
        100 * report.nsp_accuracy, 100 * report.nsp_chance)
end

return M
