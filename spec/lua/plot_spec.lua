--- bl.plot: what it takes, and what it draws.

local fails_here = require("spec.support.errors").fails_here
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local plot = require "bertlua.plot"
local tensor = require "bertlua.tensor"

describe("plot", function()
    local folder
    local draw = plot.text

    setup(function() folder = assert(fs.temporary_folder "bertlua-plot-") end)
    teardown(function() fs.remove(folder) end)

    --- A run's report: records of steps, a step that a resumed run repeats, a summary.
    local function report(name, scale)
        local lines = { 'DLLL {"type":"LOG","step":"PARAMETER","data":{"loss":99}}' }
        for _, step in ipairs { 1, 2, 3, 4, 3, 4, 5 } do
            lines[#lines + 1] = "DLLL " .. json.encode { type = "LOG", step = step,
                data = { loss = scale / step, mlm_loss = scale / step / 2, learning_rate = 0.1 } }
        end
        lines[#lines + 1] = 'DLLL {"type":"LOG","step":6,"data":{"loss":"nan"}}'
        lines[#lines + 1] = 'DLLL {"type":"LOG","step":[],"data":{"loss":1}}'
        lines[#lines + 1] = "not a record"
        local path = ("%s/%s"):format(folder, name)
        assert(fs.mkdirs(path))
        assert(fs.write(path .. "/report.json", table.concat(lines, "\n") .. "\n"))
        return path
    end

    it("draws lists, tensors and numbers within 80 columns", function()
        local text = draw({ 1, 2, 3 }, { width = 60, height = 6, title = "three" })
        assert.matches("^ +three\n", text)
        for line in text:gmatch "[^\n]+" do
            assert.is_true(#line:gsub("[\128-\191]", "") <= 60, line)
        end
        assert.are.equal(draw({ 1, 2, 3 }, { width = 60 }), draw(tensor.from { 1, 2, 3 }, { width = 60 }))
        assert.are.equal(draw({ 1, 2, 3 }, { width = 60 }), draw({ value = tensor.from { 1, 2, 3 } }, { width = 60 }))
        for line in draw({ 1, 5, 2 }):gmatch "[^\n]+" do
            assert.is_true(#line:gsub("[\128-\191]", "") <= 100, line)
        end
    end)

    it("draws several series with their names", function()
        local by_name = draw { train = { 3, 2, 1 }, dev = { 3, 2.5, 2 } }
        assert.matches("● dev   ○ train", by_name)
        assert.matches("● series 1   ○ series 2", draw { { 1, 2 }, { 2, 1 } })
        assert.matches("● series 1   ○ series 2", draw({ 1, 2 }, { 2, 1 }))
        assert.matches("● series 1   ○ series 2", draw(tensor.from { { 1, 2 }, { 2, 1 } }))
    end)

    it("writes an SVG file", function()
        local path = folder .. "/loss.svg"
        assert.are.equal("wrote " .. path .. "\n", draw({ 3, 2, 1 }, path))
        assert.matches("^<svg ", assert(fs.read(path)))
        local ok, problem = pcall(draw, { 1 }, folder .. "/none/loss.svg")
        assert.is_true(not ok and fault.is(problem))
        assert.matches("/none/loss%.svg: cannot create: no such file or folder$", tostring(problem))
    end)

    it("says in a line what cannot be drawn", function()
        assert.are.equal("plot: nothing to draw, there are no values\n", draw {})
        assert.are.equal("plot: nothing to draw, none of 2 values is finite\n", draw { 0 / 0, 1 / 0 })
        assert.are.equal("plot: nothing to draw, none of 2 values is finite and positive\n",
            draw({ -1, 0 }, { log_y = true }))
        assert.matches("\n1 value not drawn: NaN, infinite\n$", draw { 1, 0 / 0, 3 })
    end)

    it("draws the losses of a run, and compares runs", function()
        local first, second = report("first", 8), report("second", 4)
        local text = draw(first)
        assert.matches("● loss   ○ mlm_loss", text)
        assert.matches("\n +step\n", text)
        assert.matches("1 value not drawn: NaN", text)
        assert.are.equal(text, draw(first .. "/report.json"))
        local both = draw(first, second .. "/report.json")
        assert.is_truthy(both:find("first/report.json", 1, true) and both:find("○ ", 1, true), both)
        assert.is_nil(both:find "mlm_loss")
        assert.matches("^ +learning_rate\n", draw(first, { metric = "learning_rate" }))
    end)

    it("sees all records of a step", function()
        local path = folder .. "/several.json"
        local lines = {}
        for step = 1, 3 do
            for _, name in ipairs { "largest_bias", "loss", "mlm_loss" } do
                lines[#lines + 1] = "DLLL " .. json.encode { type = "LOG", step = step, data = { [name] = step } }
            end
        end
        assert(fs.write(path, table.concat(lines, "\n") .. "\n"))
        local function drawn(name) return (draw(path, { metric = name, title = "x" })) end
        assert.are.equal(drawn "loss", drawn "largest_bias")
        assert.are.equal(drawn "loss", drawn "mlm_loss")
    end)

    it("draws a loss once that the report has under two names", function()
        local path, lines = folder .. "/alone.json", {}
        for step = 1, 3 do
            lines[step] = "DLLL " .. json.encode { type = "LOG", step = step,
                data = { loss = 1 / step, mlm_loss = 1 / step } }
        end
        lines[4] = 'DLLL {"type":"LOG","step":3,"data":{"dev_loss":0.5,"dev_mlm_loss":0.5}}'
        assert(fs.write(path, table.concat(lines, "\n") .. "\n"))
        local text = draw(path)
        assert.matches("● dev_loss   ○ loss *\n", text)
        assert.is_nil(text:find "mlm_loss")
        assert.matches("^ +mlm_loss\n", draw(path, { metric = "mlm_loss" }))
    end)

    it("refuses what it cannot read", function()
        local function fault_of(...)
            local ok, problem = pcall(draw, ...)
            assert.is_true(not ok and fault.is(problem), tostring(problem))
            return tostring(problem)
        end
        assert.are.equal("plot: /no/such.json: No such file or directory", fault_of "/no/such.json")
        local path = report("third", 1)
        assert.are.equal(("plot: %s/report.json has no los, but learning_rate, loss, mlm_loss"):format(path),
            fault_of(path, { metric = "los" }))
        assert(fs.write(folder .. "/empty.json", "{}\n"))
        assert.are.equal(("plot: %s/empty.json holds no step of a run: expected a run's --report-file"):format(folder),
            fault_of(folder .. "/empty.json"))
        fails_here("plot: argument 1 is a boolean, expected a list of numbers, a tensor or the name of a report",
            function() plot.plot(true) end)
        assert.are.equal("plot: loss.png: charts are written as SVG, into a name that ends in .svg",
            fault_of({ 1 }, "loss.png"))
        fails_here("plot: argument 1 is an object, expected a list of numbers, a tensor or the name of a report",
            function() plot.plot(setmetatable({ x = 1 }, {})) end)
        fails_here("plot: series 2 is a string, expected a list of numbers",
            function() plot.plot { { 1, 2 }, "x" } end)
        fails_here("plot: value 3 is a string, expected a number", function() plot.plot { 1, 2, "a" } end)
        fails_here("plot: value 2 of series 2 is a boolean, expected a number",
            function() plot.plot { { 1, 2 }, { 1, true } } end)
        fails_here("plot: value 1 of loss is a string, expected a number", function() plot.plot { loss = { "1" } } end)
        fails_here("plot: values are missing, expected a list, a tensor or the name of a report",
            function() plot.plot() end)
        fails_here("plot: titel is a string, expected a list of numbers; options are title, ",
            function() plot.plot({ 1 }, { titel = "x" }) end)
    end)
end)
