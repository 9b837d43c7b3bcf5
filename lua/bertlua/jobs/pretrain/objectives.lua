--- What pre-training learns: masked words and next sentences, or masked words alone.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"

local M = {}

--- The objectives of a run: "mlm" or "mlm,nsp".
-- @param values objectives: one of these, or the list of a recipe
function M.of(values)
    local given = values.objectives
    if type(given) ~= "table" then return given end
    local wanted, count = {}, 0
    for key, name in pairs(given) do
        wanted[name], count = type(key) == "number", count + 1
    end
    if wanted.mlm and (count == 1 or count == 2 and wanted.nsp) then return wanted.nsp and "mlm,nsp" or "mlm" end
    fault.raisef('objectives: got %s, expected { "mlm" } or { "mlm", "nsp" }', lua_value.shown(given))
end

return M
