--- What a user asks of the preparation, checked before hours of work: stages in an order that makes sense, and no
-- setting that would be left unused without a word.
-- @module bertlua.corpus.asked

local fault = require "bertlua.fault"

local asked = {}

asked.STAGES = { "download", "verify", "extract", "sentences", "shard", "vocab", "hdf5" }

--- Number of a stage in the order in which they build on each other; nil if there is none of that name.
local function number_of(name)
    for i, known in ipairs(asked.STAGES) do
        if known == name then return i end
    end
end

--- "a,b" to the list of stages, checked.
-- @tparam string text
-- @return list of names
function asked.stages(text)
    local list, last = {}, nil
    for name in text:gmatch "[^,%s]+" do
        local number = number_of(name)
        if not number then
            fault.raisef("stages: unknown stage %q, expected a list of %s", name, table.concat(asked.STAGES, ","))
        end
        -- What comes before the stage that it is made of would be made of an earlier run's files.
        if last and name ~= "verify" and number <= number_of(last) then
            fault.raisef("stages: %s after %s, expected the order %s (verify may stand anywhere)", name, last,
                table.concat(asked.STAGES, ","))
        end
        if name ~= "verify" then last = name end
        list[#list + 1] = name
    end
    if #list == 0 then fault.raise("stages: empty, expected at least one stage") end
    return list
end

--- Refuse a source that is named, but that the variant does not read.
local function check_sources(values)
    for setting, variant in pairs { corpus_dir = "corpus", books_dir = "wiki_books" } do
        if values[setting] and values.variant ~= variant then
            fault.raisef("%s is set, but variant is %s, which does not read it: add --variant %s, or leave it out",
                setting, values.variant, variant)
        end
    end
    if values.variant == "corpus" or values.variant == "squad" then
        for _, setting in ipairs { "wikipedia", "wikipedia_index", "wikipedia_url", "wikipedia_index_url" } do
            if values[setting] then
                fault.raisef("%s is set, but variant is %s, which does not read it: leave one of them out", setting,
                    values.variant)
            end
        end
    elseif values.wikipedia and values.wikipedia_url then
        fault.raise("wikipedia and wikipedia_url are both set: a dump is either here or fetched")
    end
end

--- Settings that a command names, but that none of its stages uses, one line each.
-- @tparam table values settings of bertlua.jobs.corpus.prepare
-- @tparam table given name to "command line" for those that the command line names
-- @tparam table wanted set of the stages' names
-- @return list of lines
function asked.unused(values, given, wanted)
    local lines = {}
    local function say(reason, ...)
        for _, name in ipairs { ... } do
            if given[name] == "command line" then lines[#lines + 1] = ("%s is ignored: %s"):format(name, reason) end
        end
    end
    check_sources(values)
    local variant = "variant is " .. values.variant
    if values.variant ~= "corpus" then say(variant, "border") end
    if values.variant ~= "corpus" and values.variant ~= "wiki_books" then
        say(variant, "invalid_utf8", "encoding", "text_form", "text_field")
    end
    if values.variant ~= "squad" then say(variant, "squad_url") end
    if values.variant == "corpus" then
        say(variant, "mirrors", "dump_date", "checksum", "retries", "retry_wait", "timeout")
    elseif values.wikipedia then
        say("the dump is here (wikipedia)", "mirrors", "dump_date", "retries", "retry_wait", "timeout")
    elseif values.wikipedia_url then
        say("the dump is named (wikipedia_url)", "mirrors", "dump_date")
    end
    -- Stages may be run one by one with the settings of all; only a run up to the samples says what it wants in them.
    if wanted.hdf5 and not wanted.vocab then
        say("stage vocab is not among the stages", "vocab_size", "min_frequency", "alphabet_limit")
    elseif wanted.hdf5 and values.vocab_file then
        lines[#lines + 1] = ("the vocabulary of stage vocab is not used: vocab_file is %s"):format(values.vocab_file)
    end
    return lines
end

return asked
