--- Pre-training whose optimizer state gets a NaN on rank 1 in the fourth update: for the specs of many processes.

local comm = require "bertlua.comm"
local Optimizer = require "bertlua.train.optimizer"

local apply, calls = Optimizer.apply, 0
function Optimizer:apply()
    apply(self)
    calls = calls + 1
    if calls == 4 and comm.current().rank == 1 then self.v:slice(1, 3, 3):fill(0 / 0) end
end

dofile "recipes/pretrain_phase1.lua"
