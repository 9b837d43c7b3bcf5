--- Fail if a CUDA kernel was compiled to worse machine code than scripts/sass_table.txt says:
--
--     make lint-sass                                           after make cuda
--     bertlua scripts/lint_sass.lua build/engine/cuda          the same
--     bertlua scripts/lint_sass.lua build/engine/cuda --table  print a new table instead
--
-- Reads what cuobjdump (of the CUDA toolkit, or PyPI's nvidia-cuda-cuobjdump; CUOBJDUMP names another) shows of the
-- objects of `make cuda`, for the architecture that the table names. The table says what the columns mean. Kernels of
-- f16 and f32 that also exist for bf16 have no lines of their own: of them only local memory is looked at.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lfs = require "lfs"
local paths = require "bertlua.paths"
local shell = require "bertlua.util.shell"

local sass = dofile(paths.root() .. "/scripts/sass.lua")

local TABLE = "scripts/sass_table.txt"
-- What another version of the compiler may change.
local MORE_INSTRUCTIONS, MORE_LOADS, MORE_REGISTERS = 1.05, 1.05, 8

local folder, print_table = arg[1] or "build/engine/cuda", arg[2] == "--table"
if arg[2] and not print_table then fault.raisef("lint_sass: %s: expected --table, or nothing", arg[2]) end

-- Bytes of an access, by the modifiers of its instruction.
local function width_of(op)
    return op:find(".128", 1, true) and 16 or op:find(".64", 1, true) and 8
        or (op:find(".U16", 1, true) or op:find(".S16", 1, true)) and 2
        or (op:find(".U8", 1, true) or op:find(".S8", 1, true)) and 1 or 4
end

--- Count an instruction of a kernel.
local function count(kernel, op)
    kernel.count = kernel.count + 1
    local base = op:match "^[%w_]+"
    if base == "LDG" or base == "LDGSTS" or base == "STG" then
        local bytes, kind = width_of(op), base == "STG" and "stores" or "loads"
        kernel[kind].bytes = kernel[kind].bytes + bytes
        if bytes == 16 then
            kernel[kind].wide = kernel[kind].wide + bytes
            kernel.first = kernel.first or kernel.count
            kernel.last = kernel.count
        end
    elseif base == "HMMA" then
        kernel.hmma = kernel.hmma + 1
    elseif base == "LDSM" then
        kernel.ldsm = kernel.ldsm + 1
    elseif base == "LDL" or base == "STL" then
        kernel.local_memory = kernel.local_memory + 1
    end
end

local function percent(side)
    return side.bytes == 0 and 100 or math.floor(100 * side.wide / side.bytes)
end

--- The kernels of an object, by mangled name, added to `kernels`.
local function read_object(program, path, arch, kernels)
    local text = shell.output(("%s -arch %s -sass -res-usage %s 2>&1 && echo read"):format(shell.quote(program), arch,
        shell.quote(path)))
    if not text:match "read\n$" then fault.raisef("lint_sass: %s: %s", path, text:match "[^\n]*") end
    local kernel
    sass.read(text, function(name, registers)
        kernel = { count = 0, hmma = 0, ldsm = 0, local_memory = 0, loads = { bytes = 0, wide = 0 },
            stores = { bytes = 0, wide = 0 }, registers = registers }
        kernels[name] = kernel
    end, function(line)
        -- Where a predicate stands before an instruction, it is not counted as one.
        local op = line:match "^%s+/%*%x+%*/%s+@!?U?P%w+%s+([%w_.]+)" or line:match "^%s+/%*%x+%*/%s+([%w_.]+)"
        if op then count(kernel, op) end
    end)
end

--- {name = kernel} of a folder; instructions between the first and the last 16-byte access are `span`.
local function read_folder(arch)
    local program, kernels, files = sass.find_cuobjdump(), {}, 0
    for entry in lfs.dir(folder) do
        if entry:match "%.o$" then
            files = files + 1
            read_object(program, folder .. "/" .. entry, arch, kernels)
        end
    end
    if files == 0 then fault.raisef("no objects in %s; run make cuda", folder) end
    local mangled = {}
    for name, kernel in pairs(kernels) do
        mangled[#mangled + 1] = name
        kernel.loads, kernel.stores = percent(kernel.loads), percent(kernel.stores)
        kernel.span = kernel.first and kernel.last - kernel.first + 1
    end
    if #mangled == 0 then fault.raisef("no kernels for %s in %s; run make cuda", arch, folder) end
    table.sort(mangled)
    local names, list = sass.readable(mangled), {}
    for _, name in ipairs(mangled) do
        local text = names[name]
        if list[text] then fault.raisef("lint_sass: two kernels are called %s", text) end
        list[text] = kernels[name]
    end
    return list
end

local function needs_line(name)
    return name:find("bf16", 1, true) or not (name:find("f16", 1, true) or name:find("float", 1, true))
end

--- Lines of the table by kernel, the architecture, the text before them, accesses to local memory by kernel without its
-- types.
local function read_table()
    local lines, head, allowed, arch = {}, {}, {}, nil
    for line in (fault.check(fs.read(TABLE)) .. "\n"):gmatch "(.-)\n" do
        local name, loads, stores, hmma, ldsm, registers, elements, each =
            line:match "^(%S+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%S+)%s+(%S+)$"
        if line:match "^#" then
            head[#head + 1] = line
        elseif line:match "^local " then
            local kernel, accesses = line:match "^local (%S+) (%d+) %S"
            if not kernel then fault.raisef("%s: expected local KERNEL ACCESSES REASON, got: %s", TABLE, line) end
            allowed[kernel], head[#head + 1] = tonumber(accesses), line
        elseif line:match "^architecture " then
            arch, head[#head + 1] = line:match "^architecture (sm_%w+)$", line
        elseif name then
            lines[name] = { loads = tonumber(loads), stores = tonumber(stores), hmma = tonumber(hmma),
                ldsm = tonumber(ldsm), registers = tonumber(registers), elements = tonumber(elements),
                each = tonumber(each) }
        elseif line:match "%S" then
            fault.raisef("%s: not a line of the table: %s", TABLE, line)
        end
    end
    if not arch then fault.raisef("%s: no line `architecture sm_NN`", TABLE) end
    return lines, arch, head, allowed
end

local function sorted_names(list)
    local names = {}
    for name in pairs(list) do names[#names + 1] = name end
    table.sort(names)
    return names
end

--- What is worse than the line says, as texts.
local function compare(kernel, line)
    local worse = {}
    local function expect(good, ...)
        if not good then worse[#worse + 1] = string.format(...) end
    end
    for _, side in ipairs { "loads", "stores" } do
        expect(kernel[side] >= line[side], "%d %% of the bytes of its %s are in accesses of 16, %d %% expected",
            kernel[side], side, line[side])
    end
    expect((kernel.hmma > 0) == (line.hmma > 0), "%d products on tensor cores, %d expected", kernel.hmma, line.hmma)
    if line.hmma > 0 and kernel.hmma > 0 then
        expect(kernel.ldsm / kernel.hmma <= line.ldsm / line.hmma * MORE_LOADS,
            "%d loads of matrices for %d products, expected %d for %d", kernel.ldsm, kernel.hmma, line.ldsm, line.hmma)
    end
    expect(kernel.registers <= line.registers + MORE_REGISTERS, "%d registers, %d expected", kernel.registers,
        line.registers)
    if line.elements then
        local each = (kernel.span or kernel.count) / line.elements
        expect(each <= line.each * MORE_INSTRUCTIONS, "%.1f instructions an element, %.1f expected", each, line.each)
    end
    return worse
end

local lines, arch, head, allowed = read_table()
local kernels = read_folder(arch)

if print_table then
    print(table.concat(head, "\n"))
    for _, name in ipairs(sorted_names(kernels)) do
        local kernel, elements = kernels[name], lines[name] and lines[name].elements
        if needs_line(name) then
            print(("%s %d %d %d %d %d %s %s"):format(name, kernel.loads, kernel.stores, kernel.hmma, kernel.ldsm,
                kernel.registers, elements or "-",
                elements and ("%.1f"):format((kernel.span or kernel.count) / elements) or "-"))
        end
    end
    return
end

local problems, compared = {}, 0
for _, name in ipairs(sorted_names(kernels)) do
    local kernel, line = kernels[name], lines[name]
    if kernel.local_memory > (allowed[name:match "^[%w_:]+"] or 0) then
        problems[#problems + 1] = ("%s: %d accesses to local memory"):format(name, kernel.local_memory)
    end
    if line then
        compared = compared + 1
        for _, text in ipairs(compare(kernel, line)) do problems[#problems + 1] = ("%s: %s"):format(name, text) end
    elseif needs_line(name) then
        problems[#problems + 1] = ("%s: not in %s; --table prints its line"):format(name, TABLE)
    end
end
for _, name in ipairs(sorted_names(lines)) do
    if not kernels[name] then problems[#problems + 1] = ("%s: in %s, but there is none"):format(name, TABLE) end
end
for _, text in ipairs(problems) do io.stderr:write(text, "\n") end
if #problems > 0 then fault.raisef("%d faults in compiled kernels", #problems) end
print(("%s: %d kernels as %s says, %d more whose local memory is right"):format(arch, compared, TABLE,
    #sorted_names(kernels) - compared))
