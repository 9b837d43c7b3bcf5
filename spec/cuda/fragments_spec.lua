--- Which lane holds which element: the formulas of the PTX ISA ("Matrix Fragments for mma.m16n8k16 with floating point
-- type", "ldmatrix", "movmatrix", "prmt", "cp.async") against the instructions of engine/cuda/mma.cuh, on the emulation
-- against their twins there. The formulas are written down here once more, independently of both.

local ffi = require "ffi"
local bit = require "bit"
local context = require "bertlua.context"

if context.device() ~= "cuda" then return end

ffi.cdef "const char *bl_fragments(int probe, const uint32_t *in, uint32_t *out);"
local emulated = context.describe():find "^emulated"
local library = ffi.load(emulated and os.getenv "BERTLUA_CUDA_LIB"
    or (os.getenv "BERTLUA_LIB"):gsub("[^/]*$", "") .. "libfragments.so")

local LOAD, LOAD_TRANSPOSED, MULTIPLY, COPY16, COPY8, PACK = 0, 1, { bf16 = 2, f16 = 3 }, 4, 5, { bf16 = 6, f16 = 7 }
local TURN, CHOOSE = 8, 9

--- Bits of a whole number of at most 7 binary digits, from the fields of its format: bias of the exponent, bits behind.
local function whole_bits(bias, digits)
    return function(x)
        if x == 0 then return 0 end
        local magnitude, exponent = math.frexp(math.abs(x)) -- 0.5 <= magnitude < 1
        return (x < 0 and 32768 or 0) + ((exponent - 1 + bias) + 2 * magnitude - 1) * 2 ^ digits
    end
end

local ENCODE = { bf16 = whole_bits(127, 7), f16 = whole_bits(15, 10) }

--- What a warp makes of `words`, a list that begins at 0.
local function probe(number, words)
    local given, out = ffi.new "uint32_t[512]", ffi.new "uint32_t[256]"
    for i, word in pairs(words) do given[i] = word end
    assert.are.equal("", ffi.string(library.bl_fragments(number, given, out)))
    return out
end

local function float_bits(x)
    return ffi.cast("uint32_t *", ffi.new("float[1]", x))[0]
end

local function float_of(bits)
    return ffi.cast("float *", ffi.new("uint32_t[1]", bits))[0]
end

-- Elements of a fragment, numbered from 0 as in the PTX ISA: its tables give the row and column of a_i, b_i, c_i from
-- groupID = laneid >> 2 and threadID_in_group = laneid % 4. Elements 2r and 2r + 1 are the halves of register r, the
-- low one first.
local function group(lane) return bit.rshift(lane, 2) end
local function thread(lane) return lane % 4 end

local function place_a(lane, i)
    local row = (i < 2 or (i >= 4 and i < 6)) and group(lane) or group(lane) + 8
    local column = thread(lane) * 2 + i % 2 + (i >= 4 and 8 or 0)
    return row, column
end

local function place_b(lane, i)
    return thread(lane) * 2 + i % 2 + (i >= 2 and 8 or 0), group(lane)
end

local function place_c(lane, i)
    return i < 2 and group(lane) or group(lane) + 8, thread(lane) * 2 + i % 2
end

--- Words of a warp that hold matrices a [16][16], b [16][8] and c [16][8], lists of lists that begin at 0.
local function fragments(dtype, a, b, c)
    local encode = ENCODE[dtype]
    local words = {}
    for lane = 0, 31 do
        for i = 0, 7, 2 do
            local row, column = place_a(lane, i)
            local row2, column2 = place_a(lane, i + 1)
            words[10 * lane + i / 2] = encode(a[row][column]) + 65536 * encode(a[row2][column2])
        end
        for i = 0, 3, 2 do
            local row, column = place_b(lane, i)
            local row2, column2 = place_b(lane, i + 1)
            words[10 * lane + 4 + i / 2] = encode(b[row][column]) + 65536 * encode(b[row2][column2])
        end
        for i = 0, 3 do
            local row, column = place_c(lane, i)
            words[10 * lane + 6 + i] = float_bits(c[row][column])
        end
    end
    return words
end

local function matrix(rows, columns, element)
    local m = {}
    for row = 0, rows - 1 do
        m[row] = {}
        for column = 0, columns - 1 do m[row][column] = element(row, column) end
    end
    return m
end

local function product(a, b, c)
    return matrix(16, 8, function(row, column)
        local sum = c[row][column]
        for k = 0, 15 do sum = sum + a[row][k] * b[k][column] end
        return sum
    end)
end

local function check_product(dtype, a, b, c)
    local out, expected = probe(MULTIPLY[dtype], fragments(dtype, a, b, c)), product(a, b, c)
    for lane = 0, 31 do
        for i = 0, 3 do
            local row, column = place_c(lane, i)
            local got = float_of(out[4 * lane + i])
            if got ~= expected[row][column] then
                error(("lane %d, c%d is %g, expected (%d,%d) = %g"):format(lane, i, got, row, column,
                    expected[row][column]))
            end
        end
    end
end

describe("fragments", function()
    for _, dtype in ipairs { "bf16", "f16" } do
        it("of mma.m16n8k16 give the product, each element of A by itself: " .. dtype, function()
            -- Row k of B is 8k + 1 to 8k + 8: each element of A shows in a row of C which k it was.
            local b = matrix(16, 8, function(row, column) return 8 * row + column + 1 end)
            local zero = matrix(16, 8, function() return 0 end)
            for row = 0, 15 do
                for k = 0, 15 do
                    local one = matrix(16, 16, function(i, j) return i == row and j == k and 1 or 0 end)
                    check_product(dtype, one, b, zero)
                end
            end
        end)

        it("of mma.m16n8k16 give sums of small whole numbers exactly: " .. dtype, function()
            math.randomseed(5)
            local function small() return math.random(-9, 9) end
            for _ = 1, 4 do check_product(dtype, matrix(16, 16, small), matrix(16, 8, small), matrix(16, 8, small)) end
        end)

        it("are words whose low half is the first element: " .. dtype, function()
            local words = {}
            for lane = 0, 31 do words[2 * lane], words[2 * lane + 1] = float_bits(lane), float_bits(-lane - 1) end
            local out = probe(PACK[dtype], words)
            for lane = 0, 31 do
                assert.are.equal(ENCODE[dtype](lane) + 65536 * ENCODE[dtype](-lane - 1), out[lane])
            end
        end)
    end

    for name, transposed in pairs { ["ldmatrix.x4"] = false, ["ldmatrix.x4.trans"] = true } do
        it("that " .. name .. " loads are rows that lanes point at", function()
            -- Element e of row r is 8r + e. Lane l gives the address of row l % 8 of matrix l / 8; rows lie anywhere.
            local words, row_of = {}, {}
            for i = 0, 127 do words[i] = 2 * i + 65536 * (2 * i + 1) end
            for lane = 0, 31 do
                row_of[lane] = (lane * 11 + 7) % 32
                words[128 + lane] = row_of[lane]
            end
            local out = probe(transposed and LOAD_TRANSPOSED or LOAD, words)
            for lane = 0, 31 do
                for m = 0, 3 do
                    local expected = {}
                    for i = 0, 1 do
                        -- Without .trans a lane gets elements 2(lane % 4) and the next of row lane / 4.
                        local row, column = group(lane), 2 * thread(lane) + i
                        if transposed then row, column = column, row end
                        expected[i] = 8 * row_of[8 * m + row] + column
                    end
                    assert.are.equal(expected[0] + 65536 * expected[1], out[4 * lane + m],
                        ("lane %d, register %d"):format(lane, m))
                end
            end
        end)
    end

    for bytes, number in pairs { [16] = COPY16, [8] = COPY8 } do
        it(("of %d bytes are copied, or zeros where the source size is 0"):format(bytes), function()
            local n, words = bytes / 4, {}
            for i = 0, 32 * n - 1 do words[i] = i + 1 end
            local out = probe(number, words)
            for lane = 0, 31 do
                for i = 0, n - 1 do
                    local at = n * (31 - lane) + i
                    assert.are.equal((31 - lane) % 2 == 0 and at + 1 or 0, out[n * lane + i])
                end
            end
        end)
    end

    it("of movmatrix.trans are those of the matrix transposed", function()
        -- Element (row, column) of 8 x 8 is 8 row + column; a lane holds (lane / 4, 2 (lane % 4)) and the next column.
        local words = {}
        for lane = 0, 31 do words[lane] = 2 * lane + 65536 * (2 * lane + 1) end
        local out = probe(TURN, words)
        for lane = 0, 31 do
            local low = 8 * (2 * thread(lane)) + group(lane)
            assert.are.equal(low + 65536 * (low + 8), out[lane])
        end
    end)

    it("of prmt are bytes by number, or their signs", function()
        math.randomseed(6)
        local words = {}
        for i = 0, 95 do words[i] = math.random(0, 65535) + 65536 * math.random(0, 65535) end
        local out = probe(CHOOSE, words)
        for lane = 0, 31 do
            for i = 0, 3 do
                local nibble = bit.band(bit.rshift(words[3 * lane + 2], 4 * i), 15)
                local from = words[3 * lane + (nibble % 8 < 4 and 0 or 1)]
                local byte = bit.band(bit.rshift(from, 8 * (nibble % 4)), 255)
                if nibble >= 8 then byte = byte >= 128 and 255 or 0 end
                assert.are.equal(byte, bit.band(bit.rshift(out[lane], 8 * i), 255))
            end
        end
    end)

    -- The emulation runs the twins: that the instructions behind them have these shapes and operands, the text shows.
    it("belong to the instructions that mma.cuh names", function()
        local file = assert(io.open "engine/cuda/mma.cuh")
        local text = file:read "*a":gsub('"%s*\n%s*"', ""):gsub("%s+", " ")
        file:close()
        for _, dtype in ipairs { "bf16", "f16" } do
            local found = text:match('asm volatile%("mma%.sync%.aligned%.m16n8k16%.row%.col%.f32%.' .. dtype .. "%."
                .. dtype .. "%.f32 {%%0, %%1, %%2, %%3}, {%%4, %%5, %%6, %%7}, {%%8, %%9}, "
                .. '{%%0, %%1, %%2, %%3};" (.-)%);')
            assert.are.equal(': "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) '
                .. ': "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)', found)
        end
        for _, kind in ipairs { "", ".trans" } do
            local found = text:match('asm volatile%("ldmatrix%.sync%.aligned%.m8n8%.x4' .. kind:gsub("%.", "%%.")
                .. '%.shared%.b16 {%%0, %%1, %%2, %%3}, %[%%4%];" (.-)%);')
            assert.are.equal(': "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory"', found)
        end
        for bytes, cache in pairs { [16] = "cg", [8] = "ca" } do
            assert.is_truthy(text:find(('"cp.async.%s.shared.global [%%0], [%%1], %d, %%2;" ::"r"(to), "l"(p), '
                .. '"r"(valid ? %d : 0) : "memory"'):format(cache, bytes, bytes), 1, true), cache)
        end
        assert.is_truthy(text:find('asm volatile("cp.async.wait_all;" ::: "memory")', 1, true))
        assert.is_truthy(text:find('asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) '
            .. ': "r"(pair));', 1, true))
        assert.is_truthy(text:find('asm("prmt.b32 %0, %1, %2, %3;" : "=r"(chosen) : "r"(low), "r"(high), "r"(choice));',
            1, true))
    end)
end)
