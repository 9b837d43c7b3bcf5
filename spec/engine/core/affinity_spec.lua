--- Pinning of threads, seen from outside: in a separate process, since it cannot be undone.

local pretraining = require "spec.support.pretraining"

-- Prints whether threads were pinned, and where the calling thread may run afterwards.
local CODE = [[
    local context = require 'bertlua.context'
    context.open { threads = %d }
    io.write(tostring(context.pin_threads()), ' ')
    io.write(io.open('/proc/thread-self/status'):read('*a'):match('Cpus_allowed_list:%%s*(%%S+)'), '\n')
]]

local function run(cores, threads)
    local code, output = pretraining.shell(('taskset -c %s %s -e "%s"'):format(cores, pretraining.BINARY,
        CODE:format(threads)))
    assert.are.equal(0, code, output)
    return output:match "(%S+) (%S+)"
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
            local pinned, list = run(first .. "," .. second, 2)
            assert.are.equal("true", pinned)
            assert.are.equal(tostring(first), list)
        end)

        it("leaves alone a process that uses fewer threads than it has cores", function()
            local pinned, list = run(first .. "," .. second, 1)
            assert.are.equal("false", pinned)
            assert.are_not.equal(tostring(first), list)
        end)
    end
end)
