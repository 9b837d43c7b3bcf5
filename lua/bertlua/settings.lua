--- Settings: one table declares what can be set in a program; it drives the
-- command line, validation, --help and the tables in the documentation.
--
--     local settings = require "bertlua.settings"
--     local spec = settings.define {
--         { name = "batch_size", type = "integer", default = 32, min = 1, group = "Training",
--           help = "sequences per micro-step" },
--     }
--     local values = spec:parse(arg, { batch_size = 8 }, { program = "recipe.lua", description = "..." })
--
-- On the command line: --batch-size 8, --batch-size=8, --batch_size 8; for a
-- boolean --amp, --no-amp, --amp true|false|yes|no|1|0. An option is given once:
-- a second value would replace the first in silence. The command line overrides
-- the recipe, and the recipe the default.
-- Layout of help and tables: settings/help.lua. The lists of settings themselves
-- do not belong here: see jobs/pretrain/settings.lua.

local fault = require "bertlua.fault"
local help = require "bertlua.settings.help"
local leave = require "bertlua.leave"
local lua_value = require "bertlua.util.lua_value"
local suggest = require "bertlua.util.suggest"
local undefined = require "bertlua.util.undefined"

local M = {}

--- inquiry(spec): set by who only asks a recipe for its declarations (prompt/completion.lua). Called where arguments
-- would be read; it does not return.
M.inquiry = nil

local Spec = {}
Spec.__index = Spec

local BOOLEANS = {
    ["true"] = true, yes = true, on = true, ["1"] = true,
    ["false"] = false, no = false, off = false, ["0"] = false,
}

--- The candidate closest to a mistyped name, or nil if none is close.
-- @param name what was typed
-- @param candidates list of strings
function M.nearest(name, candidates)
    local closest = suggest.closest(name, candidates)
    if closest then return closest end
    for _, candidate in ipairs(candidates) do
        if #name >= 4 and (candidate:find(name, 1, true) or name:find(candidate, 1, true)) then return candidate end
    end
    return nil
end

--- "--batch-size" for batch_size.
function M.option(name)
    return "--" .. name:gsub("_", "-")
end
local to_option = M.option

--- "an integer of at least 1" and similar, for messages.
local function expectation_of_text(setting)
    local words = { integer = "an integer", number = "a number", boolean = "true or false", string = "text",
        path = "a path" }
    if setting.type == "boolean" and setting.choices then
        return "true, false or " .. table.concat(setting.choices, " or ")
    end
    if setting.type == "choice" then
        local text = "one of " .. table.concat(setting.choices, ", ")
        return setting.or_integer and text .. " or a step number" or text
    end
    local text = words[setting.type]
    if setting.min and setting.max then return ("%s between %s and %s"):format(text, setting.min, setting.max) end
    local lower = setting.above and ("above %s"):format(setting.above)
        or setting.min and ("of at least %s"):format(setting.min)
    local upper = setting.below and ("below %s"):format(setting.below)
        or setting.max and ("of at most %s"):format(setting.max)
    if lower and upper then return ("%s %s and %s"):format(text, lower, upper) end
    return lower and text .. " " .. lower or upper and text .. " " .. upper or text
end

local function in_range(setting, value)
    return math.abs(value) < math.huge
        and not (setting.min and value < setting.min) and not (setting.max and value > setting.max)
        and not (setting.above and value <= setting.above) and not (setting.below and value >= setting.below)
end

local function expectation(setting)
    local accepted = help.lua_text(setting, "a ")
    return setting.type == "lua" and accepted or expectation_of_text(setting) .. accepted
end

--- What a word means to a boolean setting: true, false, or one of the words that it takes besides; nil for any other.
local function word_of(setting, word)
    for _, choice in ipairs(setting.choices or {}) do
        if word == choice then return choice end
    end
    return BOOLEANS[word]
end

--- Convert text or a Lua value to a setting's value; nil if it does not fit.
local function convert(setting, value)
    local kind = setting.type
    if setting.accepts and setting.accepts[type(value)] then return value end
    if kind == "lua" then return nil end
    if kind == "boolean" then
        if type(value) == "boolean" then return value end
        return word_of(setting, tostring(value):lower())
    elseif kind == "integer" or kind == "number" then
        local number = tonumber(value)
        if not number or not in_range(setting, number) then return nil end
        if kind == "integer" and (number ~= math.floor(number) or math.abs(number) > 2 ^ 53) then return nil end
        return number
    elseif kind == "choice" then
        value = tostring(value)
        for _, choice in ipairs(setting.choices) do
            if choice:lower() == value:lower() then return choice end
        end
        local number = setting.or_integer and tonumber(value)
        return number and number >= 0 and number == math.floor(number) and number or nil
    end
    if type(value) ~= "string" or (value == "" and not setting.allow_empty) then return nil end
    return setting.find and setting.find(value) or value
end

local function is_unset(setting, value)
    if setting.allow_empty then return false end
    return setting.default == nil and (value == "none" or value == "None" or value == "")
end

--- Put one value into a table of values, or throw a fault that names where it came from.
function Spec:assign(values, name, value, source, shown)
    local setting = self.by_name[name]
    if is_unset(setting, value) then
        values[name] = nil
        return
    end
    local converted = convert(setting, value)
    if converted == nil then
        if setting.type == "lua" and source == "command line" then
            fault.raisef("%s: a recipe gives it, as %s; it has no value on the command line", shown,
                expectation(setting))
        end
        fault.raisef("%s: got %s, expected %s", shown or name,
            type(value) == "string" and ("%q"):format(value) or tostring(lua_value.shown(value)), expectation(setting))
    end
    values[name] = converted
    self.sources[name] = source
end

--- A fault that says which setting was probably meant.
-- @param name that is none of the settings
-- @param shown as the user wrote it
function Spec:unknown(name, shown)
    local nearest = M.nearest(name, self.names)
    local hint = nearest and ("; did you mean %s?"):format(shown:sub(1, 2) == "--" and to_option(nearest) or nearest)
        or "; --help lists the settings"
    fault.raisef("unknown setting %s%s", shown, hint)
end

--- Note that the command line gives a setting; a fault if it has done so before.
local function give(self, name, shown)
    local before = self.given[name]
    if before then
        fault.raisef("%s: given twice%s, and one value is possible: leave one of them out", shown,
            before ~= shown and (" (also as %s)"):format(before) or "")
    end
    self.given[name] = shown
end

--- One argument that starts with "--"; returns the index of the last argument it used, and the setting's name.
function Spec:parse_option(values, argv, index)
    local shown, inline = argv[index]:match("^(%-%-[^=]*)=(.*)$")
    shown = shown or argv[index]
    local name = shown:sub(3):gsub("-", "_")
    local setting = self.by_name[name]
    local positive = name:match("^no_(.+)$")
    if not setting and positive and self.by_name[positive] and self.by_name[positive].type == "boolean" then
        if inline then fault.raisef("%s takes no value: got %q", shown, inline) end
        give(self, positive, shown)
        self:assign(values, positive, false, "command line", shown)
        return index, positive
    end
    if not setting then self:unknown(name, shown) end
    give(self, name, shown)
    if inline then
        self:assign(values, name, inline, "command line", shown)
        return index, name
    end
    local following = argv[index + 1]
    if setting.type == "boolean" then
        if following and word_of(setting, following:lower()) ~= nil then
            self:assign(values, name, following, "command line", shown)
            return index + 1, name
        end
        self:assign(values, name, true, "command line", shown)
        self.flag_before[index + 1] = shown
        return index, name
    end
    if following == nil or following:sub(1, 2) == "--" then
        fault.raisef("%s: missing value, expected %s", shown, expectation(setting))
    end
    self:assign(values, name, following, "command line", shown)
    return index + 1, name
end

--- The arguments that give none of these settings, in their order.
-- @param argv list of arguments that parse() takes
-- @param names set of names
function Spec:without(argv, names)
    local scratch = setmetatable({ sources = {}, flag_before = {}, given = {} }, { __index = self })
    local kept, index = {}, 1
    while index <= #argv do
        local last, name = index, nil
        if argv[index]:sub(1, 2) == "--" and #argv[index] > 2 then
            last, name = scratch:parse_option({}, argv, index)
        end
        for i = index, names[name or ""] and index - 1 or last do kept[#kept + 1] = argv[i] end
        index = last + 1
    end
    return kept
end

--- Resolve the settings of a program.
-- --help prints the table and ends the program.
-- @param argv list of command-line arguments
-- @param overrides the recipe's own values, name to value
-- @param options program (else what was started: arg[0]), description; positional = {name=, help=} collects the
--   arguments without "--" into a list of that name; on_help(text) replaces print-and-exit
-- @return values, name to value (nil where unset and without a default), and
--   sources, name to "recipe" or "command line" for those that were given
function Spec:parse(argv, overrides, options)
    options = options or {}
    if M.inquiry then M.inquiry(self) end
    -- Here a recipe goes on, perhaps for hours, without the name that it misspelt.
    undefined.flush()
    self.sources, self.flag_before, self.given = {}, {}, {}
    local values = {}
    for _, setting in ipairs(self.list) do values[setting.name] = setting.default end
    for name, value in pairs(overrides or {}) do
        if not self.by_name[name] then self:unknown(name, name) end
        self:assign(values, name, value, "recipe")
    end
    local rest = {}
    local index = 1
    while index <= #argv do
        local argument = argv[index]
        if argument == "--help" or argument == "-h" then
            local text = self:help(values, { program = options.program or arg and arg[0],
                description = options.description, positional = options.positional })
            if options.on_help then return options.on_help(text) end
            io.stdout:write(text)
            io.stdout:flush()
            leave.exit(0)
        elseif argument:sub(1, 2) == "--" and #argument > 2 then
            index = self:parse_option(values, argv, index)
        elseif argument ~= "--" then
            -- A stray word after a flag was meant as its value.
            if self.flag_before[index] and not options.positional then
                fault.raisef("%s: got %q, expected true or false", self.flag_before[index], argument)
            end
            rest[#rest + 1] = argument
        end
        index = index + 1
    end
    if options.positional then
        values[options.positional.name] = rest
    elseif #rest > 0 then
        fault.raisef("unexpected argument %q: settings are written --name value", rest[1])
    end
    for _, setting in ipairs(self.list) do
        if setting.required and values[setting.name] == nil then
            fault.raisef("%s is required: expected %s", to_option(setting.name), expectation(setting))
        end
    end
    return values, self.sources
end

--- Text of --help: every setting with its default and meaning, within 80 columns.
-- @param values defaults to show (those of the recipe), or nil for the table's own
-- @param options program, description, positional as in parse
function Spec:help(values, options)
    return help.text(self, values, options or {})
end

--- The resolved settings as lines of "name value": those that were given a value of their own, or all of them, grouped
-- as in --help.
-- @param values resolved settings
-- @param sources of parse(); nil for all
-- @param columns where lines are broken; nil: nowhere
function Spec:format(values, sources, columns)
    return help.values(self, values, sources, columns)
end

--- The settings as Markdown tables, one per group.
function Spec:table_markdown()
    return help.markdown(self)
end

--- A spec with the settings of this one followed by those of a list; a repeated name replaces the earlier setting.
function Spec:extend(list)
    local position, merged = {}, {}
    for _, source in ipairs { self.list, list } do
        for _, setting in ipairs(source) do
            position[setting.name] = position[setting.name] or #merged + 1
            merged[position[setting.name]] = setting
        end
    end
    return M.define(merged)
end

--- A spec with only the named settings, in the order of the names.
function Spec:subset(names)
    local list = {}
    for _, name in ipairs(names) do
        if not self.by_name[name] then error("settings: subset has no setting " .. tostring(name), 2) end
        list[#list + 1] = self.by_name[name]
    end
    return M.define(list)
end

local TYPES = { integer = true, number = true, boolean = true, string = true, path = true, choice = true,
    lua = true }

--- Define settings.
-- @param list of { name=, type="integer|number|boolean|string|path|choice|lua", default=, help=, group=,
--   min=, max=, above=, below= (numbers), choices= (and or_integer=true to accept a number too; of a
--   boolean: words that it takes besides true and false), hidden=true: not in help and tables,
--   required=true, allow_empty=true, accepts={ ["function"]=true, table=true }: what a recipe may give in place of
--   text; type lua takes nothing else; find = function(path) -> the path that it stands for }. A setting without a
--   default is unset until given; then "none" unsets it again, unless allow_empty makes any text a value.
function M.define(list)
    local spec = setmetatable({ list = list, by_name = {}, names = {}, sources = {} }, Spec)
    for index, setting in ipairs(list) do
        local name = setting.name
        if type(name) ~= "string" or not name:match("^[a-z][a-z0-9_]*$") then
            error(("settings: entry %d has no snake_case name"):format(index), 2)
        elseif spec.by_name[name] then
            error("settings: " .. name .. " is defined twice", 2)
        elseif not TYPES[setting.type] then
            error(("settings: %s: type is %s, expected integer, number, boolean, string, path, choice or lua")
                :format(name, tostring(setting.type)), 2)
        elseif setting.type == "choice" and type(setting.choices) ~= "table" then
            error("settings: " .. name .. ": a choice needs choices", 2)
        elseif setting.default ~= nil and convert(setting, setting.default) == nil then
            error(("settings: %s: its default %s is not %s"):format(name, tostring(setting.default),
                expectation(setting)), 2)
        end
        spec.by_name[name] = setting
        spec.names[index] = name
    end
    return spec
end

return M
