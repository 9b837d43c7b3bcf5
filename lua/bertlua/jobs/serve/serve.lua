--- Job: a server for one model.
--
-- One process: the event loop of http.lua in Lua, and the threads of the engine's queue, which compute. Whoever asks
-- for /health is therefore answered in the middle of a batch.

local affinity = require "bertlua.affinity"
local devices = require "bertlua.jobs.common.devices"
local encoder_api = require "bertlua.encoder_api"
local encoder_queue = require "bertlua.encoder_queue"
local fault = require "bertlua.fault"
local files = require "bertlua.encoder.files"
local fs = require "bertlua.util.fs"
local http = require "bertlua.jobs.serve.http"
local json = require "bertlua.util.json"
local metrics = require "bertlua.jobs.serve.metrics"
local named_file = require "bertlua.util.named_file"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local problem = require "bertlua.jobs.serve.problem"
local routes = require "bertlua.jobs.serve.routes"
local settings = require "bertlua.settings"
local stopping = require "bertlua.jobs.serve.stopping"
local term = require "bertlua.util.term"
local version = require "bertlua.version"
local waiting = require "bertlua.jobs.serve.waiting"

local M = {}

M.settings = settings.define {
    { name = "checkpoint", type = "path", required = true, group = "Model",
        help = "the model: OUTPUT_DIR of a run, its model, a checkpoint, or a Hugging Face folder" },
    { name = "model_name", type = "string", group = "Model",
        help = "its name for clients; unset: that of its folder" },
    { name = "pooling", type = "choice", choices = { "mean", "cls" }, group = "Model",
        help = "vectors of all tokens or of the first; unset: as the model's folder says, or mean" },
    { name = "max_seq_length", type = "integer", min = 8, max = 4096, group = "Model",
        help = "most tokens of a text; unset: as the model was trained" },
    { name = "auto_truncate", type = "boolean", default = false, group = "Model",
        help = "longer texts lose their end where a request does not say; otherwise it is refused" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16" }, default = "fp32", group = "Model",
        help = "of matrices and activations" },
    { name = "vocab_file", type = "path", find = paths.vocabulary, group = "Model",
        help = "unset: vocab.txt or tokenizer.json of the model" },
    { name = "do_lower_case", type = "boolean", group = "Model",
        help = "lower-case the text; unset: as the model was trained" },

    { name = "host", type = "string", default = "127.0.0.1", group = "Server",
        help = "address to listen on; 0.0.0.0 or :: for every network: there is neither encryption nor a password" },
    { name = "port", type = "integer", min = 0, max = 65535, default = 8080, group = "Server",
        help = "0: any that is free" },
    { name = "max_connections", type = "integer", min = 1, max = 65536, default = 256, group = "Server",
        help = "open connections; more wait to be accepted" },
    { name = "max_body", type = "integer", min = 64, max = 2 ^ 30, default = 2000000, group = "Server",
        help = "bytes of a request's body; larger ones are refused unread" },
    { name = "max_inputs", type = "integer", min = 1, default = 32, group = "Server", help = "texts in a request" },
    { name = "max_context", type = "integer", min = 64, max = 2 ^ 30, default = 100000, group = "Server",
        help = "bytes of the contexts of a request for answers, which are read in windows" },
    { name = "timeout", type = "number", above = 0, max = 3600, default = 30, group = "Server",
        help = "seconds for a request's head, for its body, and for each 64 KB of an answer to be taken" },
    { name = "idle_timeout", type = "number", above = 0, max = 86400, default = 60, group = "Server",
        help = "seconds that a connection may be silent between two requests" },
    { name = "grace", type = "number", min = 0, max = 86400, default = 30, group = "Server",
        help = "seconds for requests in flight after SIGTERM or SIGINT" },
    { name = "access_log", type = "path", group = "Server", help = "a JSON line for each request; -: standard output" },

    { name = "max_queue", type = "integer", min = 1, max = 2 ^ 20, default = 512, group = "Queue",
        help = "texts that wait or are computed; then 429, and the client tries again" },
    { name = "max_queue_mib", type = "integer", min = 1, max = 2 ^ 20, default = 256, group = "Queue",
        help = "MiB of texts and results that are held" },
    { name = "batch_texts", type = "integer", min = 1, max = 4096, default = 32, group = "Queue",
        help = "texts of several requests that are computed together" },
    { name = "batch_tokens", type = "integer", min = 1, max = 2 ^ 24, default = 8192, group = "Queue",
        help = "the same in tokens" },
    { name = "workers", type = "integer", min = 0, max = 256, default = 0, group = "Queue",
        help = "batches computed at a time; 0: as many as the cores allow" },
    { name = "threads", type = "integer", min = 0, max = 1024, default = 1, group = "Queue",
        help = "of each batch; 0: all cores, for few clients with long texts" },
}

-- As the engine counts them.
local POOLINGS, NORMALIZED = { "mean", "cls" }, 16
local DTYPE = { fp32 = "f32", bf16 = "bf16" }

--- Open the model; a fault if its folder cannot be served.
-- @return encoder, what files.inspect found
local function open_model(values)
    local found = files.inspect(values.checkpoint, { vocab_file = values.vocab_file,
        do_lower_case = values.do_lower_case, max_seq_length = values.max_seq_length, command_line = true })
    if values.threads > 0 then devices.warn_of_threads(values.threads, values.threads) end
    local path = files.named(values.checkpoint, found.folder, found.file)
    local encoder = fault.check(encoder_api.open(path, { vocab_file = values.vocab_file,
        threads = values.threads, dtype = DTYPE[values.precision], max_length = found.limit,
        lower_case = values.do_lower_case }))
    for _, note in ipairs(encoder:notes()) do term.warn(("%s: %s"):format(found.folder, note)) end
    return encoder, found
end

--- What requests are checked against.
local function limits_of(values, about, name)
    return {
        model = name, max_inputs = math.min(values.max_inputs, values.max_queue),
        max_context = values.max_context, auto_truncate = values.auto_truncate,
        hidden_size = about.hidden_size, max_length = about.max_length, classifies = about.classifies,
        answers = about.answers, fills_masks = about.fills_masks, values = about.problem == "values",
        pooling = values.pooling or "model", pooled = values.pooling or POOLINGS[about.pooling % NORMALIZED],
        max_texts = values.max_queue, batch_texts = values.batch_texts, batch_tokens = values.batch_tokens,
        workers = values.workers,
    }
end

local function is_loopback(host)
    return host:find "^127%." ~= nil or host == "::1" or host == "localhost"
end

--- A line on standard error.
local function log(line)
    io.stderr:write("bertlua: ", printable.text(line), "\n")
    io.stderr:flush()
end

--- A function that writes a line for each request.
local function access_log(path)
    if not path then return function() end end
    local file = io.stdout
    if path ~= "-" then file = fault.check(io.open(path, "a")) end
    return function(head, status, seconds, peer)
        file:write(json.encode({ time = os.date "!%Y-%m-%dT%H:%M:%SZ", method = head.method, path = head.path,
            status = status, ms = math.floor(seconds * 1e5 + 0.5) / 100, peer = peer,
            bytes = head.body and #head.body or 0 }, { order = { "time", "method", "path", "status", "ms" } }), "\n")
        file:flush()
    end
end

local KINDS = { [429] = "Overloaded", [500] = "Backend", [503] = "Unhealthy" }

--- A refusal of http.lua's as a response.
local function refuse(status, message)
    return routes.response(problem.new(status, KINDS[status] or "Validation", message,
        status == 429 and { headers = { ["retry-after"] = "1" } } or nil))
end

--- What a model can be asked, for people.
local function abilities(limits)
    local list = { "/embed", "/embed_all", "/tokenize", "/v1/embeddings" }
    if limits.classifies then list[#list + 1] = "/predict" end
    if limits.fills_masks then list[#list + 1] = "/fill_mask" end
    if limits.answers then list[#list + 1] = "/answer" end
    return table.concat(list, " ")
end

local function announce(server, values, limits)
    local host = values.host:find(":", 1, true) and "[" .. values.host .. "]" or values.host
    io.stdout:write(("serving %s on http://%s:%d  %s\n"):format(limits.model, host, server.port, abilities(limits)))
    io.stdout:flush()
    if not is_loopback(values.host) then
        term.warn(("listening on %s: whoever reaches it may use the model, without a password or encryption; "
            .. "docs/serving.md shows a proxy in front"):format(values.host))
    end
end

--- Serve until a signal, and then until what is in flight is done.
-- @return true; or false where requests were left behind, or something broke
function M.run(values)
    http.need()
    named_file.check("--access-log", values.access_log)
    local cores = #affinity.get()
    if values.workers == 0 then
        local each = values.threads > 0 and values.threads or cores
        values.workers = math.max(1, math.min(256, math.floor(cores / each)))
    end
    -- Before any thread is started: they inherit who is told of signals.
    local signals = stopping.listen()
    local encoder, found = open_model(values)
    local about = encoder:describe()
    local limits = limits_of(values, about, values.model_name or fs.basename(values.checkpoint))
    local queue = encoder_queue.new(encoder, { workers = values.workers, max_texts = values.max_queue,
        batch_texts = values.batch_texts, batch_tokens = values.batch_tokens, memory = values.max_queue_mib * 2 ^ 20 })
    local counts, write_access, started = metrics.new(), access_log(values.access_log), os.time()
    local labels = {}
    for i = 1, about.labels do labels[i] = encoder:label(i - 1) end
    local server, table_of_routes
    server = http.listen { host = values.host, port = values.port, max_connections = values.max_connections,
        max_body = values.max_body, timeout = values.timeout, idle_timeout = values.idle_timeout, log = log,
        refuse = refuse,
        begin = function(head) return table_of_routes:begin(head) end,
        handle = function(head) return table_of_routes:handle(head) end,
        done = function(head, status, seconds, peer)
            counts:request(select(2, table_of_routes:find(head.path)), status, seconds)
            write_access(head, status, seconds, peer)
        end }
    table_of_routes = routes.new { limits = limits, labels = labels, tokenizer = found.words, metrics = counts,
        waiting = waiting.new(queue), dtype = values.precision == "bf16" and "bfloat16" or "float32",
        version = version.engine, started = started, pause = server.pause,
        state = function()
            return { connections = server:connections(), active = server.active, started = started,
                model = limits.model, version = version.engine }
        end }
    server:wrap(function()
        -- It runs for ever; without it no request would be answered.
        log(tostring(select(2, pcall(table_of_routes.waiting.run, table_of_routes.waiting))))
        server:finish()
    end)
    announce(server, values, limits)
    local left = stopping.run { server = server, signals = signals, grace = values.grace, begin = function()
        table_of_routes.stopping = true
        if server.active > 0 then log(("stopping: %s in flight"):format(plural.count(server.active, "request"))) end
    end }
    if not table_of_routes.stopping then return false end
    if left > 0 then
        log(("%s not finished within %g s (--grace)"):format(plural.count(left, "request was", "requests were"),
            values.grace))
        return false
    end
    queue:close()
    encoder:close()
    return true
end

--- Entry point of the recipe.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, { description = description })
    stopping.leave(M.run(values))
end

return M
