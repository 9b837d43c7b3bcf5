--- A small HTTP server for specs, on a free loopback port, in a process of its own.
--
-- It serves one text as /file and every name that ends in .json, honouring Range and If-Range with an ETag, and
-- misbehaves under other names:
-- /cut closes the first answer halfway, /norange ignores Range, /changed has another ETag and text in each answer,
-- names that begin with slow pause after each 2 KB,
-- /busy answers 503 twice, /wrong sends another text of the same length, /missing does not exist.

local poll = require "posix.poll"
local signal = require "posix.signal"
local socket = require "posix.sys.socket"
local time = require "posix.time"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local M = {}

local function reply(client, status, headers, body, slow)
    local lines = { "HTTP/1.1 " .. status, "Connection: close" }
    for _, line in ipairs(headers) do lines[#lines + 1] = line end
    socket.send(client, table.concat(lines, "\r\n") .. "\r\n\r\n")
    local at = 1
    while at <= #body do
        local sent = socket.send(client, body:sub(at, at + (slow and 2047 or 65535)))
        if not sent then return end
        at = at + sent
        if slow then time.nanosleep { tv_sec = 0, tv_nsec = 20e6 } end
    end
end

local function serve_file(client, text, etag, request, ranges, cut, slow)
    local first = ranges and tonumber(request:match "[Rr]ange: bytes=(%d+)%-")
    local condition = request:match "If%-Range: ([^\r\n]+)"
    if condition and condition ~= etag then first = nil end
    if first and first >= #text then return reply(client, "416 Range Not Satisfiable", { "Content-Length: 0" }, "") end
    local body = first and text:sub(first + 1) or text
    local headers = { "Content-Length: " .. #body, "ETag: " .. etag }
    if first then headers[3] = ("Content-Range: bytes %d-%d/%d"):format(first, #text - 1, #text) end
    if cut then body = body:sub(1, math.floor(#body / 2)) end
    reply(client, first and "206 Partial Content" or "200 OK", headers, body, slow)
end

local function answer(client, text, counts)
    local request = socket.recv(client, 8192) or ""
    local name = request:match "^GET /(%S*)" or ""
    counts[name] = (counts[name] or 0) + 1
    if name == "file" or name:match "%.json$" then
        serve_file(client, text, '"one"', request, true)
    elseif name:match "^slow" then
        serve_file(client, text, '"one"', request, true, false, true)
    elseif name == "cut" then
        serve_file(client, text, '"one"', request, true, counts.cut == 1)
    elseif name == "norange" then
        serve_file(client, text, '"one"', request, false, counts.norange == 1)
    elseif name == "changed" then
        local new = counts.changed > 1
        serve_file(client, new and text:reverse() or text, new and '"two"' or '"one"', request, true, not new)
    elseif name == "busy" and counts.busy > 2 then
        serve_file(client, text, '"one"', request, true)
    elseif name == "busy" then
        reply(client, "503 Service Unavailable", { "Content-Length: 0" }, "")
    elseif name == "wrong" then
        serve_file(client, ("x"):rep(#text), '"bad"', request, true)
    elseif name == "count" then
        local lines = {}
        for path, count in pairs(counts) do lines[#lines + 1] = path .. "=" .. count end
        local body = table.concat(lines, " ")
        reply(client, "200 OK", { "Content-Length: " .. #body }, body)
    else
        reply(client, "404 Not Found", { "Content-Length: 0" }, "")
    end
end

--- Start a server for a text.
-- @return {url = "http://127.0.0.1:PORT/", stop = function}
function M.start(text)
    local listener = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    assert(socket.bind(listener, { family = socket.AF_INET, addr = "127.0.0.1", port = 0 }))
    assert(socket.listen(listener, 16))
    local port = assert(socket.getsockname(listener)).port
    io.stdout:flush()
    local pid = assert(unistd.fork())
    if pid == 0 then
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        -- A reader of the specs' output must not wait for this process, and it must not outlive the specs.
        for descriptor = 0, 2 do unistd.close(descriptor) end
        local counts, parent = {}, unistd.getppid()
        while unistd.getppid() == parent do
            local ready = poll.rpoll(listener, 200)
            local client = ready == 1 and socket.accept(listener)
            if client then
                pcall(answer, client, text, counts)
                unistd.close(client)
            end
        end
        unistd._exit(0)
    end
    unistd.close(listener)
    return {
        url = ("http://127.0.0.1:%d/"):format(port),
        stop = function()
            signal.kill(pid, signal.SIGKILL)
            wait.wait(pid)
        end,
    }
end

return M
