--- Counts with their nouns, for messages: "1 file", "2 files".
-- @module bertlua.util.plural

local plural = {}

--- A whole number and its noun.
-- @tparam number n
-- @tparam string noun singular
-- @tparam[opt] string many its plural, unless it just adds an "s"
function plural.count(n, noun, many)
    return ("%d %s"):format(n, n == 1 and noun or many or noun .. "s")
end

return plural
