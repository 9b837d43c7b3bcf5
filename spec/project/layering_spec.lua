--- Which layer may know which, checked on the sources themselves.

local lfs = require "lfs"

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

local function walk(dir, pattern, found)
    found = found or {}
    for name in lfs.dir(dir) do
        if name ~= "." and name ~= ".." then
            local path = dir .. "/" .. name
            local mode = lfs.symlinkattributes(path, "mode")
            if mode == "directory" then
                walk(path, pattern, found)
            elseif mode == "file" and name:match(pattern) then
                found[#found + 1] = path
            end
        end
    end
    table.sort(found)
    return found
end

--- Files under dir whose text, line by line, matches one of the patterns.
local function offenders(dir, extension, patterns, allowed)
    local list = {}
    local files = walk(dir, extension)
    assert.is_true(#files > 0, "no file under " .. dir)
    for _, path in ipairs(files) do
        if not (allowed and path:match(allowed)) then
            local number = 0
            for line in (read(path) .. "\n"):gmatch("(.-)\n") do
                number = number + 1
                for _, pattern in ipairs(patterns) do
                    if line:match(pattern) then list[#list + 1] = path .. ":" .. number .. ": " .. line end
                end
            end
        end
    end
    return list
end

describe("layers", function()
    it("runs under LuaJIT", function()
        assert.is_table(rawget(_G, "jit"))
    end)

    it("keep Lua out of the engine", function()
        assert.are.same({}, offenders("engine", "%.[ch]u?h?$", { "#include%s*[<\"]lua" }))
    end)

    it("keep ffi inside the bindings", function()
        local ffi = { "[\"']ffi[\"']", "[\"']bertlua%.ffi[\"']", "ffi%.C[^%w]" }
        assert.are.same({}, offenders("lua", "%.lua$", ffi))
        assert.are.same({}, offenders("recipes", "%.lua$", ffi))
    end)

    it("keep device libraries out of everything above the engine", function()
        local device = { "dnnl", "cuda[A-Z]", "cublas", "cudnn[A-Z]", "nccl[A-Z]" }
        assert.are.same({}, offenders("lua", "%.lua$", device))
        assert.are.same({}, offenders("recipes", "%.lua$", device))
    end)

    it("let only the CPU backend see oneDNN", function()
        assert.are.same({}, offenders("engine", "%.[ch]$", { "#include%s*[<\"].*dnnl" }, "^engine/cpu/"))
    end)

    it("let only the CUDA backend see CUDA, which never runs or waits on its own", function()
        local library = { "#include%s*[<\"]cu[db]" }
        assert.are.same({}, offenders("engine", "%.[ch]u?h?$", library, "^engine/cuda/"))
        -- Launches go through BL_LAUNCH, which the emulation knows.
        local forbidden = { "<<<", "cudaDeviceSynchronize", "cooperative_groups" }
        assert.are.same({}, offenders("engine/cuda", "%.cuh?$", forbidden, "kernel%.cuh$"))
    end)

    it("keep HDF5 to what writes shards and to the program that reads them", function()
        assert.are.same({}, offenders("engine", "%.[ch]$", { "#include%s*[<\"]hdf5" }, "^engine/[%w/]*hdf5[/_]"))
        -- Nothing that runs in this process reads HDF5: the library may crash over a file.
        assert.are.same({}, offenders("engine", "%.[ch]$", { "H5Fopen", "H5Dopen", "H5Dread" }, "^engine/hdf5/"))
    end)

    it("let only the encoder's room see the library for JSON", function()
        assert.are.same({}, offenders("engine", "%.[ch]$", { "#include%s*[<\"]jansson" }, "^engine/encoder/"))
    end)

    it("keep process exits and printing out of the library", function()
        local patterns = { "[^%w_]exit%s*%(", "[^%w_]abort%s*%(", "[^%w_f]printf%s*%(", "fprintf%s*%(%s*std" }
        assert.are.same({}, offenders("engine", "%.[ch]u?h?$", patterns))
    end)
end)

--- A table of rooms as sets: { room, rooms it may know ... }, each row after those of the rooms it knows.
local function sets_of(rows)
    local knows = {}
    for _, row in ipairs(rows) do
        local room = row[1]
        knows[room] = { [room] = true }
        for i = 2, #row do
            assert.is_table(knows[row[i]], ("%s may know %s, whose row must come before"):format(room, row[i]))
            knows[room][row[i]] = true
        end
    end
    return knows
end

-- ---------------------------------------------------------------- rooms of the engine

-- Whose headers each folder of engine/ includes; all include bertlua.h, the API.
local ENGINE_ROOMS = {
    { "api" },
    { "core" },
    { "storage", "core" },
    { "text", "core", "storage" },
    { "data", "core", "storage" },
    { "hdf5", "core", "data" },
    { "wiki", "core", "storage" },
    { "corpus", "core", "storage" },
    { "ops", "core" },
    { "optim", "ops" },
    { "comm", "core", "ops" },
    { "mpi", "comm" },
    { "encoder", "core", "storage" },
    { "cpu", "core" },
    { "cuda", "comm", "core" },
}
-- Headers from elsewhere: the public one, and the emulated device's (spec/cuda/emulation).
local FROM_ELSEWHERE = { ["bertlua.h"] = true, ["emulation.h"] = true }

describe("rooms of the engine", function()
    it("include the headers of those they may know", function()
        local knows, list = sets_of(ENGINE_ROOMS), {}
        for _, path in ipairs(walk("engine", "%.[ch]u?h?$")) do
            local room = path:match "^engine/([^/]+)/"
            if room then
                assert.is_table(knows[room], path .. ": its room is not in the table")
                for header in read(path):gmatch '#include%s*"([^"]+)"' do
                    local other = header:match "^([^/]+)/[^/]+$"
                    local allowed = FROM_ELSEWHERE[header] or other and knows[room][other]
                        or not other and lfs.attributes(("engine/%s/%s"):format(room, header), "mode") == "file"
                    if not allowed then list[#list + 1] = ("%s: %s"):format(path, header) end
                end
            end
        end
        assert.are.same({}, list)
    end)
end)

-- ---------------------------------------------------------------- rooms of Lua

-- What each folder and file of lua/bertlua may know of the others; all may know the bindings.
local LUA_ROOMS = {
    { "util" },
    { "text", "util" },
    { "weights", "text", "util" },
    { "autograd" },
    { "nn", "autograd", "util" },
    { "models", "autograd", "nn", "util" },
    { "distributed" },
    { "data", "text", "util" },
    { "train", "data", "util", "weights" },
    { "squad", "autograd", "data", "models", "text", "train", "util", "weights" },
    { "metrics" },
    { "corpus", "data", "squad", "text", "util" },
    { "settings", "util" },
    { "encoder", "autograd", "data", "models", "nn", "squad", "text", "train", "util", "weights" },
    { "jobs", "autograd", "corpus", "data", "distributed", "encoder", "metrics", "models", "nn", "settings", "squad",
        "text", "train", "util", "weights" },
    { "plot", "util" },
    { "bert_large" },
    { "recipe", "distributed", "jobs", "util" },
    { "prompt", "distributed", "util" },
    -- The names of all of it.
    { "init", "autograd", "corpus", "data", "distributed", "encoder", "metrics", "models", "nn", "plot", "recipe",
        "settings", "squad", "text", "train", "util", "weights" },
}

--- The file that `require` finds for a module, or nil.
local function module_path(name)
    local stem = name:gsub("%.", "/")
    for _, path in ipairs { "lua/" .. stem .. ".lua", "lua/" .. stem .. "/init.lua", "bindings/" .. stem .. ".lua" } do
        if lfs.attributes(path, "mode") == "file" then return path end
    end
end

local function lua_room(path)
    local room = path:match "^lua/bertlua/([^/]+)"
    return room and (room:gsub("%.lua$", ""))
end

--- Calls visit(path, module, path of the module) for every module that the code of a file below dir names in quotes.
local function each_module(dir, visit)
    for _, path in ipairs(walk(dir, "%.lua$")) do
        local code = ("\n" .. read(path)):gsub("\n%s*%-%-[^\n]*", "")
        for name in code:gmatch "[\"'](bertlua%.[%w_.]*[%w_])[\"']" do visit(path, name, module_path(name)) end
    end
end

describe("modules", function()
    it("of the bindings know none of Lua's", function()
        local list = {}
        each_module("bindings", function(path, name, target)
            if target and target:match "^lua/" then list[#list + 1] = ("%s: %s"):format(path, name) end
        end)
        assert.are.same({}, list)
    end)

    it("of the bindings wrap the API header of their name, and core.h", function()
        local headers, list = {}, {}
        for _, path in ipairs(walk("engine/api", "%.h$")) do
            local code = read(path):gsub("/%*.-%*/", "")
            for name in code:gmatch "[%s*](bl_[%w_]+)%(" do headers[name] = path:match "([^/]+)%.h$" end
        end
        -- A recorded graph belongs to the device that replays it; bertlua.encoder is a room of Lua.
        local also = { device = "graph", encoder_api = "encoder" }
        for _, path in ipairs(walk("bindings/bertlua", "%.lua$")) do
            local module = path:match "([^/]+)%.lua$"
            for line in read(path):gmatch "[^\n]+" do
                for name in line:gsub("^%s*%-%-.*", ""):gmatch "%f[%w_](bl_[%w_]+)%(" do
                    local header = headers[name]
                    if header and header ~= "core" and header ~= module and header ~= also[module] then
                        list[#list + 1] = ("%s: %s of api/%s.h"):format(path, name, header)
                    end
                end
            end
        end
        assert.are.same({}, list)
    end)

    it("know only the rooms they may", function()
        local knows, list = sets_of(LUA_ROOMS), {}
        each_module("lua", function(path, name, target)
            local room, other = lua_room(path), target and lua_room(target)
            assert.is_table(knows[room], path .. ": its room is not in the table")
            if other and not knows[room][other] then list[#list + 1] = ("%s: %s"):format(path, name) end
        end)
        assert.are.same({}, list)
    end)

    it("that are jobs are run through bertlua.recipe", function()
        local list = {}
        each_module("recipes", function(path, name)
            if name:match "^bertlua%.jobs%." then list[#list + 1] = ("%s: %s"):format(path, name) end
        end)
        assert.are.same({}, list)
    end)

    it("that are named exist", function()
        local list = {}
        local unknown = function(path, name, target)
            local in_folder = lfs.attributes("lua/" .. name:gsub("%.", "/"), "mode") == "directory"
            -- bertlua.host is the executable's own.
            if not target and not in_folder and name ~= "bertlua.host" then
                list[#list + 1] = ("%s: %s"):format(path, name)
            end
        end
        for _, dir in ipairs { "bindings", "lua", "recipes", "scripts", "bench" } do each_module(dir, unknown) end
        assert.are.same({}, list)
    end)
end)

describe("ops", function()
    local rows = {}
    for where, op, file in read("engine/core/op_list.h"):gmatch "\n    ([A-Z]+)%(([%w_]+), ([%w_]+)%)" do
        rows[#rows + 1] = { where = where, op = op, file = file }
    end

    --- Missing files and functions: places are patterns of a path and of what stands in it.
    local function missing(places)
        local list = {}
        for _, row in ipairs(rows) do
            local found
            for _, place in ipairs(places) do
                if place.only and row.where ~= "BOTH" and row.where ~= place.only then found = true end
                local path = place[1]:gsub("FILE", row.file)
                if lfs.attributes(path, "mode") == "file" then
                    found = found or read(path):find((place[2]:gsub("OP", row.op)))
                end
            end
            if not found then list[#list + 1] = row.op .. ": " .. places[1][1]:gsub("FILE", row.file) end
        end
        return list
    end

    it("are in the files that the list names: checks, kernels, specs", function()
        assert.is_true(#rows > 30)
        assert.are.same({}, missing { { "engine/ops/FILE.c", "bl_OP%(" }, { "engine/optim/FILE.c", "bl_OP%(" } })
        assert.are.same({}, missing { { "engine/cpu/FILE.c", "bl_cpu_OP%(", only = "CPU" } })
        assert.are.same({}, missing { { "engine/cuda/FILE.cu", "bl_cuda_OP%(", only = "CUDA" } })
        assert.are.same({}, missing {
            { "spec/engine/ops/FILE_spec.lua", "" }, { "spec/engine/optim/FILE_spec.lua", "" },
        })
    end)

    it("are bound, and only there", function()
        assert.are.same({}, missing {
            { "bindings/bertlua/ops.lua", "bl_OP%(" }, { "bindings/bertlua/optim.lua", "bl_OP%(" },
        })
        local known = {}
        for _, row in ipairs(rows) do known[row.op] = true end
        local strangers = {}
        for _, name in ipairs { "ops", "optim" } do
            for op in read("bindings/bertlua/" .. name .. ".lua"):gmatch "check%(C%.bl_([%w_]+)" do
                if not known[op] then strangers[#strangers + 1] = op end
            end
        end
        assert.are.same({}, strangers)
    end)
end)

describe("files", function()
    local function long_files(limit)
        local list = {}
        for _, rule in ipairs {
            { "engine", "%.[ch]u?h?$" },
            { "spec/cuda/emulation", "%.[ch]c?$" },
            { "bindings", "%.[chl]u?a?$" },
            { "lua", "%.lua$" },
            { "recipes", "%.lua$" },
        } do
            for _, path in ipairs(walk(rule[1], rule[2])) do
                local _, lines = read(path):gsub("\n", "\n")
                if lines > limit then list[#list + 1] = ("%s: %d lines"):format(path, lines) end
            end
        end
        return list
    end

    it("stay short enough to read in one sitting", function()
        assert.are.same({}, long_files(600))
    end)
end)
