--- A script for bertlua: runs the recipe embed and sends itself a signal once it has kept so many vectors. arg[1] is
-- that number, arg[2] the signal, the rest is for the recipe.

local rows, name = tonumber(table.remove(arg, 1)), table.remove(arg, 1)

local part = require "bertlua.jobs.embed.part"
local signal = require "posix.signal"
local unistd = require "posix.unistd"

local open = part.open
function part.open(...)
    local file = open(...)
    local append = file.append
    function file.append(self, ...)
        append(self, ...)
        if self.rows >= rows then signal.kill(unistd.getpid(), signal[name]) end
    end
    return file
end

require("bertlua.jobs.embed.embed").main({}, "")
