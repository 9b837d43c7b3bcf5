--- A server from its start to its end, over sockets: routes, refusals, limits, a full queue, clients that go, SIGTERM.

local client = require "spec.support.http_client"
local cjson = require "cjson"
local encoder_api = require "bertlua.encoder_api"
local fs = require "bertlua.util.fs"
local models = require "spec.support.encoder_models"
local posix_signal = require "posix.signal"
local posix_time = require "posix.time"
local process = require "spec.support.process"

local MODEL = "spec/fixtures/encoder/masked_lm"
local MOST = 200000

local function pause(seconds)
    posix_time.nanosleep { tv_sec = 0, tv_nsec = seconds * 1e9 }
end

--- Start a server on a free port.
-- @param model its folder, if not MODEL
-- @return {port, pid, finish() -> output, exit code: waits for its end; stop(signal): the same after a signal}
local function start(arguments, model)
    local log = process.temporary ""
    local pipe = assert(io.popen(("{ %s recipes/serve.lua --checkpoint %s --port 0 %s > %s 2>&1 & echo $!; wait $!; "
        .. "echo rc=$?; } 2> /dev/null"):format(process.quote(process.bertlua), process.quote(model or MODEL),
        arguments, process.quote(log))))
    local pid = tonumber(pipe:read "*l")
    local function output()
        local file = assert(io.open(log))
        local text = file:read "*a"
        file:close()
        return text
    end
    local port
    for _ = 1, 6000 do
        port = tonumber(output():match "on http://127.0.0.1:(%d+)")
        if port then break end
        pause(0.01)
    end
    local server = { pid = pid, port = port }
    function server.finish()
        local code = tonumber(pipe:read("*a"):match "rc=(%d+)")
        pipe:close()
        local text = output()
        os.remove(log)
        return text, code
    end
    function server.stop(signal)
        posix_signal.kill(pid, posix_signal["SIG" .. (signal or "TERM")])
        return server.finish()
    end
    if not port then error("the server did not start: " .. (server.stop "KILL")) end
    return server
end

--- Numbers as they are written: nine digits.
local function written(value)
    if type(value) ~= "table" then return tonumber(("%.9g"):format(value)) end
    local list = {}
    for i, x in ipairs(value) do list[i] = written(x) end
    return list
end

local function has_library()
    return package.searchpath("http.server", package.path) ~= nil
end

describe("a server", function()
    if not has_library() then
        pending "needs lua-http: apt-get install lua-http"
        return
    end

    local server, model

    setup(function()
        server = start(("--max-body %d --max-inputs 4"):format(MOST))
        model = assert(encoder_api.open(MODEL, { threads = 1 }))
    end)

    teardown(function()
        model:close()
        if server then server.stop() end
    end)

    local function ask(path, body)
        if type(body) == "table" then body = cjson.encode(body) end
        local response = client.ask(server.port, client.post(path, body))
        return response.status, response.body, response.headers
    end

    local function get(path)
        return client.ask(server.port, ("GET %s HTTP/1.1\r\nHost: spec\r\n\r\n"):format(path))
    end

    it("gives the encoder's vectors, also as OpenAI's clients ask for them", function()
        local texts = { "the mouse", "a longer text of the house" }
        local vectors = written(assert(model:embed(texts, "mean", true)):tolist())
        local status, body = ask("/embed", { inputs = texts })
        assert.are.equal(200, status)
        assert.are.same(vectors, cjson.decode(body))
        status, body = ask("/v1/embeddings", { input = texts })
        local result = cjson.decode(body)
        assert.are.same({ 200, "list", "masked_lm", vectors[2], 1 }, { status, result.object, result.model,
            result.data[2].embedding, result.data[2].index })
        local lengths = model:lengths(texts)
        assert.are.equal(lengths[1] + lengths[2], result.usage.total_tokens)
        status, body = ask("/embed_all", { inputs = texts[1] })
        assert.are.equal(200, status)
        assert.are.same({ written(model:hidden(texts[1]):tolist()) }, cjson.decode(body))
    end)

    it("fills masks, tokenizes, and tells what it is", function()
        local status, body = ask("/fill_mask", { inputs = "the [MASK] house", parameters = { top_k = 2 } })
        assert.are.equal(200, status, body)
        local guesses, expected = cjson.decode(body), model:fill_mask("the [MASK] house", 2)[1]
        assert.are.same({ 2, expected[1].id, expected[2].id }, { #guesses, guesses[1].token, guesses[2].token })
        status, body = ask("/tokenize", { inputs = "the house" })
        assert.are.same({ 200, model:lengths { "the house" }[1] }, { status, #cjson.decode(body)[1] })
        assert.are.equal("masked_lm", cjson.decode(get("/info").body).model_id)
        assert.are.equal(200, get("/v1/models/masked_lm").status)
        assert.are.equal(200, get("/health").status)
    end)

    it("keeps a connection for many requests, and answers those sent at once in their order", function()
        local connection = client.connect(server.port)
        local embed = client.post("/embed", '{"inputs": "a"}')
        connection:send(embed .. "GET /nothing HTTP/1.1\r\nHost: spec\r\n\r\n" .. embed)
        assert.are.same({ 200, 404, 200 }, { connection:receive().status, connection:receive().status,
            connection:receive().status })
        connection:send(embed)
        assert.are.equal(200, connection:receive().status)
        connection:close()
    end)

    it("takes chunks, and goes on when a client waits for that", function()
        local head = "POST /embed HTTP/1.1\r\nContent-Type: application/json\r\n"
        assert.are.equal(200, client.ask(server.port, head .. "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            .. "5\r\n{\"inp\r\n9\r\nuts\":\"a\"}\r\n0\r\n\r\n").status)
        local connection = client.connect(server.port)
        connection:send(head .. "Expect: 100-continue\r\nContent-Length: 14\r\n\r\n")
        assert.are.equal(100, connection:receive().status)
        connection:send '{"inputs":"a"}'
        assert.are.equal(200, connection:receive().status)
        connection:close()
    end)

    it("refuses what it does not know, with the status and the reason", function()
        local function refused(status, text, got, body)
            assert.are.equal(status, got, body)
            assert.is_truthy(body:find(text, 1, true), body)
        end
        refused(400, "body:1:13: not valid JSON", ask("/embed", '{"inputs": [}'))
        refused(400, "the body is not UTF-8", ask("/embed", '{"inputs": "\255"}'))
        refused(422, "inputs is a number", ask("/embed", '{"inputs": 3}'))
        refused(413, "batch size 5 > maximum allowed batch size 4", ask("/embed", '{"inputs":["a","b","c","d","e"]}'))
        refused(413, "must have less than", ask("/embed", { inputs = ("the "):rep(600) }))
        refused(424, "has no head for labels", ask("/predict", { inputs = "a" }))
        refused(404, '"type":"invalid_request_error"', ask("/v1/nothing", "{}"))
        local answer = get "/embed"
        refused(405, "/embed takes POST", answer.status, answer.body)
        assert.are.equal("POST", answer.headers.allow)
        answer = client.ask(server.port, "POST /embed HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        refused(415, "Content-Type is missing, expected application/json", answer.status, answer.body)
    end)

    it("refuses bodies that are too large without reading them, and heads that are not HTTP", function()
        local head = "POST /embed HTTP/1.1\r\nContent-Type: application/json\r\n"
        local function status(text)
            local connection = client.connect(server.port)
            connection:send(head .. text)
            local answer = connection:receive()
            -- It says that it closes, and does.
            assert.are.equal("close", answer.headers.connection)
            assert.is_nil(connection:receive())
            connection:close()
            return answer.status
        end
        assert.are.equal(413, status "Content-Length: 104857600\r\n\r\nthe first of many")
        assert.are.equal(413, status "Transfer-Encoding: chunked\r\n\r\nffffffff\r\nmany")
        assert.are.equal(413, status("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" .. ("%x"):format(MOST) .. "\r\nb"))
        assert.are.equal(400, status "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
        assert.are.equal(400, status "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert.are.equal(400, status "Content-Length: -3\r\n\r\n")
        assert.are.equal(400, status "Transfer-Encoding: gzip, chunked\r\n\r\n")
        assert.are.equal(400, status "no header\r\n\r\n")
        assert.are.equal(400, status("X: " .. ("x"):rep(10000) .. "\r\n\r\n"))
        assert.are.equal(431, status(("X: y\r\n"):rep(100) .. "\r\n"))
        -- Also where the client has gone in the middle of it.
        local connection = client.connect(server.port)
        connection:send(head .. "Content-Length: 1000\r\n\r\n{")
        connection:close()
        assert.are.equal(200, get("/health").status)
    end)

    it("waits for no one for ever", function()
        local impatient = start "--timeout 2"
        finally(impatient.stop)
        local slow = { "POST /em", "POST /embed HTTP/1.1\r\nContent-Type: application/json\r\n",
            "POST /embed HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{" }
        local connections = {}
        for i, text in ipairs(slow) do
            connections[i] = client.connect(impatient.port)
            connections[i]:send(text)
        end
        for i, connection in ipairs(connections) do
            assert.are.equal(408, connection:receive().status, slow[i])
            connection:close()
        end
        -- Those that came with a whole head count for their route.
        local counts = client.ask(impatient.port, "GET /metrics HTTP/1.1\r\nHost: spec\r\n\r\n").body
        for route, count in pairs { other = 2, ["/embed"] = 1 } do
            local line = ('\nbertlua_requests_total{route="%s",code="408"} %d\n'):format(route, count)
            assert.is_truthy(counts:find(line, 1, true), counts)
        end
    end)

    it("counts", function()
        local answer = get "/metrics"
        assert.is_truthy(answer.headers["content-type"]:find("text/plain; version=0.0.4", 1, true))
        for _, line in ipairs { 'bertlua_requests_total{route="/embed",code="200"} %d+', "bertlua_queue_texts 0",
            -- Nothing is left of all that was refused above.
            "bertlua_requests_in_flight 1", "bertlua_queue_bytes 0",
            'bertlua_request_duration_seconds_bucket{route="/embed",le="%+Inf"} %d+', "bertlua_batch_texts_sum %d+" } do
            assert.is_truthy(answer.body:find("\n" .. line .. "\n"), line .. "\n" .. answer.body)
        end
    end)
end)

describe("a server with much to do", function()
    if not has_library() then return end

    -- Long enough to be in the middle of it when something happens; where a busy machine lets a spec wait meanwhile, it
    -- is asked again, so often at most.
    local TRIES = 50
    local LONG = cjson.encode { inputs = ("the mouse "):rep(400000), truncate = true }

    local function begin(server)
        local connection = client.connect(server.port)
        connection:send(client.post("/embed", LONG))
        for _ = 1, 500 do
            local answer = client.ask(server.port, "GET /metrics HTTP/1.1\r\nHost: spec\r\n\r\n")
            -- The queue has it: /metrics is answered in the middle of a computation.
            if answer.body:find "\nbertlua_queue_bytes [1-9]" or connection:is_ready() then break end
            pause(0.005)
        end
        return connection
    end

    it("says 429 when its queue is full, and frees what a client that is gone has asked for", function()
        local log = os.tmpname()
        local server = start("--max-queue 1 --workers 1 --max-body 8000000 --access-log " .. process.quote(log))
        finally(function() os.remove(log) end)
        local full, cancelled
        for _ = 1, TRIES do
            local connection = begin(server)
            local answer = client.ask(server.port, client.post("/v1/embeddings", '{"input": "a"}'))
            if answer.status == 429 then full = answer end
            connection:close()
            for _ = 1, 6000 do
                answer = client.ask(server.port, client.post("/embed", '{"inputs": "a"}'))
                if answer.status == 200 then break end
                pause(0.01)
            end
            assert.are.equal(200, answer.status)
            answer = client.ask(server.port, "GET /metrics HTTP/1.1\r\nHost: spec\r\n\r\n")
            cancelled = tonumber(answer.body:match "\nbertlua_cancelled_total (%d+)\n")
            if full and cancelled > 0 then break end
        end
        assert.is_truthy(full, "its queue was never full")
        assert.is_true(cancelled > 0)
        assert.are.equal("1", full.headers["retry-after"])
        assert.are.equal("rate_limit_exceeded", cjson.decode(full.body).error.type)
        local output, code = server.stop()
        assert.are.equal(0, code, output)
        local file = assert(io.open(log))
        local lines = file:read "*a"
        file:close()
        local first = cjson.decode(lines:match '[^\n]*"status":429[^\n]*')
        assert.are.same({ "POST", "/v1/embeddings", "127.0.0.1" }, { first.method, first.path, first.peer })
        assert.is_truthy(lines:find('"status":499', 1, true), lines)
    end)

    it("finishes what is in flight at SIGTERM, and takes nothing new", function()
        local output, found
        for _ = 1, TRIES do
            local server = start "--max-body 8000000"
            local connection = begin(server)
            local idle = client.connect(server.port)
            idle:send "GET /health HTTP/1.1\r\nHost: spec\r\n\r\n"
            assert.are.equal(200, idle:receive().status)
            posix_signal.kill(server.pid, posix_signal.SIGTERM)
            local answer = connection:receive()
            assert.are.equal(200, answer.status)
            local code
            output, code = server.finish()
            assert.are.equal(0, code, output)
            assert.is_false((pcall(client.connect, server.port)))
            connection:close()
            idle:close()
            found = output:find("bertlua: stopping: 1 request in flight\n", 1, true)
            if found then
                assert.are.equal("close", answer.headers.connection)
                break
            end
        end
        assert.is_truthy(found, output)
    end)

    it("says what it left behind when its time is over", function()
        local output, code
        for _ = 1, TRIES do
            local server = start "--max-body 8000000 --grace 0"
            local connection = begin(server)
            output, code = server.stop "INT"
            connection:close()
            if code ~= 0 then break end
        end
        assert.are.equal(1, code)
        assert.is_truthy(output:find("bertlua: 1 request was not finished within 0 s (--grace)\n", 1, true), output)
    end)

    it("serves labels and answers of models that have them", function()
        local folder = assert(fs.temporary_folder "bertlua-serve-")
        models.begin()
        local path = models.write(folder .. "/answers", "answers")
        models.finish()
        local answering, judging = start("", path), start("", "spec/fixtures/encoder/classification")
        finally(function()
            answering.stop()
            judging.stop()
            fs.remove(folder)
        end)
        local context = "Ada (1895-1943) wrote it. 北京是首都"
        local encoder = assert(encoder_api.open(path, { threads = 1 }))
        local expected = encoder:answer("who wrote it?", context, { most = 2 })
        encoder:close()
        local body = cjson.encode { question = "who wrote it?", context = context, parameters = { top_k = 2 } }
        local answer = client.ask(answering.port, client.post("/answer", body))
        assert.are.equal(200, answer.status, answer.body)
        local list = cjson.decode(answer.body)
        assert.are.same({ expected[1].text, expected[2].text }, { list[1].answer, list[2].answer })
        encoder = assert(encoder_api.open("spec/fixtures/encoder/classification", { threads = 1 }))
        local scores = encoder:classify({ "the house", "a" }, { false, "a mouse" }):tolist()
        encoder:close()
        answer = client.ask(judging.port, client.post("/predict", '{"inputs": [["the house"], ["a", "a mouse"]]}'))
        assert.are.equal(200, answer.status, answer.body)
        for i, labels in ipairs(cjson.decode(answer.body)) do
            table.sort(scores[i], function(a, b) return a > b end)
            assert.is_true(math.abs(scores[i][1] - labels[1].score) < 1e-6)
        end
    end)

    it("says in a line why it does not start", function()
        process.assert_output("bertlua: --checkpoint: /no/such: no such file or folder\n", 1,
            process.run_bertlua "recipes/serve.lua --checkpoint /no/such")
        local server = start ""
        local output, code = process.run_bertlua(("recipes/serve.lua --checkpoint %s --port %d"):format(MODEL,
            server.port))
        process.assert_output(("bertlua: serve: cannot listen on 127.0.0.1 port %d: Address already in use; choose "
            .. "another --port or --host\n"):format(server.port), 1, output, code)
        server.stop()
        process.assert_output("bertlua: serve: the server is built on lua-http and lua-cqueues, which are not "
            .. "installed: apt-get install lua-http\n", 1, process.run_bertlua("-e " .. process.quote [[
            package.preload["http.server"] = function() error "no such module" end
            require("bertlua.jobs.serve.serve").run {}]]))
    end)
end)
