--- Learns a WordPiece vocabulary from text: byte-pair joins of the most
-- frequent neighbours over word counts. Words are split as the tokenizer splits
-- them. The same text gives the same vocabulary, whatever the order of the files.
-- @module bertlua.text.vocab_trainer

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local signal = require "bertlua.signal"
local text_native = require "bertlua.text"
local text_stream = require "bertlua.text_stream"

local M = {}

M.DEFAULTS = { vocab_size = 30522, min_frequency = 2, alphabet_limit = 1000, do_lower_case = true }

-- Text goes to the engine in pieces, split at white space; one without any is split where it is as long as this.
local CHUNK_BYTES = 4 * 1024 * 1024
-- Memory that a process uses besides the words: the interpreter, chunks of text, the table of characters.
local FIXED_BYTES = 64 * 2 ^ 20
-- A fixed fraction, not what is free now: which words are left out must not depend on chance.
local TABLE_SHARE = 0.85
-- The engine's tables are of no use below some size.
local LEAST_TABLE = 2 ^ 20
-- Joins between reports.
local JOINS = 200

local function stop_if_interrupted()
    local name = signal.pending()
    if name then fault.raise("interrupted by " .. name .. ": no vocabulary was written") end
end

--- Whether a file's name is *.txt, perhaps compressed.
local function is_text_name(name)
    name = name:lower():gsub("%.gz$", ""):gsub("%.bz2$", ""):gsub("%.xz$", ""):gsub("%.zst$", "")
    return name:match "%.txt$" ~= nil
end

--- Text files below a folder: those named *.txt (or .txt.gz, .txt.bz2, .txt.xz, .txt.zst), or every regular file if
-- there is none. Names that begin with a dot are nobody's text, and a folder that links lead to again is read once.
-- @tparam string folder
-- @tparam ?string skip a folder below it that is left out
-- @return sorted list of paths, number of files left out; a fault if the folder is missing or contains no files
function M.find_files(folder, skip)
    local plain, text, seen = {}, {}, {}
    local function is_new(path)
        local id = fs.identity(path)
        local new = id ~= nil and not seen[id]
        seen[id or path] = true
        return new
    end
    if skip then is_new(skip) end
    local function walk(path)
        for _, name in ipairs(fault.check(fs.list(path))) do
            local child = fs.join(path, name)
            local hidden = name:sub(1, 1) == "."
            if not hidden and fs.is_directory(child) then
                if is_new(child) then walk(child) end
            elseif not hidden then
                plain[#plain + 1] = child
                if is_text_name(name) then text[#text + 1] = child end
            end
        end
    end
    is_new(folder)
    walk(folder)
    local files = #text > 0 and text or plain
    if #files == 0 then fault.raise(folder .. ": contains no files, expected text files (*.txt)") end
    return files, #plain - #files
end

--- Iterator over pieces of a file's text: text, bytes of the file taken in.
local function pieces_of(path)
    local stream = fault.check(text_stream.open(path))
    return function()
        local piece = fault.check(stream:read())
        if piece ~= "" then return piece, stream:describe().position end
        stream:close()
    end
end

local function add_file(trainer, path, pieces, report)
    local rest, done = "", 0
    for piece, position in pieces(path) do
        local text = rest .. piece
        -- A piece may end within a word, which is taken together with the next one.
        local whole = text:match "^.*[ \t\n]()" or #text > CHUNK_BYTES and #text + 1 or 1
        rest = text:sub(whole)
        trainer:add(text:sub(1, whole - 1))
        report(position - done)
        done = position
        stop_if_interrupted()
    end
    trainer:add(rest)
end

--- The smallest memory_limit that M.train accepts, in bytes.
function M.least_memory()
    return (FIXED_BYTES + LEAST_TABLE) / TABLE_SHARE
end

--- Bytes for the engine's tables so that the process stays within a limit.
local function table_bytes(memory_limit)
    local bytes = math.floor(TABLE_SHARE * memory_limit - FIXED_BYTES)
    if bytes < LEAST_TABLE then
        fault.raisef("memory_limit is %.0f MiB, but learning a vocabulary needs at least %.0f MiB",
            memory_limit / 2 ^ 20, math.ceil(M.least_memory() / 2 ^ 20))
    end
    return bytes
end

local function option(options, name, kind)
    local value = options[name]
    if value == nil then value = M.DEFAULTS[name] end
    if type(value) ~= kind then
        error(("vocab_trainer: %s is %s, expected a %s"):format(name, type(value), kind), 3)
    end
    return value
end

--- A line about the words left out, or nil if there are none.
function M.rare_text(stats)
    if stats.rare_distinct_words == 0 then return nil end
    local often = stats.rare_count == 1 and "once" or ("at most %d times"):format(stats.rare_count)
    return ("%d of %d distinct words, which occur %s (%.2f %% of the text), did not fit into memory_limit and were "
        .. "ignored in learning"):format(stats.rare_distinct_words, stats.distinct_words, often,
        100 * stats.rare_words / stats.words)
end

--- What a user should know of a vocabulary: one line each for words that become [UNK], were ignored, or are missing.
-- @tparam table stats of M.train
-- @tparam table options vocab_size, min_frequency
-- @return list of lines
function M.notes(stats, options)
    local lines = {}
    if stats.uncovered_words > 0 then
        lines[1] = ("%d words (%.3f %%) have a character outside the alphabet of %d of %d characters and become [UNK]; "
            .. "a larger alphabet_limit keeps them"):format(stats.uncovered_words, 100 * stats.uncovered_words
            / stats.words, stats.alphabet, stats.characters)
    end
    lines[#lines + 1] = M.rare_text(stats)
    if stats.tokens < options.vocab_size then
        lines[#lines + 1] = ("the text yields only %d tokens, not %d: no remaining pair occurs %s"):format(
            stats.tokens, options.vocab_size, plural.count(options.min_frequency, "time"))
    end
    return lines
end

--- Learn a vocabulary.
-- @tparam table options files = list of paths, or iterator = function that returns the next text and nil at the end;
--   vocab_size, min_frequency (how often a pair must occur to be joined), alphabet_limit (distinct characters kept),
--   do_lower_case: see DEFAULTS; pieces = function(path) that returns an iterator over (text, bytes of the file taken
--   in), for files that are not just text; output_file = where the vocabulary goes, one token per line;
--   memory_limit = bytes for the whole process, or nil for no limit: counts that do not fit go to temporary files in
--   scratch_folder, and if there are more distinct words than can be learned from, the rarest are left out (stats);
--   on_read = function(additional bytes), on_join = function(tokens, vocab_size)
-- @return list of tokens, indexed by id + 1
-- @return stats: words, distinct_words, uncovered_words, rare_words, rare_distinct_words, rare_count, characters,
--   alphabet, tokens, last_pair_count
function M.train(options)
    local vocab_size = option(options, "vocab_size", "number")
    local min_frequency = option(options, "min_frequency", "number")
    local alphabet_limit = option(options, "alphabet_limit", "number")
    local trainer = text_native.trainer(option(options, "do_lower_case", "boolean"))
    if options.memory_limit then trainer:limit(table_bytes(options.memory_limit), options.scratch_folder) end
    local on_read, on_join = options.on_read or function() end, options.on_join or function() end
    if options.iterator then
        for text in options.iterator do
            trainer:add(text)
            on_read(#text)
        end
    elseif type(options.files) == "table" then
        for _, path in ipairs(options.files) do add_file(trainer, path, options.pieces or pieces_of, on_read) end
    else
        error("vocab_trainer: neither files nor iterator given, expected one of them", 2)
    end
    fault.check(trainer:begin(vocab_size, min_frequency, alphabet_limit))
    repeat
        local done = trainer:step(JOINS)
        on_join(trainer:stats().tokens, vocab_size)
        stop_if_interrupted()
    until done
    local stats, tokens = trainer:stats(), {}
    for id = 0, stats.tokens - 1 do tokens[id + 1] = trainer:token(id) end
    if options.output_file then
        fault.check(fs.write_output(options.output_file, table.concat(tokens, "\n") .. "\n"))
    end
    return tokens, stats
end

return M
