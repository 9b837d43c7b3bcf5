--- safetensors: what is read, what is refused and why, what is written.

local ffi = require "ffi"

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local TYPES = "spec/fixtures/storage_types.safetensors"
local PLAIN = "spec/fixtures/storage_plain.safetensors"

describe("safetensors", function()
    local folder, path

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-safetensors")
        path = folder .. "/file.safetensors"
    end)

    teardown(function()
        fs.remove(folder)
    end)

    local function put(text)
        os.remove(path) -- some file systems flush a file that is truncated and written again
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
    end

    --- A file of this header and data, with the true length in front unless given.
    local function build(header, data, length)
        length = length or #header
        put(ffi.string(ffi.new("uint64_t[1]", length), 8) .. header .. (data or ""))
    end

    local function refuses(pattern, header, data, length)
        build(header, data, length)
        local file, message = storage.open(path)
        assert.is_nil(file)
        assert.are.equal(path, message:sub(1, #path))
        assert.matches(pattern, message)
    end

    describe("reading", function()
        it("lists names, dtypes and shapes of a file written by the reference implementation", function()
            local file = assert(storage.open(TYPES))
            assert.are.same({ "bf16", "bool", "empty", "f16", "f32", "f64", "i16", "i32", "i64", "i8", "scalar", "u8" },
                file:names())
            assert.are.same({ dtype = "BF16", dims = { 2, 3 }, bytes = 12, native = "bf16" }, file:info "bf16")
            assert.are.same({ dtype = "F64", dims = { 2, 3 }, bytes = 48 }, file:info "f64")
            assert.are.same({ dtype = "F32", dims = {}, bytes = 4, native = "f32" }, file:info "scalar")
            assert.are.same({ dtype = "F32", dims = { 0, 4 }, bytes = 0, native = "f32" }, file:info "empty")
            assert.is_nil(file:info "absent")
            assert.is_true(file:has "u8")
            assert.is_false(file:has "u9")
            assert.are.same({ format = "pt" }, file:metadata())
            file:close()
            file:close()
            assert.has_error(function() file:names() end)
        end)

        it("converts every float dtype into every other", function()
            local file = assert(storage.open(TYPES))
            local exact = { 0, -1.5, 3.25, 60000, 1e-7, 0.1 }
            local ulp = { f64 = 2 ^ -24, f32 = 2 ^ -24, f16 = 2 ^ -11, bf16 = 2 ^ -8 }
            for source, source_error in pairs(ulp) do
                for _, target in ipairs { "f32", "f16", "bf16" } do
                    local t = tensor.new(target, { 2, 3 })
                    assert(file:read(source, t))
                    local flat = t:view(6):tolist()
                    for i, want in ipairs(exact) do
                        -- Half precision has steps of 2^-24 near zero.
                        local floor = (source == "f16" or target == "f16") and 2 ^ -25 or 0
                        local allowed = math.abs(want) * (source_error + ulp[target]) + floor
                        assert.is_true(math.abs(flat[i] - want) <= allowed,
                            ("%s to %s: %g for %g"):format(source, target, flat[i], want))
                    end
                end
            end
        end)

        it("rounds a double to bf16 and f16 once", function()
            -- Just above a midpoint of the short type, but at it after rounding to f32.
            local cases = {
                { "bf16", 1 + 2 ^ -8 + 2 ^ -40, 1 + 2 ^ -7 }, { "f16", 1 + 2 ^ -11 + 2 ^ -40, 1 + 2 ^ -10 },
                { "bf16", 1 + 2 ^ -8, 1 }, { "f16", 1 + 2 ^ -11, 1 },
                { "bf16", 1e300, math.huge }, { "f16", -1e300, -math.huge }, { "f16", 65519.9, 65504 },
                { "f16", 2 ^ -26, 0 }, { "f16", 2 ^ -25 + 2 ^ -60, 2 ^ -24 },
            }
            for _, case in ipairs(cases) do
                build('{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}',
                    ffi.string(ffi.new("double[1]", case[2]), 8))
                local t = tensor.new(case[1], { 1 })
                assert(storage.open(path):read("x", t))
                assert.are.equal(case[3], t:item())
            end
        end)

        it("keeps NaN as NaN", function()
            build('{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}', ffi.string(ffi.new("double[1]", 0 / 0), 8))
            for _, dtype in ipairs { "f32", "bf16", "f16" } do
                local t = tensor.new(dtype, { 1 })
                assert(storage.open(path):read("x", t))
                assert.is_true(t:item() ~= t:item())
            end
        end)

        it("converts integers that fit and refuses those that do not", function()
            local file = assert(storage.open(TYPES))
            local i64, i32, i8 = tensor.new("i64", { 3 }), tensor.new("i32", { 3 }), tensor.new("i8", { 3 })
            for name, want in pairs { i32 = { -70000, 0, 7 }, i16 = { -300, 0, 7 }, u8 = { 0, 7, 255 },
                bool = { 1, 0, 1 }, i8 = { -128, 0, 127 } } do
                assert(file:read(name, i64))
                assert(file:read(name, i32))
                for i = 1, 3 do
                    assert.are.equal(want[i], tonumber(i64:tolist()[i]))
                    assert.are.equal(want[i], i32:tolist()[i])
                end
            end
            assert(file:read("i8", i8))
            assert.are.same({ -128, 0, 127 }, i8:tolist())
            assert.error_matches(function() file:read("i64", i32) end, "i64 holds a value that does not fit i32")
            assert.error_matches(function() file:read("u8", i8) end, "u8 holds a value that does not fit i8")
        end)

        it("refuses to turn floats into integers, and a wrong shape", function()
            local file = assert(storage.open(TYPES))
            assert.error_matches(function() file:read("f32", tensor.new("i32", { 2, 3 })) end,
                "f32 is F32, which does not convert to i32")
            assert.error_matches(function() file:read("i8", tensor.new("f32", { 3 })) end,
                "i8 is I8, which does not convert to f32")
            assert.error_matches(function() file:read("f32", tensor.new("f32", { 3, 2 })) end,
                "f32 is %[2,3%], expected %[3,2%]")
            assert.error_matches(function() file:read("f32", tensor.new("f32", { 3, 2 }):transpose(1, 2)) end,
                "not contiguous")
            assert.error_matches(function() file:read("absent", tensor.new("f32", { 1 })) end, "has no tensor absent")
        end)

        it("reads tensors larger than the conversion buffer", function()
            local n = 300000
            local t = tensor.new("f32", { n })
            local data = t:data_ptr "float"
            for i = 0, n - 1 do data[i] = i % 251 end
            assert(storage.save(path, { { name = "t", tensor = t } }))
            local low = tensor.new("bf16", { n })
            assert(storage.open(path):read("t", low))
            local back = low:tolist()
            for _, i in ipairs { 1, 131071, 131072, 131073, 262145, n } do
                assert.are.equal((i - 1) % 251, back[i])
            end
        end)
    end)

    describe("a broken file", function()
        it("is refused when it is missing, empty, or something else", function()
            assert.are.same({ nil, folder .. "/none: cannot open: no such file or folder" },
                { storage.open(folder .. "/none") })
            assert.matches("not a regular file", select(2, storage.open(folder)))
            put ""
            assert.matches("not a safetensors file: 0 bytes", select(2, storage.open(path)))
            put(("plain text, "):rep(100))
            assert.matches("not a safetensors file: its header would have", select(2, storage.open(path)))
        end)

        it("is refused when it is cut anywhere", function()
            local whole = assert(fs.read(PLAIN))
            for size = 0, #whole - 1 do
                put(whole:sub(1, size))
                local file, message = storage.open(path)
                assert.is_nil(file, "cut at " .. size)
                assert.is_truthy(message:find("truncated", 1, true) or message:find("too few", 1, true), message)
            end
        end)

        it("is named in one line without control characters", function()
            build('{"a\\n\\u001b[2J":{"dtype":"I8","shape":[3],"data_offsets":[0,2]}}', "ab")
            local message = select(2, storage.open(path))
            assert.is_nil(message:find "%c")
            assert.is_truthy(message:find("tensor a\\n\\x1b[2J takes bytes 0 to 2", 1, true), message)
        end)

        it("opens where white space precedes the header, as its reference implementation does", function()
            build(' \n\t{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            assert.are.same({ "a" }, assert(storage.open(path)):names())
        end)

        it("opens whatever the dtype of a tensor is, and refuses to read one that it cannot convert", function()
            for _, case in ipairs { { "F8_E8M0", "[2]" }, { "F8_E4M3", "[2]" }, { "F8_E5M2", "[1,2]" },
                { "F8_E4M3FNUZ", "[2]" }, { "F8_E5M2FNUZ", "[2]" }, { "F4", "[2,2]" }, { "F6_E2M3", "[0]", 0 },
                { "F6_E3M2", "[0,3]", 0 }, { "C64", "[0]", 0 }, { "F31_OF_TOMORROW", "[7,7]" } } do
                local bytes = case[3] or 2
                build(('{"a":{"dtype":"%s","shape":%s,"data_offsets":[0,%d]},"b":{"dtype":"F32","shape":[1],'
                    .. '"data_offsets":[%d,%d]}}'):format(case[1], case[2], bytes, bytes, bytes + 4),
                    ("x"):rep(bytes) .. "\0\0\128\63")
                local file = assert(storage.open(path))
                local info = file:info "a"
                assert.are.equal(case[1], info.dtype)
                assert.is_nil(info.native)
                local one, other = tensor.new("f32", { 1 }), tensor.new("f32", info.dims)
                assert(file:read("b", one))
                assert.are.same({ 1 }, one:tolist())
                local ok, message = file:read("a", other)
                assert.is_nil(ok)
                assert.are.equal(path .. ": a is " .. case[1]
                    .. ", which is not implemented; convert the file to F32 first", message)
                file:close()
            end
        end)

        it("is refused for each breach of the format", function()
            local good = '{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}'
            build(good, "ab")
            assert.is_truthy(storage.open(path))
            refuses("truncated", good, "a")
            refuses("bytes follow the last tensor", good, "abc")
            refuses("truncated, or not a safetensors", good, "ab", 60000)
            refuses("does not start with '{'", " x" .. good, "ab")
            refuses("after the closing", good .. "x", "ab")
            refuses("after the closing", good .. good, "ab")
            refuses("hole or an overlap", '{"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}', "ab")
            refuses("hole or an overlap", '{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},'
                .. '"b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}}', "abc")
            refuses("appears twice", '{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},'
                .. '"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}', "ab")
            refuses("appears twice", '{"__metadata__":{"k":"1","k":"2"}}')
            refuses("__metadata__ given twice", '{"__metadata__":{},"__metadata__":{}}')
            refuses("expected a string", '{"__metadata__":{"k":1}}')
            refuses("not its shape times its dtype", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("not its shape times its dtype",
                '{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}')
            refuses("not its shape times its dtype", '{"a":{"dtype":"I8","shape":[2],"data_offsets":[2,0]}}', "ab")
            for _, shape in ipairs { "[4294967296,4294967296]", "[0,4611686018427387904,4611686018427387904]" } do
                for _, dtype in ipairs { "F65", "F32" } do
                    refuses("not its shape times its dtype", ('{"a":{"dtype":"%s","shape":%s,"data_offsets":[0,0]}}')
                        :format(dtype, shape))
                end
            end
            refuses("unknown dtype F31", '{"a":{"dtype":"F31' .. ("x"):rep(40)
                .. '","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("not its shape times its dtype F4", '{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', "ab")
            refuses("not its shape times its dtype F6_E2M3", '{"a":{"dtype":"F6_E2M3","shape":[4],'
                .. '"data_offsets":[0,2]}}', "ab")
            refuses("not its shape times its dtype F99",
                '{"a":{"dtype":"F99","shape":[4611686018427387904,2],"data_offsets":[0,2]}}', "ab")
            refuses("not its shape times its dtype F99", '{"a":{"dtype":"F99","shape":[2],"data_offsets":[2,0]}}',
                "ab")
            refuses("without dtype, shape", '{"a":{"dtype":"I8","shape":[2]}}', "ab")
            refuses("field given twice", '{"a":{"dtype":"I8","dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("unknown field", '{"a":{"kind":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("two integers", '{"a":{"dtype":"I8","shape":[2],"data_offsets":[2]}}', "ab")
            refuses("list too long", '{"a":{"dtype":"I8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}', "a")
            refuses("non%-negative integer", '{"a":{"dtype":"I8","shape":[-2],"data_offsets":[0,2]}}', "ab")
            refuses("fraction or exponent", '{"a":{"dtype":"I8","shape":[2.0],"data_offsets":[0,2]}}', "ab")
            refuses("leading zero", '{"a":{"dtype":"I8","shape":[02],"data_offsets":[0,2]}}', "ab")
            refuses("too large", '{"a":{"dtype":"I8","shape":[9223372036854775808],"data_offsets":[0,2]}}', "ab")
            refuses("control character", '{"a\n":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("not UTF%-8", '{"a\255":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("not UTF%-8", '{"\192\128":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("NUL", '{"a\\u0000":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("lone surrogate", '{"\\ud800":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("unknown escape", '{"\\x":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', "ab")
            refuses("string without an end", '{"a\\')
            refuses("expected ',' or '}'", '{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}', "ab")
            refuses("expected a string", '{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},}', "ab")
        end)

        it("never crashes the reader, whatever bits are flipped", function()
            local whole = assert(fs.read(TYPES))
            local header = 8 + tonumber(ffi.cast("const uint64_t *", whole)[0])
            local state = 12345
            local function random(n)
                state = (state * 1103515245 + 12345) % 2 ^ 31
                return math.floor(state / 2 ^ 31 * n)
            end
            local refused = 0
            for _ = 1, 3000 do
                local bytes = ffi.new("uint8_t[?]", #whole)
                ffi.copy(bytes, whole, #whole)
                for _ = 0, random(3) do
                    local at = random(header)
                    bytes[at] = bit.bxor(bytes[at], bit.lshift(1, random(8)))
                end
                put(ffi.string(bytes, #whole))
                local file, message = storage.open(path)
                if file then
                    for _, name in ipairs(file:names()) do
                        local info = file:info(name)
                        local t = #info.dims <= 4 and info.native and tensor.new(info.native, info.dims)
                        if t then assert(file:read(name, t)) end
                    end
                    file:close()
                else
                    refused = refused + 1
                    assert.are.equal(path, message:sub(1, #path))
                end
            end
            assert.is_true(refused > 2000)
        end)
    end)

    describe("writing", function()
        it("gives the reference implementation's bytes", function()
            local file = assert(storage.open(PLAIN))
            local list = {}
            for i, name in ipairs(file:names()) do
                local info = file:info(name)
                local t = tensor.new(info.native, info.dims)
                assert(file:read(name, t))
                list[i] = { name = name, tensor = t }
            end
            assert(storage.save(path, list, { format = "pt" }))
            assert.are.equal(fs.read(PLAIN), fs.read(path))
        end)

        it("is independent of the order, aligns the data and keeps unusual names", function()
            local a, b = tensor.from({ 1, 2, 3 }, "f32"), tensor.from({ 5 }, "i8")
            local odd = "quote \" slash \\ line \n tab \t é 😀"
            local names = { { name = "b", tensor = b }, { name = odd, tensor = a }, { name = "a", tensor = a } }
            assert(storage.save(path, names, { x = "1", [odd] = odd, y = "2" }))
            local first = fs.read(path)
            assert(storage.save(path, { names[3], names[1], names[2] }, { y = "2", x = "1", [odd] = odd }))
            assert.are.equal(first, fs.read(path))
            assert.are.equal(0, tonumber(ffi.cast("const uint64_t *", first)[0]) % 8)
            local opened = assert(storage.open(path))
            assert.are.equal(odd, opened:metadata()[odd])
            local back = tensor.new("f32", { 3 })
            assert(opened:read(odd, back))
            assert.are.same({ 1, 2, 3 }, back:tolist())
        end)

        it("refuses what the format cannot hold", function()
            local t = tensor.from({ { 1, 2 }, { 3, 4 } }, "f32")
            assert.error_matches(function() storage.save(path, { { name = "t", tensor = t:transpose(1, 2) } }) end,
                "t is not contiguous")
            assert.error_matches(function() storage.save(path, { { name = "__metadata__", tensor = t } }) end,
                "cannot be called __metadata__")
            local saved, message = storage.save(path, { { name = "t", tensor = t }, { name = "t", tensor = t } })
            assert.is_nil(saved)
            assert.matches("appears twice", message)
            saved, message = storage.save(path, { { name = "\255", tensor = t } })
            assert.is_nil(saved)
            assert.matches("not UTF%-8", message)
        end)

        it("leaves the older file alone when it fails", function()
            local t = tensor.from({ 1, 2 }, "f32")
            assert(storage.save(path, { { name = "t", tensor = t } }))
            local before = fs.read(path)
            assert.is_nil((storage.save(path, { { name = "\255", tensor = t } })))
            assert.are.equal(before, fs.read(path))
            assert.are.same({ "file.safetensors" }, fs.list(folder))
            local saved, message = storage.save(folder .. "/no/such/x", { { name = "t", tensor = t } })
            assert.is_nil(saved)
            assert.are.equal(folder .. "/no/such/x: cannot create: no such file or folder", message)
        end)
    end)
end)
