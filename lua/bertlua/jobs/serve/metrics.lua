--- Counters of the server, and their text in the form that Prometheus reads (version 0.0.4).

local M = {}

local Metrics = {}
Metrics.__index = Metrics

local SECONDS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

--- Counters of a server that has done nothing yet.
function M.new()
    return setmetatable({ requests = {}, seconds = {}, waited = nil, cancelled = 0 }, Metrics)
end

local function histogram()
    local slots = {}
    for i = 1, #SECONDS do slots[i] = 0 end
    return { slots = slots, count = 0, sum = 0 }
end

local function observe(h, value)
    for i, bound in ipairs(SECONDS) do
        if value <= bound then
            h.slots[i] = h.slots[i] + 1
            break
        end
    end
    h.count, h.sum = h.count + 1, h.sum + value
end

--- A request is done.
-- @param route one of few names
-- @param status of HTTP
-- @param seconds it took
function Metrics:request(route, status, seconds)
    local codes = self.requests[route] or {}
    self.requests[route] = codes
    codes[status] = (codes[status] or 0) + 1
    self.seconds[route] = self.seconds[route] or histogram()
    observe(self.seconds[route], seconds)
end

--- A question came out of the queue after so many seconds.
function Metrics:wait(seconds)
    self.waited = self.waited or histogram()
    observe(self.waited, seconds)
end

local function sorted(t)
    local keys = {}
    for key in pairs(t) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end

local function label(value)
    return (tostring(value):gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }))
end

local function write_histogram(out, name, labels, h)
    local sum = 0
    local comma = labels == "" and "" or ","
    for i, bound in ipairs(SECONDS) do
        sum = sum + h.slots[i]
        out[#out + 1] = ('%s_bucket{%s%sle="%s"} %d'):format(name, labels, comma, bound, sum)
    end
    local braces = labels == "" and "" or "{" .. labels .. "}"
    out[#out + 1] = ('%s_bucket{%s%sle="+Inf"} %d'):format(name, labels, comma, h.count)
    out[#out + 1] = ("%s_sum%s %.9g"):format(name, braces, h.sum)
    out[#out + 1] = ("%s_count%s %d"):format(name, braces, h.count)
end

--- The text for a scrape.
-- @param queue info of the queue (bertlua.encoder_queue)
-- @param server connections, active: open now; started: Unix time; model, version
-- @treturn string
function Metrics:text(queue, server)
    local out = {}
    local function begin(name, kind, help)
        out[#out + 1] = ("# HELP %s %s"):format(name, help)
        out[#out + 1] = ("# TYPE %s %s"):format(name, kind)
    end
    local function one(name, kind, help, value)
        begin(name, kind, help)
        out[#out + 1] = ("%s %.15g"):format(name, value)
    end
    begin("bertlua_info", "gauge", "What is served.")
    out[#out + 1] = ('bertlua_info{model="%s",version="%s"} 1'):format(label(server.model), label(server.version))
    one("bertlua_start_time_seconds", "gauge", "Unix time of the server's start.", server.started)
    one("bertlua_connections", "gauge", "Open connections.", server.connections)
    one("bertlua_requests_in_flight", "gauge", "Requests that are being read or answered, this one among them.",
        server.active)
    begin("bertlua_requests_total", "counter", "Requests by route and status.")
    for _, route in ipairs(sorted(self.requests)) do
        for _, status in ipairs(sorted(self.requests[route])) do
            out[#out + 1] = ('bertlua_requests_total{route="%s",code="%d"} %d'):format(label(route), status,
                self.requests[route][status])
        end
    end
    local duration = "bertlua_request_duration_seconds"
    begin(duration, "histogram", "From the first byte of a request to the last of its answer.")
    for _, route in ipairs(sorted(self.seconds)) do
        write_histogram(out, duration, ('route="%s"'):format(label(route)), self.seconds[route])
    end
    begin("bertlua_queue_wait_seconds", "histogram", "From the arrival in the queue to the computation.")
    write_histogram(out, "bertlua_queue_wait_seconds", "", self.waited or histogram())
    one("bertlua_queue_texts", "gauge", "Texts that wait.", queue.waiting)
    one("bertlua_computing_texts", "gauge", "Texts that are being computed.", queue.computing)
    one("bertlua_queue_bytes", "gauge", "Texts and results that are held.", queue.bytes)
    one("bertlua_cancelled_total", "counter", "Requests whose clients were gone before the answer.", self.cancelled)
    one("bertlua_texts_total", "counter", "Texts computed.", queue.texts)
    one("bertlua_tokens_total", "counter", "Tokens computed.", queue.tokens)
    one("bertlua_busy_seconds_total", "counter", "Time that the computing threads were busy.", queue.busy)
    begin("bertlua_batch_texts", "histogram", "Texts computed together.")
    local sum = 0
    for i, count in ipairs(queue.batch_sizes) do
        sum = sum + count
        local bound = i < #queue.batch_sizes and ("%d"):format(2 ^ (i - 1)) or "+Inf"
        out[#out + 1] = ('bertlua_batch_texts_bucket{le="%s"} %d'):format(bound, sum)
    end
    out[#out + 1] = ("bertlua_batch_texts_sum %d"):format(queue.texts)
    out[#out + 1] = ("bertlua_batch_texts_count %d"):format(queue.batches)
    return table.concat(out, "\n") .. "\n"
end

return M
