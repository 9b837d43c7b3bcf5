--- Files of texts that one setting names: a file, a folder, a pattern such as "texts/*.txt", or several of these,
-- separated by commas.
-- @module bertlua.data.text_files

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local glob = require "posix.glob"
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"
local text_source = require "bertlua.data.text_source"

local text_files = {}

-- Paths that a pattern matches. luaposix before 34 (Debian 12) takes no flags, later ones require them.
local function matches(pattern)
    if glob.GLOB_MARK then return glob.glob(pattern, 0) or {} end
    return glob.glob(pattern) or {}
end

--- Files of one name, and how many of a folder are no texts.
local function of_name(name, shown)
    if fs.is_file(name) then return { name }, 0 end
    if fs.is_directory(name) then
        local files, others = text_source.find(name)
        if #files == 0 then
            fault.raisef("%s %s: contains no text (no *.txt or *.jsonl among %s)", shown, name,
                plural.count(#fs.list(name), "entry", "entries"))
        end
        return files, others
    end
    if not name:find "[*?%[]" then
        fault.raisef("%s %s: %s", shown, name, fs.exists(name) and "neither a file nor a folder" or "no such file or "
            .. "folder")
    end
    local files = {}
    for _, path in ipairs(matches(name)) do
        if fs.is_file(path) then files[#files + 1] = path end
    end
    if #files == 0 then fault.raisef("%s %s: no file matches this pattern", shown, name) end
    return files, 0
end

--- Find the files.
-- @tparam string names as above; a file whose own name has a comma or a pattern's characters is taken as it is
-- @tparam string shown what a message calls the setting, such as "--train-file"
-- @return sorted list of paths, each once; number of other files in the folders
function text_files.find(names, shown)
    local list = {}
    if fs.exists(names) then list[1] = names end
    if not list[1] then
        for name in names:gmatch "[^,]+" do list[#list + 1] = name end
    end
    if #list == 0 then fault.raisef("%s is empty: name a file, a folder or a pattern", shown) end
    local files, seen, left_out = {}, {}, 0
    for _, name in ipairs(list) do
        local found, others = of_name(name, shown)
        left_out = left_out + others
        for _, path in ipairs(found) do
            if not seen[path] then seen[path], files[#files + 1] = true, path end
        end
    end
    table.sort(files)
    return files, left_out
end

--- What checkpoints and other processes compare files by: {name, path, samples = 0, bytes, checksum} each.
-- @tparam table files paths
function text_files.listed(files)
    local list = {}
    for i, path in ipairs(files) do
        local checksum, bytes = storage.file_crc32c(path)
        list[i] = { name = path, path = path, samples = 0, bytes = bytes, checksum = fault.check(checksum, bytes) }
    end
    return list
end

return text_files
