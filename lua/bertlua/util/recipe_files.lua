--- Recipes by name: `fill_mask` or `fill-mask` is recipes/fill_mask.lua of bertlua's own folder.
--
-- Works without the engine and without lua-filesystem, so that `bertlua doctor` can say that one of them is missing.

local lfs_found, lfs = pcall(require, "lfs")

local M = {}

--- Whether a word of the command line can be a name: one with a slash or a dot cannot.
function M.is_name(word)
    return word:match "^[%w_][%w_-]*$" ~= nil
end

--- Path of the recipe of a name, with dashes or underscores; nil if there is none.
-- @param root folder that holds recipes/
function M.find(root, name)
    if not M.is_name(name) then return nil end
    local path = ("%s/recipes/%s.lua"):format(root, (name:gsub("-", "_")))
    local file = io.open(path, "rb")
    if file then file:close() end
    return file and path or nil
end

--- Names of all recipes, sorted.
function M.names(root)
    local list = {}
    local folder = root .. "/recipes"
    if not lfs_found or lfs.attributes(folder, "mode") ~= "directory" then return list end
    for file in lfs.dir(folder) do
        local name = file:match "^([%w_]+)%.lua$"
        if name then list[#list + 1] = name end
    end
    table.sort(list)
    return list
end

--- Whether two paths lead to the same file.
function M.same(a, b)
    if not lfs_found then return a == b end
    local x, y = lfs.attributes(a), lfs.attributes(b)
    return x ~= nil and y ~= nil and x.dev == y.dev and x.ino == y.ino
end

--- What a Lua file says of itself: the first line, behind its three dashes, without a full stop; "" if it says nothing.
function M.summary(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local line = file:read "*l" or ""
    file:close()
    return ((line:match "^%-%-%-%s*(.-)%s*$" or ""):gsub("[.:]$", ""))
end

return M
