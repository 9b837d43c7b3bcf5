--- A client of HTTP/1.1 for specs: what a spec sends goes out byte by byte as it is, and every wait is bounded.

local poll = require "posix.poll"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local M = {}

local SECONDS = 60

local Connection = {}
Connection.__index = Connection

--- Connect to a port of this machine.
function M.connect(port)
    local descriptor = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    assert(socket.connect(descriptor, { family = socket.AF_INET, addr = "127.0.0.1", port = port }))
    return setmetatable({ descriptor = descriptor, text = "" }, Connection)
end

--- Send a text; false if the server has closed.
function Connection:send(text)
    local at = 1
    while at <= #text do
        local sent = socket.send(self.descriptor, text:sub(at, at + 65535))
        if not sent then return false end
        at = at + sent
    end
    return true
end

--- More bytes; false at the end.
local function more(self)
    assert(poll.rpoll(self.descriptor, SECONDS * 1000) == 1, "the server did not answer")
    local bytes = socket.recv(self.descriptor, 65536)
    if not bytes or bytes == "" then return false end
    self.text = self.text .. bytes
    return true
end

--- Whether something has come, or the server has closed.
function Connection:is_ready()
    return self.text ~= "" or poll.rpoll(self.descriptor, 0) == 1
end

--- The next response.
-- @return {status, headers: lower-case names, body}; nil if the connection was closed instead
function Connection:receive()
    local stop
    repeat
        stop = self.text:match "\r\n\r()\n"
    until stop or not more(self)
    if not stop then return nil end
    local response = { status = tonumber(self.text:match "^HTTP/1%.%d (%d+)"), headers = {} }
    for name, value in self.text:sub(1, stop):gmatch "\r\n([^:\r\n]+): ([^\r\n]*)" do
        response.headers[name:lower()] = value
    end
    local length = tonumber(response.headers["content-length"] or 0)
    if response.headers["transfer-encoding"] == "chunked" then
        while not self.text:find("\r\n0\r\n\r\n", stop, true) and more(self) do end -- luacheck: ignore 542
        local list, at = {}, stop + 1
        while true do
            local size, first = self.text:match("^(%x+)\r\n()", at)
            size = tonumber(size, 16)
            if size == 0 then break end
            list[#list + 1], at = self.text:sub(first, first + size - 1), first + size + 2
        end
        response.body, self.text = table.concat(list), ""
        return response
    end
    while #self.text < stop + length and more(self) do end -- luacheck: ignore 542
    response.body, self.text = self.text:sub(stop + 1, stop + length), self.text:sub(stop + length + 1)
    return response
end

function Connection:close()
    if self.descriptor then unistd.close(self.descriptor) end
    self.descriptor = nil
end

--- The text of a POST of JSON.
function M.post(path, body, headers)
    return ("POST %s HTTP/1.1\r\nHost: spec\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s")
        :format(path, headers or "", #body, body)
end

--- One request on a connection of its own.
-- @param text of the request
-- @return response, or nil
function M.ask(port, text)
    local connection = M.connect(port)
    connection:send(text)
    local response = connection:receive()
    connection:close()
    return response
end

return M
