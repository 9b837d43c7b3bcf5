--- The setting `data` of a recipe: a function that yields what to train on. Rules between it and other settings, the
-- batches of pre-training, the texts of fine-tuning; going on where a run stopped, and whether the data are still the
-- same there.

local Items = require "bertlua.data.items"
local checkpoint = require "bertlua.train.checkpoint"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local model_choice = require "bertlua.jobs.common.model_choice"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local stream = require "bertlua.data.stream"

local M = {}

-- A bar appears if going to the position of a resumed run takes longer than this.
local PATIENCE_SECONDS = 2
local SAME = "data must yield the same items for the same run.epoch and run.seed, in every process and after a restart"

--- Check the settings that belong to `data`.
-- @param files the setting that names the samples otherwise
-- @param owned settings that mean nothing without data
-- @param sources where each value came from
function M.check(values, files, owned, sources)
    if values.data then
        if values[files] then fault.raisef("%s and data are both set: give one of them", files) end
        if sources and sources.dynamic_masking and values.dynamic_masking == false then
            fault.raise("dynamic_masking is false, but items of data come without masks: leave it out")
        end
        return
    end
    for _, name in ipairs(owned or {}) do
        if values[name] ~= nil then
            fault.raisef("%s is for data, a function that a recipe gives: leave it out", name)
        end
    end
end

--- What the recipe's function gets besides epoch and seed.
local function run_of(job)
    return { phase = job.run.phase, max_seq_length = job.values.max_seq_length, tokenizer = job.words }
end

--- A line for the user: into the log once it is open, among the warnings before.
local function teller(job)
    return function(text)
        if job.log then job.log:note(text) else job.run.warnings[#job.run.warnings + 1] = text end
    end
end

--- Batches of pre-training.
-- @param job of the runner
-- @param config, words the model's
-- @param next_sentence whether next sentences are predicted
-- @return stream; lines about it
function M.open(job, config, words, next_sentence)
    local values = job.values
    if next_sentence then
        -- What a loss or a model of the recipe's own reads, it alone knows.
        next_sentence = not values.loss and not model_choice.is_own(values) and "required" or nil
    end
    job.words = words
    local batches = stream.open(values.data, {
        words = words, batch_size = values.batch_size, max_seq_length = values.max_seq_length,
        max_predictions_per_seq = values.max_predictions_per_seq, vocab_size = config.vocab_size,
        type_vocab_size = config.type_vocab_size, seed = values.seed, shuffle_buffer = values.shuffle_buffer,
        pack_sequences = values.pack_sequences, few_shapes = context.device() ~= "cpu",
        -- On the CPU this thread computes: reading ahead would gain nothing.
        ahead = values.num_workers > 0 and context.device() ~= "cpu",
        next_sentence = next_sentence, rank = job.ranks.rank, ranks = job.ranks.size, run = run_of(job),
        tell = teller(job),
    })
    return batches, { lua_value.shown(values.data), ("up to %d tokens long%s, dynamically masked, %s"):format(
        values.max_seq_length, values.pack_sequences and ", packed" or "", values.shuffle_buffer
        and ("shuffled among %d"):format(values.shuffle_buffer) or "in the function's order") }
end

--- A bar for going to a position, shown only if that takes long.
local function skipper(job, total)
    local began, bar = clock.monotonic(), nil
    local function visit(done)
        if done % 1000 ~= 0 or not job.ranks.main then return end
        if not bar and clock.monotonic() - began > PATIENCE_SECONDS then
            bar = progress.new { total = total, label = "skip", unit = "items" }
        end
        if bar then bar:update(done) end
    end
    return visit, function()
        if bar then bar:finish() end
        return clock.format(clock.monotonic() - began)
    end
end

--- Go to where a run resumes; its warnings say if the data there differ from those it began with.
local function resume(job)
    local run, train = job.run, job.data.train
    local before = run.start.kind == "resume" and not job.values.benchmark and checkpoint.progress(run.start.path)
    local position = before and before.data_position
    local first = run.start.step * run.accumulation
    if not before then return train:start(first) end
    local total = position and position.item or first * train.batch_size
    local visit, finish = skipper(job, total)
    local same, problem = train:start(first, position, visit)
    job.data.lines[#job.data.lines + 1] = ("%s of epoch %d dropped: this run has used them (%s)"):format(
        plural.count(train.items.item, "item"), train.items.epoch, finish())
    if not position then
        run.warnings[#run.warnings + 1] = ("%s does not say where it stood in data: the first %s are taken as used")
            :format(run.start.path, plural.count(total, "item"))
    end
    return same, problem
end

--- Compare the items that a fine-tuning run read with those of the run that it resumes.
local function compare(job)
    local run, now = job.run, job.data.position
    local before = run.start.kind == "resume" and run.work.train and checkpoint.progress(run.start.path)
    before = before and before.data_position
    if not before or before.checksum == now.checksum then return true end
    return false, "the items are others"
end

--- Get the job's own data ready for its first step, on every rank.
function M.begin(job)
    local run, ranks = job.run, job.ranks
    if not job.values.data or not run.work.train or run.first_step > run.last_step then return end
    local same, problem
    ranks:together(function()
        if job.data.train.start then same, problem = resume(job) else same, problem = compare(job) end
        if not same then
            run.warnings[#run.warnings + 1] = ("data: %s than when %s was written; the run will differ from one that "
                .. "never stopped: %s"):format(problem, run.start.path, SAME)
        end
    end)
    M.position(job, run.start.step, ranks.size)
end

--- Where the data stand after a step, for progress.json; nil for a job without data of its own. With several ranks it
-- is compared among them.
-- @param ahead micro-batches beyond the step to compare, or nil
function M.position(job, step, ahead)
    if not job.values.data or not job.run.work.train then return nil end
    local train, ranks = job.data.train, job.ranks
    local position
    ranks:together(function()
        local n = step * job.run.accumulation + (ahead or 0)
        position = train.position and train:position(n) or job.data.position
    end)
    if ranks.size > 1 then ranks:require_equal(position.checksum, "items of data", SAME) end
    return position
end

--- All items of a fine-tuning job, as the records that a file of them would give (data/records.lua).
-- @param columns names of the fields: text, pair, label
-- @return records; number of each in the iterator; whether they have pairs; position after the last
function M.records(job, columns)
    local items = Items.new(job.values.data, { run = run_of(job), seed = job.values.seed, no_ids = true,
        label_lists = true, tell = teller(job) })
    local list, numbers, pairs_at = {}, {}, nil
    items:open(1)
    for item in items.next_of_epoch, items do
        if item.label == nil then items:wrong("no label", "{ text = ..., label = ... }") end
        local has_pair = item.pair ~= nil
        if pairs_at == nil then pairs_at = has_pair end
        if pairs_at ~= has_pair then
            items:wrong(has_pair and "a pair" or "no pair", "that all items have one, or none has")
        end
        local label = item.label
        list[#list + 1] = { [columns.text] = item.text, [columns.pair] = item.pair,
            [columns.label] = type(label) == "table" and label or type(label) == "number" and ("%.14g"):format(label)
                or tostring(label) }
        numbers[#numbers + 1] = item.number
    end
    if #list == 0 then fault.raisef("data (%s): its iterator returned no item", lua_value.shown(job.values.data)) end
    return list, numbers, pairs_at, items:position()
end

--- What the final table says of a job's own data: {name, text}, or nil.
function M.row(job)
    local run = job.run
    -- Data are not read where no step is left.
    local train = job.values.data and run.work.train and run.first_step <= run.last_step and job.data.train
    return train and train.summary and { "data", train:summary() } or nil
end

return M
