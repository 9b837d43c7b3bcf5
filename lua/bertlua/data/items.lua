--- Items of a recipe's own data: what its function yields, checked, epoch after epoch.
--
-- The function is called with {epoch = 1, 2, ..., seed, ...} at the start of each epoch and returns an iterator, a
-- function that returns the next item, nil at the end; or a list of items. An item is a text; or {text, pair, label},
-- pair and label being optional; or {ids, pair, label} with lists of token ids in place of the texts. Each becomes
--
--     text, pair      strings; or
--     ids, count, pair_ids, pair_count   int32 arrays and their lengths
--     label           number, string, boolean or nil
--     number, epoch   its place, for messages
--
-- A position is {epoch, item: items taken of it, checksum: CRC32C of these}. Going there again means calling the
-- function anew and dropping that many items; nothing is tokenized for it.
-- @module bertlua.data.items

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local native = require "bertlua.text"
local plural = require "bertlua.util.plural"
local random = require "bertlua.rng"
local storage = require "bertlua.storage"

local Items = {}
Items.__index = Items

-- Epoch e is shuffled with this stream of the seed, plus e.
local SHUFFLE_STREAM = 2 ^ 41
local TEXT_FORM = "{ text = ..., pair = ..., label = ... }"
local FORMS = ("a text, %s or { ids = { ... } }"):format(TEXT_FORM)
local LABELS = { ["nil"] = true, number = true, string = true, boolean = true }

--- Items of a function, which is called once the first is needed.
-- @param source the recipe's function
-- @tparam table options run: fields that the function's argument gets besides epoch and seed; seed (42);
--   shuffle_buffer (0): an item is drawn from this many that were read ahead, 0 keeps the order; vocab_size, cls_id:
--   ids are checked against them; no_ids = true: texts only; label_lists = true: a label may be a list of
--   labels, which become texts; tell = function(line): for what the user should know
function Items.new(source, options)
    local self = setmetatable({ source = source, options = options, seed = options.seed or 42, known = { text = true,
        pair = true, label = true, ids = not options.no_ids or nil }, told = {}, empty = 0, all = 0,
        shuffle_buffer = options.shuffle_buffer or 0, tell = options.tell or function() end }, Items)
    return self
end

--- "data, item 3 of epoch 1" for messages.
-- @param item nil: the one that is being read
function Items:where(item)
    return ("data, item %d of epoch %d"):format((item or self).number, (item or self).epoch)
end

--- Refuse an item.
function Items:wrong(got, expected, item)
    fault.raisef("%s (%s): got %s, expected %s", self:where(item), lua_value.shown(self.source), got, expected)
end

--- Tell something once.
function Items:once(key, text)
    if self.told[key] then return end
    self.told[key] = true
    self.tell("data: " .. text)
end

--- The iterator that the recipe's function returned.
function Items:iterator_of(value)
    local shown = lua_value.shown(self.source)
    if type(value) == "table" and getmetatable(value) == nil then
        local at = 0
        return function()
            at = at + 1
            return value[at]
        end
    end
    if value == next or value == ipairs {} then
        fault.raisef("data (%s): it returned what pairs or ipairs gives, which yields keys: return the list itself",
            shown)
    end
    if type(value) ~= "function" then
        fault.raisef("data (%s): it returned %s for epoch %d, expected a list of items, or an iterator: a function "
            .. "that returns the next item, nil at the end", shown, tostring(value), self.epoch)
    end
    return value
end

--- Call the recipe's function for an epoch.
function Items:open(epoch)
    local run = { epoch = epoch, seed = self.seed }
    for name, value in pairs(self.options.run or {}) do run[name] = value end
    self.epoch, self.item, self.number, self.checksum = epoch, 0, 0, 0
    self.iterator = self:iterator_of(lua_value.call(("data, epoch %d"):format(epoch), self.source, run))
    self.buffer, self.buffered, self.ended = {}, 0, false
    self.rng = random.new(self.seed, SHUFFLE_STREAM + epoch)
end

--- A list of token ids as an int32 array.
function Items:list_of(ids, field)
    if type(ids) ~= "table" then self:wrong(field .. " = " .. tostring(ids), "a list of token ids, as ids is one") end
    local count, size = #ids, self.options.vocab_size or 2 ^ 31
    local values = array.int32(math.max(count, 1))
    for i = 1, count do
        local id = ids[i]
        if type(id) ~= "number" or id % 1 ~= 0 or id < 0 or id >= size then
            self:wrong(("%s[%d] = %s"):format(field, i, tostring(id)),
                ("token ids from 0 to %d, which the vocabulary has"):format(size - 1))
        end
        values[i - 1] = id
    end
    if count > 0 and values[0] == self.options.cls_id then
        self:wrong(("%s that begin with [CLS]"):format(field), "ids without [CLS] and [SEP]: these are added")
    end
    return values, count
end

--- Say which fields of an item are not read.
function Items:note_unknown(value)
    for name in pairs(value) do
        if not self.known[name] then
            self:once(name, ("the field %s of items is ignored"):format(tostring(name)))
        end
    end
end

--- Other bytes would be dropped by the tokenizer.
function Items:check_utf8(field, value)
    local bad = native.invalid_utf8(value)
    if bad then
        self:wrong(("%s = bytes that are not UTF-8 (0x%02x at byte %d)"):format(field, value:byte(bad + 1), bad),
            "UTF-8 text")
    end
end

--- A list of labels, as texts.
function Items:labels_of(given)
    local list = {}
    for i, label in ipairs(given) do
        if type(label) == "table" then
            self:wrong(("label[%d] = a table"):format(i), "a number, a text, true or false")
        end
        list[i] = type(label) == "number" and ("%.14g"):format(label) or tostring(label)
    end
    if #list == 0 and next(given) ~= nil then
        self:wrong("label = a table without [1]", "a label, or a list of labels")
    end
    return list
end

--- An item in the form above; nil if it is empty.
function Items:checked(value)
    if type(value) == "string" then value = { text = value } end
    if type(value) ~= "table" then self:wrong("a " .. type(value), FORMS) end
    self:note_unknown(value)
    local text, pair, label = value.text, value.pair, value.label
    if type(label) == "table" and self.options.label_lists then
        label = self:labels_of(label)
    elseif not LABELS[type(label)] then
        self:wrong("label = a " .. type(label), "a number, a text, true or false")
    end
    if value.ids ~= nil and not self.options.no_ids then
        if text ~= nil then self:wrong("both text and ids", "one of them") end
        local item = { label = label }
        item.ids, item.count = self:list_of(value.ids, "ids")
        if pair ~= nil then item.pair_ids, item.pair_count = self:list_of(pair, "pair") end
        return item.count > 0 and item.pair_count ~= 0 and item or nil
    end
    if type(text) ~= "string" then
        self:wrong("text = " .. tostring(text), self.options.no_ids and TEXT_FORM or FORMS)
    end
    if pair ~= nil and type(pair) ~= "string" then self:wrong("pair = a " .. type(pair), "a text, as text is one") end
    self:check_utf8("text", text)
    if pair then self:check_utf8("pair", pair) end
    if not text:find "%S" or pair and not pair:find "%S" then return nil end
    return { text = text, pair = pair, label = label }
end

--- The next item of the iterator that is not empty; nil at its end.
function Items:read()
    -- Not every iterator may be called again after its end: that of io.lines raises an error.
    while not self.ended do
        self.number = self.number + 1
        local value = lua_value.call(self:where(), self.iterator)
        if value == nil then
            self.ended = true
            return nil
        end
        local item = self:checked(value)
        if item then
            item.number, item.epoch = self.number, self.epoch
            return item
        end
        self.empty = self.empty + 1
        self:once("empty", ("item %d of epoch %d is empty and left out; others are only counted"):format(self.number,
            self.epoch))
    end
end

--- The next item of the epoch, drawn from those read ahead if items are shuffled; nil at its end.
function Items:draw()
    if self.shuffle_buffer == 0 then
        local item = self:read()
        return item
    end
    local buffer = self.buffer
    while self.buffered < self.shuffle_buffer and not self.ended do
        local item = self:read()
        if item then
            self.buffered = self.buffered + 1
            buffer[self.buffered] = item
        end
    end
    local count = self.buffered
    if count == 0 then return nil end
    local pick = self.rng:integer(1, count)
    local item = buffer[pick]
    buffer[pick], buffer[count], self.buffered = buffer[count], nil, count - 1
    return item
end

--- Bytes that identify a list of ids.
local function bytes_of(ids, count)
    return array.string(ids, 4 * count)
end

--- Checksum of the items so far and one more.
local function extended(checksum, item)
    local crc32c = storage.crc32c
    checksum = crc32c(item.text or bytes_of(item.ids, item.count), checksum)
    local pair = item.pair or item.pair_ids and bytes_of(item.pair_ids, item.pair_count)
    if pair then checksum = crc32c(pair, crc32c("\1", checksum)) end
    local label = item.label
    if type(label) == "table" then
        checksum = crc32c("\3" .. table.concat(label, "\0"), checksum)
    elseif label ~= nil then
        checksum = crc32c("\2" .. tostring(label), checksum)
    end
    return crc32c("\0", checksum)
end

--- The next item of this epoch; nil at its end.
function Items:next_of_epoch()
    local item = self:draw()
    if not item then return nil end
    self.item, self.checksum = self.item + 1, extended(self.checksum, item)
    self.all = self.all + 1
    return item
end

--- The next item, of the following epoch if this one is over.
function Items:next()
    if not self.epoch then self:open(1) end
    local item = self:next_of_epoch()
    if item then return item end
    if self.item > 0 then
        self:once("epoch", ("epoch %d had %s"):format(self.epoch, plural.count(self.item, "item")))
        self:open(self.epoch + 1)
        item = self:next_of_epoch()
    end
    if not item then
        fault.raisef("data (%s): there is no item%s in epoch %d: an iterator must begin anew in "
            .. "every epoch", lua_value.shown(self.source),
            self.number > 1 and " that is not empty" or "", self.epoch)
    end
    return item
end

--- Where the next item lies.
function Items:position()
    if not self.epoch then self:open(1) end
    return { epoch = self.epoch, item = self.item, checksum = self.checksum }
end

--- Go to a position.
-- @param position of position(); without a checksum, it is not compared
-- @param visit called with the number of items dropped so far, or nil
-- @return true; or false and how the items differ from those that the position was taken from
function Items:seek(position, visit)
    self:open(position.epoch)
    for i = 1, position.item do
        if not self:next_of_epoch() then
            return false, ("epoch %d has fewer items (%d, but %d were used)"):format(position.epoch, i - 1,
                position.item)
        end
        if visit then visit(i) end
    end
    if position.checksum and position.checksum ~= self.checksum then
        return false, ("the first %s of epoch %d are others"):format(plural.count(position.item, "item"),
            position.epoch)
    end
    return true
end

return Items
