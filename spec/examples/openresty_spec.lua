--- The example of nginx with Lua, as it stands but for its port and paths: two workers, one model each, one memory.
--
-- Needs OpenResty, Debian's nginx with libnginx-mod-http-lua, or what scripts/unpack_nginx.sh unpacks to build/nginx.

local encoder_api = require "bertlua.encoder_api"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local posix_signal = require "posix.signal"
local ports = require "spec.support.ports"
local posix_time = require "posix.time"
local process = require "spec.support.process"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"

local quote = process.quote
local ROOT = (process.run "pwd -P"):gsub("\n", "")
local MODEL = ROOT .. "/spec/fixtures/encoder/masked_lm"

--- The nginx to use: {program, options to load its modules, folder of resty.core, environment}; nil if there is none.
local function find_nginx()
    local unpacked = ROOT .. "/build/nginx"
    for _, root in ipairs { unpacked, "" } do
        local modules = root .. "/usr/lib/nginx/modules/"
        if fs.is_file(root .. "/usr/sbin/nginx") and fs.is_file(modules .. "ngx_http_lua_module.so") then
            local libraries = ("%s/usr/lib/x86_64-linux-gnu:%s/lib/x86_64-linux-gnu"):format(root, root)
            return { program = root .. "/usr/sbin/nginx", lua = root .. "/usr/share/lua/5.1/?.lua",
                load = ("load_module %sndk_http_module.so; load_module %sngx_http_lua_module.so; "):format(modules,
                    modules), environment = root == "" and "" or "LD_LIBRARY_PATH=" .. quote(libraries) }
        end
    end
    local openresty = process.run("command -v openresty"):gsub("\n", "")
    return openresty ~= "" and { program = openresty, lua = "", load = "", environment = "" } or nil
end

local function connect(port)
    local client = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    socket.setsockopt(client, socket.SOL_SOCKET, socket.SO_RCVTIMEO, 60, 0)
    local connected = socket.connect(client, { family = socket.AF_INET, addr = "127.0.0.1", port = port })
    if connected then return client end
    unistd.close(client)
end

--- One request on a connection of its own: status, headers, body.
local function request(port, method, path, body)
    local client = assert(connect(port), "no connection")
    local head = "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    assert(socket.send(client, head:format(method, path, #(body or "")) .. (body or "")))
    local parts = {}
    repeat
        local part = socket.recv(client, 65536)
        parts[#parts + 1] = part
    until not part or part == ""
    unistd.close(client)
    local text = table.concat(parts)
    local rest
    head, rest = text:match "^(.-)\r\n\r\n(.*)$"
    -- nginx sends what it does not know the length of in chunks.
    if head:find "Transfer%-Encoding: chunked" then
        local chunks, at = {}, 1
        while true do
            local size, next_at = rest:match("^(%x+)\r\n()", at)
            size = tonumber(size, 16)
            if size == 0 then break end
            chunks[#chunks + 1] = rest:sub(next_at, next_at + size - 1)
            at = next_at + size + 2
        end
        rest = table.concat(chunks)
    end
    return tonumber(head:match "^HTTP/1.1 (%d+)"), head, rest
end

local function sleep()
    posix_time.nanosleep { tv_sec = 0, tv_nsec = 20e6 }
end

--- Sizes in kB of the mapping of the model's parameters in a process, by name.
local function mapping(pid)
    local text = assert(fs.read(("/proc/%s/smaps"):format(pid)))
    local _, at = text:find(MODEL .. "/model.safetensors\n", 1, true)
    assert(at, "the file is not mapped")
    local sizes = {}
    for line in text:sub(at + 1):gmatch "[^\n]+" do
        local name, size = line:match "^(%u[%w_]+):%s+(%d+) kB$"
        if not name then break end
        sizes[name] = tonumber(size)
    end
    return sizes
end

describe("the example of nginx", function()
    local nginx = find_nginx()
    local folder, port, pid

    local function log() return fs.read(folder .. "/log") or "" end

    setup(function()
        if not nginx then return end
        folder = process.temporary_folder()
        port = ports.free()
        process.run(("cp examples/openresty/* %s/"):format(quote(folder)))
        local conf = assert(fs.read(folder .. "/nginx.conf"))
        local paths = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/bindings/?.lua;%s"):format(ROOT, ROOT, ROOT, nginx.lua)
        local changed
        for old, new in pairs { ["/usr/local/share/lua/5.1/?.lua"] = paths, ["127.0.0.1:8080"] = "127.0.0.1:" .. port,
            ["worker_processes auto"] = "worker_processes 2" } do
            conf, changed = conf:gsub(("\n[^#\n]*%s"):format((old:gsub("%p", "%%%0"))), function(line)
                return (line:gsub((old:gsub("%p", "%%%0")), (new:gsub("%%", "%%%%"))))
            end)
            assert(changed == 1, old)
        end
        assert(fs.write(folder .. "/nginx.conf", conf))
        local command = "%s BERTLUA_MODEL=%s BERTLUA_LIB=%s %s -e stderr -p %s -c nginx.conf -g %s > %s/log 2>&1 &"
        local library = process.bertlua:match "^(.*)/" .. "/libbertlua.so"
        -- Workers of root's nginx are someone else, who may not read this folder.
        local options = nginx.load .. "env BERTLUA_LIB; " .. (unistd.geteuid() == 0 and "user root;" or "")
        process.run(command:format(nginx.environment, quote(MODEL), quote(library), nginx.program, quote(folder),
            quote(options), quote(folder)))
        for _ = 1, 3000 do
            pid = tonumber(fs.read(folder .. "/nginx.pid") or "")
            local client = pid and connect(port)
            if client then
                unistd.close(client)
                break
            end
            sleep()
        end
        assert(pid, log())
    end)

    teardown(function()
        if not folder then return end
        if pid then posix_signal.kill(pid, posix_signal.SIGQUIT) end
        local gone
        for _ = 1, 3000 do
            gone = not pid or not fs.is_file(("/proc/%d/stat"):format(pid))
            if gone then break end
            sleep()
        end
        if not gone then posix_signal.kill(pid, posix_signal.SIGKILL) end
        process.run("rm -rf " .. quote(folder))
        assert(gone, "nginx did not stop")
    end)

    local function specify(name, fn)
        it(name, function()
            if not nginx then return pending "no nginx with Lua: scripts/unpack_nginx.sh build/nginx" end
            fn()
        end)
    end

    specify("answers from both workers, which share the memory of one model", function()
        local texts = { "a text", "another" }
        local expected = assert(encoder_api.open(MODEL, { threads = 1 })):embed(texts):tolist()
        local seen, workers = {}, {}
        for _ = 1, 200 do
            local status, head, body = request(port, "POST", "/embed", json.encode { inputs = texts })
            assert.are.equal(200, status, body)
            local worker = assert(head:match "X%-Worker: (%d+)")
            if not seen[worker] then
                seen[worker] = true
                workers[#workers + 1] = worker
                local vectors = json.decode(body)
                for i = 1, 2 do
                    assert.are.equal(#expected[i], #vectors[i])
                    for k = 1, #expected[i] do assert.near(expected[i][k], vectors[i][k], 1e-5) end
                end
            end
            if #workers == 2 then break end
        end
        assert.are.equal(2, #workers, log())
        for _, worker in ipairs(workers) do
            local sizes = mapping(worker)
            assert.is_true(sizes.Rss > 0)
            -- Pages of a file that is not on a disk yet, or never (tmpfs), count as dirty, whoever wrote them.
            assert.are.equal(sizes.Rss, sizes.Shared_Clean + sizes.Shared_Dirty)
            assert.are.equal(0, sizes.Private_Clean + sizes.Private_Dirty)
        end
    end)

    specify("refuses what it should not compute, and says why", function()
        local function refused(status, message, body, method)
            local got, _, text = request(port, method or "POST", "/embed", body)
            assert.are.equal(status, got, text)
            if message then assert.are.same({ error = message }, json.decode(text)) end
        end
        local form = 'expected {"inputs": "a text"} or {"inputs": ["a text", ...]}'
        refused(405, "expected POST", "", "GET")
        refused(400, form, "{")
        refused(400, form, "[]")
        refused(400, form, "")
        refused(400, "inputs: expected a text or a list of texts", '{"inputs": []}')
        refused(400, "inputs: expected a text or a list of texts", '{"inputs": 1}')
        refused(400, "inputs[1]: expected a text", '{"inputs": ["a", 1]}')
        refused(400, "inputs[0]: expected a text", '{"inputs": "a\\u0000b"}')
        refused(400, "inputs: 9 texts, at most 8", json.encode { inputs = { "", "", "", "", "", "", "", "", "" } })
        refused(422, "inputs[1]: 202 tokens, at most 128", json.encode { inputs = { "a", ("a "):rep(200) } })
        refused(422, "embed: texts[0] has 32 tokens, expected at most 24: shorten it, or do not set refuse_long",
            json.encode { inputs = ("a "):rep(30) })
        refused(413, nil, ("x"):rep(70000))
        local status, _, body = request(port, "GET", "/health")
        assert.are.same({ 200, { hidden_size = 16 } }, { status, json.decode(body) })
    end)
end)
