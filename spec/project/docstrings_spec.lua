--- Every public function says what it does, and its comment speaks of the arguments that it has.

local fs = require "bertlua.util.fs"
local help = require "bertlua.prompt.help"

local function lua_files(folder, found)
    for _, name in ipairs(assert(fs.list(folder))) do
        local path = fs.join(folder, name)
        if fs.is_directory(path) then
            lua_files(path, found)
        elseif name:match "%.lua$" then
            found[#found + 1] = path
        end
    end
    return found
end

--- Public functions of a source: list of {place, name, arguments: set of names, comment: its lines}.
local function functions_of(path)
    local found, comment, number = {}, {}, 0
    local lines = {}
    for line in io.lines(path) do lines[#lines + 1] = line end
    for _, line in ipairs(lines) do
        number = number + 1
        local name = line:match "^function ([%w_]+[.:][%w_.:]+)%("
        if line:match "^%-%-" then
            comment[#comment + 1] = line
        else
            if name then
                local arguments = {}
                local list = table.concat(lines, " ", number, math.min(number + 5, #lines)):match "%b()"
                for argument in list:gmatch "[%w_.]+" do arguments[argument] = true end
                found[#found + 1] = { place = ("%s:%d: %s"):format(path, number, name), comment = comment,
                    name = name:match "[%w_]+$", arguments = arguments }
            end
            comment = {}
        end
    end
    return found
end

local function public_functions()
    local all = {}
    for _, root in ipairs { "bindings/bertlua", "lua/bertlua" } do
        for _, path in ipairs(lua_files(root, {})) do
            for _, found in ipairs(functions_of(path)) do all[#all + 1] = found end
        end
    end
    return all
end

describe("docstrings", function()
    it("stand above every public function, or in the engine's header above what it wraps", function()
        local missing = {}
        for _, found in ipairs(public_functions()) do
            local described = #found.comment > 0 or found.name:match "^__" or help.declaration(found.name)
            if not described then missing[#missing + 1] = found.place end
        end
        assert.are.same({}, missing)
    end)

    it("describe only arguments that the function has", function()
        local wrong = {}
        for _, found in ipairs(public_functions()) do
            for _, line in ipairs(found.comment) do
                local rest = line:match "^%-%-%-? @param (.*)$"
                while rest do
                    local name, comma, more = rest:match "^([%w_.]+)(,?) ?(.*)$"
                    if not found.arguments[name or ""] then
                        wrong[#wrong + 1] = ("%s: @param %s"):format(found.place, tostring(name or rest))
                    end
                    rest = comma == "," and more or nil
                end
            end
        end
        assert.are.same({}, wrong)
    end)
end)
