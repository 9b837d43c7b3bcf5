--- Layout of settings for people: --help within 80 columns, the list of
-- resolved values, and Markdown tables. What a setting accepts does not belong
-- here: see settings.lua.

local lua_value = require "bertlua.util.lua_value"
local term = require "bertlua.util.term"

local M = {}

local WIDTH = 80
local INDENT = 32

--- A number without unnecessary digits: 0.006, 1048576, 1e-06.
local function number_text(value)
    if value == math.floor(value) and math.abs(value) < 1e15 then return ("%d"):format(value) end
    return ("%.14g"):format(value)
end

--- A value as a user would type it.
function M.value_text(value)
    if value == nil then return "none" end
    if type(value) == "number" then return number_text(value) end
    return tostring(lua_value.shown(value))
end

--- Words of a text; those longer than width are split, after a comma or slash where there is one.
local function words_of(text, width)
    local words = {}
    for word in text:gmatch("%S+") do
        while #word > width do
            local cut = #(word:sub(1, width):match("^.*[,/]") or word:sub(1, width))
            words[#words + 1] = word:sub(1, cut)
            word = word:sub(cut + 1)
        end
        words[#words + 1] = word
    end
    return words
end

--- Lines of at most width characters, broken at spaces.
function M.wrap(text, width)
    local lines, line = {}, ""
    for _, word in ipairs(words_of(text, width)) do
        if line ~= "" and #line + 1 + #word > width then
            lines[#lines + 1] = line
            line = word
        else
            line = line == "" and word or line .. " " .. word
        end
    end
    lines[#lines + 1] = line
    return lines
end

local PLACEHOLDER = { integer = "N", number = "X", string = "TEXT", path = "PATH" }

--- ", or in a recipe a function", for what may be given as Lua; "" if nothing may.
-- @param alone what stands in place of ", or in a recipe a " for a setting that takes nothing else
function M.lua_text(setting, alone)
    local kinds = {}
    for kind in pairs(setting.accepts or {}) do kinds[#kinds + 1] = kind end
    table.sort(kinds)
    if #kinds == 0 then return "" end
    return (setting.type == "lua" and alone or ", or in a recipe a ") .. table.concat(kinds, " or a ")
end

-- Of a setting that takes nothing else.
local ALONE = "in a recipe, a "

local function option_text(setting)
    if setting.type == "lua" then return setting.name end
    local option = "--" .. setting.name:gsub("_", "-")
    if setting.type == "boolean" then
        return option .. " BOOL" .. (setting.choices and "|" .. table.concat(setting.choices, "|") or "")
    end
    if setting.type == "choice" then
        local choices = table.concat(setting.choices, "|") .. (setting.or_integer and "|N" or "")
        if #option + #choices < INDENT - 4 then return option .. " " .. choices end
        return option .. " CHOICE"
    end
    return option .. " " .. PLACEHOLDER[setting.type]
end

local function meaning_text(setting, default)
    local text = setting.help or ""
    if setting.type == "choice" then
        text = text .. ": " .. table.concat(setting.choices, ", ") .. (setting.or_integer and ", or a number" or "")
    end
    if setting.accepts then
        text = text .. (setting.type == "lua" and "; " or "") .. M.lua_text(setting, ALONE)
    end
    if default ~= nil then
        text = text .. " (default " .. M.value_text(default) .. ")"
    elseif setting.required then
        text = text .. " (required)"
    end
    return text
end

--- Groups in order of first occurrence: list of {title, settings}.
local function groups_of(spec)
    local order, by_title = {}, {}
    for _, setting in ipairs(spec.list) do
        local title = setting.group or "Settings"
        if not by_title[title] and not setting.hidden then
            by_title[title] = { title = title, settings = {} }
            order[#order + 1] = by_title[title]
        end
        if not setting.hidden then table.insert(by_title[title].settings, setting) end
    end
    return order
end

local function option_lines(out, left, text)
    local lines = M.wrap(text, WIDTH - INDENT)
    if #left > INDENT - 2 then
        out[#out + 1] = left
        left = ""
    end
    for index, line in ipairs(lines) do
        out[#out + 1] = (index == 1 and left .. (" "):rep(INDENT - #left) or (" "):rep(INDENT)) .. line
    end
end

--- Text of --help.
function M.text(spec, values, options)
    local out = {}
    local positional, groups = options.positional, groups_of(spec)
    for _, line in ipairs(M.wrap(("Usage: bertlua %s%s%s"):format(options.program or "RECIPE",
        groups[1] and " [settings]" or "", positional and " " .. positional.name:upper() or ""), WIDTH)) do
        out[#out + 1] = line
    end
    if options.description then
        out[#out + 1] = ""
        for paragraph in (options.description .. "\n"):gmatch("(.-)\n") do
            for _, line in ipairs(M.wrap(paragraph, WIDTH)) do out[#out + 1] = line end
        end
    end
    if positional and positional.help then
        out[#out + 1] = ""
        option_lines(out, "  " .. positional.name:upper(), positional.help)
    end
    for _, group in ipairs(groups) do
        out[#out + 1] = ""
        out[#out + 1] = group.title .. ":"
        for _, setting in ipairs(group.settings) do
            local default = values and values[setting.name]
            if default == nil then default = setting.default end
            option_lines(out, "  " .. option_text(setting), meaning_text(setting, default))
        end
    end
    if not groups[1] then return table.concat(out, "\n") .. "\n" end
    out[#out + 1] = ""
    out[#out + 1] = "BOOL is true, false, yes, no, 1 or 0; --name alone is true, --no-name is false."
    return table.concat(out, "\n") .. "\n"
end

-- Columns of a name in the list of values.
local NAME = 32

--- Resolved values, one per line, grouped.
-- @param sources as of Spec:parse(): only settings that were given another value than their default, and a line about
--   the others; nil for all
-- @param columns where lines are broken; nil: nowhere
function M.values(spec, values, sources, columns)
    local out, left_out = {}, 0
    for _, group in ipairs(groups_of(spec)) do
        local titled = false
        for _, setting in ipairs(group.settings) do
            local value = values[setting.name]
            if sources and (not sources[setting.name] or value == setting.default) then
                left_out = left_out + 1
            else
                if not titled then out[#out + 1] = group.title end
                titled = true
                local line = ("  %-" .. NAME .. "s %s"):format(setting.name, M.value_text(value))
                out[#out + 1] = columns and term.wrap(line, columns, NAME + 3) or line
            end
        end
    end
    if sources then
        local line = ("%s at the default; --show-config all prints %s"):format(
            left_out == 1 and "1 other setting is" or ("%d other settings are"):format(left_out),
            left_out == 1 and "it too" or "them too")
        out[#out + 1] = columns and term.wrap(line, columns) or line
    end
    return table.concat(out, "\n") .. "\n"
end

local function cell(text)
    return (text:gsub("|", "\\|"))
end

--- Markdown tables, one per group.
function M.markdown(spec)
    local out = {}
    for _, group in ipairs(groups_of(spec)) do
        out[#out + 1] = ("**%s**\n"):format(group.title)
        out[#out + 1] = "| setting | values | default | meaning |"
        out[#out + 1] = "|---|---|---|---|"
        for _, setting in ipairs(group.settings) do
            local kind = setting.type
            if kind == "choice" then
                kind = table.concat(setting.choices, ", ") .. (setting.or_integer and ", number" or "")
            elseif kind == "boolean" and setting.choices then
                kind = "boolean, " .. table.concat(setting.choices, ", ")
            end
            kind = (setting.type == "lua" and "" or kind) .. M.lua_text(setting, ALONE)
            local default = setting.required and "required" or "`" .. M.value_text(setting.default) .. "`"
            out[#out + 1] = ("| `%s` | %s | %s | %s |"):format(setting.name, cell(kind), cell(default),
                cell(setting.help or ""))
        end
        out[#out + 1] = ""
    end
    return table.concat(out, "\n")
end

return M
