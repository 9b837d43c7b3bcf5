--- Ranks not started by MPI meet over TCP.

local fs = require "bertlua.util.fs"
local ports = require "spec.support.ports"
local process = require "spec.support.process"

local quote = process.quote

local SCRIPT = [[
    local launch = require("bertlua.distributed.launch").detect()
    launch.timeout = %g
    local folder, count = %q, %d
    assert(io.open(folder .. "/" .. require("posix.unistd").getpid(), "w")):close()
    for _ = 1, 3000 do
        if #require("bertlua.util.fs").list(folder) >= count then break end
        require("posix.time").nanosleep { tv_sec = 0, tv_nsec = 1e7 }
    end
    local text, message = require("bertlua.comm").rendezvous("from rank " .. launch.rank, launch)
    io.write(("rank %%d: %%s\n"):format(launch.rank, text or "fault: " .. message))]]

describe("rendezvous", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "bertlua-rendezvous-") end)
    after_each(function() assert(fs.remove(folder)) end)

    --- The command that starts a rank by hand, with torchrun's variables.
    -- @param count where a time is short: it begins when so many processes run, however long their start took
    local function rank_of(rank, n, port, timeout, count)
        return ("env RANK=%d WORLD_SIZE=%d MASTER_ADDR=localhost MASTER_PORT=%d %s -e %s"):format(rank, n, port,
            quote(process.bertlua), quote(SCRIPT:format(timeout, folder, count or 0)))
    end

    --- Start some of n processes, and collect their output.
    -- @param present ranks that are started
    local function meet(n, present, port, timeout, together)
        local commands = {}
        for i, rank in ipairs(present) do
            commands[i] = rank_of(rank, n, port, timeout, together and #present) .. " &"
        end
        return (process.run(table.concat(commands, "\n") .. "\nwait"))
    end

    it("gives every rank what rank 0 says", function()
        -- Rank 0 comes last: the others wait for it.
        local output = meet(4, { 3, 1, 2, 0 }, ports.free(), 20)
        for rank = 0, 3 do
            assert.is_truthy(output:find(("rank %d: from rank 0\n"):format(rank), 1, true), output)
        end
    end)

    it("names the ranks that do not arrive", function()
        local output = meet(4, { 0, 2 }, ports.free(), 1.5, true)
        assert.is_truthy(output:find("of 4 ranks these did not join within 1.5 s: 1, 3", 1, true), output)
        assert.is_truthy(output:find("rank 2: fault: comm: rank 0 at localhost, port %d+, did not admit rank 2"),
            output)
    end)

    it("says where it looked for rank 0", function()
        local port = ports.free()
        local output = meet(2, { 1 }, port, 0.5)
        assert.is_truthy(output:find("rank 1 cannot reach rank 0 at localhost, port " .. port, 1, true), output)
    end)

    it("refuses a duplicate rank", function()
        local output = meet(3, { 0, 1, 1 }, ports.free(), 3, true)
        assert.is_truthy(output:find("a process says it is rank 1 of 3", 1, true), output)
    end)

    it("ignores strangers", function()
        local port = ports.free()
        -- It comes first, and again until rank 0 listens; rank 1 comes when it has been there.
        local stranger = ("for i in $(seq 500); do { exec 3<>/dev/tcp/localhost/%d; } 2>/dev/null && break; "
            .. "sleep 0.02; done; printf 'GET / HTTP/1.0\\r\\n\\r\\n%%0600d' 0 >&3 && echo stranger"):format(port)
        local output = process.run(rank_of(0, 2, port, 30) .. " &\nbash -c " .. quote(stranger) .. "\n"
            .. rank_of(1, 2, port, 30) .. "\nwait")
        for _, line in ipairs { "stranger", "rank 0: from rank 0", "rank 1: from rank 0" } do
            assert.is_truthy(output:find(line, 1, true), output)
        end
    end)
end)
