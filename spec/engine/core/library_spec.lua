--- libbertlua.so as a file that programs open and close.

local paths = require "bertlua.paths"
local process = require "spec.support.process"

describe("the library", function()
    it("stays mapped when its user closes it, for the threads that still run in it", function()
        local script = process.temporary [[
local ffi, path = require "ffi", ...
local library = ffi.load(path)
library = nil
collectgarbage()
collectgarbage()
for line in io.lines "/proc/self/maps" do
    if line:find(path, 1, true) then print "mapped" break end
end
]]
        local text, code = process.run(("luajit %s %s"):format(process.quote(script), process.quote(paths.library())))
        os.remove(script)
        process.assert_output("mapped\n", 0, text, code)
    end)
end)
