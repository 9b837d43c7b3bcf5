--- Files with weights of 8 bits, as the Lua side reads them: f32 numbers.

local fault = require "bertlua.fault"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local quantized = require "bertlua.weights.quantized"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"

describe("weights of 8 bits in a file", function()
    local folder, path, warn, warnings, number

    setup(function()
        folder, number = assert(fs.temporary_folder "bertlua-quantized-"), 0
    end)

    teardown(function()
        fs.remove(folder)
    end)

    before_each(function()
        warn, warnings, number = term.warn, {}, number + 1
        term.warn = function(text) warnings[#warnings + 1] = text end
        path = ("%s/%d.safetensors"):format(folder, number)
    end)

    after_each(function()
        term.warn = warn
    end)

    local function items(changes)
        local all = { w = tensor.from({ { 127, -2, 0 }, { -127, 1, 5 } }, "i8"),
            w_scale = tensor.from({ { 0.5 }, { 2 } }), b = tensor.from({ 1, 2 }, "bf16"),
            ids = tensor.from({ 7, 8 }, "i64") }
        for name, value in pairs(changes or {}) do all[name] = value or nil end
        local list = {}
        for name, value in pairs(all) do list[#list + 1] = { name = name, tensor = value } end
        return list
    end

    local function view(changes)
        assert(storage.save(path, items(changes), { format = "pt" }))
        return quantized.view(formats.open(path))
    end

    it("are f32, and have no scales beside them", function()
        local file = view()
        assert.are.equal(1, file.count)
        assert.are.equal(path, file.path)
        assert.are.same({ "b", "ids", "w" }, file:names())
        assert.are.same({ dtype = "F32", dims = { 2, 3 } }, file:info "w")
        assert.is_nil(file:info "w_scale")
        assert.is_nil(file:info "nothing")
        assert.are.equal("BF16", file:info("b").dtype)
        assert.are.same({ format = "pt" }, file:metadata())
        assert.is_false(file:shares("w", "b"))
        local w, b = tensor.new("f32", { 2, 3 }), tensor.new("f32", { 2 })
        assert(file:read("b", b))
        assert.are.same({}, warnings)
        assert(file:read("w", w))
        assert.are.same({ { 63.5, -1, 0 }, { -254, 2, 10 } }, w:tolist())
        assert.are.same({ 1, 2 }, b:tolist())
        -- Into another dtype, too, and told once for a file.
        local half = tensor.new("bf16", { 2, 3 })
        assert(file:read("w", half))
        assert.are.equal(-254, half:tolist()[2][1])
        assert.are.same({ path .. ": 1 matrix of 8 bits, read as f32 numbers: what rounding took stays lost" },
            warnings)
        file:close()
    end)

    it("are not those of integers without scales, or of scales without integers", function()
        local file = view { w_scale = false }
        assert.is_nil(file.count)
        assert.are.equal("I8", file:info("w").dtype)
        file:close()
        file = view { w = tensor.new("f32", { 2, 3 }) }
        assert.are.same({ "b", "ids", "w", "w_scale" }, file:names())
        file:close()
    end)

    it("are found where an index lists several files", function()
        local one, other = path:gsub("%.safe", "a.safe"), path:gsub("%.safe", "b.safe")
        assert(storage.save(one, items { w_scale = false }))
        assert(storage.save(other, items { w = false, b = false, ids = false }))
        local index = folder .. "/model.safetensors.index.json"
        assert(fs.write(index, json.encode { weight_map = { w = fs.basename(one), w_scale = fs.basename(other) } }))
        local file, w = quantized.view(formats.open(index)), tensor.new("f32", { 2, 3 })
        assert(file:read("w", w))
        assert.are.equal(63.5, w:tolist()[1][1])
        assert.are.equal(one, file.owner.w.path)
        file:close()
    end)

    it("of other forms are refused", function()
        local function refuses(pattern, changes)
            local ok, problem = pcall(view, changes)
            assert.is_false(ok)
            assert.is_true(fault.is(problem), tostring(problem))
            assert.matches(pattern, tostring(problem))
        end
        refuses("w has zero points: only symmetric weights of 8 bits are read$",
            { w_zero_point = tensor.new("i8", { 2, 1 }) })
        refuses("w_scale is F32 %[1%], expected floating%-point numbers, one for each row of w %[2,3%]$",
            { w_scale = tensor.new("f32", { 1 }) })
        refuses("w_scale is F32 %[2,3%], expected", { w_scale = tensor.new("f32", { 2, 3 }) })
        refuses("w_scale is I32 %[2,1%], expected", { w_scale = tensor.new("i32", { 2, 1 }) })
        refuses("one for each row of w %[6%]$", { w = tensor.new("i8", { 6 }), w_scale = tensor.new("f32", { 6, 1 }) })
    end)

    it("are those of the six maps of every layer", function()
        local list = quantized.names(2)
        assert.are.equal(12, #list)
        assert.are.equal("bert.encoder.layer.0.attention.self.query.weight", list[1])
        assert.are.equal("bert.encoder.layer.1.output.dense.weight", list[12])
        assert.are.equal("x.weight_scale", quantized.scale_of "x.weight")
    end)
end)
