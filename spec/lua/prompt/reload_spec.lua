--- `:reload`: a changed module in the place of the old one, and what still holds the old.

local fs = require "bertlua.util.fs"
local reload = require("bertlua.prompt.reload").reload

describe("reload", function()
    local folder, path
    local function write(name, text)
        assert(fs.write(("%s/%s.lua"):format(folder, name), text))
    end

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-reload-")
        path = package.path
        package.path = folder .. "/?.lua;" .. path
    end)
    after_each(function()
        package.path = path
        package.loaded.spec_shape, package.loaded.spec_user = nil, nil
        fs.remove(folder)
    end)

    local FIRST = [[
        local Shape = {}
        Shape.__index = Shape
        function Shape.new() return setmetatable({}, Shape) end
        function Shape:area() return 1 end
        function Shape.old() end
        return Shape]]

    it("gives whoever holds the module, and its objects, the new functions", function()
        write("spec_shape", FIRST)
        local Shape = require "spec_shape"
        local object = Shape.new()
        write("spec_shape", (FIRST:gsub("return 1", "return 2"):gsub("Shape%.old", "Shape.fresh")))
        local text = assert(reload("spec_shape", { shape = Shape }))
        assert.are.equal("spec_shape is loaded anew: 3 functions, new: fresh, gone: old\n"
            .. "the new functions are used by shape and objects made of it\n", text)
        assert.are.equal(2, object:area())
        assert.are.equal(2, Shape.new():area())
        assert.are.equal(nil, Shape.old)
        assert.are.equal(Shape, require "spec_shape")
    end)

    it("finds a module by its last part or a variable, and tells who keeps old functions", function()
        write("spec_shape", FIRST)
        write("spec_user", [[
            local Shape = require "spec_shape"
            local area = Shape.area
            return { measure = function(x) return area(x) end, new = function() return Shape.new() end }]])
        local Shape = require "spec_shape"
        require "spec_user"
        local text = assert(reload("shape", { shape = Shape, area = Shape.area }))
        local users = "the new functions are used by shape, spec_user and objects made of it\n"
        assert.is_truthy(text:find(users, 1, true), text)
        assert.is_truthy(text:find("spec_user keeps old functions of it: :reload spec_user\n", 1, true), text)
        assert.is_truthy(text:find("area is an old function of it: set it again\n", 1, true), text)
        assert.matches("^bertlua%.util%.suggest is loaded anew", reload("suggest", {}))
    end)

    it("keeps the old module if the new one fails", function()
        write("spec_shape", FIRST)
        local Shape = require "spec_shape"
        write("spec_shape", "error 'broken'")
        local text, problem = reload("spec_shape", {})
        assert.is_nil(text)
        assert.matches("^spec_shape stays as it was: .*spec_shape%.lua:1: broken$", problem)
        assert.are.equal(Shape, require "spec_shape")
        assert.are.equal(1, Shape.new():area())
    end)

    it("says what is not there", function()
        assert.are.same({ nil, "no module bertlua.util.fss is loaded; did you mean bertlua.util.fs?" },
            { reload("bertlua.util.fss", {}) })
        assert.are.same({ nil, "string is not a Lua file" }, { reload("string", {}) })
    end)
end)
