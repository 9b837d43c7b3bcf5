--- A bounded queue in front of an encoder, for servers: requests that arrive together are computed together, in threads
-- of the engine, while an event loop in Lua waits for a descriptor.
-- @module bertlua.encoder_queue

local ffi = require "ffi"
local native = require "bertlua.ffi"

local check = native.check

local M = {}

local Queue = {}
Queue.__index = Queue

local Reply = {}
Reply.__index = Reply

local ASK = { embed = 0, hidden = 1, classify = 2, answer = 3, fill_mask = 4 }
local POOLING = { model = 0, mean = 1, cls = 2 }
local NORMALIZED = 16
local STATUS = { [0] = "ok", "argument", "memory", "io", "format", "unsupported", "internal", "device" }

--- Put a queue in front of an encoder.
-- @param encoder of bertlua.encoder_api, which must not be closed before the queue
-- @tparam[opt] table options workers (1), max_texts (512), batch_texts (32), batch_tokens (8192), memory (bytes,
--   256 MiB): see engine/api/encoder_queue.h; lib: the library that has the queue, for specs
-- @return Queue
function M.new(encoder, options)
    options = options or {}
    local lib = options.lib or native.lib
    local c = ffi.new "bl_encoder_queue_options"
    for _, name in ipairs { "workers", "max_texts", "batch_texts", "batch_tokens", "memory" } do
        c[name] = options[name] or 0
    end
    local out = ffi.new "bl_encoder_queue *[1]"
    local status = lib.bl_encoder_queue_create(out, encoder.handle, c)
    if status ~= 0 then error(ffi.string(lib.bl_last_error()), 2) end
    return setmetatable({ lib = lib, encoder = encoder, handle = ffi.gc(out[0], lib.bl_encoder_queue_free) }, Queue)
end

local function strings(list, count)
    if not list then return nil end
    local pointers = ffi.new("const char *[?]", count)
    -- false stands for no text.
    for i = 1, count do pointers[i - 1] = list[i] or nil end
    return pointers
end

--- Put a request into the queue; texts without NUL, UTF-8.
-- @tparam table request ask = "embed", "hidden", "classify", "answer" or "fill_mask"; texts; pairs (false for none);
--   pooling = "model" (default), "mean" or "cls"; normalize; top; allow_none; truncate
-- @return ticket; or nil and "full", "stopped", or "refused" with a message: it never fits
function Queue:submit(request)
    local count = #request.texts
    local c, ticket = ffi.new "bl_request", ffi.new "int64_t[1]"
    -- The arrays stay referenced during the call.
    local texts, pairs_ = strings(request.texts, count), strings(request.pairs, count)
    c.ask, c.count, c.texts, c.pairs = ASK[request.ask], count, texts, pairs_
    c.pooling = POOLING[request.pooling or "model"] + (request.normalize and NORMALIZED or 0)
    c.top, c.allow_none, c.truncate = request.top or 0, request.allow_none or false, request.truncate or false
    local lib = self.lib
    local status = tonumber(lib.bl_encoder_queue_submit(self.handle, c, ticket))
    if status == native.ERROR_ARGUMENT then return nil, "refused", ffi.string(lib.bl_last_error()) end
    check(status)
    local number = tonumber(ticket[0])
    if number > 0 then return number end
    return nil, number == 0 and "full" or "stopped"
end

--- The next reply, or nil if there is none now. Release it when its numbers have been used.
-- @return Reply: ticket, status ("ok", or the name of a bl_status), message, too_long (number of the text that is, or
--   nil), count, tokens, width, values (cdata float *), batch_texts, waited and computed (seconds)
function Queue:next()
    local handle = self.lib.bl_encoder_queue_next(self.handle)
    if handle == nil then return nil end
    return setmetatable({
        queue = self, handle = handle, ticket = tonumber(handle.ticket), status = STATUS[handle.status],
        message = handle.message ~= nil and ffi.string(handle.message) or nil,
        too_long = handle.too_long > 0 and handle.too_long or nil, count = handle.count,
        tokens = tonumber(handle.tokens), width = tonumber(handle.width), values = handle.values,
        batch_texts = handle.batch_texts, waited = tonumber(handle.waited) * 1e-9,
        computed = tonumber(handle.computed) * 1e-9,
    }, Reply)
end

--- Tokens of text i, from 1, before it was cut; nil if they are not known.
function Reply:length(i)
    local lengths = self.handle.lengths
    return lengths ~= nil and lengths[i - 1] or nil
end

--- Rows of text i, from 1: tokens, answers or masks.
function Reply:rows(i)
    return tonumber(self.handle.rows[i - 1])
end

--- The bytes of row i of values, from 0: f32 of this machine.
function Reply:bytes(i)
    return ffi.string(self.values + i * self.width, 4 * self.width)
end

--- Answer i of all texts, from 0.
-- @return first byte from 0, byte behind the last, probability
function Reply:answer(i)
    local answer = self.handle.answers[i]
    return tonumber(answer.begin), tonumber(answer["end"]), answer.probability
end

--- Guess i of all masks, from 0.
-- @return token id, token, probability
function Reply:guess(i)
    local guess = self.handle.guesses[i]
    return guess.id, ffi.string(guess.token), guess.probability
end

--- Give its memory back; its numbers are gone. Once or more.
function Reply:release()
    local handle = self.handle
    self.handle, self.values = nil, nil
    if handle and self.queue.handle then self.queue.lib.bl_encoder_queue_release(self.queue.handle, handle) end
end

--- File descriptor that is readable while there are replies.
function Queue:descriptor()
    return self.lib.bl_encoder_queue_descriptor(self.handle)
end

--- Nobody waits for this ticket any more. False if there is none, or its reply was taken.
function Queue:cancel(ticket)
    return self.lib.bl_encoder_queue_cancel(self.handle, ticket)
end

--- Take no more requests; what is in the queue is computed.
function Queue:stop()
    self.lib.bl_encoder_queue_stop(self.handle)
end

--- Counts: waiting, computing (texts), replies, bytes, batches, texts, tokens, busy (seconds), batch_sizes (12 numbers:
-- batches of 1 text, at most 2, 4, ..., 1024, and of more).
function Queue:info()
    local c, info = ffi.new "bl_encoder_queue_info", { batch_sizes = {} }
    self.lib.bl_encoder_queue_describe(self.handle, c)
    for _, name in ipairs { "waiting", "computing", "replies", "bytes", "batches", "texts", "tokens", "busy" } do
        info[name] = tonumber(c[name])
    end
    for i = 1, self.lib.BL_BATCH_SIZES do info.batch_sizes[i] = tonumber(c.batch_sizes[i - 1]) end
    return info
end

--- Drop what waits, wait for what is being computed, and free the queue with all its replies.
function Queue:close()
    local handle = self.handle
    self.handle = nil
    if handle then self.lib.bl_encoder_queue_free(ffi.gc(handle, nil)) end
end

return M
