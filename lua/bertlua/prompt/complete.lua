--- Completion: names through nested tables, methods of tensors, and file names inside quotes.
--
-- Finding candidates never calls the user's code; only bertlua's own modules are
-- loaded when a name needs them.

local M = {}

local KEYWORDS = {
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
}

local function methods_of_cdata(value)
    local tensor = package.loaded["bertlua.tensor"]
    if tensor and tensor.is(value) then return tensor.methods end
end

-- Tables in which a field of value would be looked up.
local function layers(value)
    local list = {}
    for _ = 1, 20 do
        if type(value) == "cdata" then value = methods_of_cdata(value) end
        if type(value) == "string" then value = string end
        if type(value) ~= "table" then break end
        list[#list + 1] = value
        local meta = debug.getmetatable(value)
        -- A class whose __index is a function names its methods beside it.
        value = type(meta) == "table" and (rawget(meta, "__methods") or rawget(meta, "__index")) or nil
    end
    return list
end

local function lazy_names(value)
    local meta = type(value) == "table" and debug.getmetatable(value)
    return type(meta) == "table" and rawget(meta, "__names") or nil
end

--- The value that a dotted name reaches, without calling foreign code; nil if there is none.
function M.resolve(path, env)
    local value, first = env, true
    for name in path:gmatch "[%a_][%w_]*" do
        local found
        for _, layer in ipairs(layers(value)) do
            found = rawget(layer, name)
            if found ~= nil then break end
        end
        if found == nil and lazy_names(value) then
            local loaded, module = pcall(function() return value[name] end)
            if loaded then found = module end
        end
        if found == nil then return nil end
        value, first = found, false
    end
    if first then return nil end
    return value
end

--- Sorted names of the fields of a value; hidden ones (with "_" first) only if asked for.
function M.fields(value, hidden)
    local seen, names = {}, {}
    local function add(name)
        if type(name) == "string" and name:match "^[%a_][%w_]*$" and not seen[name]
            and (hidden or name:sub(1, 1) ~= "_") then
            seen[name] = true
            names[#names + 1] = name
        end
    end
    for _, layer in ipairs(layers(value)) do
        for name in pairs(layer) do add(name) end
    end
    for _, name in ipairs(lazy_names(value) or {}) do add(name) end
    table.sort(names)
    return names
end

local function with_prefix(names, prefix)
    local list = {}
    for _, name in ipairs(names) do
        if name:sub(1, #prefix) == prefix then list[#list + 1] = name end
    end
    return list
end

local function common_prefix(names)
    local prefix = names[1] or ""
    for i = 2, #names do
        while names[i]:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
    end
    return prefix
end

-- The text after an open quote, or nil when the cursor is not inside a string.
local function open_string(text)
    local quote, start
    local i = 1
    while i <= #text do
        local c = text:sub(i, i)
        if quote then
            if c == "\\" then
                i = i + 1
            elseif c == quote then
                quote = nil
            end
        elseif c == '"' or c == "'" then
            quote, start = c, i + 1
        elseif c == "-" and text:sub(i, i + 1) == "--" then
            return nil
        end
        i = i + 1
    end
    if quote then return text:sub(start), quote end
end

local function complete_path(path, quote)
    local found, lfs = pcall(require, "lfs")
    if not found then return "", {} end
    local folder, prefix = path:match "^(.*/)([^/]*)$"
    if not folder then folder, prefix = "", path end
    local real = folder == "" and "." or (folder:gsub("^~/", (os.getenv "HOME" or "~") .. "/"))
    local names = {}
    local opened, iterate, state = pcall(lfs.dir, real)
    if not opened then return "", {} end
    for name in iterate, state do
        if name ~= "." and name ~= ".." and name:sub(1, #prefix) == prefix
            and (prefix ~= "" or name:sub(1, 1) ~= ".") then
            local is_folder = lfs.attributes(real .. "/" .. name, "mode") == "directory"
            names[#names + 1] = is_folder and name .. "/" or name
        end
    end
    table.sort(names)
    local insert = common_prefix(names):sub(#prefix + 1)
    if #names == 1 and names[1]:sub(-1) ~= "/" then insert = insert .. quote end
    return insert, names
end

--- Complete the text before the cursor.
-- @param text from the start of the line to the cursor
-- @param env table of global names
-- @return what to insert ("" for nothing), sorted list of all candidates
function M.complete(text, env)
    local path, quote = open_string(text)
    if path then return complete_path(path, quote) end

    local topic = text:match "^%s*%?%s*(.*)$" or text
    local name = topic:match "[%a_][%w_%.:]*$"
    if not name then return "", {} end
    local owner, separator, prefix = name:match "^(.*)([%.:])([%w_]*)$"
    local names
    if owner then
        local value = M.resolve(owner, env)
        if value == nil then return "", {} end
        names = with_prefix(M.fields(value, prefix ~= ""), prefix)
        if separator == ":" then
            local methods = {}
            for _, field in ipairs(names) do
                if type(M.resolve(owner .. "." .. field, env)) == "function" then methods[#methods + 1] = field end
            end
            names = methods
        end
    else
        prefix = name
        names = with_prefix(M.fields(env, true), prefix)
        for _, word in ipairs(with_prefix(KEYWORDS, prefix)) do names[#names + 1] = word end
        table.sort(names)
    end
    return common_prefix(names):sub(#prefix + 1), names
end

--- Candidates in columns.
function M.columns(names, width)
    local longest = 0
    for _, name in ipairs(names) do longest = math.max(longest, #name) end
    local per_line = math.max(1, math.floor(width / (longest + 2)))
    local rows = math.ceil(#names / per_line)
    local lines = {}
    for r = 1, rows do
        local cells = {}
        for c = 0, per_line - 1 do
            local name = names[c * rows + r]
            if name then cells[#cells + 1] = name .. (" "):rep(longest + 2 - #name) end
        end
        lines[r] = table.concat(cells):gsub("%s+$", "")
    end
    return table.concat(lines, "\n") .. "\n"
end

return M
