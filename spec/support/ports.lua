--- Ports for what a spec's programs open themselves.

local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local M = {}

-- Below those that the system gives to whoever asks for any, so that nobody gets one in between.
local FIRST, COUNT = 20000, 10000

-- Specs that run beside these begin elsewhere.
local place = unistd.getpid() * 37 % COUNT

--- A port that nobody has, another one each time.
function M.free()
    for _ = 1, COUNT do
        local port = FIRST + place
        place = (place + 1) % COUNT
        local descriptor = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
        local bound = socket.bind(descriptor, { family = socket.AF_INET, addr = "0.0.0.0", port = port })
        unistd.close(descriptor)
        if bound then return port end
    end
    error(("no port from %d to %d is free"):format(FIRST, FIRST + COUNT - 1))
end

return M
