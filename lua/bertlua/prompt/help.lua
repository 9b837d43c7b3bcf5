--- `? name`: the comment above a function in its source, or above an op in the engine's header.

local complete = require "bertlua.prompt.complete"
local guess = require "bertlua.prompt.guess"
local paths = require "bertlua.paths"
local suggest = require "bertlua.util.suggest"
local term = require "bertlua.util.term"

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

-- How wide help is.
local WIDTH = 79

--- The text of an LDoc tag for a parameter, or for a result.
local function tag_of(line)
    local option, kind, name, rest = line:match "^@tparam(%S*)%s+(%S+)%s+(%S+)%s*(.*)$"
    if kind then
        return ("%s (%s%s)%s"):format(name, kind, option == "[opt]" and ", optional" or "",
            rest == "" and "" or ": " .. rest)
    end
    name, rest = line:match "^@param%S*%s+(%S+)%s*(.*)$"
    if name then
        if rest == "" then return name end
        return name .. (name:sub(-1) == "," and " " or ": ") .. rest
    end
    kind, rest = line:match "^@treturn%s+(%S+)%s*(.*)$"
    if kind then return nil, kind .. (rest == "" and "" or ": " .. rest) end
    return nil, line:match "^@return%s+(.*)$"
end

--- Lines of a comment laid out for the terminal: sources are wider. A tag's lines are one, and so is a run of prose;
-- what is indented, or a list or table, stays as it is.
local function lay_out(lines)
    local out, open = {}, nil
    local function finish()
        if open then out[#out + 1] = term.wrap(open.text, WIDTH, open.hang) end
        open = nil
    end
    for _, line in ipairs(lines) do
        local parameter, result = tag_of(line)
        if line:match "^@module" or line:match "^@classmod" then
            finish()
        elseif parameter or result then
            finish()
            open = parameter and { text = "  " .. parameter, hang = 4, tag = true }
                or { text = "Returns: " .. result, hang = 2, tag = true }
        elseif open and open.tag and line:match "^%s+%S" then
            open.text = open.text .. " " .. line:match "^%s*(.*)$"
        elseif line == "" or line:match "^%s" or line:match "^[-|*]" then
            finish()
            out[#out + 1] = term.wrap(line, WIDTH, #line:match "^%s*" + 2)
        elseif open and not open.tag then
            open.text = open.text .. " " .. line
        else
            finish()
            open = { text = line, hang = 0 }
        end
    end
    finish()
    return table.concat(out, "\n")
end

--- Comment lines that end just above line number `at`.
local function comment_above(lines, at)
    local first = at
    while first > 1 and lines[first - 1]:match "^%s*%-%-" do first = first - 1 end
    local text = {}
    for i = first, at - 1 do text[#text + 1] = clean(lines[i]) end
    return lay_out(text)
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
            return (lay_out(text):gsub("^%s+", ""):gsub("%s+$", "")),
                term.wrap(table.concat(declaration, " "), WIDTH, 4)
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
        text[#text + 1] = clean(line)
    end
    return lay_out(text)
end

local function wrap(words, indent)
    local lines, line = {}, indent
    for i, word in ipairs(words) do
        local piece = word .. (i < #words and ", " or "")
        if #line + #piece > WIDTH + 1 then
            lines[#lines + 1] = line:gsub("%s+$", "")
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
    if owner and place ~= nil then
        local meant = guess.field(place, owner .. topic:sub(#owner + 1, #owner + 1), last, env)
        return ("no %s%s\n"):format(topic, meant and "; did you mean " .. meant .. "?" or "")
    end
    local meant = suggest.closest(last or topic, names)
    return ("no %s%s\n"):format(topic, meant and "; did you mean " .. meant .. "?" or "")
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
