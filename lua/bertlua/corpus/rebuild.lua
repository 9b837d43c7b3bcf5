--- Why a stage is built again: what differs between the key that its records were made under and the present one, and
-- between the sources as they were read and as they are. Only words: what is done about it is up to
-- bertlua.corpus.stage.
-- @module bertlua.corpus.rebuild

local json = require "bertlua.util.json"
local first_of = require("bertlua.util.listed").first
local plural = require "bertlua.util.plural"

local rebuild = {}

-- So many names are listed of each kind of change.
local NAMES = 3

local function shown(value)
    if value == nil then return "unset" end
    local text = json.encode(value)
    return #text > 40 and "another" or text
end

--- Names of the settings that differ, with both values.
local function settings_text(old, new)
    local names, seen = {}, {}
    for _, settings in ipairs { old, new } do
        for name in pairs(settings) do
            if not seen[name] and shown(old[name]) .. json.encode { old[name] } ~= shown(new[name])
                .. json.encode { new[name] } then names[#names + 1] = name end
            seen[name] = true
        end
    end
    if #names == 0 then return nil end
    table.sort(names)
    local list = {}
    for i, name in ipairs(names) do
        local from, to = shown(old[name]), shown(new[name])
        list[i] = (to == "another" or from == "another") and ("another %s"):format(name)
            or ("%s %s instead of %s"):format(name, to, from)
    end
    return table.concat(list, ", ")
end

--- How many entries of two lists differ, place by place.
local function differing(old, new)
    local count = 0
    for i = 1, math.max(#old, #new) do
        if old[i] ~= new[i] then count = count + 1 end
    end
    return count
end

--- Why a key does not fit records made under another.
-- @param old key as it was read: of any type, since it may have been written by anyone
-- @tparam table new {format, settings, inputs = list of hashes, parts = list of names and sizes}
-- @tparam ?string inputs_text what is known about the inputs' changes
-- @return text
function rebuild.reason(old, new, inputs_text)
    if type(old) ~= "table" or type(old.settings) ~= "table" or type(old.inputs) ~= "table" then
        return "its earlier files were made by another version"
    end
    local reasons = {}
    local inputs = differing(old.inputs, new.inputs)
    if inputs > 0 then
        reasons[1] = inputs_text or ("%d of its %s changed"):format(inputs, plural.count(math.max(#old.inputs,
            #new.inputs), "input file"))
    end
    reasons[#reasons + 1] = settings_text(old.settings, new.settings)
    if old.format ~= new.format then reasons[#reasons + 1] = "its earlier files were made by another version" end
    if #reasons == 0 then reasons[1] = "its inputs are divided into other parts" end
    return table.concat(reasons, "; ")
end

local function listed(kind, names)
    if #names == 0 then return nil end
    table.sort(names)
    return ("%s: %s"):format(kind, first_of(names, NAMES))
end

--- What became of the sources.
-- @tparam table old, new lists of {path, sha256}
-- @return text such as "changed: a.txt; new: b.txt"; nil if they are the same, or none were known
function rebuild.sources_text(old, new)
    if #old == 0 then return nil end
    local before, now, gone_by_hash = {}, {}, {}
    for _, file in ipairs(old) do before[file.path] = file.sha256 end
    for _, file in ipairs(new) do now[file.path] = file.sha256 end
    for _, file in ipairs(old) do
        if not now[file.path] then gone_by_hash[file.sha256] = file.path end
    end
    local changed, added, renamed, gone, taken = {}, {}, {}, {}, {}
    for _, file in ipairs(new) do
        local was = before[file.path]
        local from = not was and gone_by_hash[file.sha256]
        if from and not taken[from] then
            renamed[#renamed + 1] = ("%s, now %s"):format(from, file.path)
            taken[from] = true
        elseif not was then
            added[#added + 1] = file.path
        elseif was ~= file.sha256 then
            changed[#changed + 1] = file.path
        end
    end
    for _, file in ipairs(old) do
        if not now[file.path] and not taken[file.path] then gone[#gone + 1] = file.path end
    end
    local list = {}
    for _, kind in ipairs { { "changed", changed }, { "new", added }, { "renamed", renamed }, { "gone", gone } } do
        list[#list + 1] = listed(kind[1], kind[2])
    end
    return #list > 0 and table.concat(list, "; ") or nil
end

return rebuild
