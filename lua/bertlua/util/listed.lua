--- Long lists in messages.
-- @module bertlua.util.listed

local listed = {}

--- The first names of a list, and how many more there are: "a, b and 3 more"; all of them if there are no more.
-- @tparam table names list of strings
-- @tparam number most names to show
-- @tparam[opt=" and "] string joint between the names and the number
function listed.first(names, most, joint)
    return table.concat(names, ", ", 1, math.min(#names, most))
        .. (#names > most and ("%s%d more"):format(joint or " and ", #names - most) or "")
end

return listed
