--- What the terminal can do: its width, whether it is one, how wide a text is.
-- @module bertlua.util.term

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

--- Number of characters in UTF-8 text (each assumed to be one column wide).
function term.width(text)
    local _, continuation = text:gsub("[\128-\191]", "")
    return #text - continuation
end

--- The first `columns` characters of UTF-8 text.
function term.cut(text, columns)
    if term.width(text) <= columns then return text end
    local taken, position = 0, 1
    while taken < columns do
        local byte = text:byte(position)
        position = position + (byte < 0x80 and 1 or byte < 0xE0 and 2 or byte < 0xF0 and 3 or 4)
        taken = taken + 1
    end
    return text:sub(1, position - 1)
end

--- Text with its lines broken at blanks, so that none is wider than `columns`; a longer word has a line of its own.
-- @param text one or more lines
-- @param columns
-- @tparam[opt] string hang what broken lines go on with ("")
function term.wrap(text, columns, hang)
    hang = hang or ""
    local out = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do
        while term.width(line) > columns do
            local head = term.cut(line, columns + 1)
            local indent = #line:match "^%s*"
            local at = head:match("^.*%S()%s", indent + 1) or line:match "^%s*%S+()%s+%S"
            if not at then break end
            out[#out + 1] = line:sub(1, at - 1)
            line = hang .. line:sub(at):match "^%s*(.*)$"
        end
        out[#out + 1] = line
    end
    return table.concat(out, "\n")
end

return term
