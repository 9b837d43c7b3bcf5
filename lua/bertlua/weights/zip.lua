--- Members of a zip archive (APPNOTE 6.3, with zip64): where their bytes are.
--
-- Only uncompressed members can be read in place; those of PyTorch and numpy.savez are. A member's bytes are compared
-- with its CRC-32 before anything is taken from them.
-- @module bertlua.weights.zip

local ByteReader = require "bertlua.weights.byte_reader"
local fault = require "bertlua.fault"
local printable = require "bertlua.printable"
local storage = require "bertlua.storage"

local zip = {}

local END, END64, LOCATOR64 = "PK\5\6", "PK\6\6", "PK\6\7"
local ENTRY, LOCAL = "PK\1\2", "PK\3\4"
local END_BYTES, LONGEST_COMMENT = 22, 65535
local MAX_MEMBERS, MAX_NAMES = 100000, 64 * 2 ^ 20
local STORED = 0

local function little(text, first, n)
    local value = 0
    for i = first + n - 1, first, -1 do value = value * 256 + text:byte(i) end
    return value
end

--- Offset of the end record, which may be followed by a comment.
local function find_end(reader)
    local first = math.max(0, reader.size - END_BYTES - LONGEST_COMMENT)
    reader:seek(first)
    local tail = reader:bytes(reader.size - first)
    for at = #tail - END_BYTES + 1, 1, -1 do
        if tail:byte(at) == 0x50 and tail:sub(at, at + 3) == END
            and at + END_BYTES - 1 + little(tail, at + 20, 2) == #tail then
            return first + at - 1
        end
    end
    fault.raisef("%s: truncated zip archive: its directory is missing; fetch or save it again", reader.path)
end

--- Number of members, offset of the directory, and of what follows it.
local function directory(reader)
    local at = find_end(reader)
    local stop = at
    reader:seek(at)
    local text = reader:bytes(END_BYTES)
    local count, offset = little(text, 11, 2), little(text, 17, 4)
    reader:seek(math.max(at - 20, 0))
    text = reader:bytes(math.min(at, 20))
    if text:sub(1, 4) == LOCATOR64 then
        -- PyTorch writes it whether or not it is needed.
        stop = little(text, 9, 8)
        if count == 0xFFFF or offset == 0xFFFFFFFF then
            reader:seek(stop)
            text = reader:bytes(56)
            if text:sub(1, 4) ~= END64 then fault.raisef("%s: broken zip archive: no zip64 directory", reader.path) end
            count, offset = little(text, 33, 8), little(text, 49, 8)
        end
    end
    if count > MAX_MEMBERS then
        fault.raisef("%s: zip archive with %.0f members, expected at most %d", reader.path, count, MAX_MEMBERS)
    end
    return count, offset, stop
end

--- Values of 2^32 and more are in an extra field, in this order, if the short field is all ones.
local function read_zip64(extra, fields)
    local at = 1
    while at + 3 <= #extra do
        local id, length = little(extra, at, 2), little(extra, at + 2, 2)
        if id == 1 then
            local from = at + 4
            for _, field in ipairs { "size", "packed", "offset" } do
                if fields[field] == 0xFFFFFFFF and from + 7 <= math.min(#extra, at + 3 + length) then
                    fields[field] = little(extra, from, 8)
                    from = from + 8
                end
            end
            return
        end
        at = at + 4 + length
    end
end

local function read_entry(reader)
    local text = reader:bytes(46)
    if text:sub(1, 4) ~= ENTRY then
        fault.raisef("%s: broken zip archive: no member at byte %.0f of its directory", reader.path,
            reader.position - 46)
    end
    local member = { flags = little(text, 9, 2), method = little(text, 11, 2), crc = little(text, 17, 4),
        packed = little(text, 21, 4), size = little(text, 25, 4), offset = little(text, 43, 4) }
    local name_length, extra_length, comment_length = little(text, 29, 2), little(text, 31, 2), little(text, 33, 2)
    member.name = reader:bytes(name_length)
    read_zip64(reader:bytes(extra_length), member)
    reader:skip(comment_length)
    return member
end

--- Read the directory.
-- @tparam string path
-- @return members by name: {name, size, method, ...}; and their names in order
function zip.open(path)
    local reader = ByteReader.open(path)
    local count, offset, stop = directory(reader)
    reader:seek(offset)
    local members, names, name_bytes, packed = {}, {}, 0, 0
    for i = 1, count do
        local member = read_entry(reader)
        if members[member.name] then fault.raisef("%s: zip archive with two members of the same name", path) end
        members[member.name], names[i] = member, member.name
        name_bytes, packed = name_bytes + #member.name, packed + member.packed
        if name_bytes > MAX_NAMES then
            fault.raisef("%s: broken zip archive: its names take more than %d bytes", path, MAX_NAMES)
        end
    end
    -- Otherwise members would be left out in silence.
    if reader.position ~= stop then
        fault.raisef("%s: broken zip archive: its directory of %d members ends at byte %.0f, expected %.0f", path,
            count, reader.position, stop)
    end
    reader:close()
    -- Members that share bytes make the work of reading them all far larger than the file.
    if packed > reader.size then
        fault.raisef("%s: broken zip archive: its members would take %.0f bytes, the file has %.0f", path, packed,
            reader.size)
    end
    return members, names
end

--- Compare a member's bytes with its checksum.
local function check_bytes(path, member, offset)
    -- torch.serialization.set_crc32_options(false) leaves it out: 0.
    if member.crc == 0 then return end
    local crc = fault.check(storage.file_crc32(path, offset, member.size))
    if crc ~= member.crc then
        fault.raisef("%s: member %s is damaged: its CRC-32 is %08x, expected %08x; fetch or save the file again", path,
            printable.text(member.name), crc, member.crc)
    end
end

--- Where a member's bytes are in the file; a fault if they are not as they were written.
-- @return offset, length
function zip.locate(path, member)
    if member.flags % 2 == 1 then fault.raisef("%s: member %s is encrypted", path, member.name) end
    if member.method ~= STORED or member.size ~= member.packed then
        fault.raisef("%s: member %s is compressed: save it uncompressed (as torch.save and numpy.savez do)", path,
            member.name)
    end
    local reader = ByteReader.open(path, member.offset)
    local text = reader:bytes(30)
    if text:sub(1, 4) ~= LOCAL then fault.raisef("%s: broken zip archive: no member %s", path, member.name) end
    local name = reader:bytes(little(text, 27, 2))
    if name ~= member.name then
        fault.raisef("%s: broken zip archive: member %s is called %s in the directory", path, printable.text(name),
            printable.text(member.name))
    end
    reader:skip(little(text, 29, 2) + member.size)
    local offset = reader.position - member.size
    reader:close()
    check_bytes(path, member, offset)
    return offset, member.size
end

return zip
