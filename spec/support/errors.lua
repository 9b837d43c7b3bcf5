--- Where errors point.

local M = {}

--- fn must fail with this pattern, at the line it is defined on.
function M.fails_here(pattern, fn)
    local ok, message = pcall(fn)
    assert(not ok, "it did not fail")
    local info = debug.getinfo(fn, "S")
    local place = info.short_src:match "([^/]+)$" .. ":" .. info.linedefined .. ": "
    assert(tostring(message):find(place:gsub("%p", "%%%0") .. pattern), message)
end

--- Each function of a list must fail, at its own line, with a message that begins with this text, in which the device
-- of tensors is "cpu"; what "--device cpu" advises is the same everywhere.
-- @param cases list of {text, fn}
function M.all_fail_here(cases)
    local device = require("bertlua.context").device()
    for _, case in ipairs(cases) do
        local text = case[1]:gsub("(%S+) cpu", function(before)
            return before ~= "--device" and before .. " " .. device or nil
        end)
        M.fails_here(text:gsub("%p", "%%%0"), case[2])
    end
end

return M
