--- Lossless JSON: numbers keep all their bits, keys come in a fixed order, NaN
-- follows a policy, and a syntax error names line and column. lua-cjson does the
-- reading; its writer truncates numbers to 14 digits, so writing is done here.
-- @module bertlua.util.json

local cjson = require "cjson"
local fs = require "bertlua.util.fs"

local json = {}

--- Represents JSON's null, in both directions.
json.null = cjson.null

local MOST_LEVELS = 1000

-- Decoders by the levels they allow; private, so that another user of cjson cannot change their settings.
local decoders = {}

local function decoder_of(levels)
    local decoder = decoders[levels]
    if not decoder then
        decoder = cjson.new()
        decoder.decode_max_depth(levels)
        decoder.decode_invalid_numbers(false)
        decoders[levels] = decoder
    end
    return decoder
end

local array_mt = {}

--- Mark a table as a JSON array, even if it is empty. Returns the table.
function json.array(t)
    return setmetatable(t or {}, array_mt)
end

local escapes = {
    ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}
for i = 0, 31 do
    local c = string.char(i)
    escapes[c] = escapes[c] or ("\\u%04x"):format(i)
end
escapes["\127"] = "\\u007f"

local function quote(s)
    -- Most strings need no escaping, and searching is cheaper than replacing.
    if s:find '[%c"\\]' then s = s:gsub('[%c"\\]', escapes) end
    return '"' .. s .. '"'
end

local policies = { error = true, null = true, string = true }

local function encode_number(x, state)
    if x ~= x or x == math.huge or x == -math.huge then
        local name = x ~= x and "NaN" or x > 0 and "Infinity" or "-Infinity"
        if state.nan == "null" then return "null" end
        if state.nan == "string" then return '"' .. name .. '"' end
        error({ json = "cannot write " .. name .. ": choose nan = \"null\" or \"string\"" }, 0)
    end
    if x == math.floor(x) and math.abs(x) < 2 ^ 53 then
        if x == 0 and 1 / x < 0 then return "-0.0" end
        -- tostring writes integers of up to 14 digits in full, and can be JIT-compiled.
        return math.abs(x) < 1e14 and tostring(x) or ("%d"):format(x)
    end
    for digits = 15, 16 do
        local text = ("%." .. digits .. "g"):format(x)
        if tonumber(text) == x then return text end
    end
    return ("%.17g"):format(x)
end

--- Whether a table is written as an array: marked, or its keys are exactly 1..n with n > 0.
local function is_array(t)
    if getmetatable(t) == array_mt then return true end
    local count = 0
    for _ in pairs(t) do count = count + 1 end
    return count > 0 and count == #t
end

--- Keys of an object: those in `order` first, then the rest sorted.
local function sorted_keys(t, order)
    local keys, rank = {}, {}
    for i, key in ipairs(order or {}) do rank[key] = i end
    for key in pairs(t) do
        if type(key) ~= "string" then
            error({ json = "an object's key is a " .. type(key) .. " (" .. tostring(key) .. "), expected a string" }, 0)
        end
        keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
        local x, y = rank[a] or math.huge, rank[b] or math.huge
        if x ~= y then return x < y end
        return a < b
    end)
    return keys
end

local encode_value

--- What precedes each member, and the closing bracket, at this depth.
local function indentation(depth, state)
    if not state.pretty then return "", "" end
    return "\n" .. state.pretty:rep(depth + 1), "\n" .. state.pretty:rep(depth)
end

local function encode_array(out, t, depth, state)
    local before, after = indentation(depth, state)
    out[#out + 1] = "["
    for i = 1, #t do
        out[#out + 1] = i > 1 and "," .. before or before
        encode_value(out, t[i], depth + 1, state)
    end
    out[#out + 1] = #t > 0 and after .. "]" or "]"
end

local function encode_object(out, t, depth, state)
    local before, after = indentation(depth, state)
    local colon = state.pretty and ": " or ":"
    local keys = sorted_keys(t, depth == 0 and state.order or nil)
    out[#out + 1] = "{"
    for i, key in ipairs(keys) do
        out[#out + 1] = (i > 1 and "," or "") .. before .. quote(key) .. colon
        encode_value(out, t[key], depth + 1, state)
    end
    out[#out + 1] = #keys > 0 and after .. "}" or "}"
end

local function encode_table(out, t, depth, state)
    if state.open[t] then error({ json = "the table contains itself" }, 0) end
    state.open[t] = true
    local encode = is_array(t) and encode_array or encode_object
    encode(out, t, depth, state)
    state.open[t] = nil
end

function encode_value(out, value, depth, state)
    local kind = type(value)
    if value == json.null or value == nil then
        out[#out + 1] = "null"
    elseif kind == "boolean" then
        out[#out + 1] = tostring(value)
    elseif kind == "number" then
        out[#out + 1] = encode_number(value, state)
    elseif kind == "string" then
        out[#out + 1] = quote(value)
    elseif kind == "table" then
        encode_table(out, value, depth, state)
    else
        error({ json = "cannot write a " .. kind }, 0)
    end
end

--- Value to JSON text.
-- @param value nil, boolean, number, string, table or json.null
-- @tparam[opt] table options pretty = true (two spaces per level); nan = "error" (default), "null" or "string";
--   order = list of keys that come first in the outermost object
-- @treturn string
function json.encode(value, options)
    options = options or {}
    local nan = options.nan or "error"
    if not policies[nan] then
        error("json.encode: nan is " .. tostring(nan) .. ", expected \"error\", \"null\" or \"string\"", 2)
    end
    local out = {}
    local state = { nan = nan, pretty = options.pretty and "  " or nil, order = options.order, open = {} }
    local ok, problem = pcall(encode_value, out, value, 0, state)
    if not ok then
        if type(problem) ~= "table" then error(problem, 0) end
        error("json.encode: " .. problem.json, 2)
    end
    return table.concat(out)
end

--- Line and column (in bytes, from 1) of a position in text.
local function line_and_column(text, position)
    local line, start = 1, 1
    for at in text:gmatch "()\n" do
        if at >= position then break end
        line, start = line + 1, at + 1
    end
    return line, position - start + 1
end

--- JSON text to a value; null becomes json.null.
-- @tparam string text
-- @tparam[opt] string name of the text in messages, usually its path
-- @tparam[opt=1000] number levels most objects and lists within each other
-- @return value; or nil, message with line and column
function json.decode(text, name, levels)
    if type(text) ~= "string" then error("json.decode: got a " .. type(text) .. ", expected a string", 2) end
    local ok, value = pcall(decoder_of(levels or MOST_LEVELS).decode, text)
    if ok then return value end
    local reason = tostring(value)
    local position = tonumber(reason:match "at character (%d+)")
    reason = reason:gsub("%s*at character %d+", "")
    if reason:find "T_END" then reason = "unexpected end of text" end
    if not position then return nil, ("%s: not valid JSON: %s"):format(name or "json", reason) end
    local line, column = line_and_column(text, position)
    return nil, ("%s:%d:%d: not valid JSON: %s"):format(name or "json", line, column, reason)
end

--- Read and decode a file: value; or nil, message. A file that holds false is refused: it would look like a failure.
-- @tparam string path
-- @tparam[opt] number most bytes that the file may have: what is read from elsewhere must not fill the memory
function json.read(path, most)
    local bytes = most and fs.size(path) or 0
    if bytes > (most or 0) then
        return nil, ("%s: has %.1f MiB, expected at most %d"):format(path, bytes / 2 ^ 20, most / 2 ^ 20)
    end
    local text, reason = fs.read(path)
    if not text then return nil, reason end
    local value, problem = json.decode(text, path)
    if value == false then return nil, path .. ": holds false, expected an object or a list" end
    return value, problem
end

return json
