--- The machine code of the compiled kernels, for bench/gpu_model.lua.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lfs = require "lfs"
local paths = require "bertlua.paths"
local quote = require("bertlua.util.shell").quote

local sass = dofile(paths.root() .. "/scripts/sass.lua")
local walk = dofile(paths.root() .. "/bench/model/walk.lua")

local M = {}

--- What cuobjdump shows of an object, kept in a file beside it until the object is newer.
local function text_of(object, arch, program)
    local kept = object:gsub("%.o$", "." .. arch .. ".sass")
    local made = lfs.attributes(kept, "modification")
    if not made or made < lfs.attributes(object, "modification") then
        local command = ("%s -arch %s -sass -res-usage %s > %s.new 2>&1 && mv %s.new %s"):format(quote(program), arch,
            quote(object), quote(kept), quote(kept), quote(kept))
        if os.execute(command) ~= 0 then
            fault.raisef("%s: %s", object, (fs.read(kept .. ".new") or ""):match "[^\n]*" or "cuobjdump failed")
        end
    end
    return fault.check(fs.read(kept))
end

--- Kernels of `make cuda` for an architecture.
-- @treturn table {name = {lines, registers}}, named as sass.readable does; M.instructions reads the lines
function M.read(folder, arch)
    local program, kernels = sass.find_cuobjdump(), {}
    for entry in lfs.dir(folder) do
        if entry:match "%.o$" then
            local lines
            sass.read(text_of(folder .. "/" .. entry, arch, program), function(name, registers)
                lines = {}
                kernels[name] = { registers = registers, lines = lines }
            end, function(line) lines[#lines + 1] = line end)
        end
    end
    if next(kernels) == nil then fault.raisef("no kernels for %s in %s; run make cuda", arch, folder) end
    -- A compiler for GPUs and one for this machine mangle the names of static functions differently.
    local mangled, named = {}, {}
    for symbol in pairs(kernels) do mangled[#mangled + 1] = symbol end
    for symbol, name in pairs(sass.readable(mangled)) do named[name] = kernels[symbol] end
    return named
end

--- The instructions of a kernel in order, and `at`, their numbers by address; read when first asked for.
function M.instructions(kernel)
    if kernel.code then return kernel.code end
    local code = { at = {} }
    for _, line in ipairs(kernel.lines) do
        local address, text = line:match "^%s+/%*(%x+)%*/%s+(.-)%s*;"
        local one = address and walk.parse(text)
        if one then
            one.address = tonumber(address, 16)
            code[#code + 1] = one
            code.at[one.address] = #code
        end
    end
    kernel.code = code
    return code
end

return M
