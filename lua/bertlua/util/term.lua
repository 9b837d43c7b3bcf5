--- What the terminal can do: its width, whether it is one, how wide a text is.
-- @module bertlua.util.term

local native = require "bertlua.text"
local printable = require "bertlua.printable"
local storage = require "bertlua.storage"

local term = {}

local descriptors = { stdout = 1, stderr = 2 }

--- Whether a stream ("stdout" or "stderr") is a terminal that understands control characters.
function term.is_terminal(stream)
    if os.getenv "TERM" == "dumb" then return false end
    return storage.terminal_columns(descriptors[stream or "stdout"]) ~= nil
end

--- Columns to use: COLUMNS if set, else the terminal's, else 80.
function term.columns(stream)
    local forced = tonumber(os.getenv "COLUMNS" or "")
    if forced and forced >= 20 then return math.floor(forced) end
    return math.max(20, storage.terminal_columns(descriptors[stream or "stdout"]) or 80)
end

--- Columns that UTF-8 text takes: two for each character that East Asia writes wide.
function term.width(text)
    return native.columns(text)
end

--- The beginning of UTF-8 text, of at most so many columns.
function term.cut(text, columns)
    if term.width(text) <= columns then return text end
    local taken, stop = 0, 0
    while true do
        local _, following = native.character(text, stop)
        taken = taken + native.columns(text:sub(stop + 1, following))
        if taken > columns then return text:sub(1, stop) end
        stop = following
    end
end

--- Break text at spaces, into lines of at most `columns`; a longer word (a path) stays whole on a line of its own.
-- @tparam string text its lines are broken one by one
-- @tparam number columns
-- @tparam[opt=2] number indent spaces before a continued line
function term.wrap(text, columns, indent)
    local out = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do
        local current = ""
        for spaces, word in line:gmatch "( *)([^ ]+)" do
            local longer = current .. spaces .. word
            if current ~= "" and term.width(longer) > columns then
                out[#out + 1] = current
                -- A long word moves to the left rather than beyond the edge.
                longer = (" "):rep(math.max(0, math.min(indent or 2, columns - term.width(word)))) .. word
            end
            current = longer
        end
        out[#out + 1] = current
    end
    return table.concat(out, "\n")
end

--- The text for a stream: broken at its width if that is a terminal, else as it is, so that files keep whole lines.
-- @tparam string stream "stdout" or "stderr"
-- @tparam string text
-- @tparam[opt] number indent as in wrap
function term.fit(stream, text, indent)
    if not term.is_terminal(stream) then return text end
    return term.wrap(text, term.columns(stream), indent)
end

--- A warning of a program that goes on, on standard error.
function term.warn(message)
    io.stderr:write(term.fit("stderr", "bertlua: warning: " .. printable.text(message)), "\n")
    io.stderr:flush()
end

return term
