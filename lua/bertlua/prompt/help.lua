--- `? name`: the comment above a function in its source, or above an op in the engine's header.

local complete = require "bertlua.prompt.complete"
local paths = require "bertlua.paths"
local suggest = require "bertlua.util.suggest"

local M = {}

local function read_lines(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local lines = {}
    for line in file:lines() do lines[#lines + 1] = line end
    file:close()
    return lines
end

local function clean(line)
    return (line:gsub("^%s*%-%-%-?%s?", ""))
end

--- Comment lines that end just above line number `at`.
local function comment_above(lines, at)
    local first = at
    while first > 1 and lines[first - 1]:match "^%s*%-%-" do first = first - 1 end
    local text = {}
    for i = first, at - 1 do
        local line = clean(lines[i])
        -- LDoc tags as prose.
        line = line:gsub("^@t?param%[?%w*%]?%s+", "  "):gsub("^@t?return%s+", "Returns: "):gsub("^@module.*", "")
        text[#text + 1] = line
    end
    return table.concat(text, "\n")
end

-- The name as it was typed, with the parameters of the definition.
local function signature(name, lines, at)
    local text, i = {}, at
    repeat
        text[#text + 1] = lines[i]:match "^%s*(.-)%s*$"
        i = i + 1
    until i > #lines or text[#text]:find(")", 1, true) or #text > 6
    return name .. (table.concat(text, " "):match "%b()" or "()")
end

local function strip_comment(line)
    return (line:gsub("^%s*/%*%s?", ""):gsub("^%s*%*/?%s?", ""):gsub("%s*%*/%s*$", ""))
end

-- Consecutive declarations share the comment above the first.
--- The comment above a function in the headers of the engine, and its declaration; nil if there is none.
-- @param name without bl_
function M.declaration(name)
    local lines = read_lines(paths.declarations())
    if not lines then return nil end
    for at, line in ipairs(lines) do
        if line:find("bl_" .. name .. "(", 1, true) and not line:match "^%s*/?%*" then
            local last = at - 1
            while last > 0 and not lines[last]:find("*/", 1, true) do last = last - 1 end
            local first = last
            while first > 0 and not lines[first]:find("/*", 1, true) do first = first - 1 end
            if first == 0 then return nil end
            local text = {}
            for i = first, last do text[#text + 1] = strip_comment(lines[i]) end
            local declaration, i = {}, at
            repeat
                declaration[#declaration + 1] = lines[i]:match "^%s*(.-)%s*$"
                i = i + 1
            until declaration[#declaration]:find(";", 1, true) or i > #lines
            return (table.concat(text, "\n"):gsub("^%s+", ""):gsub("%s+$", "")),
                table.concat(declaration, "\n    ")
        end
    end
end

local function describe_function(name, f)
    local info = debug.getinfo(f, "S")
    local path = info.source:match "^@(.*)$"
    local lines = path and read_lines(path)
    if not lines then
        return name .. ": " .. (info.what == "C" and "built in" or "its source is not at hand") .. "\n"
    end
    local parts = { signature(name, lines, info.linedefined) }
    local comment = comment_above(lines, info.linedefined)
    if comment ~= "" then parts[#parts + 1] = comment end
    -- Thin wrappers of the engine are documented in its header.
    local short = name:match "([%w_]+)$"
    if path:match "/bindings/" or path:match "^bindings/" then
        local text, declaration = M.declaration(short)
        if text then
            parts[#parts + 1] = text
            parts[#parts + 1] = declaration
        end
    end
    if #parts == 1 then parts[2] = "(no comment)" end
    parts[#parts + 1] = ("%s:%d"):format(path:gsub("^" .. paths.root():gsub("%p", "%%%0") .. "/", ""), info.linedefined)
    return table.concat(parts, "\n") .. "\n"
end

-- The module of this table, by the loaded modules.
local function module_name(t)
    for name, module in pairs(package.loaded) do
        if module == t and name ~= "_G" then return name end
    end
end

local function head_comment(module)
    local path = module and package.searchpath(module, package.path)
    local lines = path and read_lines(path)
    if not lines then return nil end
    local text = {}
    for _, line in ipairs(lines) do
        if not line:match "^%-%-" then break end
        if not line:match "@module" then text[#text + 1] = clean(line) end
    end
    return table.concat(text, "\n")
end

local function wrap(words, indent)
    local lines, line = {}, indent
    for i, word in ipairs(words) do
        local piece = word .. (i < #words and ", " or "")
        if #line + #piece > 79 then
            lines[#lines + 1] = line
            line = indent
        end
        line = line .. piece
    end
    lines[#lines + 1] = line
    return table.concat(lines, "\n")
end

local function describe_table(name, t)
    local parts = {}
    local head = head_comment(module_name(t))
    if head and head ~= "" then parts[1] = (head:gsub("%s+$", "")) end
    local fields = complete.fields(t, false)
    if #fields > 0 then parts[#parts + 1] = name .. " has\n" .. wrap(fields, "  ") end
    if #parts == 0 then parts[1] = name .. " is an empty table" end
    return table.concat(parts, "\n") .. "\n"
end

-- Where else a bare name may live.
local function search(topic, env)
    local value = complete.resolve(topic, env)
    if value ~= nil then return value, topic end
    for _, prefix in ipairs { "bl.", "bl.ops.", "bl.optim.", "bl.tensor.methods." } do
        value = complete.resolve(prefix .. topic, env)
        if value ~= nil then return value, prefix .. topic end
    end
end

local function unknown(topic, env)
    local owner, last = topic:match "^(.*)[%.:]([%w_]+)$"
    local place = owner and complete.resolve(owner, env) or env
    local names = complete.fields(place, false)
    if not owner then
        for _, name in ipairs(complete.fields(complete.resolve("bl.ops", env) or {}, false)) do
            names[#names + 1] = name
        end
    end
    local guess = suggest.closest(last or topic, names)
    return ("no %s%s\n"):format(topic, guess and "; did you mean " .. (owner and owner .. "." or "") .. guess .. "?"
        or "")
end

local OPERATORS = [[
and its operators, in which y is a tensor or a number and shapes broadcast,
  x + y, x - y, x * y, x / y, x ^ y, -x    by element; x:matmul(y) multiplies
                                           matrices
  x == y                                   same shape and values; x:eq(y) is a
                                           mask
  x[1], x[{1, 2}], x[{{1, 2}, {}}]         a row, an element, a range of rows;
                                           also to assign to: x[1] = y
  #x                                       list of sizes
]]

--- Help on a name.
-- @param topic dotted name, as typed
-- @param env table of global names
-- @return text that ends with a line break
function M.describe(topic, env)
    topic = topic:gsub("%(.*$", "")
    local value, name = search(topic, env)
    if value == nil then return unknown(topic, env) end
    if type(value) == "function" then return describe_function(name, value) end
    if type(value) == "table" then return describe_table(name, value) end
    local tensor = package.loaded["bertlua.tensor"]
    if tensor and tensor.is(value) then
        return name .. " is a tensor, " .. value:describe() .. "; its methods are\n"
            .. wrap(complete.fields(value, false), "  ") .. "\n" .. OPERATORS
    end
    return name .. " is a " .. type(value) .. ": " .. tostring(value) .. "\n"
end

return M
