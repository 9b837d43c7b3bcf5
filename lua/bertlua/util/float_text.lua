--- 32-bit floats as the shortest decimal text that is read back as the same number.
-- @module bertlua.util.float_text

local array = require "bertlua.array"

local float_text = {}

-- A float of its own, to see what a number becomes in 32 bits.
local cell = array.float(1)

-- Fewer digits than nine are tried from here on; a float with six of them is rare.
local FORMATS = { "%.6g", "%.7g", "%.8g" }

--- The text of a number, which is rounded to 32 bits first. It is JSON, unless the number is an inf or NaN.
-- @tparam number x
-- @treturn string
function float_text.shortest(x)
    cell[0] = x
    local wanted = tonumber(cell[0])
    for i = 1, #FORMATS do
        local text = FORMATS[i]:format(wanted)
        cell[0] = tonumber(text)
        if tonumber(cell[0]) == wanted then return text end
    end
    return ("%.9g"):format(wanted)
end

return float_text
