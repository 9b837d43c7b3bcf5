--- Any Lua value as readable text: tables with sorted keys, tensors with their values.
--
-- Deep, long and cyclic tables are cut short, so that printing a whole model
-- stays readable.

local M = {}

M.MAX_DEPTH = 4
M.MAX_ITEMS = 40
M.WIDTH = 80
M.MAX_LINES = 22

local NAME = "^[%a_][%w_]*$"
local ORDER = { number = 1, string = 2, boolean = 3 }

local function sorted_keys(t, skip)
    local keys = {}
    for k in pairs(t) do
        local in_list = type(k) == "number" and k >= 1 and k <= skip and k == math.floor(k)
        -- The metamethods of a class say nothing about its contents.
        local is_meta = type(k) == "string" and k:sub(1, 2) == "__"
        if not in_list and not is_meta then keys[#keys + 1] = k end
    end
    table.sort(keys, function(a, b)
        local x, y = ORDER[type(a)] or 4, ORDER[type(b)] or 4
        if x ~= y then return x < y end
        if x <= 2 then return a < b end
        return tostring(a) < tostring(b)
    end)
    return keys
end

local ESCAPE = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\" }

local function quote(text)
    local cut = #text > 200 and text:sub(1, 200) or text
    local quoted = '"' .. cut:gsub('[%c"\\]', function(c) return ESCAPE[c] or ("\\%d"):format(c:byte()) end) .. '"'
    if #text > 200 then quoted = quoted .. (" (%d bytes)"):format(#text) end
    return quoted
end

local function describe_function(f)
    local info = debug.getinfo(f, "S")
    if info.what == "C" then return "function: built in" end
    return ("function: %s:%d"):format(info.short_src:gsub("^.*/(bertlua/)", "%1"), info.linedefined)
end

local format

local function key_text(k, state)
    if type(k) == "string" then return k:match(NAME) and k or "[" .. quote(k) .. "]" end
    return "[" .. format(k, state, M.MAX_DEPTH) .. "]"
end

local function join(items, depth, closed)
    local indent = ("  "):rep(depth + 1)
    local flat = "{ " .. table.concat(items, ", ") .. " }"
    if closed and #flat + 2 * depth <= M.WIDTH and not flat:find "\n" then return flat end
    return "{\n" .. indent .. table.concat(items, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

-- Short items side by side, as many as fit in a line.
local function in_rows(items, depth)
    local rows, room = {}, M.WIDTH - 2 * (depth + 1) - 1
    for _, item in ipairs(items) do
        local last = rows[#rows]
        if last and not item:find "\n" and not last:find "\n" and #last + 2 + #item <= room then
            rows[#rows] = last .. ", " .. item
        else
            rows[#rows + 1] = item
        end
    end
    return rows
end

local function format_table(t, state, depth)
    if state.open[t] then return "{ cycle }" end
    if next(t) == nil then return "{}" end
    if depth >= M.MAX_DEPTH then return "{ ... }" end
    state.open[t] = true
    local items, length = {}, #t
    local shown = math.min(length, M.MAX_ITEMS)
    for i = 1, shown do items[i] = format(t[i], state, depth + 1) end
    if length > shown then items[#items + 1] = ("... %d more"):format(length - shown) end
    items = in_rows(items, depth)
    local keys = sorted_keys(t, length)
    for i, k in ipairs(keys) do
        if i > M.MAX_ITEMS then
            items[#items + 1] = ("... %d more"):format(#keys - M.MAX_ITEMS)
            break
        end
        items[#items + 1] = key_text(k, state) .. " = " .. format(t[k], state, depth + 1)
    end
    state.open[t] = nil
    return join(items, depth, true)
end

local function is_tensor(value)
    local tensor = package.loaded["bertlua.tensor"]
    return tensor and tensor.is(value)
end

-- A tensor inside a table is one line: what it is, not its values.
-- shown: how many numbers of a C array count; nil for all
local function short_cdata(value, shown)
    if is_tensor(value) then return "[" .. value:describe() .. "]" end
    -- shape and stride of a tensor, which are C arrays.
    local text = tostring(value)
    local count = tonumber(text:match "^cdata<int64_t %(&%)%[(%d+)%]>")
    if not count then return text end
    local numbers = {}
    for i = 1, math.min(count, shown or count) do numbers[i] = ("%d"):format(tonumber(value[i - 1])) end
    return ("{ %s } int64_t[%d]"):format(table.concat(numbers, ", "), count)
end

function format(value, state, depth)
    local kind = type(value)
    if kind == "string" then return quote(value) end
    if kind == "function" then return describe_function(value) end
    if kind == "cdata" then return short_cdata(value) end
    if kind ~= "table" then return tostring(value) end
    local meta = getmetatable(value)
    if type(meta) == "table" and rawget(meta, "__tostring") then return tostring(value) end
    return format_table(value, state, depth)
end

-- The first lines of a text, as many as fit on a screen of 24; a long line takes several.
local function on_screen(text)
    local lines, rows, left_out = {}, 0, 0
    for line in (text .. "\n"):gmatch "(.-)\n" do
        rows = rows + math.max(1, math.ceil(#line / M.WIDTH))
        if rows <= M.MAX_LINES then lines[#lines + 1] = line else left_out = left_out + 1 end
    end
    if left_out > 1 then lines[#lines + 1] = ("... %d more lines"):format(left_out) end
    return left_out > 1 and table.concat(lines, "\n") or text
end

--- How many numbers of a tensor's shape or stride count: it has room for four dimensions. nil for another value.
local function dimensions_of(value, owner)
    if not is_tensor(owner) then return nil end
    for _, field in ipairs { "shape", "stride" } do
        -- The addresses are compared: the numbers of another tensor may be the same.
        if tostring(owner[field]) == tostring(value) then return owner.ndim end
    end
    return nil
end

--- Text of a value. Strings are bare at the top, quoted inside tables. A table takes a screen of 24 lines at most.
-- @param value anything
-- @param owner the tensor whose field it is, where that is known
function M.inspect(value, owner)
    local kind = type(value)
    if kind == "string" then return value end
    if kind == "cdata" then
        return is_tensor(value) and tostring(value) or short_cdata(value, dimensions_of(value, owner))
    end
    local text = format(value, { open = {} }, 0)
    return kind == "table" and on_screen(text) or text
end

return M
