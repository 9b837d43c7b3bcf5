--- Charts as SVG documents: axes, grid, ticks, legend; no scripts, no font files.
-- @module bertlua.util.chart.svg

local svg = {}

-- Contrast of at least 3:1 against white and against near-black, so that one file works on both.
local COLOURS = { "#3b82f6", "#e8590c", "#2f9e44", "#ae3ec9", "#e03131", "#0c8599" }
local TEXT, GRID = "#767676", "#888888"

local MARGIN = { left = 64, right = 20, top = 20, bottom = 44 }
-- More points than this cannot be seen at any width; they would only make the file large.
local MOST_POINTS = 2000

local function escape(text)
    return (tostring(text):gsub("[%z\1-\8\11\12\14-\31]", ""):gsub("[&<>\"]", {
        ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
    }))
end

local function number(x)
    return (("%.1f"):format(x):gsub("%.0$", ""))
end

local function text(x, y, anchor, content, extra)
    return ('<text x="%s" y="%s" text-anchor="%s" fill="%s"%s>%s</text>'):format(number(x), number(y), anchor, TEXT,
        extra or "", escape(content))
end

local function segment(x1, y1, x2, y2, opacity)
    return ('<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-opacity="%s"/>'):format(number(x1), number(y1),
        number(x2), number(y2), GRID, opacity)
end

--- Thin out points: the first, lowest, highest and last of each group, in order, so that no spike is lost.
local function thin(run)
    local n = #run.x
    if n <= MOST_POINTS then return run end
    local out = { x = {}, y = {} }
    local group = math.ceil(n / (MOST_POINTS / 4))
    for first = 1, n, group do
        local last = math.min(n, first + group - 1)
        local low, high = first, first
        for i = first, last do
            if run.y[i] < run.y[low] then low = i end
            if run.y[i] > run.y[high] then high = i end
        end
        local picks = { first, math.min(low, high), math.max(low, high), last }
        for k, i in ipairs(picks) do
            if k == 1 or i ~= picks[k - 1] then
                out.x[#out.x + 1], out.y[#out.y + 1] = run.x[i], run.y[i]
            end
        end
    end
    return out
end

local function curve(runs, place_x, place_y, colour, width, opacity)
    local out = {}
    for _, run in ipairs(runs) do
        run = thin(run)
        local points = {}
        for i = 1, #run.x do points[i] = number(place_x(run.x[i])) .. "," .. number(place_y(run.y[i])) end
        if #points == 1 then
            local x, y = points[1]:match "([^,]+),(.+)"
            out[#out + 1] = ('<circle cx="%s" cy="%s" r="2.5" fill="%s" fill-opacity="%s"/>'):format(x, y, colour,
                opacity)
        else
            out[#out + 1] = ('<polyline points="%s" fill="none" stroke="%s" stroke-width="%s" stroke-opacity="%s" '
                .. 'stroke-linejoin="round"/>'):format(table.concat(points, " "), colour, width, opacity)
        end
    end
    return table.concat(out, "\n")
end

local function axes(out, figure, prepared, frame)
    for _, tick in ipairs(prepared.y.ticks(6)) do
        local y = frame.place_y(tick.value)
        out[#out + 1] = segment(frame.left, y, frame.right, y, "0.25")
        out[#out + 1] = text(frame.left - 8, y + 4, "end", tick.label)
    end
    for _, tick in ipairs(prepared.x.ticks(8)) do
        local x = frame.place_x(tick.value)
        out[#out + 1] = segment(x, frame.bottom, x, frame.bottom + 5, "0.8")
        out[#out + 1] = text(x, frame.bottom + 18, "middle", tick.label)
    end
    out[#out + 1] = segment(frame.left, frame.bottom, frame.right, frame.bottom, "0.8")
    out[#out + 1] = segment(frame.left, frame.top, frame.left, frame.bottom, "0.8")
    local middle_x, middle_y = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
    if figure.title then
        out[#out + 1] = text(middle_x, 18, "middle", figure.title, ' font-size="15" font-weight="600"')
    end
    if figure.x_label then out[#out + 1] = text(middle_x, frame.height - 8, "middle", figure.x_label) end
    if figure.y_label then
        out[#out + 1] = text(14, middle_y, "middle", figure.y_label,
            (' transform="rotate(-90 14 %s)"'):format(number(middle_y)))
    end
end

--- One line per series in the upper right corner.
local function legend(out, prepared, frame)
    for i, entry in ipairs(prepared.series) do
        local y = frame.top + 16 * i - 2
        out[#out + 1] = ('<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-width="3"/>'):format(
            number(frame.right - 22), number(y), number(frame.right - 4), number(y), COLOURS[(i - 1) % #COLOURS + 1])
        out[#out + 1] = text(frame.right - 28, y + 4, "end", entry.name)
    end
end

--- The document for a prepared figure.
function svg.draw(figure, prepared)
    local width, height = figure.width or 720, figure.height or 400
    local frame = {
        height = height, left = MARGIN.left, right = width - MARGIN.right,
        top = MARGIN.top + (figure.title and 14 or 0), bottom = height - MARGIN.bottom,
    }
    function frame.place_x(value)
        return frame.left + prepared.x.position(value) * (frame.right - frame.left)
    end
    function frame.place_y(value)
        return frame.bottom - prepared.y.position(value) * (frame.bottom - frame.top)
    end
    local out = {
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
            .. 'font-family="system-ui, sans-serif" font-size="12">'):format(width, height, width, height),
        "<title>" .. escape(figure.title or "chart") .. "</title>",
    }
    axes(out, figure, prepared, frame)
    for i, entry in ipairs(prepared.series) do
        local colour = COLOURS[(i - 1) % #COLOURS + 1]
        if entry.smooth then
            out[#out + 1] = curve(entry.raw, frame.place_x, frame.place_y, colour, 1, "0.3")
            out[#out + 1] = curve(entry.smooth, frame.place_x, frame.place_y, colour, 2, "1")
        else
            out[#out + 1] = curve(entry.raw, frame.place_x, frame.place_y, colour, 1.5, "1")
        end
    end
    legend(out, prepared, frame)
    out[#out + 1] = "</svg>"
    return table.concat(out, "\n") .. "\n"
end

return svg
