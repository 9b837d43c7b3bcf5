--- Communicators: collectives between the processes of a job.
--
--     local launch = require("bertlua.distributed.launch").detect()
--     local comm = require("bertlua.comm").open { device = "cpu", launch = launch }
--     comm:all_reduce(gradients, "sum")   -- queued: returns at once
--     ...                                 -- compute meanwhile
--     comm:wait()                         -- from here on results are visible
--
-- A single process gets the same object with one rank, so callers need no
-- branches. What collectives do, and which tensors they take, is documented in
-- engine/api/comm.h. A job has one communicator; it lives as long as the
-- process and is closed by the executable, or by close().

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
require "bertlua.tensor"

local C, check, handle = bl.lib, bl.check, context.handle

local M = {}

local Comm = {}
Comm.__index = Comm

local OP = { sum = 0, max = 1, min = 2 }

--- Exit code of a job that ends because a rank died, hung or failed.
M.EXIT_FAILED = C.BL_COMM_EXIT_FAILED

local DEFAULT_TIMEOUT, DEFAULT_PORT = 600, 29500

-- Opened communicators: of this process alone, and of the job.
local own, world

local WITHOUT_MPI = "this bertlua was built without MPI: apt-get install libopenmpi-dev openmpi-bin, then make"

--- Path of libbertlua-mpi.so, or nil where it was not built.
local function mpi_plugin()
    return (bl.companion "libbertlua-mpi.so")
end

local function op_code(name)
    local code = OP[name or "sum"]
    if not code then error(("op is %s, expected sum, max or min"):format(tostring(name)), 3) end
    return code
end

local function live(self)
    local pointer = self.pointer
    if not pointer then error("comm: it was closed", 3) end
    return pointer
end

-- A queued collective reads and writes its tensors later: the collector must leave them until wait().
local function keep(self, ...)
    local kept = self.kept
    for i = 1, select("#", ...) do kept[#kept + 1] = (select(i, ...)) end
end

--- Wait for every rank to get here.
function Comm:barrier()
    check(C.bl_comm_barrier(handle(), live(self)))
end

--- Copy the elements of rank `root` (0 if left out) to every rank.
function Comm:broadcast(t, root)
    check(C.bl_comm_broadcast(handle(), live(self), t, root or 0))
    keep(self, t)
end

--- Combine the ranks' tensors, element by element, into every rank's.
-- @param t f32, bf16, f16 or i64, contiguous
-- @param op "sum" (default), "max" or "min"
function Comm:all_reduce(t, op)
    check(C.bl_comm_all_reduce(handle(), live(self), t, op_code(op)))
    keep(self, t)
end

--- out = this rank's part of the combination of x; out has 1/size of x's elements and may be that part of x.
function Comm:reduce_scatter(out, x, op)
    check(C.bl_comm_reduce_scatter(handle(), live(self), out, x, op_code(op)))
    keep(self, out, x)
end

--- out = x of rank 0, x of rank 1, ...; x may be this rank's part of out.
function Comm:all_gather(out, x)
    check(C.bl_comm_all_gather(handle(), live(self), out, x))
    keep(self, out, x)
end

--- Make work from here on see the results of all collectives so far.
function Comm:wait()
    check(C.bl_comm_wait(handle(), live(self)))
    self.kept = {}
end

--- Start (true) or stop (false) recording the times of collectives.
function Comm:record(on)
    C.bl_comm_record(live(self), on ~= false)
end

--- Collectives that ended since the last call, while record() was on.
-- @return list of { name, number, begin, finish (seconds of clock.monotonic), bytes }
function Comm:spans()
    local list, capacity = {}, 256
    local spans = ffi.new("bl_comm_span[?]", capacity)
    repeat
        local n = tonumber(C.bl_comm_spans(live(self), spans, capacity))
        for i = 0, n - 1 do
            local s = spans[i]
            list[#list + 1] = { name = ffi.string(s.name), number = tonumber(s.number), bytes = tonumber(s.bytes),
                begin = tonumber(s.begin) * 1e-9, finish = tonumber(s["end"]) * 1e-9 }
        end
    until n < capacity
    return list
end

--- The collective that runs or ran last, for messages: "collective 17, all_reduce f32 1024".
function Comm:where()
    local text = ffi.new "char[96]"
    C.bl_comm_where(live(self), text, 96)
    return ffi.string(text)
end

--- Collectives queued and finished so far.
function Comm:counts()
    local counts = ffi.new "int64_t[2]"
    C.bl_comm_counts(live(self), counts, counts + 1)
    return tonumber(counts[0]), tonumber(counts[1])
end

--- Begin (true) or end (false) work of this rank for which the others may wait longer than the timeout.
function Comm:busy(on)
    C.bl_comm_busy(live(self), on)
end

--- Tell the other ranks that this one cannot continue, so that the whole job ends.
-- @param message one line
-- @param code exit code of the job (EXIT_FAILED if left out)
-- @return true if this rank should print the message: one of the job does
function Comm:fail(message, code)
    local print_it = ffi.new "bool[1]"
    check(C.bl_comm_fail(live(self), code or M.EXIT_FAILED, message, print_it))
    return print_it[0]
end

--- Finish what is queued and leave the other ranks; a second close does nothing.
function Comm:close()
    local pointer = self.pointer
    if not pointer then return end
    self.pointer = nil
    if own == self then own = nil end
    if world == self then world = nil end
    check(C.bl_comm_close(pointer))
end

function Comm:__tostring()
    return ("comm: %s, rank %d of %d"):format(self.kind, self.rank, self.size)
end

local function failure_handler()
    local found, host = pcall(require, "bertlua.host")
    return found and host.on_failure and ffi.cast("bl_comm_on_failure", host.on_failure) or nil
end

-- Strings that are not NULL must outlive the call: they are those of `options`.
local function engine_options(options)
    local o = ffi.new "bl_comm_options"
    o.kind, o.library, o.rank, o.size = options.kind, options.library, options.rank, options.size
    o.mpi_library = options.mpi_library
    o.master_addr, o.master_port = options.master_addr, options.master_port or DEFAULT_PORT
    o.timeout, o.on_failure = options.timeout or DEFAULT_TIMEOUT, failure_handler()
    return o
end

local function open(options, ctx)
    local o, out = engine_options(options), ffi.new "bl_comm *[1]"
    -- None of this is a bug: the launch or the network needs fixing.
    if C.bl_comm_open(out, ctx, o) ~= 0 then fault.raise(bl.last_error(), M.EXIT_FAILED) end
    return setmetatable({
        pointer = out[0], kind = options.kind, rank = options.rank, size = options.size,
        local_rank = options.local_rank, local_size = options.local_size, timeout = tonumber(o.timeout), kept = {},
    }, Comm)
end

-- How the ranks of GPUs find each other: at the given address, over the MPI that started them, or, if all are on one
-- machine, there.
local function nccl_meeting(job, launch)
    local mpi = launch.source and launch.source ~= "torchrun" and mpi_plugin()
    if launch.master_addr then
        job.master_addr = launch.master_addr
    elseif mpi then
        job.mpi_library = mpi
    elseif launch.local_size == launch.size then
        job.master_addr = "127.0.0.1"
    end
end

--- The communicator of this process alone.
function M.self()
    own = own or open({ kind = "self", rank = 0, size = 1, local_rank = 0, local_size = 1 })
    return own
end

--- Join the job that launched this process; the second call gives the communicator of the first.
-- @param options table of
--   device: "cpu" (default) or "cuda": decides the kind, "mpi" or "nccl";
--   kind: "self", "mpi" or "nccl", to override that;
--   timeout: seconds without a sign of life or progress after which the job is given up (600);
--   launch (required): this process's place in its job, { rank, size, local_rank, local_size, source, master_addr,
--     master_port }: what bertlua.distributed.launch reads from the environment;
--   library: path of libbertlua-mpi.so, or of NCCL (BERTLUA_NCCL, or where the system has it)
-- @return Comm: rank, size, local_rank, local_size (processes on this machine), kind
function M.open(options)
    if world then return world end
    local launch = options and options.launch
    if not launch then error("comm.open: launch is missing, expected the table of distributed.launch.detect()", 2) end
    local device = options.device or "cpu"
    local kind = options.kind or launch.size == 1 and "self" or device == "cuda" and "nccl" or "mpi"
    if kind == "self" then
        if launch.size > 1 then
            fault.raisef("kind self is for one process, but %s started %d", launch.source, launch.size)
        end
        return M.self()
    end
    local job = { kind = kind, rank = launch.rank, size = launch.size, local_rank = launch.local_rank,
        local_size = launch.local_size, timeout = options.timeout, master_port = launch.master_port }
    if kind == "nccl" then
        nccl_meeting(job, launch)
        job.library = options.library or os.getenv "BERTLUA_NCCL"
    else
        job.library = options.library or mpi_plugin() or fault.raise(WITHOUT_MPI .. ". It carries many processes on "
            .. "the CPU")
    end
    world = open(job, kind == "nccl" and handle() or nil)
    return world
end

--- Every rank gets the text of rank 0, over TCP: how ranks not started by MPI meet.
-- @param text at most 255 bytes without zeros; only that of rank 0 counts
-- @param options rank, size, master_addr, master_port (29500), timeout: what distributed/launch says
-- @return text of rank 0; or nil, message
function M.rendezvous(text, options)
    local payload = ffi.new "char[256]"
    if #text > 255 then error(("rendezvous: %d bytes, expected at most 255"):format(#text), 2) end
    ffi.copy(payload, text)
    local o = engine_options { kind = "nccl", rank = options.rank, size = options.size, timeout = options.timeout,
        master_addr = options.master_addr, master_port = options.master_port }
    local status = C.bl_comm_rendezvous(o, payload, 256)
    if status ~= 0 then return bl.refused(status) end
    return ffi.string(payload)
end

--- The job's communicator if it was opened, else that of this process alone.
function M.current()
    return world or M.self()
end

--- What the executable does at its end: leave the job, or tell the others of a failure.
-- @param message nil for success
-- @return false if another rank prints the message
function M.leave(message, code)
    local comm = world
    if not comm then return true end
    if message then return comm:fail(message, code) end
    -- A launcher may end the others as soon as one ends.
    io.stdout:flush()
    comm:close()
    return true
end

--- True if this process has joined a job of several and not left it.
function M.in_job()
    return world ~= nil
end

--- A message prefixed with this process's rank, "rank 2 of 4: ...", unless it names a rank itself.
function M.named(message)
    if not world or world.size == 1 or message:find "%f[%w]ranks? %d" then return message end
    return ("rank %d of %d: %s"):format(world.rank, world.size, message)
end

--- Name and version of the library behind a kind; or nil and what is missing.
-- @param kind "mpi" or "nccl"
function M.describe(kind)
    local library
    if kind == "mpi" then
        library = mpi_plugin()
        if not library then return nil, WITHOUT_MPI end
    else
        library = os.getenv "BERTLUA_NCCL"
    end
    local text = ffi.new "char[128]"
    if C.bl_comm_describe(kind, library, text, 128) ~= 0 then return nil, bl.last_error() end
    return ffi.string(text)
end

return M
