--- Pre-training that reports at its end how many recordings the last step of rank 0 replayed: for specs of many GPUs.

local Graphs = require "bertlua.train.graphs"
local Trainer = require "bertlua.train.trainer"
local launch = require "bertlua.distributed.launch"

local launch_step = Trainer.launch
function Trainer:launch(step)
    local before = self.graphs.replays
    local signal = launch_step(self, step)
    if step == self.last_step and launch.detect().rank == 0 then
        io.write(("replays a step: %d\n"):format(self.graphs.replays - before))
    end
    return signal
end

local new = Graphs.new
function Graphs.new(options)
    options.warn = error
    return new(options)
end

dofile "recipes/pretrain_phase1.lua"
