--- The end of a server: signals as events of its loop, and requests in flight that are finished first.

local leave = require "bertlua.leave"
local posix_signal = require "posix.signal"
local unistd = require "posix.unistd"

local M = {}

-- Seconds between two looks at what is in flight.
local LOOK = 0.05

--- From now on SIGTERM and SIGINT are events. To be called before other threads are started, which inherit that.
-- @return what run() takes
function M.listen()
    local signal = require "cqueues.signal"
    -- A client that closes its connection must not end the server.
    posix_signal.signal(posix_signal.SIGPIPE, posix_signal.SIG_IGN)
    signal.block(signal.SIGTERM, signal.SIGINT)
    return { events = signal.listen(signal.SIGTERM, signal.SIGINT), signal = signal }
end

--- Serve until a signal comes; then take nothing new and finish what is in flight. A second signal ends that at once.
-- @param options server (of http.lua), signals, grace (seconds), begin(): called when the first signal has come
-- @return number of requests that were not finished
function M.run(options)
    local server, signals, cqueues = options.server, options.signals, require "cqueues"
    local left = 0
    server:wrap(function()
        repeat until signals.events:wait()
        options.begin()
        server:stop_accepting()
        local deadline = cqueues.monotime() + options.grace
        while server.active > 0 and cqueues.monotime() < deadline do
            if signals.events:wait(LOOK) then break end
        end
        left = server.active
        server:finish()
    end)
    server:run()
    signals.signal.unblock(signals.signal.SIGTERM, signals.signal.SIGINT)
    return left
end

--- End the program, without waiting for a computation that nobody waits for any more.
-- @tparam boolean done whether everything was finished
function M.leave(done)
    if done then return end
    if leave.at_prompt then leave.exit(1) end
    io.stdout:flush()
    unistd._exit(1)
end

return M
