--- Pre-training whose rank BAD_RANK cannot read its batch of step BAD_STEP: for the specs of many processes.

local comm = require "bertlua.comm"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"

local bad_rank, bad_step = tonumber(os.getenv "BAD_RANK"), tonumber(os.getenv "BAD_STEP")

local open = loader.open
function loader.open(options)
    local opened = open(options)
    local batch, calls = opened.batch, 0
    -- One micro-batch per step and rank.
    function opened:batch(n)
        calls = calls + 1
        if calls == bad_step and comm.current().rank == bad_rank then
            fault.raise "shard.hdf5: cannot be read: Input/output error"
        end
        return batch(self, n)
    end
    return opened
end

dofile "recipes/pretrain_phase1.lua"
