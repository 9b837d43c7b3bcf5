--- Base64 (RFC 4648) of binary strings.
-- @module bertlua.util.base64

local bit = require "bit"

local M = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- The two characters of 12 bits.
local PAIRS = {}
for i = 0, 4095 do
    local high, low = bit.rshift(i, 6), bit.band(i, 63)
    PAIRS[i] = ALPHABET:sub(high + 1, high + 1) .. ALPHABET:sub(low + 1, low + 1)
end

--- Encode.
-- @tparam string bytes
-- @treturn string with padding, without line ends
function M.encode(bytes)
    local out, n = {}, 0
    local whole = #bytes - #bytes % 3
    for i = 1, whole, 3 do
        local a, b, c = bytes:byte(i, i + 2)
        out[n + 1] = PAIRS[bit.bor(bit.lshift(a, 4), bit.rshift(b, 4))]
        out[n + 2] = PAIRS[bit.bor(bit.lshift(bit.band(b, 15), 8), c)]
        n = n + 2
    end
    local a, b = bytes:byte(whole + 1, #bytes)
    if b then
        out[n + 1] = PAIRS[bit.bor(bit.lshift(a, 4), bit.rshift(b, 4))]
        out[n + 2] = PAIRS[bit.lshift(bit.band(b, 15), 8)]:sub(1, 1) .. "="
    elseif a then
        out[n + 1] = PAIRS[bit.lshift(a, 4)] .. "=="
    end
    return table.concat(out)
end

return M
