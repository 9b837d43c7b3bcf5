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

return M
