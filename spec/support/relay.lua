--- A cable between two network namespaces that delays and loses packets: two
-- tunnel devices and this process between them. For kernels without netem.
--
--     luajit spec/support/relay.lua NAMESPACE_A NAMESPACE_B DELAY_MS LOSS
--
-- Namespace A gets 10.77.0.1, B 10.77.0.2. Needs root. Prints "ready", then
-- counts of packets when its standard input ends.

local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
int open(const char *path, int flags);
int ioctl(int fd, unsigned long request, void *argument);
int setns(int fd, int kind);
int close(int fd);
long read(int fd, void *buffer, size_t bytes);
long write(int fd, const void *buffer, size_t bytes);
struct relay_poll { int fd; short events, revents; };
int poll(struct relay_poll *entries, unsigned long count, int timeout);
struct relay_time { long sec, nsec; };
int clock_gettime(int clock, struct relay_time *time);
struct relay_device { char name[16]; short flags; char rest[22]; };
]]

local C = ffi.C
local TUNSETIFF, TUN_WITHOUT_HEADER = 0x400454ca, 0x1001
local RDWR_NONBLOCK, NEWNET, POLLIN = bit.bor(2, 0x800), 0x40000000, 1

local delay, loss = tonumber(arg[3]) / 1000, tonumber(arg[4])

local function tunnel(namespace)
    local ns = C.open("/run/netns/" .. namespace, 0)
    assert(ns >= 0 and C.setns(ns, NEWNET) == 0, "cannot enter namespace " .. namespace)
    C.close(ns)
    local fd = C.open("/dev/net/tun", RDWR_NONBLOCK)
    assert(fd >= 0, "cannot open /dev/net/tun")
    local device = ffi.new "struct relay_device"
    ffi.copy(device.name, "cable")
    device.flags = TUN_WITHOUT_HEADER
    assert(C.ioctl(fd, TUNSETIFF, device) == 0, "cannot make a tunnel device")
    return fd
end

local function shell(command)
    assert(os.execute(command) == 0, command)
end

local function connect(namespace, own, other)
    local ip = ("ip -n %s "):format(namespace)
    shell(ip .. "link set lo up")
    shell(ip .. ("addr add %s peer %s dev cable"):format(own, other))
    shell(ip .. "link set cable mtu 1400 up")
end

local time = ffi.new "struct relay_time"
local function now()
    C.clock_gettime(1, time)
    return tonumber(time.sec) + tonumber(time.nsec) * 1e-9
end

-- The same packets are lost in every run of the same traffic.
local seed = 1
local function lost()
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed / 2147483648 < loss
end

local a, b = tunnel(arg[1]), tunnel(arg[2])
connect(arg[1], "10.77.0.1", "10.77.0.2")
connect(arg[2], "10.77.0.2", "10.77.0.1")
io.write "ready\n"
io.flush()

local queue, first, last = {}, 1, 0
local carried, dropped = 0, 0
local buffer = ffi.new "char[65536]"

local function take(from, to)
    while true do
        local n = tonumber(C.read(from, buffer, 65536))
        if n <= 0 then return end
        if lost() then
            dropped = dropped + 1
        else
            last = last + 1
            queue[last] = { due = now() + delay, to = to, text = ffi.string(buffer, n) }
        end
    end
end

local function deliver()
    while queue[first] and queue[first].due <= now() do
        local packet = queue[first]
        queue[first], first = nil, first + 1
        -- A full device drops packets, like any router.
        C.write(packet.to, packet.text, #packet.text)
        carried = carried + 1
    end
end

local entries = ffi.new("struct relay_poll[3]", { { 0, POLLIN }, { a, POLLIN }, { b, POLLIN } })
while true do
    local wait = queue[first] and math.max(0, math.ceil((queue[first].due - now()) * 1000)) or -1
    C.poll(entries, 3, wait)
    if entries[0].revents ~= 0 and C.read(0, buffer, 1) <= 0 then break end
    take(a, b)
    take(b, a)
    deliver()
end
io.write(("%d packets carried, %d lost\n"):format(carried, dropped))
