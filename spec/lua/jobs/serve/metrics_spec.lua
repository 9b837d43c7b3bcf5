local metrics = require "bertlua.jobs.serve.metrics"

local QUEUE = { waiting = 3, computing = 2, bytes = 100, batches = 4, texts = 9, tokens = 50, busy = 1.5,
    batch_sizes = { 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0 } }
local SERVER = { connections = 5, active = 1, started = 1700000000, model = 'a "model"', version = "1.2.3" }

describe("metrics", function()
    local function lines(counts)
        local found = {}
        for line in counts:text(QUEUE, SERVER):gmatch "[^\n]+" do found[line] = true end
        return found
    end

    it("are what Prometheus reads", function()
        local counts = metrics.new()
        counts:request("/embed", 200, 0.004)
        counts:request("/embed", 200, 0.3)
        counts:request("/embed", 429, 99)
        counts:wait(0.02)
        local found = lines(counts)
        for _, line in ipairs { 'bertlua_info{model="a \\"model\\"",version="1.2.3"} 1', "bertlua_connections 5",
            "bertlua_requests_in_flight 1",
            'bertlua_requests_total{route="/embed",code="200"} 2',
            'bertlua_requests_total{route="/embed",code="429"} 1',
            'bertlua_request_duration_seconds_bucket{route="/embed",le="0.005"} 1',
            'bertlua_request_duration_seconds_bucket{route="/embed",le="0.25"} 1',
            'bertlua_request_duration_seconds_bucket{route="/embed",le="0.5"} 2',
            'bertlua_request_duration_seconds_bucket{route="/embed",le="+Inf"} 3',
            'bertlua_request_duration_seconds_sum{route="/embed"} 99.304',
            'bertlua_request_duration_seconds_count{route="/embed"} 3', "bertlua_queue_wait_seconds_count 1",
            "bertlua_queue_texts 3", "bertlua_computing_texts 2", "bertlua_tokens_total 50",
            'bertlua_batch_texts_bucket{le="1"} 1', 'bertlua_batch_texts_bucket{le="2"} 3',
            'bertlua_batch_texts_bucket{le="8"} 4', 'bertlua_batch_texts_bucket{le="+Inf"} 4',
            "bertlua_batch_texts_sum 9", "bertlua_batch_texts_count 4", "bertlua_busy_seconds_total 1.5" } do
            assert.is_true(found[line], line)
        end
    end)

    it("have a type for each name, once", function()
        local seen = {}
        for line in pairs(lines(metrics.new())) do
            local name = line:match "^# TYPE (%S+) "
            if name then
                assert.is_nil(seen[name])
                seen[name] = true
            end
        end
        for line in pairs(lines(metrics.new())) do
            local name = line:match "^[%w_]+"
            if name then assert.is_true(seen[name] or seen[name:gsub("_%a+$", "")], line) end
        end
    end)
end)
