--- How tensors print.

local tensor = require "bertlua.tensor"

describe("tensors as text", function()
    local function text(values, dtype)
        return tensor.scope(function() return tostring(tensor.from(values, dtype)) end)
    end

    it("aligns columns and names dtype, shape and device", function()
        assert.are.equal("  1.0000  -2.5000\n 10.2500   0.0000\n[f32 2x2 cpu]", text { { 1, -2.5 }, { 10.25, -1e-9 } })
        assert.are.equal("   1  -20\n  30    4\n[i32 2x2 cpu]", text({ { 1, -20 }, { 30, 4 } }, "i32"))
    end)

    it("shows vectors, scalars and empty tensors", function()
        assert.are.equal(" 1  2  3\n[i64 3 cpu]", text({ 1, 2, 3 }, "i64"))
        assert.are.equal(" 2.5000\n[f32 scalar cpu]", text(2.5))
        assert.are.equal(" (empty)\n[f32 0 cpu]", text({}))
    end)

    it("shows inf and nan, and small and large values in one scale", function()
        assert.are.equal("    1   nan   inf  -inf\n[f32 4 cpu]", text { 1, 0 / 0, math.huge, -math.huge })
        assert.is_truthy(text({ 1e-6, 3e-6 }):find("1.0000e-06  3.0000e-06", 1, true))
        assert.is_truthy(text({ 123456.5, 1 }):find("1.2346e+05", 1, true))
    end)

    it("shows a matrix for each index of more dimensions", function()
        assert.are.equal("(1,.,.) =\n 1  2\n 3  4\n(2,.,.) =\n 5  6\n 7  8\n[f32 2x2x2 cpu]",
            text { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } })
    end)

    it("keeps large tensors within 80 columns and a few lines", function()
        tensor.scope(function()
            for _, dims in ipairs { { 5000 }, { 300, 700 }, { 20, 30, 40 }, { 3, 7, 50, 60 } } do
                local t = tensor.new("f32", dims):fill(-1.2345678)
                local lines = 0
                for line in (tostring(t) .. "\n"):gmatch "(.-)\n" do
                    assert.is_true(#line <= 80, line)
                    lines = lines + 1
                end
                assert.is_true(lines < 400, lines)
                assert.is_truthy(tostring(t):find("...", 1, true))
            end
        end)
    end)

    it("reads through strides", function()
        tensor.scope(function()
            local t = tensor.from { { 1, 2 }, { 3, 4 } }
            assert.are.equal(" 1  3\n 2  4\n[f32 2x2 cpu]", tostring(t:transpose(1, 2)))
        end)
    end)
end)
