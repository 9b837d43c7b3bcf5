--- Numbers in one-line summaries of objects: counts with commas, bytes in a readable unit.

local M = {}

--- "110,106,428".
function M.count(n)
    local text = ("%.0f"):format(n)
    local replaced
    repeat text, replaced = text:gsub("^(%-?%d+)(%d%d%d)", "%1,%2") until replaced == 0
    return text
end

--- "64 bytes", "12.5 KiB", "420 MiB", "3.2 GiB".
function M.bytes(n)
    if n < 1024 then return ("%d byte%s"):format(n, n == 1 and "" or "s") end
    local units, i = { "KiB", "MiB", "GiB", "TiB" }, 0
    repeat
        n = n / 1024
        i = i + 1
    until n < 1024 or i == #units
    return (n < 100 and "%.1f %s" or "%.0f %s"):format(n, units[i])
end

return M
