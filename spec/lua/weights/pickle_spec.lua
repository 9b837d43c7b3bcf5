--- The pickle reader: plain data is read, everything else is refused by name, nothing runs, and damage does no harm.

local ByteReader = require "bertlua.weights.byte_reader"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local objects = require "bertlua.weights.objects"
local pickle = require "bertlua.weights.pickle"

describe("pickle", function()
    local root, path

    setup(function()
        root = assert(fs.temporary_folder "bertlua-pickle")
        path = root .. "/file.pkl"
    end)

    teardown(function() fs.remove(root) end)

    local function write(text)
        -- A new file each time: truncating an old one makes some file systems wait for the disk.
        os.remove(path)
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
    end

    --- The value of a pickle; or nil and the fault's message.
    local function load(text, options)
        write(text)
        local reader = ByteReader.open(path)
        local ok, value = pcall(pickle.load, reader, options or { globals = objects.globals })
        reader:close()
        if ok then return value end
        assert.is_true(fault.is(value), "not a fault: " .. tostring(value))
        assert.is_nil(value.message:find("\n", 1, true))
        return nil, value.message
    end

    it("reads the numbers of every instruction", function()
        local cases = {
            { "K\255.", 255 }, { "M\1\2.", 513 }, { "J\255\255\255\255.", -1 }, { "J\0\0\0\128.", -2 ^ 31 },
            { "\138\0.", 0 }, { "\138\1\255.", -1 }, { "\138\2\0\128.", -32768 }, { "\139\1\0\0\0\127.", 127 },
            { "G\63\240\0\0\0\0\0\0.", 1 }, { "G\192\9\33\251\84\68\45\24.", -math.pi },
            { "G\0\0\0\0\0\0\0\1.", 2 ^ -1074 },
            { "G\127\240\0\0\0\0\0\0.", math.huge }, { "I42\n.", 42 }, { "I-7\n.", -7 }, { "I01\n.", true },
            { "I00\n.", false }, { "L12L\n.", 12 }, { "F1.5e3\n.", 1500 }, { "\136.", true }, { "\137.", false },
        }
        for _, case in ipairs(cases) do assert.are.equal(case[2], load(case[1])) end
        local nan = load "G\127\248\0\0\0\0\0\0."
        assert.are_not.equal(nan, nan)
        assert.are.equal(pickle.NONE, load "N.")
    end)

    it("reads strings, containers, memo and frames", function()
        local value = load "\128\4\149\0\0\0\0\0\0\0\0}\148(\140\1a\148](K\1K\2e\140\1b(K\3K\4tu."
        assert.are.equal("dict", value.kind)
        assert.are.same({ "a", "b" }, value.keys)
        assert.are.same({ kind = "list", 1, 2 }, value.map.a)
        assert.are.same({ kind = "tuple", 3, 4 }, value.map.b)
        assert.are.same({ kind = "tuple", 1, 1 }, load "K\1q\5h\5\134.")
        assert.are.same({ kind = "tuple", 1, 2, 3 }, load "K\1K\2K\3\135.")
        assert.are.equal("x", load("(S'x'\nt.")[1].value)
        assert.are.equal("dict", load("ccollections\nOrderedDict\n)R}b.").kind)
    end)

    it("keeps long strings and bytes in the file", function()
        local long = load("X\0\32\0\0" .. ("a"):rep(8192) .. ".")
        assert.are.same({ kind = "text", offset = 5, length = 8192 }, long)
        assert.are.same({ kind = "bytes", offset = 2, length = 3 }, load "C\3abc.")
    end)

    describe("refuses", function()
        local marker

        before_each(function()
            marker = root .. "/pwned"
            os.remove(marker)
        end)

        local function refuses(name, text, options)
            local value, message = load(text, options)
            assert.is_nil(value)
            assert.matches(name, message)
            assert.matches("refused", message)
            assert.matches("nothing in it is run", message)
            assert.is_false(fs.exists(marker))
        end

        --- A protocol 4 text.
        local function short(text)
            return "\140" .. string.char(#text) .. text
        end

        it("calls of the shell, whatever instruction makes them", function()
            local command = "touch " .. marker
            local argument = short(command)
            refuses("os.system", "cos\nsystem\n(S'" .. command .. "'\ntR.")
            refuses("posix.system", "cposix\nsystem\n" .. argument .. "\133R.")
            refuses("subprocess.Popen", "\128\4" .. short "subprocess" .. short "Popen" .. "\147" .. argument
                .. "\133R.")
            refuses("os.system", "(S'" .. command .. "'\nios\nsystem\n.")
            refuses("os.system", "(cos\nsystem\nS'" .. command .. "'\no.")
            refuses("os.system", "\128\2cos\nsystem\n" .. argument .. "\133\129.")
            refuses("os.system", "\128\4cos\nsystem\n" .. argument .. "\133}\146.")
            refuses("builtins.eval", "c__builtin__\neval\n" .. argument .. "\133R.")
            refuses("builtins.exec", "\128\4" .. short "builtins" .. short "exec" .. "\147" .. argument .. "\133R.")
            refuses("builtins.getattr", "cbuiltins\ngetattr\n(ccollections\nOrderedDict\n" .. short "get" .. "tR.")
            refuses("torch.load", "ctorch\nload\n" .. argument .. "\133R.")
            refuses("numpy.load", "cnumpy\nload\n" .. argument .. "\133R.")
            refuses("runpy._run_code", "crunpy\n_run_code\n(tR.")
        end)

        it("the same nested in tensors, dictionaries and states, or via the memo", function()
            local evil = "cos\nsystem\n(S'touch " .. marker .. "'\ntR"
            refuses("os.system", "}(S'a'\n" .. evil .. "u.")
            refuses("os.system", "((((" .. evil .. "tttt.")
            refuses("os.system", "ccollections\nOrderedDict\n)R(S'_metadata'\n" .. evil .. "db.")
            refuses("os.system", "ctorch._utils\n_rebuild_tensor_v2\n(" .. evil .. "tR.")
            refuses("os.system", short "os" .. "\148" .. short "system" .. "\1480h\0h\1\147"
                .. short("touch " .. marker) .. "\133R.")
            refuses("os.system", short "system" .. "q\1" .. "0" .. short "os" .. "h\1\147.")
        end)

        it("instructions that build objects, even of known classes", function()
            refuses("collections.OrderedDict with NEWOBJ", "\128\2ccollections\nOrderedDict\n)\129.")
            refuses("collections.OrderedDict with NEWOBJ_EX", "\128\4ccollections\nOrderedDict\n)}\146.")
            refuses("collections.OrderedDict with INST", "(icollections\nOrderedDict\n.")
            refuses("collections.OrderedDict with OBJ", "(ccollections\nOrderedDict\no.")
            refuses("sets the state of a list with BUILD", "]}b.")
            refuses("sets the state of a global with BUILD", "ctorch\nFloatStorage\n}b.")
            refuses("calls torch.FloatStorage", "ctorch\nFloatStorage\nK\4\133R.")
            refuses("calls numpy.ndarray", "cnumpy\nndarray\nK\4\133R.")
            refuses("calls something that has no name", "K\1K\2\133R.")
            refuses("EXT1", "\130\1.")
            refuses("NEXT_BUFFER", "\151.")
            refuses("refers to an object by text", "Px\n.")
            refuses("refers to an object outside", "K\1Q.")
            refuses("makes an array of a class that is not numpy.ndarray",
                "cnumpy.core.multiarray\n_reconstruct\n(ctorch\nFloatStorage\nK\0\133C\1btR.")
            refuses("little%-endian", "cnumpy\ndtype\n(" .. short "f4" .. "\137\136tR(K\3" .. short ">"
                .. "NNNJ\255\255\255\255J\255\255\255\255K\0tb.")
            refuses("dtype O8", "cnumpy\ndtype\n(" .. short "O8" .. "\137\136tR.")
            refuses("_codecs.encode for something other", "c_codecs\nencode\n(" .. short "x" .. short "rot13" .. "tR.")
        end)

        it("persistent ids that are not storages", function()
            local options = { globals = objects.globals, persistent = objects.torch_storage }
            refuses("not a storage", "K\1Q.", options)
            refuses("not a storage", "(S'module'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nK\1tQ.", options)
            refuses("not a storage", "(S'storage'\nccollections\nOrderedDict\nS'0'\nS'cpu'\nK\1tQ.", options)
            refuses("view of a storage", "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nK\1(K\1ttQ.", options)
        end)
    end)

    it("says where a pickle is broken", function()
        for text, pattern in pairs {
            [""] = "truncated at byte 0", ["("] = "truncated", ["0."] = "lacks its operand",
            ["."] = "lacks its operand", ["(."] = "lacks its operand",
            ["t."] = "expects a mark", ["K\1a."] = "lacks its operand|expects a list",
            ["K\1K\1a."] = "expects a list", ["h\7."] = "memo 7 is not set", ["\255."] = "unknown instruction 0xff",
            ["\128\9."] = "protocol 9 is unknown", ["}(K\1u."] = "a key without a value", ["Ix\n."] = "not a number",
            ["X\255\255\255\255a."] = "truncated", ["\142\255\255\255\255\255\255\255\255."] = "truncated",
            ["\139\255\255\255\127."] = "too many digits", ["c" .. ("a"):rep(5000)] = "a line of more than",
            ["ccollections\nOrderedDict\nK\1R."] = "a call without arguments", ["K\1\147."] = "lacks its operand",
            ["K\1K\1\147."] = "a global without a name",
        } do
            local value, message = load(text)
            assert.is_nil(value, text)
            local found = false
            for option in pattern:gmatch "[^|]+" do found = found or message:find(option) ~= nil end
            assert.is_true(found, message)
        end
    end)

    it("is bounded: small files that would take much memory or time are refused", function()
        for _, text in ipairs {
            ("]"):rep(1100000), ("("):rep(1100000), "K\1" .. ("2"):rep(1100000), ("(1"):rep(1100000),
            "K\1" .. ("q\1"):rep(2100000),
            -- A list that is copied over and over.
            "](" .. ("K\1"):rep(2000) .. "eq\0" .. ("cbuiltins\nlist\nh\0\133R0"):rep(600),
        } do
            local value, message = load(text)
            assert.is_nil(value)
            assert.matches("more than 1000000 values", message)
        end
    end)

    it("never prints a file's control characters", function()
        local _, message = load "cos\27[31m\nsys\7tem\n."
        assert.matches("os%?%[31m.sys%?tem", message)
    end)

    it("survives random bytes", function()
        local state = 4711
        local function random(n)
            state = (state * 48271) % 2147483647
            return state % n
        end
        local codes = "(.0123aebc}]lstdu)hqpgRXUKMJNGVBCiofQ\128\129\133\134\135\136\137\138\140\147\148"
        for _ = 1, 3000 do
            local bytes = {}
            for i = 1, 1 + random(40) do
                local at = 1 + random(#codes)
                bytes[i] = random(3) > 0 and codes:sub(at, at) or string.char(random(256))
            end
            load(table.concat(bytes))
        end
    end)
end)
