--- Paths that were read from a file: a manifest, a record of a stage, a list of shards. Whoever wrote the file could
-- have written anything, so such a path is used only if it stays inside the folder that the file describes: relative,
-- without "..", and with no link on its way. Paths that a user sets need none of this.
-- @module bertlua.util.inside

local fs = require "bertlua.util.fs"
local lfs = require "lfs"

local inside = {}

--- Why a path may not be used, judging by its text alone.
-- @param path of any type
-- @return text such as 'leads out of its folder'; nil if it may be used
function inside.problem(path)
    if type(path) ~= "string" or path == "" then return "is not a path" end
    if path:find "%c" then return "contains control characters" end
    if path:sub(1, 1) == "/" then return "is absolute" end
    for part in path:gmatch "[^/]+" do
        if part == ".." then return "leads out of its folder" end
    end
    return nil
end

--- Whether a value is the name of something directly in a folder: no slash, not "." or "..", no control characters.
function inside.is_name(name)
    return inside.problem(name) == nil and name ~= "." and not name:find "/"
end

--- Whether there is a link at a path.
function inside.is_link(path)
    return lfs.symlinkattributes(path, "mode") == "link"
end

--- Where a path leads, if it stays inside.
-- @tparam string folder may be a link or contain some: it was chosen by the user
-- @param path relative to it, as it was read
-- @return path below folder, whether or not anything is there; or nil, reason, which names neither
function inside.resolve(folder, path)
    local problem = inside.problem(path)
    if problem then return nil, problem end
    local at = folder
    for part in path:gmatch "[^/]+" do
        if part ~= "." then
            at = fs.join(at, part)
            if inside.is_link(at) then return nil, "leads over a link" end
        end
    end
    return at
end

--- The plain file that a path leads to.
-- @return path below folder; or nil, reason: also if there is nothing, a folder, a device
function inside.file(folder, path)
    local at, problem = inside.resolve(folder, path)
    if not at then return nil, problem end
    local mode = lfs.symlinkattributes(at, "mode")
    if mode ~= "file" then return nil, mode and "is not a plain file" or "does not exist" end
    return at
end

return inside
