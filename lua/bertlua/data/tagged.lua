--- Tagged words out of files: CoNLL columns, or JSON lines {"words": [...], "tags": [...]}; and as sequences.
--
-- A CoNLL file has a word a line, its columns separated by tabs, or else by blanks, and a blank line between sentences;
-- lines that begin with -DOCSTART- are skipped. What the tags mean does not belong here: see metrics/spans.lua.
-- @module bertlua.data.tagged

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local text_source = require "bertlua.data.text_source"

local tagged = {}

--- Columns of a line, split at tabs, or at runs of blanks.
local function columns_of(line, tabs)
    local list = {}
    if tabs then
        for field in (line .. "\t"):gmatch "(.-)\t" do list[#list + 1] = field end
        return list
    end
    for field in line:gmatch "[^ ]+" do list[#list + 1] = field end
    return list
end

--- The number of a column that a setting names; nil without the setting.
local function number_of(name, path, setting)
    if name == nil then return nil end
    local number = tonumber(name)
    if not number or number < 1 or number % 1 ~= 0 then
        fault.raisef("%s has columns without names: %s is %q, expected the number of a column, from 1", path, setting,
            name)
    end
    return number
end

--- Check a row against the first one, and return its columns.
local function row_of(line, first, where)
    local tabs = line:find("\t", 1, true) ~= nil
    if first.tabs == nil then first.tabs = tabs end
    if not first.tabs and tabs then
        fault.raisef("%s: a tab separates its columns, but blanks do in line %d: use one of them", where, first.line)
    end
    local columns = columns_of(line, first.tabs)
    first.count = first.count or #columns
    if #columns ~= first.count then
        fault.raisef("%s: %s, but %d in line %d%s", where, plural.count(#columns, "column"), first.count, first.line,
            first.tabs and not tabs and ": tabs separate them there" or "")
    end
    return columns
end

--- Add the word of a row to a sentence, and its tag where tags are wanted.
-- @param at {word, tag}: their columns; tag nil for the last one
local function add_row(sentence, columns, at, where)
    local labeled = sentence.tags ~= nil
    local tag_column = labeled and (at.tag or #columns)
    local word, tag = columns[at.word], tag_column and columns[tag_column]
    if labeled and #columns < 2 and not at.tag then
        fault.raisef("%s: one column, expected a word and its tag", where)
    end
    if not word or tag_column and not tag then
        fault.raisef("%s: %s, but column %d is wanted", where, plural.count(#columns, "column"),
            word and tag_column or at.word)
    end
    if tag_column == at.word then
        fault.raisef("%s: column %d is that of the words and of their tags: name another one with --text-column or "
            .. "--label-column", where, at.word)
    end
    if word == "" then fault.raisef("%s: the word is empty", where) end
    if tag == "" then fault.raisef("%s: the tag is empty", where) end
    sentence.words[#sentence.words + 1] = word
    if tag then sentence.tags[#sentence.tags + 1] = tag end
end

local function each_of_columns(next_line, path, options)
    local first, number = {}, 0
    local at = { word = number_of(options.text_column, path, "text_column") or 1,
        tag = number_of(options.label_column, path, "label_column") }
    return function()
        local current
        while true do
            local line = next_line()
            number = number + 1
            if not line then return current end
            if line:find "%S" and not line:find "^%-DOCSTART%-" then
                first.line = first.line or number
                local where = ("%s:%d"):format(path, number)
                local columns = row_of(line, first, where)
                current = current or { words = {}, tags = options.labeled and {} or nil, line = number }
                add_row(current, columns, at, where)
            elseif current then
                return current
            end
        end
    end
end

--- A list of a JSON record, as strings.
-- @param is_tags whether they are tags, which may be any numbers
local function list_of(record, name, where, is_tags)
    local list = record[name]
    if type(list) ~= "table" or #list == 0 then
        fault.raisef('%s: "%s" is %s, expected a list of words%s', where, name,
            list == nil and "missing" or type(list) == "table" and "empty" or "no list",
            list == nil and ": name the field with " .. (is_tags and "--label-column" or "--text-column") or "")
    end
    local strings = {}
    for i, item in ipairs(list) do
        -- A number with more digits, or with a fraction, would become another word than the file has.
        if type(item) == "number" and (is_tags or item % 1 == 0 and math.abs(item) < 1e14) then
            item = ("%.14g"):format(item)
        end
        if type(item) ~= "string" or item == "" then
            fault.raisef('%s: item %d of "%s" is %s, expected a string', where, i, name,
                item == "" and "empty" or "a " .. type(item))
        end
        strings[i] = item
    end
    return strings
end

local function each_of_json(next_line, path, options)
    local number = 0
    local words_name, tags_name = options.text_column or "words", options.label_column or "tags"
    return function()
        local line
        repeat
            line, number = next_line(), number + 1
        until not line or line:find "%S"
        if not line then return nil end
        local where = ("%s:%d"):format(path, number)
        local record, reason = json.decode(line)
        if type(record) ~= "table" then
            fault.raisef("%s: not a JSON object: %s", where, reason or "it is a " .. type(record))
        end
        local sentence = { words = list_of(record, words_name, where), line = number }
        if options.labeled then
            sentence.tags = list_of(record, tags_name, where, true)
            if #sentence.tags ~= #sentence.words then
                fault.raisef("%s: %s and %s, expected as many", where, plural.count(#sentence.words, "word"),
                    plural.count(#sentence.tags, "tag"))
            end
        end
        return sentence
    end
end

--- Sentences out of lines, as they come.
-- @tparam function next_line returns the next line without its end; nil at the end
-- @tparam string path as messages call it
-- @tparam string kind "jsonl", or "conll" for columns
-- @tparam table options as in read()
-- @treturn function iterator over sentences; nil at the end
function tagged.each(next_line, path, kind, options)
    return (kind == "jsonl" and each_of_json or each_of_columns)(next_line, path, options)
end

--- Read a file: .json or .jsonl is JSON lines, anything else has columns.
-- @tparam string path
-- @tparam table options labeled: whether tags are wanted; text_column, label_column: names of the lists in JSON lines
-- ("words", "tags"), or numbers of columns from 1 (the first and the last); encoding, invalid_utf8: see
-- bertlua.data.text_source
-- @treturn {table,...} sentences {words = {string,...}, tags = {string,...} or nil, line}; a fault if there are none
function tagged.read(path, options)
    local text, kind = text_source.need(path, options), text_source.ending(path)
    local next_line, sentences = (text:gsub("\r\n", "\n") .. "\n"):gmatch "(.-)\n", {}
    for sentence in tagged.each(next_line, path, kind == "json" and "jsonl" or kind, options) do
        sentences[#sentences + 1] = sentence
    end
    if #sentences == 0 then fault.raisef("%s: contains no words", path) end
    return sentences
end

--- A growing int32 array.
local Numbers = {}
Numbers.__index = Numbers

local function numbers()
    return setmetatable({ data = array.int32(4096), capacity = 4096, count = 0 }, Numbers)
end

--- Append a number.
function Numbers:push(value)
    if self.count == self.capacity then
        local larger = array.int32(2 * self.capacity)
        array.copy(larger, self.data, 4 * self.count)
        self.data, self.capacity = larger, 2 * self.capacity
    end
    self.data[self.count] = value
    self.count = self.count + 1
end

--- Pieces of a sentence's words: ids, and for each its word from 1 where it is the word's first piece, else 0.
local function pieces_of(words, sentence, room, cut)
    local ids, firsts = {}, {}
    for w, word in ipairs(sentence.words) do
        local pieces, count = words:encode_array(word)
        if count > room then count, cut.words = room, cut.words + 1 end
        -- Every word is tagged, even one of characters that the tokenizer drops.
        if count == 0 then ids[#ids + 1], firsts[#firsts + 1] = words.unk_id, w end
        for i = 0, count - 1 do
            ids[#ids + 1], firsts[#firsts + 1] = pieces[i], i == 0 and w or 0
        end
    end
    return ids, firsts
end

--- The windows of `count` pieces: list of {from, to}; a window begins at a word.
local function windows_of(firsts, room, stride)
    local count, list, from = #firsts, {}, 1
    while true do
        local to = math.min(count, from + room - 1)
        list[#list + 1] = { from, to }
        if to == count then return list end
        -- Back to a word's first piece, but never to where this window began.
        local next_from = from + stride
        while next_from > from + 1 and firsts[next_from] == 0 do next_from = next_from - 1 end
        if firsts[next_from] == 0 then
            next_from = from + stride
            while firsts[next_from] == 0 do next_from = next_from + 1 end
        end
        from = next_from
    end
end

--- The window that sees most of what stands around the word that begins at a piece: the pieces on its nearer side
-- count, as in SQuAD; fewer than none are those of a word that is cut.
local function best_window(windows, firsts, piece)
    local last, best, most = piece, nil, -math.huge
    while firsts[last + 1] == 0 do last = last + 1 end
    for i, window in ipairs(windows) do
        if piece >= window[1] and piece <= window[2] then
            local context = math.min(piece - window[1], window[2] - last)
            if context > most then best, most = i, context end
        end
    end
    return best
end

--- Sentences as sequences: [CLS] pieces [SEP], one or more windows a sentence. Each word is tagged once, at its first
-- piece (arXiv 1810.04805, section 5.3), in the window that sees most of what stands around it.
-- @param words tokenizer
-- @tparam {table,...} sentences as read() returns them
-- @tparam table options max_length of a window, special tokens included; stride: pieces from the start of a window to
-- that of the next one; numbers: {[tag] = its number from 0}, or nil without labels
-- @treturn table sequences (see data/sequences.lua) with labels {labels = one i32 a row, -1 where no tag belongs}, and
-- of_word: int32 array beside ids, the number from 0 among all words, or -1; words: their number; windows: how many
-- sentences took more than one; cut: words of more pieces than a window holds
function tagged.sequences(words, sentences, options)
    local room = options.max_length - 2
    local ids, labels, of_word, offsets = numbers(), numbers(), numbers(), { 0 }
    local total, long, longest, cut = 0, 0, 0, { words = 0 }
    local function put(id, word, label)
        ids:push(id)
        of_word:push(word)
        labels:push(label)
    end
    for _, sentence in ipairs(sentences) do
        local pieces, firsts = pieces_of(words, sentence, room, cut)
        local windows = windows_of(firsts, room, options.stride)
        if #windows > 1 then long = long + 1 end
        for i, window in ipairs(windows) do
            put(words.cls_id, -1, -1)
            for piece = window[1], window[2] do
                local w = firsts[piece]
                if w > 0 and (#windows == 1 or best_window(windows, firsts, piece) == i) then
                    put(pieces[piece], total + w - 1, options.numbers and options.numbers[sentence.tags[w]] or -1)
                else
                    put(pieces[piece], -1, -1)
                end
            end
            put(words.sep_id, -1, -1)
            longest = math.max(longest, ids.count - offsets[#offsets])
            offsets[#offsets + 1] = ids.count
        end
        total = total + #sentence.words
    end
    local count = #offsets - 1
    local bounds, first_length = array.int32(count + 1), array.int32(count)
    for i, at in ipairs(offsets) do bounds[i - 1] = at end
    for i = 0, count - 1 do first_length[i] = bounds[i + 1] - bounds[i] end
    return { count = count, ids = ids.data, offsets = bounds, first_length = first_length,
        labels = { labels = { values = labels.data, per = "rows", fill = -1 } }, of_word = of_word.data, words = total,
        windows = long, cut = cut.words, max_length = options.max_length, longest = longest }
end

--- What reads logits into arrays: for each row that stands for a word, the likeliest tag and its probability.
-- @param set of sequences()
-- @param classes number of tags
-- @param best int32 [words], probability float [words]: get the results
-- @return function(batch, logits: 0-based f32 array [rows, classes])
function tagged.reader(set, classes, best, probability)
    return function(batch, scores)
        local segments = array.wrap(batch.segments)
        for b, s in ipairs(batch.members) do
            local first, from = segments[2 * b - 2], set.offsets[s]
            for i = 0, segments[2 * b - 1] - 1 do
                local word = set.of_word[from + i]
                if word >= 0 then
                    local row, top, sum = (first + i) * classes, 0, 0
                    for c = 1, classes - 1 do
                        if scores[row + c] > scores[row + top] then top = c end
                    end
                    for c = 0, classes - 1 do sum = sum + math.exp(scores[row + c] - scores[row + top]) end
                    best[word], probability[word] = top, 1 / sum
                end
            end
        end
    end
end

--- Tags and probabilities sentence by sentence.
-- @param sentences as read() returns them
-- @param names of the tags
-- @return list of lists of tags; list of lists of probabilities
function tagged.by_sentence(sentences, best, probability, names)
    local tags, scores, word = {}, {}, 0
    for i, sentence in ipairs(sentences) do
        tags[i], scores[i] = {}, {}
        for w = 1, #sentence.words do
            tags[i][w], scores[i][w] = names[best[word] + 1], tonumber(probability[word])
            word = word + 1
        end
    end
    return tags, scores
end

return tagged
