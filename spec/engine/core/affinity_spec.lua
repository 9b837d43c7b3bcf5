--- Pinning of threads, seen from outside, in a process of its own.

local pretraining = require "spec.support.pretraining"

-- Prints whether threads were pinned, and where the calling thread may run afterwards; then where all threads may once
-- they are no longer pinned.
local CODE = [[
    local context, lfs = require 'bertlua.context', require 'lfs'
    context.open { threads = %d }
    local function cores(thread)
        return io.open('/proc/' .. thread .. '/status'):read('*a'):match('Cpus_allowed_list:%%s*(%%S+)')
    end
    io.write(tostring(context.pin_threads()), ' ', cores 'thread-self')
    context.unpin_threads()
    local seen = {}
    for id in lfs.dir '/proc/self/task' do
        local list = id:match '%%d' and cores('self/task/' .. id)
        if list and not seen[list] then
            seen[list] = true
            io.write(' ', list)
        end
    end
    io.write('\n')
]]

local function run(cores, threads)
    local code, output = pretraining.shell(('taskset -c %s %s -e "%s"'):format(cores, pretraining.BINARY,
        CODE:format(threads)))
    assert.are.equal(0, code, output)
    return output:match "^(%S+) (%S+) ([^\n]+)\n$"
end

--- Two cores this process may use; nil on a machine with one.
local function two_cores()
    local list = io.open("/proc/self/status"):read("*a"):match "Cpus_allowed_list:%s*(%S+)"
    local cores = {}
    for first, last in list:gmatch "(%d+)%-?(%d*)" do
        for core = tonumber(first), tonumber(last ~= "" and last or first) do cores[#cores + 1] = core end
    end
    return cores[1], cores[2]
end

describe("pinning", function()
    local first, second = two_cores()
    -- Neither where there is no taskset nor where a sandbox refuses it can a process be put on some cores.
    local code, output = pretraining.shell(("taskset -c %s true"):format(first))
    if code ~= 0 then
        pending("of threads needs taskset: " .. output)
        return
    end

    it("puts the only thread on the only core", function()
        local pinned, list = run(first, 1)
        assert.are.equal("true", pinned)
        assert.are.equal(tostring(first), list)
    end)

    if second then
        it("narrows the calling thread to the first core when the threads use all of them", function()
            local pinned, list, later = run(first .. "," .. second, 2)
            assert.are.equal("true", pinned)
            assert.are.equal(tostring(first), list)
            -- Every thread gets back what the process had.
            assert.matches(("^%d[,-]%d$"):format(first, second), later)
        end)

        it("leaves alone a process that uses fewer threads than it has cores", function()
            local pinned, list = run(first .. "," .. second, 1)
            assert.are.equal("false", pinned)
            assert.are_not.equal(tostring(first), list)
        end)
    end
end)
