--- Progress: what is drawn, how often and how wide.

local progress = require "bertlua.util.progress"
local term = require "bertlua.util.term"

describe("progress", function()
    local now, drawn

    local function new(options)
        now, drawn = 100, {}
        options.clock = function() return now end
        options.write = function(text) drawn[#drawn + 1] = text end
        options.columns = options.columns or 80
        return progress.new(options)
    end

    it("redraws one line on a terminal, at most ten times per second", function()
        local bar = new { total = 1000, label = "train", unit = "steps", terminal = true }
        for i = 1, 1000 do
            now = now + 0.01
            bar:update(i)
        end
        assert.is_true(#drawn >= 90 and #drawn <= 101, #drawn .. " updates in 10 s")
        for _, text in ipairs(drawn) do
            assert.are.equal("\r", text:sub(1, 1))
            assert.is_nil(text:find "\n")
        end
        bar:finish()
        bar:finish()
        local last = drawn[#drawn]
        assert.are.equal("\n", last:sub(-1))
        assert.matches("^\rtrain ▕[█]+▏ 100%%  1000/1000 steps  100/s  0:10 *\n$", last)
    end)

    it("never exceeds the width, whatever is shown", function()
        for _, columns in ipairs { 20, 40, 80, 120 } do
            local bar = new { total = 12345678, label = "a rather long label", unit = "sequences", terminal = true,
                columns = columns }
            for i = 1, 50 do
                now = now + 1
                bar:update(i * 1000, { loss = 1.2345678, mlm = 0.5, text = ("é"):rep(i) })
            end
            bar:finish()
            for _, text in ipairs(drawn) do
                local line = text:gsub("[\r\n]", "")
                assert.is_true(term.width(line) < columns, term.width(line) .. " columns")
            end
        end
    end)

    it("erases what a shorter line leaves behind", function()
        local bar = new { total = nil, terminal = true }
        bar:update(1, ("x"):rep(40))
        local long = term.width(drawn[1]) - 1
        now = now + 1
        bar:update(2, "y")
        assert.are.equal(long, term.width(drawn[2]) - 1)
        assert.matches("y +$", drawn[2])
    end)

    it("writes whole lines, rarely, where there is no terminal", function()
        local bar = new { total = 100, label = "prepare", terminal = false }
        for i = 1, 100 do
            now = now + 1
            bar:update(i)
        end
        bar:finish()
        assert.are.equal(11, #drawn)
        for _, text in ipairs(drawn) do
            assert.is_nil(text:find "\r")
            assert.matches("^prepare %[[#.]+%] [%d ]+%%  %d+/100  1/s.*\n$", text)
        end
        assert.matches("%[###%.+%]  10%%  10/100  1/s  0:10  ETA 1:30", drawn[1])
    end)

    it("takes another total, or none", function()
        local bar = new { label = "embed", unit = "lines", terminal = true }
        for total, tail in pairs { [100] = "10%%  10/100 lines  .*ETA", [1000] = " 1%%  10/1000 lines  .*ETA" } do
            bar:expect(total)
            now = now + 1
            bar:update(10)
            assert.matches(tail, drawn[#drawn])
        end
        bar:expect(nil)
        now = now + 1
        bar:update(10)
        assert.matches("embed 10 lines  ", drawn[#drawn])
    end)

    it("estimates the time left and follows a change of speed", function()
        local bar = new { total = 1000, terminal = true }
        for i = 1, 100 do
            now = now + 1
            bar:update(i)
        end
        assert.matches("ETA 15:00", drawn[#drawn])
        for i = 101, 200 do
            now = now + 0.5
            bar:update(i)
        end
        -- 800 left at nearly 2/s.
        local minutes, seconds = drawn[#drawn]:match "ETA (%d+):(%d+)"
        local left = minutes * 60 + seconds
        assert.is_true(left > 399 and left < 450, left .. " s left")
    end)

    it("measures a resumed run's speed from where it resumed", function()
        local bar = new { total = 200, start = 100, terminal = true }
        now = now + 10
        bar:advance(20)
        assert.matches("120/200  2/s  0:10  ETA 0:40", drawn[1])
    end)

    it("leaves out whole fields that do not fit", function()
        local bar = new { total = 100, columns = 50, terminal = true, label = "train", unit = "steps" }
        bar:update(10, { accuracy = 0.5, loss = 1.5 })
        now = now + 1
        bar:update(11, { accuracy = 0.5, loss = 1.5 })
        assert.matches("^\rtrain .*11/100 steps  11/s  0:01  ETA 0:08 *$", drawn[2])
    end)

    it("counts a part of a unit in the rate, and shows no rate before there is one", function()
        local bar = new { total = 10, terminal = true, unit = "steps" }
        bar:update(0)
        assert.matches("  0%%  0/10 steps  0:00  ETA %-%-:%-%-", drawn[1])
        now = now + 4
        bar:update(0.5)
        assert.matches("  5%%  0/10 steps  0.125/s  0:04  ETA 1:16", drawn[2])
        now = now + 6
        bar:update(1.75)
        assert.matches(" 17%%  1/10 steps  0.175/s  0:10  ETA 0:47", drawn[3])
    end)

    it("leaves the terminal to others until its next update", function()
        local bar = new { total = 10, terminal = true }
        bar:clear()
        assert.are.equal(0, #drawn)
        bar:update(1)
        local width = term.width(drawn[1]) - 1
        bar:clear()
        assert.are.equal("\r" .. (" "):rep(width) .. "\r", drawn[2])
        bar:update(2)
        assert.are.equal(3, #drawn)
    end)

    it("puts log lines above the bar", function()
        local bar = new { total = 10, terminal = true }
        bar:update(1)
        local width = term.width(drawn[1]) - 1
        bar:log "a line"
        assert.are.equal("\r" .. (" "):rep(width) .. "\r", drawn[2])
        assert.are.equal("a line\n", drawn[3])
        bar:update(2)
        assert.are.equal(4, #drawn)
    end)

    it("copes with nothing to do and an unknown total", function()
        local bar = new { total = 0, terminal = true }
        bar:finish()
        assert.matches("^\r0  0:00\n$", drawn[1])
        bar = new { terminal = true, unit = "bytes" }
        now = now + 2
        bar:update(20480)
        assert.matches("^\r20.5k bytes  10.2k/s  0:02$", drawn[1])
        assert.error_matches(function() progress.new { total = "many" } end, "total is many, expected a number")
    end)

    it("is cheap when nothing is drawn", function()
        local bar = progress.new { total = 1e6, terminal = true, columns = 80, write = function() end }
        local started = os.clock()
        for i = 1, 100000 do bar:update(i) end
        assert.is_true(os.clock() - started < 2, "100,000 updates take over 2 s")
    end)

    it("shortens numbers to five characters", function()
        local cases = {
            [0] = "0", [0.1234] = "0.123", [1.5] = "1.5", [12.345] = "12.3", [999] = "999", [1234] = "1234",
            [9999] = "10.0k", [67700] = "67.7k", [123456] = "123k", [1e6] = "1.00M", [1.234e9] = "1.23G",
            [999999] = "1.00M", [-12.345] = "-12.3",
        }
        for value, text in pairs(cases) do assert.are.equal(text, progress.short(value)) end
        assert.are.equal("nan", progress.short(0 / 0):match "nan")
    end)
end)
