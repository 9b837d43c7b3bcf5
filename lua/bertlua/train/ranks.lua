--- What the processes of a job exchange besides tensors: rank 0's decisions,
-- failures, and the figures of a step. With one process all of these are plain
-- calls.
--
-- Everything here is collective: every rank calls the same methods in the same
-- order. Who the processes are and how bytes move does not belong here: see
-- bertlua.comm.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local memory = require "bertlua.memory"

local Ranks = {}
Ranks.__index = Ranks

--- @param comm communicator
function Ranks.new(comm)
    return setmetatable({ comm = comm, rank = comm.rank, size = comm.size, main = comm.rank == 0 }, Ranks)
end

--- A tensor on the device for one message. The memory is kept for the next one: allocating would stall the device.
local function message(self, dtype, count)
    local bytes = math.max(count, 1) * 8
    if not self.buffer or self.buffer.bytes < bytes then
        if self.buffer then self.buffer:free() end
        self.buffer = memory.buffer(math.max(bytes, 4096))
    end
    local t = self.buffer:tensor(0, dtype, { count })
    return t
end

-- Shared by all calls: with one array per call, compiled code crashed in Debian's LuaJIT 2.1 unless its allocation
-- sinking was switched off.
local pair = array.float(2)

-- A number as two f32, together 48 bits: the second holds what the first rounds away.
local function split(x)
    pair[0] = x
    local high = pair[0]
    pair[1] = high - high == 0 and x - high or 0
    return high, pair[1]
end

--- Give every rank the lists of numbers of all ranks.
-- @param numbers list, equally long on every rank; a number keeps 48 bits
-- @return list of lists, that of rank r at r + 1
function Ranks:exchange(numbers)
    if self.size == 1 then return { numbers } end
    local count = #numbers
    local t = message(self, "f32", 2 * count * (self.size + 1))
    local own, all = t:slice(1, 1, 2 * count), t:slice(1, 2 * count + 1, 2 * count * (self.size + 1))
    local halves = {}
    for i, x in ipairs(numbers) do halves[2 * i - 1], halves[2 * i] = split(x) end
    own:set(halves)
    self.comm:all_gather(all, own)
    self.comm:wait()
    local flat, lists = all:tolist(), {}
    for r = 1, self.size do
        lists[r] = {}
        for i = 1, count do
            local at = (r - 1) * 2 * count + 2 * i
            lists[r][i] = flat[at - 1] + flat[at]
        end
    end
    return lists
end

-- Bytes of text in one integer that a number holds exactly.
local WORD = 6

--- The first `bytes` bytes of a text as `count` integers.
local function pack(text, bytes, count)
    local words = {}
    for i = 1, count do words[i] = 0 end
    for at = 1, bytes do
        local i = math.ceil(at / WORD)
        words[i] = words[i] * 256 + text:byte(at)
    end
    return words
end

local function unpack_words(words, bytes)
    local parts = {}
    for i, word in ipairs(words) do
        word = tonumber(word)
        local letters = {}
        for at = math.min(WORD, bytes - (i - 1) * WORD), 1, -1 do
            letters[at] = string.char(word % 256)
            word = math.floor(word / 256)
        end
        parts[i] = table.concat(letters)
    end
    return table.concat(parts)
end

--- Give every rank the text of one.
-- @param text string; only that of rank `root` (0) is used
function Ranks:broadcast_text(text, root)
    if self.size == 1 then return text end
    local bytes = self:exchange({ self.rank == (root or 0) and #text or 0 })[(root or 0) + 1][1]
    local words = pack(text, self.rank == (root or 0) and bytes or 0, math.ceil(bytes / WORD))
    if #words == 0 then return "" end
    local t = message(self, "i64", #words)
    t:set(words)
    self.comm:broadcast(t, root or 0)
    self.comm:wait()
    return unpack_words(t:tolist(), bytes)
end

--- Give every rank what fn returns on rank 0; its faults too.
-- For what must be decided once: which checkpoint to resume from, who may write where.
-- @param fn returns a value that can be written as JSON
function Ranks:first(fn)
    if self.size == 1 then
        local value = fn()
        return value
    end
    local answer = {}
    if self.main then
        local ok, value = pcall(fn)
        if ok then
            answer.value = value
        elseif fault.is(value) then
            answer.message, answer.code = value.message, value.code
        else
            error(value, 0)
        end
    end
    local text = self:broadcast_text(self.main and json.encode(answer) or "")
    -- Decoded on rank 0 as well, so that it continues with what the others have.
    answer = json.decode(text)
    if answer.message then fault.raise(answer.message, answer.code) end
    return answer.value
end

--- Run fn on every rank; if it fails on any, all stop with the message of the first that failed.
-- @return what fn returns
function Ranks:together(fn)
    if self.size == 1 then
        local value = fn()
        return value
    end
    local ok, value = pcall(fn)
    if not ok and not fault.is(value) then error(value, 0) end
    local failed, first = 0, nil
    for r, numbers in ipairs(self:exchange({ ok and 0 or value.code })) do
        if numbers[1] ~= 0 then
            failed, first = failed + 1, first or { rank = r - 1, code = numbers[1] }
        end
    end
    if not first then return value end
    local text = self:broadcast_text(ok and "" or value.message, first.rank)
    -- If all of them failed, the cause is in the settings, not in one rank.
    if failed < self.size then text = ("rank %d: %s"):format(first.rank, text) end
    fault.raise(text, first.code)
end

--- Ranks as text: "rank 3", "ranks 1, 2 and 5 more".
function Ranks.names(list)
    local shown = {}
    for i = 1, math.min(#list, 4) do shown[i] = ("%d"):format(list[i]) end
    local text = table.concat(shown, ", ")
    if #list > 4 then text = ("%s and %d more"):format(text, #list - 4) end
    return (#list == 1 and "rank " or "ranks ") .. text
end

--- Raise a fault that names the ranks whose number differs from that of rank 0, if there are any.
-- @param number for example a checksum
-- @param what the number stands for: "parameters at the start"
-- @param hint what to look at
function Ranks:require_equal(number, what, hint)
    local all, differ = self:exchange({ number }), {}
    for r = 2, self.size do
        if all[r][1] ~= all[1][1] then differ[#differ + 1] = r - 1 end
    end
    if #differ > 0 then
        fault.raisef("%s: %s %s from rank 0: %s", what, Ranks.names(differ), #differ == 1 and "differs" or "differ",
            hint)
    end
end

return Ranks
