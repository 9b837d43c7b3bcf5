--- Top-level locals of the prompt live on: each input is a chunk of its own, so that a plain `local` would be gone with
-- the next line.
--
-- rewrite() turns `local a, b = f()` outside of every block into an assignment to fields of the table LOCALS, and a
-- scope is an environment that finds those names before the globals. What stands inside functions, loops and other
-- blocks stays as it is, and every line keeps its number. What differs from real locals: a second `local x` sets the
-- x that functions of before see, too.

local M = {}

--- Under this name a rewritten chunk sees the table whose fields are the top-level locals.
M.TABLE = "LOCALS__"

local OPENS = { ["do"] = true, ["function"] = true, ["if"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }

-- Position after the long bracket that starts at i, or nil if there is none; an unfinished one reaches to the end.
local function after_long_bracket(code, i)
    local level = code:match("^%[(=*)%[", i)
    if not level then return nil end
    local _, last = code:find("]" .. level .. "]", i, true)
    return (last or #code) + 1
end

local function after_quoted(code, i)
    local quote = code:sub(i, i)
    i = i + 1
    while i <= #code do
        local c = code:sub(i, i)
        if c == "\\" then
            i = i + 1
        elseif c == quote then
            return i + 1
        end
        i = i + 1
    end
    return i
end

--- The next token at or after position i: kind ("name", "symbol" or "literal"), first, last position, text of a name;
-- nil at the end.
local function next_token(code, i)
    while true do
        i = code:find("%S", i)
        if not i then return nil end
        if code:sub(i, i + 1) ~= "--" then break end
        i = after_long_bracket(code, i + 2) or (code:find("\n", i, true) or #code) + 1
    end
    local name = code:match("^[%a_\128-\255][%w_\128-\255]*", i)
    if name then return "name", i, i + #name - 1, name end
    local c = code:sub(i, i)
    if c == '"' or c == "'" then return "literal", i, after_quoted(code, i) - 1 end
    if c == "[" then
        local after = after_long_bracket(code, i)
        if after then return "literal", i, after - 1 end
    end
    -- A number may hold letters, such as 0x1e or 3ULL, which are no names.
    local number = code:match("^%.?%d[%w_%.]*", i)
    if number then return "literal", i, i + #number - 1 end
    return "symbol", i, i, c
end

--- What replaces `local ...` from position i on, and the position after what it replaces.
local function declaration(code, i)
    local kind, _, last, text = next_token(code, i)
    if kind ~= "name" then return nil end
    if text == "function" then
        local name_kind, name_first, name_last, name = next_token(code, last + 1)
        if name_kind ~= "name" then return nil end
        return "function " .. code:sub(last + 1, name_first - 1):gsub(" +$", "") .. M.TABLE .. "." .. name,
            name_last + 1, true
    end
    local out = {}
    while true do
        out[#out + 1] = M.TABLE .. "." .. text
        local after = last + 1
        local symbol, at, _, mark = next_token(code, after)
        if symbol == "symbol" and mark == "," then
            out[#out + 1] = code:sub(after, at)
            local first
            kind, first, last, text = next_token(code, at + 1)
            if kind ~= "name" then return nil end
            out[#out + 1] = code:sub(at + 1, first - 1)
        else
            local assigns = symbol == "symbol" and mark == "=" and code:sub(at + 1, at + 1) ~= "="
            return table.concat(out) .. (assigns and "" or " = nil;"), after, false
        end
    end
end

--- A chunk's code with its top-level locals as fields of LOCALS.
-- @param code that compiles
-- @return code
function M.rewrite(code)
    local out, copied, depth, i = {}, 1, 0, 1
    while true do
        local kind, first, last, text = next_token(code, i)
        if not kind then break end
        i = last + 1
        if kind == "name" then
            if OPENS[text] then
                depth = depth + 1
            elseif CLOSES[text] then
                depth = depth - 1
            elseif text == "local" and depth == 0 then
                local replacement, after, opens = declaration(code, i)
                if replacement then
                    out[#out + 1] = code:sub(copied, first - 1) .. replacement
                    copied, i = after, after
                    if opens then depth = depth + 1 end
                end
            end
        end
    end
    out[#out + 1] = code:sub(copied)
    return table.concat(out)
end

--- A scope over a table of globals.
-- @param globals where names are looked up and set that are not local
-- @return table: environment, for setfenv; values, the locals by name; declared, names of locals as a set
function M.scope(globals)
    local values, declared = {}, {}
    local declarations = setmetatable({}, {
        __index = values,
        __newindex = function(_, name, value)
            declared[name] = true
            rawset(values, name, value)
        end,
    })
    -- Only names without a value come here: locals that are nil, and globals.
    setmetatable(values, {
        __index = function(_, name)
            if declared[name] then return nil end
            if name == M.TABLE then return declarations end
            return globals[name]
        end,
        __newindex = function(_, name, value)
            if declared[name] then rawset(values, name, value) else globals[name] = value end
        end,
    })
    return { environment = values, values = values, declared = declared }
end

return M
