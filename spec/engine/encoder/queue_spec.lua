--- The queue in front of an encoder: bounds, order, batches, cancelling, stopping. The encoder is
-- spec/support/encoder_stub.c, which can be held while it computes.

local ffi = require "ffi"
local poll = require "posix.poll"

local encoder_queue = require "bertlua.encoder_queue"
local process = require "spec.support.process"

local quote = process.quote

ffi.cdef [[
bl_encoder *stub_open(void);
void stub_hold(int on);
void stub_await(int count);
int stub_calls(void);
]]

local SOURCES = "spec/support/encoder_stub.c engine/encoder/queue.c engine/encoder/queue_batch.c engine/core/status.c"
local BUILD = "${CC:-cc} -std=c11 -D_GNU_SOURCE -Iengine -pthread"

describe("the queue of an encoder", function()
    local library, stub, queue

    setup(function()
        library = os.tmpname()
        local text, code = process.run(("%s -g -shared -fPIC -Wl,-Bsymbolic -o %s %s"):format(BUILD, quote(library),
            SOURCES))
        assert(code == 0, text)
        stub = ffi.load(library)
    end)

    teardown(function() os.remove(library) end)

    before_each(function() stub.stub_hold(0) end)

    after_each(function()
        stub.stub_hold(0)
        queue:close()
    end)

    local function open(options)
        options = options or {}
        options.lib = stub
        queue = encoder_queue.new({ handle = stub.stub_open() }, options)
        return queue
    end

    local function ready(seconds)
        return poll.rpoll(queue:descriptor(), (seconds or 10) * 1000) == 1
    end

    local function take()
        assert.is_true(ready())
        return assert(queue:next())
    end

    local function embed(...)
        return queue:submit { ask = "embed", texts = { ... } }
    end

    --- A request that is being computed until the stub is let go.
    local function hold()
        stub.stub_hold(1)
        local ticket = assert(embed "held")
        stub.stub_await(1)
        return ticket
    end

    it("answers with what the encoder says, and falls silent when all is taken", function()
        open()
        assert.is_false(ready(0))
        local ticket = assert(queue:submit { ask = "embed", texts = { "one", "three" }, pooling = "cls",
            normalize = true })
        local reply = take()
        assert.are.equal(ticket, reply.ticket)
        assert.are.same({ "ok", 2, 8, 3 }, { reply.status, reply.count, reply.tokens, reply.width })
        assert.are.same({ 3, 2, 18, 5, 2, 18 }, { reply.values[0], reply.values[1], reply.values[2], reply.values[3],
            reply.values[4], reply.values[5] })
        assert.are.same({ 3, 5 }, { reply:length(1), reply:length(2) })
        assert.are.equal(12, #reply:bytes(1))
        assert.is_false(ready(0))
        assert.is_nil(queue:next())
        reply:release()
        reply:release()
        assert.are.equal(0, queue:info().bytes)
    end)

    it("computes what arrived together in one call, each with its own results, oldest first", function()
        open { batch_texts = 8 }
        local first = hold()
        local tickets = { embed "a", embed("bb", "ccc"), queue:submit { ask = "classify", texts = { "x" } },
            embed "dddd" }
        local calls = stub.stub_calls()
        stub.stub_hold(0)
        local order, values = {}, {}
        for i = 1, 5 do
            local reply = take()
            order[i], values[i] = reply.ticket, { reply.values[0], reply.values[1] }
            reply:release()
        end
        assert.are.same({ first, tickets[1], tickets[2], tickets[4], tickets[3] }, order)
        assert.are.same({ { 4, 1 }, { 1, 4 }, { 2, 4 }, { 4, 4 }, { 1, -1 } }, values)
        assert.are.equal(2, stub.stub_calls() - calls)
        local info = queue:info()
        assert.are.same({ 3, 6, 0, 0, 0 }, { info.batches, info.texts, info.waiting, info.computing, info.bytes })
        assert.are.same({ 2, 0, 1 }, { info.batch_sizes[1], info.batch_sizes[2], info.batch_sizes[3] })
    end)

    it("keeps batches within their bounds of texts and tokens", function()
        open { batch_texts = 3, batch_tokens = 20 }
        hold()
        embed("a", "b")
        embed("c", "d")
        embed "e"
        embed "1234567890123456789"
        embed "12345678"
        stub.stub_hold(0)
        local sizes = {}
        for i = 1, 6 do
            local reply = take()
            sizes[i] = reply.batch_texts
            reply:release()
        end
        -- "e" fits beside the first two; any two of the others are more than 20 tokens.
        assert.are.same({ 1, 3, 3, 2, 1, 1 }, sizes)
    end)

    it("joins only what asks for the same", function()
        open()
        hold()
        local asks = {
            { ask = "embed", texts = { "a" }, pooling = "mean" }, { ask = "embed", texts = { "a" }, pooling = "cls" },
            { ask = "classify", texts = { "a" } }, { ask = "classify", texts = { "a" }, pairs = { "bb" } },
        }
        for _, ask in ipairs(asks) do queue:submit(ask) end
        stub.stub_hold(0)
        for _ = 1, 5 do
            local reply = take()
            assert.are.equal(1, reply.batch_texts)
            reply:release()
        end
    end)

    it("is full at its bound of texts, and has room again when they are done", function()
        open { max_texts = 4 }
        hold()
        assert.is_truthy(embed("a", "b"))
        local ticket, why = embed("c", "d")
        assert.is_nil(ticket)
        assert.are.equal("full", why)
        assert.is_truthy(embed "c")
        assert.are.same({ 3, 1 }, { queue:info().waiting, queue:info().computing })
        local _, refused, message = embed("1", "2", "3", "4", "5")
        assert.are.equal("refused", refused)
        assert.are.equal("encoder_queue_submit: 5 texts in one request, the queue holds 4", message)
        stub.stub_hold(0)
        for _ = 1, 3 do take():release() end
        assert.is_truthy(embed("a", "b", "c", "d"))
        take():release()
    end)

    it("is full at its bound of bytes until replies are released", function()
        open { memory = 1500 }
        local _, why, message = queue:submit { ask = "embed", texts = { ("x"):rep(1500) } }
        assert.are.equal("refused", why)
        assert.is_truthy(message:find("may take 1541 bytes, the queue has 1500; ask for less", 1, true), message)
        assert.is_truthy(embed(("x"):rep(900)))
        local reply = take()
        assert.are.equal("argument", reply.status)
        assert.are.same({ nil, "full" }, { embed(("x"):rep(900)) })
        reply:release()
        assert.is_truthy(embed(("x"):rep(900)))
        take():release()
        assert.are.equal(0, queue:info().bytes)
    end)

    it("refuses what is too long unless it may be cut, and not the others beside it", function()
        open()
        hold()
        local long = ("x"):rep(25)
        local refused = queue:submit { ask = "embed", texts = { "a", long } }
        local cut = queue:submit { ask = "embed", texts = { long }, truncate = true }
        stub.stub_hold(0)
        take():release()
        local replies = {}
        for _ = 1, 2 do
            local reply = take()
            replies[reply.ticket] = reply
        end
        assert.are.same({ "argument", 2, 25 }, { replies[refused].status, replies[refused].too_long,
            replies[refused]:length(2) })
        assert.are.equal("text 2 has 25 tokens, the model takes at most 20; shorten it, or ask to truncate",
            replies[refused].message)
        assert.are.same({ "ok", 20, 25 }, { replies[cut].status, replies[cut].tokens, replies[cut].values[0] })
        replies[refused]:release()
        replies[cut]:release()
    end)

    it("lets no request fail for the texts of another", function()
        open()
        hold()
        local tickets = { good = embed "a", bad = embed("b", "bad"), broken = embed "die", other = embed "cc" }
        stub.stub_hold(0)
        take():release()
        local found = {}
        for _ = 1, 4 do
            local reply = take()
            found[reply.ticket] = { reply.status, reply.message or reply.values[0] }
            reply:release()
        end
        assert.are.same({ "ok", 1 }, found[tickets.good])
        assert.are.same({ "argument", "stub: text 1 is bad" }, found[tickets.bad])
        assert.are.same({ "internal", "stub: broken" }, found[tickets.broken])
        assert.are.same({ "ok", 2 }, found[tickets.other])
    end)

    it("gives vectors of tokens, answers and words for masks", function()
        open()
        queue:submit { ask = "hidden", texts = { "ab", "c" } }
        local reply = take()
        assert.are.same({ "ok", 2, 1, 0, 5, 0 }, { reply.status, reply:rows(1), reply:rows(2), reply.values[0],
            reply.values[5], reply.values[6] })
        reply:release()
        queue:submit { ask = "answer", texts = { "who", "what" }, pairs = { "context", ("x"):rep(99) }, top = 2 }
        reply = take()
        assert.are.same({ "ok", 2, 2 }, { reply.status, reply:rows(1), reply:rows(2) })
        assert.are.same({ 0, 7, 0.5 }, { reply:answer(0) })
        assert.are.same({ 1, 99, 0.5 }, { reply:answer(3) })
        reply:release()
        queue:submit { ask = "fill_mask", texts = { "[MASK] [MASK]" }, top = 3 }
        reply = take()
        assert.are.same({ "ok", 2 }, { reply.status, reply:rows(1) })
        assert.are.same({ 5, "word", 0.5 }, { reply:guess(5) })
        reply:release()
        queue:submit { ask = "fill_mask", texts = { "[MASK] and much more" .. ("x"):rep(9) }, top = 3, truncate = true }
        reply = take()
        assert.are.same({ "argument", "text 1 has 29 tokens, the model takes at most 20; shorten it" },
            { reply.status, reply.message })
        reply:release()
        queue:submit { ask = "fill_mask", texts = { "none" }, top = 3 }
        reply = take()
        assert.are.same({ "argument", "stub: no [MASK]" }, { reply.status, reply.message })
        reply:release()
    end)

    it("computes nothing for those who are gone, and frees what it held for them", function()
        open()
        local running = hold()
        local waiting = embed "a"
        local stays = embed "bb"
        assert.is_true(queue:cancel(waiting))
        assert.is_false(queue:cancel(waiting))
        assert.is_true(queue:cancel(running))
        assert.is_false(queue:cancel(running))
        stub.stub_hold(0)
        local reply = take()
        assert.are.equal(stays, reply.ticket)
        assert.is_false(queue:cancel(stays))
        reply:release()
        local done = embed "c"
        assert.is_true(ready())
        assert.is_true(queue:cancel(done))
        assert.is_false(ready(0))
        assert.is_false(queue:cancel(12345))
        local info = queue:info()
        assert.are.same({ 0, 0, 0, 0 }, { info.waiting, info.computing, info.replies, info.bytes })
    end)

    it("takes nothing more when it is stopped, but finishes what it has", function()
        open()
        hold()
        local last = embed "a"
        queue:stop()
        assert.are.same({ nil, "stopped" }, { embed "b" })
        stub.stub_hold(0)
        take():release()
        local reply = take()
        assert.are.equal(last, reply.ticket)
        reply:release()
    end)

    it("is closed with requests in it", function()
        open { workers = 2 }
        for _ = 1, 20 do embed "a" end
        queue:close()
        queue:close()
    end)

    it("says what is wrong with a request", function()
        open()
        local function message(request) return select(3, queue:submit(request)) end
        assert.are.equal("encoder_queue_submit: 0 texts, expected at least 1", message { ask = "embed", texts = {} })
        assert.are.equal("encoder_queue_submit: pairs are for CLASSIFY and ANSWER", message { ask = "embed",
            texts = { "a" }, pairs = { "b" } })
        assert.are.equal("encoder_queue_submit: ANSWER needs pairs, the contexts", message { ask = "answer",
            texts = { "a" }, top = 1 })
        assert.are.equal("encoder_queue_submit: top is 0, expected at least 1", message { ask = "fill_mask",
            texts = { "a" } })
        assert.has_error(function() encoder_queue.new({ handle = stub.stub_open() }, { lib = stub, workers = -1 }) end,
            "encoder_queue_create: workers -1, max_texts 0, batch_texts 0, batch_tokens 0: expected 0 to 256 workers "
            .. "and nothing negative")
    end)

    it("loses and mixes up nothing when many threads ask and cancel, without a data race", function()
        open()
        local program = os.tmpname()
        finally(function() os.remove(program) end)
        -- The sanitizer wants addresses where they are without randomization.
        local _, fixed = process.run "setarch -R true"
        local output, code
        -- Not every compiler brings the sanitizer, nor can it run on every kernel: then without it.
        for _, flags in ipairs { "-fsanitize=thread -O1 -g", "-O1 -g" } do
            local text, failed = process.run(("%s %s -o %s spec/support/queue_threads.c %s"):format(BUILD, flags,
                quote(program), SOURCES))
            output, code = text, failed
            if failed == 0 then
                output, code = process.run(("env -u LD_PRELOAD timeout 60 %s %s"):format(
                    fixed == 0 and "setarch -R" or "", quote(program)))
                if not output:find("FATAL: ThreadSanitizer: unexpected memory mapping", 1, true) then break end
            end
        end
        process.assert_output("ok\n", 0, output, code)
    end)
end)
