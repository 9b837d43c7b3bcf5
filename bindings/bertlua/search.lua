--- Where the executable's modules come from.
--
-- `require` looks into every entry of package.path before it looks into package.cpath, and LuaJIT's default begins with
-- the current folder. So a file ./cjson.lua that came with a data set would run in place of the installed library. Here
-- bertlua's own modules and the libraries that it needs come from fixed folders alone; LUA_PATH and LUA_CPATH do not
-- count for them. For all other modules, which are the user's, the paths count as usual, the current folder last.
-- @module bertlua.search

local search = {}

-- First parts of names, and the Debian package that has them.
local OWN = { bertlua = "", cjson = "lua-cjson", lfs = "lua-filesystem", posix = "lua-posix", bit32 = "lua-bit32" }

local LUA_FOLDERS = { "/usr/share/lua/5.1", "/usr/local/share/lua/5.1" }
local C_FOLDERS = { "/usr/local/lib/lua/5.1" }

--- A search path with each entry once, and entries relative to the current folder behind all others.
-- @tparam string path such as package.path
-- @treturn string
function search.current_last(path)
    local fixed, relative, seen = {}, {}, {}
    for entry in path:gmatch "[^;]+" do
        if not seen[entry] then
            seen[entry] = true
            local list = entry:sub(1, 1) == "/" and fixed or relative
            list[#list + 1] = entry
        end
    end
    for _, entry in ipairs(relative) do fixed[#fixed + 1] = entry end
    return table.concat(fixed, ";")
end

--- A library in C: FOLDER/a/b.so for a.b, else FOLDER/a.so, which may hold several modules.
local function load_library(name, libraries)
    local entry = "luaopen_" .. name:gsub("%.", "_")
    for _, wanted in ipairs { name, (name:match "^[^.]+") } do
        local path = package.searchpath(wanted, libraries)
        local open, problem, where
        if path then open, problem, where = package.loadlib(path, entry) end
        if open then return open end
        -- A library without this module is no failure yet; one that cannot be loaded is.
        if path and where ~= "init" then
            error(("error loading module '%s' from file '%s': %s"):format(name, path, problem), 0)
        end
    end
end

--- A searcher for package.loaders: finds own modules in fixed places, and leaves all others to the next searcher.
-- @tparam string files search path of modules in Lua
-- @tparam string libraries search path of libraries in C
-- @treturn function it raises an error for an own module that is in none of them
function search.own(files, libraries)
    return function(name)
        local package_name = OWN[name:match "^[^.]*"]
        if not package_name then return nil end
        local path = package.searchpath(name, files)
        if path then
            local chunk, problem = loadfile(path)
            if not chunk then
                error(("error loading module '%s' from file '%s':\n\t%s"):format(name, path, problem), 0)
            end
            return chunk
        end
        local open = load_library(name, libraries)
        if open then return open end
        error(("module '%s' not found in bertlua's own folders and the system's%s"):format(name,
            package_name ~= "" and ": install " .. package_name or ""), 0)
    end
end

--- Set the process's search up; the executable calls it once.
-- @tparam string root folder that holds lua/ and bindings/
-- @tparam string debian_libraries Debian's folder of libraries in C
function search.install(root, debian_libraries)
    local files = { root .. "/lua/?.lua", root .. "/lua/?/init.lua", root .. "/bindings/?.lua" }
    for _, folder in ipairs(LUA_FOLDERS) do
        files[#files + 1] = folder .. "/?.lua"
        files[#files + 1] = folder .. "/?/init.lua"
    end
    local libraries = { debian_libraries .. "/?.so" }
    for _, folder in ipairs(C_FOLDERS) do libraries[#libraries + 1] = folder .. "/?.so" end
    package.path = search.current_last(package.path)
    package.cpath = search.current_last(package.cpath)
    -- Behind package.preload.
    table.insert(package.loaders, 2, search.own(table.concat(files, ";"), table.concat(libraries, ";")))
end

return search
