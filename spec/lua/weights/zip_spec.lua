--- Where the members of a zip archive are. Archives by PyTorch and numpy: spec/lua/weights/formats_spec.lua.

local fs = require "bertlua.util.fs"
local zip = require "bertlua.weights.zip"

local function little(value, bytes)
    local text = {}
    for i = 1, bytes do
        text[i] = string.char(value % 256)
        value = math.floor(value / 256)
    end
    return table.concat(text)
end

--- An archive of members {name, data, flags, method, packed, crc, zip64}.
-- @param options comment; zip64: 64-bit offset and length of the directory too
local function archive(members, options)
    options = options or {}
    local parts, entries, at = {}, {}, 0
    for i, m in ipairs(members) do
        local sizes = little(m.packed or #m.data, 4) .. little(#m.data, 4)
        local first = little(20, 2) .. little(m.flags or 0, 2) .. little(m.method or 0, 2) .. little(0, 4)
        -- Where the size follows the data (flag 8), only the directory has the checksum.
        local head = first .. little(m.flags == 8 and 0 or m.crc or 0, 4)
        local extra = m.zip64 and little(9, 2) .. little(2, 2) .. "ab" .. little(1, 2) .. little(24, 2)
            .. little(#m.data, 8) .. little(#m.data, 8) .. little(at, 8) or ""
        -- The two headers of a member may have extra fields of different length.
        local here = "PK\3\4" .. head .. sizes .. little(#m.name, 2) .. little(3, 2) .. m.name .. "xyz" .. m.data
        local full = ("\255"):rep(4)
        entries[i] = "PK\1\2" .. little(20, 2) .. first .. little(m.crc or 0, 4) .. (m.zip64 and full .. full or sizes)
            .. little(#m.name, 2) .. little(#extra, 2) .. little(4, 2) .. little(0, 8)
            .. (m.zip64 and full or little(at, 4)) .. m.name .. extra .. "note"
        parts[i], at = here, at + #here
    end
    local directory = table.concat(entries)
    local tail = ""
    if options.zip64 then
        tail = "PK\6\6" .. little(44, 8) .. little(45, 2) .. little(45, 2) .. little(0, 8)
            .. little(#members, 8) .. little(#members, 8) .. little(#directory, 8) .. little(at, 8)
            .. "PK\6\7" .. little(0, 4) .. little(at + #directory, 8) .. little(1, 4)
    end
    local comment = options.comment or ""
    local count, offset = #members, at
    if options.zip64 then count, offset = 0xFFFF, 0xFFFFFFFF end
    return table.concat(parts) .. directory .. tail .. "PK\5\6" .. little(0, 4) .. little(count, 2) .. little(count, 2)
        .. little(#directory, 4) .. little(offset, 4) .. little(#comment, 2) .. comment
end

describe("zip", function()
    local folder, path

    before_each(function()
        folder = assert(fs.temporary_folder())
        path = folder .. "/a.zip"
    end)
    after_each(function() fs.remove(folder) end)

    local function write(text) assert(fs.write(path, text)) end

    local function data_of(member)
        local offset, length = zip.locate(path, member)
        return fs.read(path):sub(offset + 1, offset + length)
    end

    local MEMBERS = { { name = "data.pkl", data = "pickle" }, { name = "data/0", data = ("0"):rep(70000) },
        { name = "empty", data = "" } }

    it("lists its members in order, and where their bytes are", function()
        write(archive(MEMBERS))
        local members, names = zip.open(path)
        assert.are.same({ "data.pkl", "data/0", "empty" }, names)
        for _, m in ipairs(MEMBERS) do
            assert.are.equal(#m.data, members[m.name].size)
            assert.are.equal(m.data, data_of(members[m.name]))
        end
    end)

    it("gives no bytes that differ from their checksum", function()
        -- Of "123456789", the check value of CRC-32.
        local check = 0xCBF43926
        for _, flags in ipairs { 0, 8 } do
            write(archive { { name = "a", data = "123456789", crc = check, flags = flags } })
            assert.are.equal("123456789", data_of(zip.open(path).a))
            write(archive { { name = "a", data = "123456788", crc = check, flags = flags } })
            assert.error_matches(function() zip.locate(path, zip.open(path).a) end, "a.zip: member a is damaged: its "
                .. "CRC%-32 is bcf309b0, expected cbf43926; fetch or save the file again$")
        end
        -- Written without one.
        write(archive { { name = "a", data = "123456788" } })
        assert.are.equal("123456788", data_of(zip.open(path).a))
    end)

    it("may end in a comment, even one that looks like an end", function()
        for _, comment in ipairs { "a comment", ("x"):rep(65535), "PK\5\6" .. ("\0"):rep(18) .. "not the end" } do
            write(archive(MEMBERS, { comment = comment }))
            assert.are.equal("pickle", data_of(zip.open(path)["data.pkl"]))
        end
    end)

    it("may have sizes and offsets in 64-bit fields", function()
        write(archive({ { name = "x", data = "before" }, { name = "y", data = "large", zip64 = true } },
            { zip64 = true }))
        local members, names = zip.open(path)
        assert.are.same({ "x", "y" }, names)
        assert.are.equal(5, members.y.size)
        assert.are.equal("large", data_of(members.y))
    end)

    it("refuses members that are not stored as they are", function()
        write(archive { { name = "secret", data = "x", flags = 1 }, { name = "odd", data = "xx", packed = 1 },
            { name = "packed", data = "xx", method = 8, packed = 1 } })
        local members = zip.open(path)
        assert.error_matches(function() zip.locate(path, members.secret) end, "member secret is encrypted$")
        assert.error_matches(function() zip.locate(path, members.packed) end, "member packed is compressed: ")
        assert.error_matches(function() zip.locate(path, members.odd) end, "member odd is compressed: ")
        members.packed.method, members.packed.packed, members.packed.offset = 0, 2, 1
        assert.error_matches(function() zip.locate(path, members.packed) end, "broken zip archive: no member packed$")
    end)

    it("is refused if its directory lists fewer members than it has, or by other names", function()
        local whole = archive { { name = "a", data = "first" }, { name = "b", data = "second" } }
        write(whole)
        assert.are.equal(2, #select(2, zip.open(path)))
        local at = #whole - 22
        write(whole:sub(1, at + 8) .. little(1, 2) .. little(1, 2) .. whole:sub(at + 13))
        assert.error_matches(function() zip.open(path) end, "broken zip archive: its directory of 1 members ends at "
            .. "byte %d+, expected " .. at)
        -- The local header of the second one.
        local second = assert(whole:find("PK\3\4", 5, true))
        write(whole:sub(1, second + 29) .. "c" .. whole:sub(second + 31))
        local members = zip.open(path)
        zip.locate(path, members.a)
        assert.error_matches(function() zip.locate(path, members.b) end,
            "broken zip archive: member c is called b in the directory")
    end)

    it("is refused if it is broken", function()
        local good = archive(MEMBERS)
        for text, pattern in pairs {
            [""] = "truncated zip archive: its directory is missing",
            [good:sub(1, -2)] = "truncated zip archive: its directory is missing",
            [good:gsub("PK\1\2", "PK\1\3", 1)] = "broken zip archive: no member at byte %d+ of its directory",
            [archive { MEMBERS[1], MEMBERS[1] }] = "zip archive with two members of the same name",
            -- Two members of which each claims most of the file.
            [archive { { name = "a", data = ("a"):rep(100), packed = 200 }, { name = "b", data = "", packed = 200 } }] =
                "broken zip archive: its members would take 400 bytes, the file has 292",
            [archive(MEMBERS, { zip64 = true }):gsub("PK\6\6", "PK\6\8", 1)] = "broken zip archive: no zip64 directory",
        } do
            write(text)
            assert.error_matches(function() zip.open(path) end, "a.zip: " .. pattern)
        end
    end)
end)
