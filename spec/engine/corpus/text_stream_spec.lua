--- Texts in any encoding, compressed or not, as checked UTF-8.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local text_stream = require "bertlua.text_stream"

local function bytes(hex)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local TEXT = "Grüße.\n"
-- TEXT by gzip -n, bzip2, xz, zstd.
local PACKED = {
    gzip = bytes "1f8b0800000000000003732f3abce7f0fc543d2e0095302acc09000000",
    bzip2 = bytes("425a6839314159265359d1df9bc400000155ac00100001008002001000000080040800200022069a7a10c08c5af8a082"
        .. "ee48a70a121a3bf37880"),
    xz = bytes("fd377a585a000004e6d6b4460200210116000000742fe5a30100084772c3bcc39f652e0a00000000977f0db9ee673f7e0001"
        .. "21096c18c5d51fb6f37d010000000004595a"),
    zstd = bytes "28b52ffd24094900004772c3bcc39f652e0a3eb54b66",
}
local PROGRAM = { xz = "xz", zstd = "zstd" }

describe("text_stream", function()
    local folder
    setup(function() folder = process.temporary_folder() end)
    teardown(function() fs.remove(folder) end)

    --- What a file of these bytes reads as; or nil and the message, in which its path is FILE.
    local function read(content, options)
        local path = folder .. "/text"
        assert(fs.write(path, content))
        local stream, message = text_stream.open(path, options)
        local parts = {}
        while stream and not message and parts[#parts] ~= "" do
            parts[#parts + 1], message = stream:read()
        end
        local format = stream and stream:describe()
        if stream then stream:close() end
        if message then return nil, (message:gsub(path:gsub("%p", "%%%0"), "FILE")) end
        return table.concat(parts), format
    end

    local function installed(program)
        return select(2, process.run("command -v " .. program)) == 0
    end

    it("gives plain UTF-8 as it is, across its own pieces", function()
        for _, text in ipairs { "", "a", TEXT, "a\r\nb\rc\n", ("ä"):rep(600001) .. "\n" .. ("語"):rep(400001) } do
            local found, format = read(text)
            assert.are.equal(text, found)
            assert.are.equal(#text, format.position)
            assert.are.equal(#text, format.file_bytes)
            assert.is_true(format.regular)
            assert.is_nil(format.packing)
        end
    end)

    it("decompresses what its first bytes say is compressed", function()
        for packing, content in pairs(PACKED) do
            if not PROGRAM[packing] or installed(PROGRAM[packing]) then
                local text, format = read(content)
                assert.are.equal(TEXT, text)
                assert.are.equal(packing, format.packing)
                -- Several members are one text, as for gzip -d and its kin.
                assert.are.equal(TEXT .. TEXT, read(content .. content))
            end
        end
        assert.are.equal(TEXT, read(PACKED.gzip .. ("\0"):rep(512)))
        assert.are.equal("BZhello is a word", read "BZhello is a word")
    end)

    it("refuses compressed data that are damaged, incomplete or followed by something else", function()
        for packing, content in pairs(PACKED) do
            if not PROGRAM[packing] or installed(PROGRAM[packing]) then
                local expected = ("^FILE: its %s data are "):format(packing)
                for length = 8, #content - 1 do
                    local text, message = read(content:sub(1, length))
                    assert.is_nil(text, packing .. length)
                    assert.is_truthy(message:find(expected), message)
                    if PROGRAM[packing] and length > 12 then break end
                end
                local _, message = read(content .. "hello and more")
                assert.is_truthy(message:find(expected), message)
            end
        end
    end)

    it("names the package of a program that is missing", function()
        local stdlib = require "posix.stdlib"
        local path = os.getenv "PATH"
        stdlib.setenv("PATH", folder)
        local _, xz = read(PACKED.xz)
        local _, zstd = read(PACKED.zstd)
        stdlib.setenv("PATH", path)
        assert.are.equal("FILE: compressed with xz, but there is no program xz: apt-get install xz-utils", xz)
        assert.are.equal("FILE: compressed with zstd, but there is no program zstd: apt-get install zstd", zstd)
    end)

    it("ends the program when it is closed early", function()
        if not installed "xz" then return end
        local path = folder .. "/large.xz"
        assert.are.equal(0, select(2, process.run("head -c 20000000 /dev/zero | tr '\\0' 'a' | xz -0 > " .. path)))
        local stream = assert(text_stream.open(path))
        assert.are.equal("a", stream:read():sub(1, 1))
        local mine = require("posix.unistd").getpid()
        local before = #process.children(mine)
        stream:close()
        assert.are.equal(before - 1, #process.children(mine))
    end)

    it("finds out byte order marks", function()
        for mark, encoding in pairs {
            ["\239\187\191Gr\195\188n\n"] = "UTF-8", ["\255\254G\0r\0\252\0n\0\n\0"] = "UTF-16LE",
            ["\254\255\0G\0r\0\252\0n\0\n"] = "UTF-16BE",
            ["\255\254\0\0G\0\0\0r\0\0\0\252\0\0\0n\0\0\0\n\0\0\0"] = "UTF-32LE",
            ["\0\0\254\255\0\0\0G\0\0\0r\0\0\0\252\0\0\0n\0\0\0\n"] = "UTF-32BE",
        } do
            for _, named in ipairs { false, "windows-1252" } do
                local text, format = read(mark, { encoding = named or nil })
                assert.are.equal("Grün\n", text)
                assert.are.equal(encoding, format.encoding)
            end
        end
    end)

    it("reads the encoding that is named", function()
        assert.are.equal("Grün €\n", read("Gr\252n \128\n", { encoding = "windows-1252" }))
        assert.are.equal("日本\n", read("\147\250\150\123\n", { encoding = "Shift_JIS" }))
        -- One with states, in the other set at its end.
        assert.are.equal("日", read("\27$BF|", { encoding = "ISO-2022-JP" }))
        assert.are.equal("aä", read("aä", { encoding = "utf8" }))
        for _, name in ipairs { "latin-foo", "", "UTF-8//TRANSLIT", ("x"):rep(100) } do
            local text, message = read("a", { encoding = name })
            assert.is_nil(text)
            assert.is_truthy(message:find("is not known: iconv -l lists the names", 1, true), message)
            assert.is_nil((text_stream.check_encoding(name)))
        end
    end)

    it("names the byte that is not text", function()
        local function refused(expected, content, options)
            local text, message = read(content, options)
            assert.is_nil(text)
            assert.are.equal("FILE: " .. expected, message)
        end
        local convert = "; convert the file (iconv -t UTF-8)"
        refused("byte 2: invalid UTF-8 (0xe9)" .. convert, "ab\233cd efgh\n")
        refused("byte 2: invalid UTF-8 (0xc3)" .. convert, "ab\195")
        refused("byte 1500000: invalid UTF-8 (0xff)" .. convert, ("a"):rep(1500000) .. "\255" .. ("b"):rep(10))
        refused("byte 1: a NUL byte: is this text?", "a\0bcdefghijklmnop")
        refused("byte 1: not UTF-8: it looks like UTF-16LE without a byte order mark; convert the file (iconv -f "
            .. "UTF-16LE -t UTF-8)", "a\0b\0c\0\n\0")
        refused("byte 0: not UTF-8: it looks like UTF-16BE without a byte order mark; convert the file (iconv -f "
            .. "UTF-16BE -t UTF-8)", "\0a\0b\0c\0\n")
        refused("byte 2: not Shift_JIS (0xa0); name another --encoding, or continue with --invalid-utf8 replace",
            "ab\160\1", { encoding = "Shift_JIS" })
        refused("byte 4: not UTF-16LE (0x61); name another --encoding, or continue with --invalid-utf8 replace",
            "\255\254b\0a")
        refused("holds NUL characters when it is read as UTF-16BE: is that its encoding?", "\0a\0\0",
            { encoding = "UTF-16BE" })
        refused("byte 3 of what is compressed in it: invalid UTF-8 (0xe9)" .. convert,
            bytes "1f8b08000000000000034b4c4a7ec90500aa42a7d605000000")
        refused("a .zip archive (or .docx, .epub): unpack it, and name the text files", "PK\3\4...")
        refused("a Parquet file: write its texts as JSON lines or plain text", "PAR1...")
        refused("a tar archive: unpack it (tar -xf), and name the text files",
            "name" .. ("\1"):rep(253) .. "ustar" .. ("\1"):rep(300))
        assert.are.equal(folder .. ": it is a folder, expected a text file", select(2, text_stream.open(folder)))
    end)

    it("replaces what is not text on request, and counts it", function()
        local text, format = read("\255A b\255\254d.\nEnds in \195", { replace = true })
        assert.are.equal("\239\191\189A b\239\191\189\239\191\189d.\nEnds in \239\191\189", text)
        assert.are.equal(4, format.replaced)
        text, format = read("a\0\0\216b\0", { replace = true, encoding = "UTF-16LE" })
        assert.are.equal("a\239\191\189b", text)
        assert.are.equal(2, format.replaced)
    end)

    it("takes CR alone for a line end where there is no other", function()
        local text, format = read "One.\rTwo.\r\rThree.\r"
        assert.are.equal("One.\nTwo.\n\nThree.\n", text)
        assert.are.equal("cr", format.line_ends)
        text, format = read "One.\r\nTwo.\r"
        assert.are.equal("One.\r\nTwo.\r", text)
        assert.are.equal("lf", format.line_ends)
    end)

    it("reads pipes and standard input", function()
        local program = folder .. "/program.lua"
        assert(fs.write(program, [[
            local stream = assert(require("bertlua.text_stream").open(arg[1]))
            repeat
                local piece = assert(stream:read())
                io.write(piece)
            until piece == ""
            io.write(tostring(stream:describe().regular))
        ]]))
        assert(fs.write(folder .. "/packed", PACKED.gzip))
        for _, way in ipairs { "cat %s | %s %s -", "%s %s /dev/stdin < <(cat %s)" } do
            local command = way:find "^cat" and way:format(folder .. "/packed", process.bertlua, program)
                or way:format(process.bertlua, program, folder .. "/packed")
            local output, code = process.run("bash -c " .. process.quote(command))
            assert.are.equal(0, code, output)
            assert.are.equal(TEXT .. "false", output)
        end
    end)
end)
