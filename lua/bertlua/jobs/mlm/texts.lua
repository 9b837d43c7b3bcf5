--- The texts of a run: read, divided into those to train on and held-out ones, made into sequences; with what is to be
-- said about them.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local masked_sequences = require "bertlua.data.masked_sequences"
local packing = require "bertlua.data.packing"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local sample_checks = require "bertlua.data.sample_checks"
local text_files = require "bertlua.data.text_files"
local text_source = require "bertlua.data.text_source"
local text_stream = require "bertlua.text_stream"
local token_corpus = require "bertlua.data.token_corpus"

local M = {}

-- Pairs of held-out texts are drawn from this seed, whatever that of the run.
local HELD_OUT_SEED = 12345

-- How many times more, or less, of the text may be held out than was asked for, without a word.
local MOST_HELD_OUT = 1.5

local BORDER = "name what separates documents with --border"

--- Add to what is said about a run.
local function say(list, path, text) list[#list + 1] = ("%s: %s"):format(path, text) end

--- What was special about the files, as lines and warnings.
local function tell_files(job, name, files, others, counts)
    local lines, warnings = job.data.lines, job.run.warnings
    for _, text in ipairs(text_source.told(counts.kinds)) do say(lines, name, text) end
    if others > 0 then
        say(lines, name, plural.count(others, "other file is", "other files are") .. " left out, as the names do not "
            .. "end in .txt, .jsonl or the like")
    end
    if counts.long > 0 then
        say(lines, name, ("%s of more tokens than fit in a sequence: taken as several"):format(
            plural.count(counts.long, "sentence")))
    end
    if counts.empty_files > 0 then
        say(warnings, name, ("%d of %s %s no text"):format(counts.empty_files, plural.count(#files, "file"),
            counts.empty_files == 1 and "has" or "have"))
    end
    if counts.replaced > 0 then
        say(warnings, name, ("invalid UTF-8: %s replaced by U+FFFD"):format(plural.count(counts.replaced, "byte")))
    end
    local field = text_source.unused_field(job.values.text_field, counts.kinds)
    if field then say(warnings, name, field) end
end

--- Read the texts that a setting names; with a bar on rank 0.
-- @param name of the setting, or of the field of `evaluate`
-- @param path its value
-- @return {path, files, listed: see text_files, corpus, counts}
function M.read(job, name, path)
    local values = job.values
    if values.encoding then fault.check(text_stream.check_encoding(values.encoding)) end
    local files, others = text_files.find(path, "--" .. name:gsub("_", "-"))
    local total = 0
    for _, file in ipairs(files) do total = total + (fs.size(file) or 0) end
    local bar = job.ranks.main and total > 0 and progress.new { total = total, label = "read", unit = "bytes" }
    local corpus, counts = token_corpus.read { files = files, words = job.data.words, border = values.border,
        locale = values.locale, encoding = values.encoding, invalid_utf8 = values.invalid_utf8,
        text_field = values.text_field, longest = values.max_seq_length - 3,
        on_progress = bar and function(bytes) bar:update(math.min(bytes, total)) end }
    if bar then bar:finish() end
    if corpus.token_count == 0 then
        fault.raisef("%s: no text in %s", path, plural.count(#files, "file"))
    end
    say(job.data.lines, path, ("%s of %s"):format(plural.count(corpus.token_count, "token"),
        plural.count(corpus.documents, "document")))
    tell_files(job, path, files, others, counts)
    return { path = path, files = files, listed = text_files.listed(files), corpus = corpus, counts = counts }
end

--- A corpus as sequences.
-- @param seed of pairs
-- @return set of bertlua.data.packing
local function sequences_of(job, corpus, seed)
    local values = job.values
    if values.next_sentence then
        return packing.pairs(corpus, job.data.words, values.max_seq_length, seed)
    end
    return packing.full(corpus, job.data.words, values.max_seq_length)
end

--- Lines about samples that can teach little.
-- @param set to train on
-- @param corpus, counts of all that was read
local function warn_of_samples(job, path, set, corpus, counts)
    local values, pairs_of = job.values, job.values.next_sentence
    local most = values.max_predictions_per_seq
        or masked_sequences.most_masked(values.max_seq_length, values.masked_lm_prob)
    local mean = set.positions / set.count
    local lines = sample_checks.samples({
        -- Lengths and labels matter for pairs alone.
        samples = pairs_of and set.count or 0, random = set.random, documents = pairs_of and corpus.documents or 0,
        short = counts.short, positions = set.positions,
        masked = set.count * math.min(most, math.max(1, mean * values.masked_lm_prob)),
        unknown = counts.unknown, tokens = corpus.token_count, left_out = counts.left_out,
    }, { max_seq_length = values.max_seq_length, masked_lm_prob = values.masked_lm_prob,
        max_predictions_per_seq = most }, { border = BORDER, named = not pairs_of or corpus.documents == 1 })
    if pairs_of and corpus.documents == 1 then
        lines[#lines + 1] = "the whole text is one document, so no pair has a random next sentence: " .. BORDER
    end
    for _, line in ipairs(lines) do say(job.run.warnings, path, line) end
end

--- A set in words: "2111 tokens to train on, 17 full sequences".
local function describe(job, set, what)
    return ("%s %s, %s"):format(plural.count(set.corpus.token_count, "token"), what,
        plural.count(set.count, job.values.next_sentence and "pair" or "full sequence"))
end

--- A warning where held-out pairs are all of one kind.
local function warn_of_pairs(job, path, set)
    if not set.random or set.random > 0 and set.random < set.count then return end
    say(job.run.warnings, path, ("held-out text of %s: %s of its %s has a random next sentence, so the accuracy of NSP "
        .. "says nothing"):format(plural.count(set.corpus.documents, "document"), set.random == 0 and "none" or "each",
        plural.count(set.count, "pair")))
end

--- Texts to evaluate on.
-- @param name, path as in read()
-- @return {set, listed, path}
function M.held_out(job, name, path)
    local text = M.read(job, name, path)
    local set = sequences_of(job, text.corpus, HELD_OUT_SEED)
    say(job.data.lines, path, describe(job, set, "held out"))
    -- Whether the vocabulary fits; how it is masked or divided is no matter here.
    for _, line in ipairs(sample_checks.samples({ samples = 0, documents = 0, positions = 0, tokens =
        text.corpus.token_count, unknown = text.counts.unknown, left_out = text.counts.left_out }, {},
        { named = true })) do
        say(job.run.warnings, path, line)
    end
    warn_of_pairs(job, path, set)
    return { set = set, listed = text.listed, path = path }
end

--- Take what is held out of the texts to train on; nil where nothing is.
local function divide(job, text, has_dev)
    local share, whole = job.values.dev_share, text.corpus
    if has_dev or share == 0 then return whole, nil end
    -- A random next sentence is one of another document: parts of one must not pass for several.
    local kept, held, by = token_corpus.split(whole, share, job.values.next_sentence)
    if held.token_count == 0 then
        fault.raisef("%s: a single %s, of which no share can be held out: set --dev-share 0, or name a --dev-file",
            text.path, job.values.next_sentence and "document" or "sentence")
    end
    local is = held.token_count / whole.token_count
    if is > MOST_HELD_OUT * share or is < share / MOST_HELD_OUT then
        say(job.run.warnings, text.path, ("dev_share %g: %.0f %% of the tokens are held out, as %s are large: name a "
            .. "--dev-file, or separate documents with --border"):format(share, 100 * is,
            by == "documents" and by or "sentences"))
    end
    whole:free()
    return kept, held, by
end

--- Texts to train on, and those held out of them.
-- @param has_dev whether other texts are evaluated on
-- @return {set, listed, path}; {set} of those held out, or nil
function M.training(job, path, has_dev)
    local values, lines = job.values, job.data.lines
    local text = M.read(job, "train_file", path)
    local corpus, held, by = divide(job, text, has_dev)
    local set, dev = sequences_of(job, corpus, values.seed), nil
    say(lines, path, describe(job, set, "to train on"))
    warn_of_samples(job, path, set, text.corpus, text.counts)
    if held then
        dev = { set = sequences_of(job, held, HELD_OUT_SEED), of_training = true }
        say(lines, path, describe(job, dev.set, ("held out as %s (dev_share %g)"):format(by, values.dev_share)))
        warn_of_pairs(job, path, dev.set)
    elseif not has_dev then
        say(lines, path, "nothing is held out (dev_share 0): the model is not evaluated")
    end
    return { set = set, listed = text.listed, path = path }, dev
end

return M
