--- Coroutines that wait for replies of the queue: one of them watches the queue's descriptor and wakes the others.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local M = {}

local Waiting = {}
Waiting.__index = Waiting

--- @param queue bertlua.encoder_queue
function M.new(queue)
    return setmetatable({ queue = queue, tickets = {}, watcher = { pollfd = queue:descriptor(), events = "r" } },
        Waiting)
end

--- Hand out replies, for ever.
function Waiting:run()
    while true do
        cqueues.poll(self.watcher)
        while true do
            local reply = self.queue:next()
            if not reply then break end
            local entry = self.tickets[reply.ticket]
            if entry then
                entry.reply = reply
                entry.came:signal()
            else
                reply:release()
            end
        end
    end
end

--- Ask, and wait for the reply.
-- @param question for the queue
-- @param client watcher: to poll on; gone(): whether it has closed its connection; after the watcher came without that,
--   it is not asked again: what came is the client's next request
-- @return reply, to be released; or nil and "full", "stopped", "gone", or "refused" with a message
function Waiting:ask(question, client)
    local ticket, why, message = self.queue:submit(question)
    if not ticket then return nil, why, message end
    local entry = { came = condition.new() }
    self.tickets[ticket] = entry
    local watcher = client.watcher
    while not entry.reply do
        local woken = watcher and cqueues.poll(entry.came, watcher) or not watcher and cqueues.poll(entry.came)
        if woken == watcher and watcher and not entry.reply then
            if client.gone() then
                self.tickets[ticket] = nil
                self.queue:cancel(ticket)
                return nil, "gone"
            end
            watcher = nil
        end
    end
    self.tickets[ticket] = nil
    return entry.reply
end

return M
