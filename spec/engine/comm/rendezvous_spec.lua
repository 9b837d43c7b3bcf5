--- Ranks not started by MPI meet over TCP.

local process = require "spec.support.process"

--- Start n processes by hand, with torchrun's variables, and collect their output.
-- @param present ranks that are started
local function meet(n, present, port, script)
    local commands = {}
    for _, rank in ipairs(present) do
        commands[#commands + 1] = ("env RANK=%d WORLD_SIZE=%d MASTER_ADDR=localhost MASTER_PORT=%d %s -e %s &"):format(
            rank, n, port, process.quote(process.bertlua), process.quote(script))
    end
    return (process.run(table.concat(commands, "\n") .. "\nwait"))
end

-- Ports below the kernel's ephemeral range.
local port = 20000 + tonumber(require("posix.unistd").getpid()) % 10000

local SCRIPT = [[
    local launch = require("bertlua.distributed.launch").detect()
    launch.timeout = %g
    local text, message = require("bertlua.comm").rendezvous("from rank " .. launch.rank, launch)
    io.write(("rank %%d: %%s\n"):format(launch.rank, text or "fault: " .. message))]]

describe("rendezvous", function()
    it("gives every rank what rank 0 says", function()
        -- Rank 0 comes last: the others wait for it.
        local output = meet(4, { 3, 1, 2, 0 }, port, SCRIPT:format(20))
        for rank = 0, 3 do
            assert.is_truthy(output:find(("rank %d: from rank 0\n"):format(rank), 1, true), output)
        end
    end)

    it("names the ranks that do not arrive", function()
        local output = meet(4, { 0, 2 }, port + 1, SCRIPT:format(1.5))
        assert.is_truthy(output:find("of 4 ranks these did not join within 1.5 s: 1, 3", 1, true), output)
        assert.is_truthy(output:find("rank 2: fault: comm: rank 0 at localhost, port %d+, did not admit rank 2"),
            output)
    end)

    it("says where it looked for rank 0", function()
        local output = meet(2, { 1 }, port + 2, SCRIPT:format(0.5))
        assert.is_truthy(output:find("rank 1 cannot reach rank 0 at localhost, port " .. port + 2, 1, true), output)
    end)

    it("refuses a duplicate rank", function()
        local output = meet(3, { 0, 1, 1 }, port + 3, SCRIPT:format(3))
        assert.is_truthy(output:find("a process says it is rank 1 of 3", 1, true), output)
    end)

    it("ignores strangers", function()
        local stranger = ("exec 3<>/dev/tcp/localhost/%d && printf 'GET / HTTP/1.0\\r\\n\\r\\n%%0600d' 0 >&3"):format(
            port + 4)
        local output = process.run(("bash -c %s &\n"):format(process.quote(("sleep 0.3; %s"):format(stranger)))
            .. ("env RANK=0 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=%d %s -e %s &\nsleep 0.8\n"):format(port + 4,
            process.quote(process.bertlua), process.quote(SCRIPT:format(10)))
            .. ("env RANK=1 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=%d %s -e %s\nwait"):format(port + 4,
            process.quote(process.bertlua), process.quote(SCRIPT:format(10))))
        assert.is_truthy(output:find("rank 0: from rank 0", 1, true) and output:find("rank 1: from rank 0", 1, true),
            output)
    end)
end)
