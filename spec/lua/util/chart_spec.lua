--- Charts: positions, labels, width, valid XML.

local chart = require "bertlua.util.chart"
local scale = require "bertlua.util.chart.scale"
local term = require "bertlua.util.term"

local function lines_of(text)
    local lines = {}
    for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    return lines
end

local function falling(n)
    local x, y = {}, {}
    for i = 1, n do x[i], y[i] = i, 1 + 9 * math.exp(-i / n * 5) end
    return { name = "loss", x = x, y = y }
end

--- Raises unless tags are closed in order and no stray < or & is in the text.
local function check_xml(text)
    local open = {}
    local rest = text:gsub("<(/?)([%w]+)([^<>]*)>", function(close, name, attributes)
        local bare = attributes:gsub('%s+[%w:%-]+="[^"<>]*"', "")
        assert.is_truthy(bare == "" or bare == "/", "attributes of " .. name .. ": " .. bare)
        if close == "/" then
            assert.are.equal(name, table.remove(open))
        elseif bare ~= "/" then
            open[#open + 1] = name
        end
        return ""
    end)
    assert.are.same({}, open)
    assert.is_nil(rest:find "[<>]")
    assert.is_nil(rest:gsub("&%a+;", ""):find "&")
end

describe("chart", function()
    it("fits the width and has the requested number of lines", function()
        for _, width in ipairs { 40, 80, 100 } do
            local text = chart.terminal { title = "t", x_label = "step", y_label = "loss", width = width, height = 10,
                series = { falling(500) } }
            local lines = lines_of(text)
            assert.are.equal(1 + 1 + 10 + 2 + 1, #lines)
            for _, line in ipairs(lines) do assert.is_true(term.width(line) <= width) end
        end
    end)

    it("puts a straight line where it belongs", function()
        local lines = lines_of(chart.terminal { ascii = true, width = 24, height = 5,
            series = { { x = { 0, 20 }, y = { 0, 4 } } } })
        assert.are.same({
            "  |                  ***",
            "  |             *****",
            "  |        *****",
            "  |   *****",
            "0 +***",
        }, { lines[1], lines[2], lines[3], lines[4], lines[5] })
    end)

    it("draws braille dots in exactly the right places", function()
        -- 10 cells are 20 dots wide and one cell is 4 dots high: the line climbs 3 dots in 19 steps.
        local text = chart.terminal { width = 13, height = 1, series = { { x = { 0, 19 }, y = { 0, 3 } } } }
        assert.is_truthy(text:find("⣀⣀⠤⠤⠤⠒⠒⠒⠉⠉", 1, true), text)
        local single = chart.terminal { width = 14, height = 2, series = { { x = { 5 }, y = { 3 } } } }
        local _, cells = single:gsub("\226[\160-\163][\128-\191]", "")
        assert.are.equal(1, cells)
    end)

    it("marks several series and names them", function()
        local text = chart.terminal { series = { falling(100), { name = "flat", y = { 2, 2, 2 } } } }
        assert.is_truthy(text:find("● loss   ○ flat", 1, true))
        assert.is_truthy(text:find("○○", 1, true))
    end)

    it("leaves gaps for NaN, and on a log axis for what is not positive", function()
        local nan = 0 / 0
        local prepared = scale.prepare { log_y = true, series = { { y = { 1, nan, 10, 0, -1, 100, math.huge } } } }
        local runs = prepared.series[1].raw
        assert.are.same({ { x = { 1 }, y = { 1 } }, { x = { 3 }, y = { 10 } }, { x = { 6 }, y = { 100 } } }, runs)
        for _, y in ipairs { { nan, nan }, {}, { 5 }, { 5, 5, 5 } } do
            assert.is_string(chart.terminal { series = { { y = y } } })
            check_xml(chart.svg { series = { { y = y } } })
        end
    end)

    it("chooses round ticks", function()
        local function labels(low, high, log, count)
            local axis = scale.prepare { log_y = log, series = { { y = { low, high } } } }.y
            local list = {}
            for i, tick in ipairs(axis.ticks(count)) do list[i] = tick.label end
            return table.concat(list, " ")
        end
        assert.are.equal("0 2 4 6 8 10", labels(0, 10, false, 6))
        assert.are.equal("0.0 0.2 0.4 0.6", labels(0.01, 0.69, false, 4))
        assert.are.equal("-1.0 -0.5 0.0 0.5 1.0", labels(-1, 1, false, 5))
        assert.are.equal("0 1e6 2e6", labels(0, 2e6, false, 3))
        assert.are.equal("1 10 100 1000", labels(1, 1000, true, 6))
        assert.are.equal("2 5 10", labels(1.5, 12, true, 6))
        assert.are.equal("1e-5 0.0001 0.001", labels(1e-5, 1e-3, true, 6))
        assert.are.equal("7.2 7.3 7.4 7.5", labels(7.2, 7.5, true, 4))
    end)

    it("smooths without the bias of the start", function()
        assert.are.same({ 5, 5, 5 }, scale.smooth({ 5, 5, 5 }, 0.5))
        local out = scale.smooth({ 1, 3 }, 0.5)
        assert.are.equal(1, out[1])
        assert.is_true(math.abs(out[2] - 7 / 3) < 1e-12)
    end)

    it("writes valid SVG with every label escaped", function()
        local text = chart.svg { title = 'a < b & "c"', x_label = "step", y_label = "loss\0", smoothing = 0.9,
            series = { falling(50), { name = "<nsp>", y = { 1, 2, 0 / 0, 3 } } } }
        check_xml(text)
        assert.is_truthy(text:find("a &lt; b &amp; &quot;c&quot;", 1, true))
        assert.is_truthy(text:find("&lt;nsp&gt;", 1, true))
        assert.is_truthy(text:find 'stroke%-opacity="0.3"')
        assert.is_truthy(text:find("<circle", 1, true))
    end)

    it("keeps the file small without losing spikes", function()
        local series = falling(100000)
        series.y[54321] = 50
        local text = chart.svg { series = { series } }
        assert.is_true(#text < 60000, #text .. " bytes")
        local top = math.huge
        for y in text:match('points="([^"]+)"'):gmatch ",([%d.]+)" do top = math.min(top, tonumber(y)) end
        -- The spike, 4 % below the upper end of the axis (margins: 20 above, 44 below, of 400).
        assert.is_true(top < 20 + 336 * 0.05, "highest point at " .. top)
    end)

    it("refuses what it cannot draw", function()
        assert.error_matches(function() chart.terminal {} end, "series is missing")
        assert.error_matches(function() chart.svg { series = {} } end, "series is missing")
        assert.error_matches(function() chart.svg { series = { { x = { 1 }, y = { 1, 2 } } } } end, "1 x and 2 y")
        assert.error_matches(function() chart.svg { series = { { y = { 1 } } }, smoothing = 1 } end, "smoothing is 1")
    end)
end)
