--- Charts made of characters: braille dots for one series, one mark each for several.
-- @module bertlua.util.chart.terminal

local term = require "bertlua.util.term"

local terminal = {}

local MARKS = { "●", "○", "×", "+", "◆", "◇" }
local ASCII_MARKS = { "*", "o", "x", "+", "#", "@" }

-- Bits of a braille cell's dots by column and row (Unicode, U+2800).
local DOTS = { [0] = { [0] = 0x01, 0x02, 0x04, 0x40 }, { [0] = 0x08, 0x10, 0x20, 0x80 } }

local function braille(bits)
    return string.char(0xE2, 0xA0 + math.floor(bits / 64), 0x80 + bits % 64)
end

--- Call set(column, row) for every dot of the line from a to b.
local function line(x1, y1, x2, y2, set)
    local steps = math.max(math.abs(x2 - x1), math.abs(y2 - y1), 1)
    for i = 0, steps do
        set(math.floor(x1 + (x2 - x1) * i / steps + 0.5), math.floor(y1 + (y2 - y1) * i / steps + 0.5))
    end
end

--- Draw a series on a grid of `columns` by `rows` dots; row 0 is the top.
local function plot(entry, axes, columns, rows, set)
    for _, run in ipairs(entry.smooth or entry.raw) do
        local last_x, last_y
        for i = 1, #run.x do
            local x = math.floor(axes.x.position(run.x[i]) * (columns - 1) + 0.5)
            local y = math.floor((1 - axes.y.position(run.y[i])) * (rows - 1) + 0.5)
            line(last_x or x, last_y or y, x, y, set)
            last_x, last_y = x, y
        end
    end
end

--- Rows of cells, each a string of one column.
local function blank(columns, rows)
    local grid = {}
    for row = 0, rows - 1 do
        grid[row] = {}
        for column = 0, columns - 1 do grid[row][column] = " " end
    end
    return grid
end

local function draw_braille(entry, axes, columns, rows)
    local bits = {}
    plot(entry, axes, columns * 2, rows * 4, function(x, y)
        local cell = math.floor(y / 4) * columns + math.floor(x / 2)
        bits[cell] = bit.bor(bits[cell] or 0, DOTS[x % 2][y % 4])
    end)
    local grid = blank(columns, rows)
    for cell, value in pairs(bits) do grid[math.floor(cell / columns)][cell % columns] = braille(value) end
    return grid
end

local function draw_marks(prepared, columns, rows, marks)
    local grid = blank(columns, rows)
    for i, entry in ipairs(prepared.series) do
        local mark = marks[(i - 1) % #marks + 1]
        plot(entry, prepared, columns, rows, function(x, y) grid[y][x] = mark end)
    end
    return grid
end

--- Labels of the y axis by row, and their width.
local function y_labels(axis, rows)
    local labels, width = {}, 1
    for _, tick in ipairs(axis.ticks(math.max(2, math.floor(rows / 3)))) do
        labels[math.floor((1 - axis.position(tick.value)) * (rows - 1) + 0.5)] = tick.label
        width = math.max(width, #tick.label)
    end
    return labels, width
end

--- The axis below the plot and its labels: two lines. Labels that would touch are left out.
local function x_axis(axis, columns, indent, glyphs)
    local rule, labels = {}, {}
    for column = 0, columns - 1 do rule[column] = glyphs.horizontal end
    local used = -1
    local text = ""
    for _, tick in ipairs(axis.ticks(math.max(2, math.floor(columns / 10)))) do
        local column = math.floor(axis.position(tick.value) * (columns - 1) + 0.5)
        local first = math.min(math.max(0, column - math.floor(#tick.label / 2)), columns - #tick.label)
        if first > used then
            rule[column] = glyphs.tick_down
            text = text .. (" "):rep(first - #text) .. tick.label
            used = #text
        end
    end
    labels[1] = (" "):rep(indent) .. glyphs.corner .. table.concat(rule, "", 0, columns - 1)
    labels[2] = (" "):rep(indent + 1) .. text
    return labels
end

local UNICODE = { vertical = "│", tick = "┤", corner = "└", horizontal = "─", tick_down = "┬" }
local ASCII = { vertical = "|", tick = "+", corner = "+", horizontal = "-", tick_down = "+" }

local function centre(text, indent, columns)
    local room = math.max(0, math.floor((columns - term.width(text)) / 2))
    return (" "):rep(indent + room) .. text
end

local function legend(prepared, marks)
    local parts = {}
    for i, entry in ipairs(prepared.series) do
        parts[i] = marks[(i - 1) % #marks + 1] .. " " .. entry.name
    end
    return table.concat(parts, "   ")
end

--- The text for a prepared figure.
function terminal.draw(figure, prepared)
    local width, rows = figure.width or 80, figure.height or 18
    local glyphs = figure.ascii and ASCII or UNICODE
    local marks = figure.ascii and ASCII_MARKS or MARKS
    local single = #prepared.series == 1
    local labels, label_width = y_labels(prepared.y, rows)
    local columns = math.max(10, width - label_width - 2)
    local grid
    if single and not figure.ascii then
        grid = draw_braille(prepared.series[1], prepared, columns, rows)
    else
        grid = draw_marks(prepared, columns, rows, marks)
    end
    local lines = {}
    if figure.title then lines[#lines + 1] = centre(figure.title, label_width + 1, columns) end
    if not single then lines[#lines + 1] = centre(legend(prepared, marks), label_width + 1, columns) end
    if figure.y_label then lines[#lines + 1] = figure.y_label end
    for row = 0, rows - 1 do
        local text = labels[row]
        lines[#lines + 1] = ("%" .. label_width .. "s"):format(text or "") .. " "
            .. (text and glyphs.tick or glyphs.vertical) .. table.concat(grid[row], "", 0, columns - 1)
    end
    for _, text in ipairs(x_axis(prepared.x, columns, label_width + 1, glyphs)) do lines[#lines + 1] = text end
    if figure.x_label then lines[#lines + 1] = centre(figure.x_label, label_width + 1, columns) end
    for i, text in ipairs(lines) do lines[i] = term.cut(text, width):gsub("%s+$", "") end
    return table.concat(lines, "\n") .. "\n"
end

return terminal
