--- Weights of 8 bits with a scale for each row: values by hand.

local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

--- Quantize a matrix given as rows: q and scale as lists, error.
local function quantize(rows)
    local w = tensor.from(rows, "f32")
    local q, scale = tensor.new("i8", w:dims()), tensor.new("f32", { #rows, 1 })
    local miss = storage.quantize_rows(w, q, scale)
    return q:tolist(), scale:tolist(), miss, q, scale
end

describe("weights of 8 bits", function()
    it("are the numbers of a row in steps of its largest over 127, rounded to even", function()
        local q, scale, miss = quantize { { 127, 0.5, 1.5, -2.5, -0.5, 2.5 }, { 3, -254, 1, -3, 5, 0 } }
        assert.are.same({ { 127, 0, 2, -2, 0, 2 }, { 2, -127, 0, -2, 2, 0 } }, q)
        assert.are.same({ { 1 }, { 2 } }, scale)
        -- Differences: five of 0.5, and four of 1.
        local squares = 127 ^ 2 + 0.5 ^ 2 + 1.5 ^ 2 + 2.5 ^ 2 + 0.5 ^ 2 + 2.5 ^ 2 + 9 + 254 ^ 2 + 1 + 9 + 25
        assert.near(math.sqrt(5.25 / squares), miss, 1e-12)
    end)

    it("have a scale that gives every number back within half a step", function()
        local rows, state = {}, 1
        for r = 1, 5 do
            rows[r] = {}
            for c = 1, 37 do
                state = (state * 16807) % 2147483647
                rows[r][c] = (state / 2147483647 - 0.5) * 10 ^ (r - 3)
            end
        end
        local _, _, miss, q, scale = quantize(rows)
        local w = tensor.new("f32", { 5, 37 })
        storage.dequantize_rows(q, scale, w)
        local back, steps, missed, whole = w:tolist(), scale:tolist(), 0, 0
        for r = 1, 5 do
            local most = 0
            for c = 1, 37 do
                most = math.max(most, math.abs(rows[r][c]))
                assert.is_true(math.abs(back[r][c] - rows[r][c]) <= 0.5001 * steps[r][1])
                missed, whole = missed + (back[r][c] - rows[r][c]) ^ 2, whole + rows[r][c] ^ 2
            end
            assert.near(most / 127, steps[r][1], 1e-6 * most)
        end
        assert.near(math.sqrt(missed / whole), miss, 1e-6)
    end)

    it("of zeros alone have the scale 1, and none leaves the range where a step is too small to be exact", function()
        local q, scale, miss = quantize { { 0, 0 }, { 0, -0.0 } }
        assert.are.same({ { { 0, 0 }, { 0, 0 } }, { { 1 }, { 1 } }, 0 }, { q, scale, miss })
        -- 2^-149 is the smallest step, and 2^-140 has 512 of them: its 127th part is 4.03.
        q = quantize { { 2 ^ -149, 0 }, { 2 ^ -140, -2 ^ -140 } }
        assert.are.same({ 0, 0 }, q[1])
        assert.is_true(math.abs(q[2][1]) <= 127 and q[2][1] == -q[2][2])
    end)

    it("may have no rows, no columns, or one of either", function()
        assert.are.same({ { { -127 } }, { { 2 } } }, { (quantize { { -254 } }), (select(2, quantize { { -254 } })) })
        local w, q, scale = tensor.new("f32", { 3, 0 }), tensor.new("i8", { 3, 0 }), tensor.new("f32", { 3, 1 })
        assert.are.equal(0, storage.quantize_rows(w, q, scale))
        assert.are.same({ { 1 }, { 1 }, { 1 } }, scale:tolist())
    end)

    it("are refused for a NaN or inf, and for tensors that do not belong together; nothing is written then", function()
        for _, bad in ipairs { 0 / 0, 1 / 0, -1 / 0 } do
            local q, scale = tensor.new("i8", { 2, 2 }), tensor.new("f32", { 2, 1 })
            local w = tensor.from({ { 1, 2 }, { 3, bad } }, "f32")
            assert.error_matches(function() storage.quantize_rows(w, q, scale) end,
                "quantize_rows: row 1 of w holds a NaN or inf$")
            assert.are.same({ { { 0, 0 }, { 0, 0 } }, { { 0 }, { 0 } } }, { q:tolist(), scale:tolist() })
        end
        local w, q, scale = tensor.new("f32", { 2, 4 }), tensor.new("i8", { 2, 4 }), tensor.new("f32", { 2, 1 })
        local function refuses(message, a, b, c)
            assert.error_matches(function() storage.quantize_rows(a, b, c) end, "quantize_rows: " .. message)
            assert.error_matches(function() storage.dequantize_rows(b, c, a) end, "dequantize_rows: " .. message)
        end
        refuses("w is not a contiguous matrix f32 %[R,C%] on the CPU$", tensor.new("bf16", { 2, 4 }), q, scale)
        refuses("w is not a contiguous", tensor.new("f32", { 8 }), q, scale)
        refuses("w is not a contiguous", tensor.new("f32", { 4, 2 }):transpose(1, 2), q, scale)
        refuses("q is not a contiguous matrix i8 %[2,4%] on the CPU, as w asks for$", w, tensor.new("i8", { 4, 2 }),
            scale)
        refuses("q is not", w, tensor.new("i32", { 2, 4 }), scale)
        refuses("scale is not a contiguous matrix f32 %[2,1%] on the CPU, as w asks for$", w, q,
            tensor.new("f32", { 2 }))
    end)
end)

describe("a tensor of the host", function()
    it("is of zeros, of any shape", function()
        assert.are.same({ { 0, 0 }, { 0, 0 }, { 0, 0 } }, storage.host_tensor("i8", { 3, 2 }):tolist())
        assert.are.equal("cpu", storage.host_tensor("f32", { 3, 2 }):device_name())
        assert.are.same({ 0, 4 }, storage.host_tensor("f32", { 0, 4 }):dims())
    end)
end)
