--- Whether samples can teach what they are for: one line for each way in which labels or lengths are degenerate. Every
-- path from text to samples counts the same numbers and asks here; so does training, of the first shard it reads.
-- Nothing is refused: a small trial may be so on purpose.
-- @module bertlua.data.sample_checks

local plural = require "bertlua.util.plural"

local checks = {}

-- Fewer samples than these may have one kind of label by chance.
local ENOUGH = 20
-- Real tokens as a share of a sample's room, below which most of it is padding.
local LEAST_FILL = 0.4
-- Share of masked tokens; 0.15 is usual.
local LEAST_MASKED, MOST_MASKED = 0.05, 0.4
local MOST_UNKNOWN = 0.05
local MOST_REPEATED = 0.05
local MOST_SHORT = 0.5
-- How many times more, or less, than was asked for.
local MOST_HELD_OUT = 1.5

local function percent(part, whole)
    local share = 100 * part / whole
    return share > 0 and share < 0.95 and ("%.1f %%"):format(share) or ("%.0f %%"):format(share)
end

--- What to do about documents that are too large.
local function border_of(hints)
    return hints.border or "put blank lines between documents"
end

--- What to do about documents that are too small.
local function join_of(hints)
    return hints.join or hints.border or "leave blank lines only between documents"
end

--- Lines about documents, as soon as they are known.
-- @tparam table counts documents; repeated = copies of other documents; shards, single = shards with one document
-- @tparam table hints border = how a user of this path tells where documents end
-- @return list of lines
function checks.documents(counts, hints)
    local lines = {}
    if counts.documents == 1 then
        lines[1] = ("the whole text is one document, so all next_sentence_labels are 0: %s"):format(border_of(hints))
    elseif counts.single > 0 then
        lines[1] = ("shards with only one document: %d of %d; their samples never have a random next sentence: %s, or "
            .. "use fewer shards"):format(counts.single, counts.shards, border_of(hints))
    end
    if counts.repeated > 0 and counts.repeated >= MOST_REPEATED * counts.documents then
        lines[#lines + 1] = ("%d of %s are copies of others: remove them, or they count more than others"):format(
            counts.repeated, plural.count(counts.documents, "document"))
    end
    return lines
end

--- A line about what is held out, where that is far from what was asked for; else nil.
-- @tparam number wanted share
-- @tparam number held, whole how much is held out, of how much
-- @tparam string noun of what is counted
-- @tparam string fix
function checks.held_out(wanted, held, whole, noun, fix)
    if wanted == 0 or whole == 0 then return nil end
    local share = held / whole
    if share <= MOST_HELD_OUT * wanted and share >= wanted / MOST_HELD_OUT then return nil end
    return ("test_share %g: %d of %s %s held out, %s of the text: %s"):format(wanted, held,
        plural.count(whole, noun), held == 1 and "is" or "are", percent(held, whole), fix)
end

--- A line about labels that are all of one kind, or nil.
local function labels_line(counts)
    if counts.samples < ENOUGH then return nil end
    if counts.random == 0 then
        return ("no sample has a random next sentence: all next_sentence_labels of %s are 0"):format(
            plural.count(counts.samples, "sample"))
    elseif counts.random == counts.samples then
        return ("every sample has a random next sentence: all next_sentence_labels of %s are 1"):format(
            plural.count(counts.samples, "sample"))
    end
end

local function masks_line(counts, settings)
    local share, wanted = counts.masked / counts.positions, settings.masked_lm_prob
    if math.max(share, wanted) > MOST_MASKED then
        return ("%s of the tokens are masked, where 15 %% is usual: little is left to predict them from: lower "
            .. "masked_lm_prob (%g)"):format(percent(counts.masked, counts.positions), wanted)
    elseif share < LEAST_MASKED then
        local cut = wanted > 2 * share and ("raise max_predictions_per_seq (%d)"):format(
            settings.max_predictions_per_seq) or ("raise masked_lm_prob (%g)"):format(wanted)
        return ("only %s of the tokens are masked, where 15 %% is usual: %s"):format(
            percent(counts.masked, counts.positions), cut)
    elseif wanted >= 0.1 and share < 0.7 * wanted then
        return ("only %s of the tokens are masked instead of %g %%: max_predictions_per_seq (%d) cuts off the rest: "
            .. "raise it to about %d"):format(percent(counts.masked, counts.positions), 100 * wanted,
            settings.max_predictions_per_seq, math.ceil(settings.max_seq_length * wanted))
    end
end

--- Lines about samples.
-- @tparam table counts documents, short = of one sentence, sentences, left_out = sentences without tokens, tokens,
--   unknown = tokens that are [UNK], samples, random = with a random next sentence, positions = real tokens in them,
--   masked = of these
-- @tparam table settings max_seq_length, max_predictions_per_seq, masked_lm_prob
-- @tparam table hints border, join = how a user of this path joins what is one document (default: as border); named =
--   whether checks.documents has said already why all labels are 0
-- @return list of lines
function checks.samples(counts, settings, hints)
    local lines = {}
    local function add(line) lines[#lines + 1] = line end
    if counts.documents > 1 and counts.short >= MOST_SHORT * counts.documents then
        add(("%d of %s have a single sentence, so the next sentence of their samples is always a random one%s: join "
            .. "what belongs together: %s"):format(counts.short, plural.count(counts.documents, "document"),
            counts.short == counts.documents and " (all next_sentence_labels are 1)" or "", join_of(hints)))
    elseif not hints.named then
        add(labels_line(counts))
    end
    if counts.samples > 0 and counts.positions < LEAST_FILL * settings.max_seq_length * counts.samples then
        local mean = counts.positions / counts.samples
        local shorter = math.max(8, 2 ^ math.ceil(math.log(1.5 * mean) / math.log(2)))
        add(("samples have %.0f tokens on average, %s of their %d are padding: %sare documents cut too small? %s")
            :format(mean, percent(settings.max_seq_length - mean, settings.max_seq_length), settings.max_seq_length,
            shorter < settings.max_seq_length and ("shorter ones (%d) would do, or "):format(shorter) or "",
            join_of(hints)))
    end
    if counts.positions > 0 then add(masks_line(counts, settings)) end
    if counts.unknown > MOST_UNKNOWN * counts.tokens then
        add(("%s of the tokens are [UNK]: the vocabulary does not fit the text: its language, or do_lower_case?")
            :format(percent(counts.unknown, counts.tokens)))
    end
    if counts.left_out > 0 then
        add(("%s left out: no token in them"):format(plural.count(counts.left_out, "sentence")))
    end
    return lines
end

--- Lines about a shard, for a training run.
-- @param shard from bertlua.data.read_shard
-- @tparam table options next_sentence = whether the run learns from these labels; masked = whether from these masks
-- @return list of lines
function checks.shard(shard, options)
    local counts = { samples = shard.held, random = 0, masked = 0 }
    for i = 0, shard.held - 1 do
        local label, masked = shard:labels(i)
        counts.random = counts.random + label
        counts.masked = counts.masked + masked
    end
    local lines = {}
    if options.next_sentence then
        local line = labels_line(counts)
        if line then
            lines[1] = ("%s: %s: nothing is learned of next sentences: make the shards again with documents told "
                .. "apart, or train with --objectives mlm"):format(shard.path, line)
        end
    end
    if options.masked and counts.samples > 0 and counts.masked == 0 then
        lines[#lines + 1] = ("%s: no token is masked in any of %s: nothing is learned of words: train with "
            .. "--dynamic-masking, or make the shards again"):format(shard.path,
            plural.count(counts.samples, "sample"))
    end
    return lines
end

--- Write lines as warnings.
function checks.warn(lines)
    for _, line in ipairs(lines) do io.stderr:write("warning: " .. line .. "\n") end
end

return checks
