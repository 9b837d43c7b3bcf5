--- Two hosts on one machine: network namespaces "a" (10.77.0.1) and "b"
-- (10.77.0.2) with a cable that delays and loses packets (relay.lua).

local posix_time = require "posix.time"
local process = require "spec.support.process"
local unistd = require "posix.unistd"

local M = {}

local Network = {}
Network.__index = Network

--- nil, or why namespaces are not available here.
function M.missing()
    if unistd.geteuid() ~= 0 then return "network namespaces need root" end
    local _, code = process.run "command -v ip >/dev/null && command -v unshare >/dev/null"
    if code ~= 0 then return "no ip or unshare: apt-get install iproute2 util-linux" end
    if not unistd.access("/dev/net/tun", "rw") then return "/dev/net/tun cannot be opened" end
    local name = ("bertlua-probe-%d"):format(unistd.getpid())
    local output, failed = process.run(("ip netns add %s && ip netns exec %s unshare -u true"):format(name, name))
    process.run("ip netns del " .. name)
    if failed ~= 0 then return "network namespaces are not permitted: " .. output:gsub("%s+", " ") end
end

--- Make the hosts and the cable.
-- @param delay milliseconds, one way
-- @param loss share of packets
function M.new(delay, loss)
    local id = unistd.getpid()
    local self = setmetatable({ a = "bertlua-a-" .. id, b = "bertlua-b-" .. id, folder = process.temporary_folder() },
        Network)
    process.run(("ip netns add %s; ip netns add %s"):format(self.a, self.b))
    self.log = self.folder .. "/relay"
    self.cable = io.popen(("env -u LD_PRELOAD luajit %s %s %s %g %g >%s 2>&1"):format(
        process.quote(process.root .. "/spec/support/relay.lua"), self.a, self.b, delay, loss, self.log), "w")
    for _ = 1, 600 do
        if self:said():find "ready" then return self end
        posix_time.nanosleep { tv_sec = 0, tv_nsec = 50e6 }
    end
    local said = self:said()
    self:close()
    error("no cable: " .. said)
end

function Network:said()
    local file = io.open(self.log)
    local text = file and file:read "*a" or ""
    if file then file:close() end
    return text
end

--- A command as host a or b runs it: other network, other name.
function Network:on(host, command)
    return ("ip netns exec %s unshare -u sh -c %s"):format(self[host],
        process.quote(("hostname %s; exec %s"):format(self[host], command)))
end

--- Options of mpirun on host a that start one process on each host, by TCP alone.
function Network:mpirun_options()
    local agent = self.folder .. "/agent"
    local file = assert(io.open(agent, "w"))
    -- mpirun calls it with the host and the command, as it would ssh.
    local b = self.b
    file:write(("#!/bin/sh\nshift\nexec ip netns exec %s unshare -u sh -c \"hostname %s; $*\"\n"):format(b, b))
    file:close()
    process.run("chmod +x " .. agent)
    return ("--mca plm_rsh_agent %s --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,self "
        .. "-H 10.77.0.1:1,10.77.0.2:1"):format(agent)
end

--- Remove everything.
-- @return packets carried, packets lost
function Network:close()
    self.cable:close()
    local carried, lost = self:said():match "(%d+) packets carried, (%d+) lost"
    process.run(("ip netns del %s; ip netns del %s; rm -r %s"):format(self.a, self.b, process.quote(self.folder)))
    return tonumber(carried), tonumber(lost)
end

return M
