--- Tables of options that a function takes: a name that it does not know is an error, not ignored.

local suggest = require "bertlua.util.suggest"

local M = {}

--- An error unless `given` is nil or a table with known names only.
-- @param what function, for the message
-- @param given what the caller gave
-- @param known list of the names there are; keys of it that are true are taken, too, but not told to anyone
-- @param level whose line the error names: 1 the caller, 2 the caller's caller
-- @return the table; an empty one for nil
function M.check(what, given, known, level)
    if given == nil then return {} end
    if type(given) ~= "table" then
        error(("%s: options is a %s, expected a table with %s"):format(what, type(given), table.concat(known, ", ")),
            level + 1)
    end
    for name in pairs(given) do
        local found = known[name] == true
        for i = 1, #known do found = found or known[i] == name end
        if not found then
            local guess = type(name) == "string" and suggest.closest(name, known)
            error(("%s: unknown option %s%s"):format(what, tostring(name), guess and "; did you mean " .. guess .. "?"
                or ", expected " .. table.concat(known, ", ")), level + 1)
        end
    end
    return given
end

return M
