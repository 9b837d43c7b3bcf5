--- Text files as token arrays: which documents go into which shard, and the
-- documents of one shard tokenised into flat arrays.
-- For sampling from them, see bertlua.data.instances.
-- @module bertlua.data.document_files

local array = require "bertlua.array"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local random = require "bertlua.rng"

local document_files = {}

-- Stream of the seed that deals documents to shards; the shards' own streams count up from 1.
local DEAL_STREAM = 0

--- Find the documents of text files.
-- @return Documents (see bertlua.data) with the field bytes, their total size
function document_files.scan(files)
    local documents = fault.check(data.scan_documents(files))
    local bytes = 0
    for i = 0, documents:count() - 1 do
        local _, _, size = documents:get(i)
        bytes = bytes + size
    end
    documents.bytes = bytes
    return documents
end

--- Deal documents to shards of about equal size, in an order drawn from the seed.
-- Each document goes to one shard as a whole; every shard gets at least one.
-- @return list of {first, last} positions in the order, and the order (int64 array of document numbers); within a
--   shard the documents are read in file order, so that reading only moves forward
function document_files.deal(documents, shards, seed)
    local count = documents:count()
    local order = array.int64(math.max(count, 1))
    for i = 0, count - 1 do order[i] = i end
    random.new(seed, DEAL_STREAM):shuffle(order, count)
    local plan, position, passed = {}, 0, 0
    for shard = 1, shards do
        local first = position
        local target = documents.bytes * shard / shards
        -- Leave one document for each remaining shard.
        while position < count - (shards - shard) and (position == first or passed < target) do
            local _, _, bytes = documents:get(order[position])
            passed = passed + bytes
            position = position + 1
        end
        plan[shard] = { first = first, last = position - 1 }
    end
    plan[shards].last = count - 1
    return plan, order
end

local function sorted_numbers(order, first, last)
    local numbers = {}
    for i = first, last do numbers[#numbers + 1] = tonumber(order[i]) end
    table.sort(numbers)
    return numbers
end

--- Reads documents, keeping the last file open.
local function reader(documents)
    local open_number, file
    return function(i)
        local number, begin, bytes = documents:get(i)
        local path = documents.paths[number]
        if number ~= open_number then
            if file then file:close() end
            open_number = number
            file = fault.check(io.open(path, "rb"))
        end
        file:seek("set", begin)
        local text = file:read(bytes)
        if not text or #text ~= bytes then fault.raise(path .. ": changed while it was being read; start again") end
        return text
    end
end

--- How often an id occurs.
-- @param ids int32 array
-- @tparam number n how many of them
-- @tparam number id
function document_files.occurrences(ids, n, id)
    local count = 0
    for i = 0, n - 1 do
        if ids[i] == id then count = count + 1 end
    end
    return count
end

--- Tokenise the documents of one shard.
-- @param documents from scan
-- @param order, part from deal
-- @param tokenizer with encode_array(text) -> int32 array, n
-- @tparam function report called with the bytes read so far, or nil
-- @return {documents, document_starts, sentences, sentence_starts, tokens (int32 list), bytes} for instances.create;
--   documents and sentences without tokens are left out; counts {short: documents of one sentence, unknown: tokens
--   that are [UNK], left_out: sentences without tokens}
function document_files.tokenize(documents, order, part, tokenizer, report)
    local tokens, sentence_starts, document_starts = data.int32_list(), data.int32_list(), data.int32_list()
    local read = reader(documents)
    local bytes, kept, sentences, token_count = 0, 0, 0, 0
    local counts = { short = 0, unknown = 0, left_out = 0 }
    local unknown = tokenizer.unk_id or -1
    for _, i in ipairs(sorted_numbers(order, part.first, part.last)) do
        local text = read(i)
        local before = sentences
        for line in text:gmatch("[^\n]+") do
            local ids, n = tokenizer:encode_array(line)
            if n > 0 then
                sentence_starts:add(token_count)
                tokens:append(ids, n)
                token_count = token_count + n
                sentences = sentences + 1
                counts.unknown = counts.unknown + document_files.occurrences(ids, n, unknown)
            else
                counts.left_out = counts.left_out + 1
            end
        end
        if sentences > before then
            document_starts:add(before)
            kept = kept + 1
            if sentences == before + 1 then counts.short = counts.short + 1 end
        end
        bytes = bytes + #text
        if report then report(bytes) end
    end
    sentence_starts:add(token_count)
    document_starts:add(sentences)
    return {
        documents = kept,
        document_starts = document_starts:pointer(),
        sentences = sentences,
        sentence_starts = sentence_starts:pointer(),
        tokens = tokens,
        token_count = token_count,
        bytes = bytes,
        counts = counts,
        -- The pointers above live as long as these.
        owners = { sentence_starts, document_starts },
    }
end

return document_files
