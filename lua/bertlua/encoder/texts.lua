--- A text's token ids as a batch for the graph in Lua.

local fill_mask = require "bertlua.models.fill_mask"

local M = {}

--- A batch of one encoded text.
-- @return batch as in models/bert.lua; batch.buffer is its memory, to be freed
function M.batch(ids, first)
    local batch, types = fill_mask.batch(ids, { 0 }), {}
    for i = 1, #ids do types[i] = i <= first and 0 or 1 end
    batch.types:set(types)
    return batch
end

return M
