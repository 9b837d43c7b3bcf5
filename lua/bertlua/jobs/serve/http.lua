--- HTTP/1.1 on lua-http and cqueues: connections and their limits. What is asked and answered is decided above.
--
-- One event loop; each request is a coroutine. What a client can make this process hold is bounded: connections, lines
-- and number of headers, bytes of a body, bytes of all bodies being read, and the time for each of them.

local fault = require "bertlua.fault"

local M = {}

-- Bytes of a line and lines of a head; lua-http counts its own :method, :path and :scheme among them.
local MAX_LINE, MAX_LINES = 8192, 64
-- Bodies that are being read at once, in units of the largest one.
local BODIES = 32
-- A refused body is read and forgotten for so long: a client that is still sending would otherwise see its connection
-- reset in place of the answer.
local LINGER = 5
-- Bytes that are handed to the socket at once: each has the whole time-out.
local PIECE = 65536

--- The packages of the event loop; a fault that says how to get them.
local function libraries()
    local ok, server = pcall(require, "http.server")
    if not ok then
        fault.raise("serve: the server is built on lua-http and lua-cqueues, which are not installed: "
            .. "apt-get install lua-http")
    end
    return server, require "http.headers", require "cqueues", require "cqueues.errno"
end

--- A fault if the packages are missing.
function M.need()
    libraries()
end

local Server = {}
Server.__index = Server

--- Write a response; the connection is closed after it where `closing` is set, or where the client asked for it.
-- @return true; or nil, message
local function write(self, stream, response, closing)
    local headers, timeout = self.new_headers(), self.timeout
    headers:append(":status", tostring(response.status))
    for name, value in pairs(response.headers or {}) do headers:append(name, value) end
    if response.type then headers:append("content-type", response.type) end
    local body = response.body
    if body then headers:append("content-length", tostring(#body)) end
    if closing then headers:append("connection", "close") end
    local ok, message = stream:write_headers(headers, stream.req_method == "HEAD", timeout)
    if not ok then return nil, message end
    if stream.req_method == "HEAD" then return true end
    if body then
        for at = 1, math.max(1, #body), PIECE do
            ok, message = stream:write_chunk(body:sub(at, at + PIECE - 1), at + PIECE > #body, timeout)
            if not ok then return nil, message end
        end
        return true
    end
    local held, bytes = {}, 0
    local function flush(last)
        ok, message = stream:write_chunk(table.concat(held), last, timeout)
        held, bytes = {}, 0
        if not ok then error({ gone = message }, 0) end
    end
    local done, problem = pcall(response.pieces, function(text)
        held[#held + 1], bytes = text, bytes + #text
        if bytes >= PIECE then flush(false) end
    end)
    if done then done, problem = pcall(flush, true) end
    if done then return true end
    if type(problem) ~= "table" or not problem.gone then
        self.log(("a response broke off: %s"):format(tostring(problem)))
    end
    return nil, "broken off"
end

--- Read what a refused client still sends, for a while.
local function linger(self, stream)
    local socket = stream.connection.socket
    if not socket or stream.state ~= "half closed (local)" then return end
    socket:shutdown "w"
    local deadline = self.now() + LINGER
    while true do
        local left = deadline - self.now()
        local chunk = left > 0 and socket:xread(-PIECE, left)
        if not chunk then return end
    end
end

--- Write a response to a request whose head was not understood: lua-http has nothing to answer to yet.
local function write_bare(self, stream, response)
    local connection = stream.connection
    local form = "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
    local text = form:format(response.status, self.reasons[tostring(response.status)], response.type, #response.body,
        response.body)
    if connection.socket then connection.socket:xwrite(text, "n", self.timeout) end
end

--- Headers of a request; nil and a response if they are refused, nil if nobody is there.
local function read_head(self, stream)
    stream.use_zlib, stream.max_header_lines = false, MAX_LINES
    stream.connection:setmaxline(MAX_LINE)
    local ok, headers, message, errno = pcall(stream.get_headers, stream, self.timeout)
    if ok and headers then return headers end
    local code = self.errno
    if ok and errno == code.ETIMEDOUT then return nil, self.refuse(408, "the request's head did not come in time") end
    if ok and errno == code.E2BIG then
        return nil, self.refuse(431, ("the head has more than %d lines"):format(MAX_LINES))
    end
    if not ok or errno == code.EILSEQ or message and not errno then
        return nil, self.refuse(400, ("the head is not that of an HTTP/1.1 request, or has a line of more than %d "
            .. "bytes"):format(MAX_LINE))
    end
    return nil
end

--- How the body comes: its length in bytes, "chunked", or nil for none; false and a response if it is refused.
local function body_form(self, headers)
    local encodings = headers:get_comma_separated "transfer-encoding"
    local lengths = headers:get_comma_separated "content-length"
    if encodings then
        -- Where both are given, a proxy in front may see another request than this server.
        if lengths then return false, self.refuse(400, "Content-Length and Transfer-Encoding: expected one of them") end
        if encodings:lower() ~= "chunked" then
            return false, self.refuse(501, "Transfer-Encoding: only chunked is known here")
        end
        return "chunked"
    end
    if not lengths then return nil end
    if not lengths:match "^%d+$" or #lengths > 15 then
        return false, self.refuse(400, "Content-Length: expected one number of bytes")
    end
    local length = tonumber(lengths)
    if length > self.max_body then
        return false, self.refuse(413, ("the body has %d bytes, expected at most %d (--max-body)"):format(length,
            self.max_body))
    end
    return length > 0 and length or nil
end

--- Whether the next chunk is as long as it may be. lua-http would take all of it into memory.
local function chunk_fits(stream, room, left)
    local socket = stream.connection.socket
    local line, _, errno = socket:xread("*L", left)
    if not line then return nil, errno end
    socket:unget(line)
    local size = line:match "^(%x+)"
    -- What is no size, lua-http refuses.
    return not size or #size <= 8 and tonumber(size, 16) <= room
end

--- The body; nil and a response if it is refused, nil if nobody is there.
local function read_body(self, stream, form)
    local list, room, deadline = {}, self.max_body, self.now() + self.timeout
    while true do
        local left = deadline - self.now()
        local fits, errno = true, left <= 0 and self.errno.ETIMEDOUT or nil
        if not errno and form == "chunked" and stream.state == "open" then
            fits, errno = chunk_fits(stream, room, left)
        end
        if fits == false then
            return nil, self.refuse(413, ("the body has more than %d bytes (--max-body)"):format(self.max_body))
        end
        local chunk, message
        if fits and not errno then chunk, message, errno = stream:get_next_chunk(left) end
        if chunk then
            list[#list + 1], room = chunk, room - #chunk
        elseif errno == self.errno.ETIMEDOUT then
            return nil, self.refuse(408, ("the body did not come within %g seconds (--timeout)"):format(self.timeout))
        elseif errno == self.errno.EILSEQ or errno == self.errno.E2BIG then
            return nil, self.refuse(400, "the body is not chunked as it should be")
        elseif errno or message then
            return nil
        else
            -- A body that ends early is nobody's request.
            if form ~= "chunked" and room ~= self.max_body - form then return nil end
            return table.concat(list)
        end
    end
end

--- Everything between the head and the answer.
-- @return response, whether the connection must be closed; nil if nobody is there
local function answer(self, stream, head, headers)
    local refusal = self.begin(head)
    if refusal then return refusal, stream.state == "open" end
    local form, response = body_form(self, headers)
    if form == false then return response, true end
    local expect = headers:get "expect"
    if expect and expect:lower() ~= "100-continue" then
        return self.refuse(417, "Expect: only 100-continue is known here"), true
    end
    if form then
        local bytes = form == "chunked" and self.max_body or form
        if self.body_bytes + bytes > BODIES * self.max_body then
            return self.refuse(429, "too many requests are being read; try again later"), true
        end
        self.body_bytes = self.body_bytes + bytes
        local ok, body
        -- Inside, so that the count is right whatever fails.
        ok, body, response = pcall(function()
            if expect and stream.peer_version > 1 then stream:write_continue(self.timeout) end
            return read_body(self, stream, form)
        end)
        self.body_bytes = self.body_bytes - bytes
        if not ok then error(body, 0) end
        if not body then return response, true end
        head.body = body
    end
    local socket = stream.connection.socket
    head.client = {
        watcher = socket and { pollfd = socket:pollfd(), events = "r" },
        gone = function()
            -- The connection's own coroutine reads what came; then it is known what it was.
            self.cqueues.sleep(0)
            local connection = stream.connection
            -- The client has sent its next request.
            if connection.pipeline:length() > 1 then return false end
            local open = connection.socket
            return not open or open:eof "r" == true or open:error "r" ~= nil
        end,
    }
    return self.handle(head)
end

--- End a stream, and its connection where the request was not read or not answered to the end. lua-http would read on,
-- for ever if the client has closed its side in the middle of a body.
local function close_stream(stream)
    if stream.state == "closed" then return end
    local connection = stream.connection
    if connection.socket then connection.socket:shutdown() end
    stream:set_state "closed"
end

--- A request from its first byte to the last of its answer.
-- @param head filled with what is known of it
-- @return status of the answer, or nil
local function serve(self, stream, head)
    local headers, response = read_head(self, stream)
    if not headers then
        if response then write_bare(self, stream, response) end
        return response and response.status
    end
    head.method, head.path = headers:get ":method", (headers:get ":path" or ""):gsub("%?.*$", "")
    head.content_type = headers:get "content-type"
    -- Where the client asks to close, lua-http would close its reading side as soon as the request is read: then nobody
    -- could see whether the client is still there.
    local close_after = stream.close_when_done
    stream.close_when_done = nil
    local ok, result, closing = pcall(answer, self, stream, head, headers)
    if ok then
        response = result
    else
        self.log(("%s %s: %s"):format(head.method, head.path, tostring(result)))
        response, closing = self.refuse(500, "an error of the server; its log says more"), true
    end
    if not response or not write(self, stream, response, closing or close_after or self.stopping) then
        return nil
    end
    linger(self, stream)
    return response.status
end

--- The same, with what has to be done however it ends.
local function attend(self, stream)
    -- One request of a connection at a time: whoever sends thousands at once, and takes no answer, waits.
    local pipeline = stream.connection.pipeline
    while pipeline:peek() ~= stream do self.cqueues.poll(stream.pipeline_cond) end
    local began, peer = self.now(), select(2, stream:peername())
    local head = { method = "-", path = "-" }
    self.active = self.active + 1
    local ok, status = pcall(serve, self, stream, head)
    if not ok then self.log(("%s %s: %s"):format(head.method, head.path, tostring(status))) end
    self.active = self.active - 1
    -- 499: nobody was there to take the answer.
    self.done(head, ok and status or 499, self.now() - began, peer)
    close_stream(stream)
end

--- Listen.
-- @tparam table options host, port (0: any that is free), max_connections, max_body, timeout, idle_timeout (seconds);
--   begin(head) -> response if a request is to be refused before its body is read: head has method, path, content_type;
--   handle(head) -> response: head.body, head.client (see waiting); refuse(status, message) -> response;
--   done(head, status, seconds, peer); log(line)
--   A response is {status, type, body or pieces(emit), headers}.
-- @return Server; a fault if the address cannot be had
function M.listen(options)
    local http_server, http_headers, cqueues, errno = libraries()
    local self = setmetatable({ cqueues = cqueues, errno = errno, now = cqueues.monotime,
        new_headers = http_headers.new,
        reasons = require "http.h1_reason_phrases", active = 0, body_bytes = 0,
        -- For what computes long: the others have their turn.
        pause = function() cqueues.sleep(0) end }, Server)
    for name, value in pairs(options) do self[name] = value end
    local inner, message = http_server.listen { host = options.host, port = options.port, tls = false, version = 1.1,
        reuseaddr = true, max_concurrent = options.max_connections, intra_stream_timeout = options.idle_timeout,
        onstream = function(_, stream) attend(self, stream) end,
        -- Connections that break are no news; errors of our own are logged in serve.
        onerror = function(_, _, operation, problem)
            if operation == "onstream" or operation == "accept" then
                self.log(("%s: %s"):format(operation, tostring(problem)))
            end
        end }
    local ok
    if inner then ok, message = inner:listen(5) end
    if not ok then
        fault.raisef("serve: cannot listen on %s port %d: %s; choose another --port or --host", options.host,
            options.port, (tostring(message):gsub("^[%w_]+: ", "")))
    end
    self.inner, self.loop = inner, inner.cq
    self.port = select(3, inner:localname())
    return self
end

--- Run a function beside the connections.
function Server:wrap(fn)
    self.loop:wrap(fn)
end

--- Open connections.
function Server:connections()
    return self.inner.n_connections
end

--- Close the listening socket; those that are connected are served once more.
function Server:stop_accepting()
    self.stopping = true
    local socket = self.inner.socket
    if not socket then return end
    self.inner:pause()
    self.cqueues.cancel(socket:pollfd())
    self.inner.socket = nil
    socket:close()
end

--- Serve until finish() is called.
function Server:run()
    while not self.finished do
        local ok, message = self.loop:step()
        if not ok then self.log(tostring(message)) end
    end
end

--- End run().
function Server:finish()
    self.finished = true
end

return M
