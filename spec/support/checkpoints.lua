--- Compare what two runs saved.

local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local tiny = dofile "spec/lua/models/tiny_bert.lua"

local M = {}

--- Greatest distance between tensors of two files of the same name, relative to each tensor's maximum; and its name.
-- @param a, b folders
-- @param passed_over(key) -> true for tensors that may differ
function M.distance(a, b, name, passed_over)
    local x, y = assert(storage.open(a .. "/" .. name)), assert(storage.open(b .. "/" .. name))
    assert(table.concat(x:names(), " ") == table.concat(y:names(), " "), "other tensors")
    local worst, where = 0, nil
    for _, key in ipairs(x:names()) do
        if not passed_over(key) then
            tensor.scope(function()
                local p, q = tensor.new("f32", x:info(key).dims), tensor.new("f32", x:info(key).dims)
                assert(x:read(key, p))
                assert(y:read(key, q))
                local relative = tiny.distance(p, q)
                -- A NaN is farther than anything.
                if relative > worst or relative ~= relative then worst, where = relative, key end
            end)
        end
    end
    x:close()
    y:close()
    return worst, where
end

return M
