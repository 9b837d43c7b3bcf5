--- Pre-training whose loss is NaN in the third batch of rank 1: for the specs of many processes.

local bert = require("bertlua.models.bert").BertForPretraining
local comm = require "bertlua.comm"
local ops = require "bertlua.ops"

local forward, calls = bert.forward, 0
function bert.forward(...)
    local result = forward(...)
    calls = calls + 1
    if calls == 3 and comm.current().rank == 1 then ops.fill(result.loss.value, 0 / 0) end
    return result
end

dofile "recipes/pretrain_phase1.lua"
