--- The curves that the demonstration shows.

local fs = require "bertlua.util.fs"
local results = require "bertlua.jobs.demo.results"

describe("demo curves", function()
    it("counts a step logged twice only once, and keeps the phases apart", function()
        local path = os.tmpname()
        local lines = {
            'DLLL {"type":"LOG","step":"PARAMETER","data":{"phase2":false}}',
            'DLLL {"type":"LOG","step":10,"data":{"loss":9}}', 'DLLL {"type":"LOG","step":20,"data":{"loss":8}}',
            'DLLL {"type":"LOG","step":"PARAMETER","data":{"phase2":false}}',
            'DLLL {"type":"LOG","step":20,"data":{"loss":7}}', 'DLLL {"type":"LOG","step":[],"data":{"loss":7}}',
            'DLLL {"type":"LOG","step":"PARAMETER","data":{"phase2":true}}', "half a li",
            'DLLL {"type":"LOG","step":10,"data":{"loss":6}}',
        }
        assert(fs.write(path, table.concat(lines, "\n") .. "\n"))
        local curves = results.curves(path)
        os.remove(path)
        assert.are.same({ phase1 = { x = { 10, 20 }, y = { 9, 7 } }, phase2 = { x = { 10 }, y = { 6 } } }, curves)
    end)
end)
