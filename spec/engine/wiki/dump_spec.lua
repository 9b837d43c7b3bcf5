--- MediaWiki dumps: pages, ranges, bzip2 in every form, and files that are not what they claim.

local corpus = require "bertlua.corpus"
local ffi = require "ffi"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local FOLDER = "spec/fixtures/wiki/"
local PLAIN, SINGLE, MULTI = FOLDER .. "dump.xml", FOLDER .. "dump.xml.bz2", FOLDER .. "dump-multistream.xml.bz2"

--- Titles of a range, or nil and the message.
local function titles(path, first, stop)
    local dump, message = corpus.open_dump(path, first, stop)
    if not dump then return nil, message end
    local list = {}
    while true do
        local page, problem = dump:next()
        if page == nil then return nil, problem end
        if not page then break end
        list[#list + 1] = ffi.string(page.title)
    end
    return list
end

local function message_of(text)
    local path = process.temporary(text)
    local list, message = titles(path)
    os.remove(path)
    assert.is_nil(list)
    return (message:gsub(path, "FILE", 1))
end

describe("dump", function()
    local all = assert(titles(PLAIN))

    it("gives every page with its fields", function()
        assert.are.equal(60, #all)
        local dump = assert(corpus.open_dump(PLAIN))
        local page = dump:next()
        assert.are.equal("Mill 1", ffi.string(page.title))
        assert.are.equal(1, tonumber(page.id))
        assert.are.equal(0, page.ns)
        assert.is_truthy(ffi.string(page.text):find("'''Mill 1''' is a mill & a house <in> the", 1, true))
        dump:next()
        page = dump:next()
        assert.are.equal(1, page.redirect)
        for _ = 1, 4 do page = dump:next() end
        assert.are.equal(1, page.ns)
        assert.are.equal("-2 Media\n1 Talk\n6 Picture & Sound\n14 Drawer\n", dump:namespaces())
        assert.are.equal("en", dump:language())
    end)

    it("knows the namespaces wherever a block of the file ends", function()
        local text = assert(fs.read(PLAIN))
        local before, after = text:match "^(.-)(<siteinfo.*)$"
        local path = process.temporary ""
        -- Blocks are of 1 MiB: the border falls on each byte of the tag.
        for bytes = 0, #"<siteinfo>" do
            fs.write(path, before .. (" "):rep(2 ^ 20 - bytes - #before) .. after)
            assert.are.equal("-2 Media\n1 Talk\n6 Picture & Sound\n14 Drawer\n", corpus.open_dump(path):namespaces())
        end
        os.remove(path)
    end)

    it("reads bzip2 with one stream or many", function()
        assert.are.same(all, titles(SINGLE))
        assert.are.same(all, titles(MULTI))
    end)

    it("gives every page once, wherever ranges are cut", function()
        local rng = require("bertlua.rng").new(3, 1)
        for _, path in ipairs { PLAIN, SINGLE, MULTI } do
            local size = #fs.read(path)
            for _ = 1, 12 do
                local cuts = { 0, size }
                for i = 1, rng:integer(1, 5) do cuts[i + 2] = rng:integer(1, size - 1) end
                table.sort(cuts)
                local joined = {}
                for i = 1, #cuts - 1 do
                    if cuts[i] < cuts[i + 1] then
                        for _, title in ipairs(assert(titles(path, cuts[i], cuts[i + 1]))) do
                            joined[#joined + 1] = title
                        end
                    end
                end
                assert.are.same(all, joined, path .. " " .. table.concat(cuts, " "))
            end
        end
    end)

    it("reads the index of a multistream dump", function()
        local offsets = assert(corpus.read_index(FOLDER .. "dump-multistream-index.txt.bz2"))
        assert.are.equal(8, #offsets)
        local text = fs.read(MULTI)
        for i, offset in ipairs(offsets) do
            assert.are.equal("BZh1", text:sub(offset + 1, offset + 4))
            local list = assert(titles(MULTI, offset, offsets[i + 1]))
            assert.are.equal(i < 8 and 8 or 4, #list)
        end
        local path = process.temporary "612:10:A:B\n12:11:C\n"
        local list, message = corpus.read_index(path)
        assert.is_nil(list)
        assert.is_truthy(message:find("line 2: offset 12 is below", 1, true), message)
        -- A line without an end would be collected until memory runs out.
        fs.write(path, "612:10:A\n613:" .. ("9"):rep(70000))
        list, message = corpus.read_index(path)
        assert.is_nil(list)
        assert.is_truthy(message:find("line 2 is longer than 65536 bytes", 1, true), message)
        os.remove(path)
    end)

    it("names the byte where a bzip2 file is cut off", function()
        local text = fs.read(SINGLE)
        local message = message_of(text:sub(1, #text - 1))
        assert.is_truthy(message:find("^FILE: byte %d+: the bzip2 stream is cut off at its end"), message)
        for _, length in ipairs { 20, 5000, math.floor(#text / 2), #text - 12 } do
            message = message_of(text:sub(1, length))
            assert.is_truthy(message:find "^FILE: byte %d+: .* cut off", message)
        end
        text = fs.read(MULTI)
        -- Without its last stream the file is valid bzip2, but not a complete dump.
        local last = text:find("BZh1[^B]*$")
        message = message_of(text:sub(1, last - 1))
        assert.is_truthy(message:find("ends without </mediawiki>", 1, true), message)
    end)

    it("finds damage by the checksums", function()
        local text = fs.read(SINGLE)
        local at = math.floor(#text / 2)
        local message = message_of(text:sub(1, at) .. string.char((text:byte(at + 1) + 1) % 256) .. text:sub(at + 2))
        assert.is_truthy(message:find("^FILE: byte %d+: the bzip2 block that begins here is damaged"), message)
        message = message_of(text .. "garbage after the end")
        assert.is_truthy(message:find("no bzip2 stream begins here", 1, true), message)
    end)

    it("names the byte where XML goes wrong", function()
        local text = fs.read(PLAIN)
        local function broken(old, new, offset, what)
            local at = assert(text:find(old, 1, true))
            local message = message_of(text:sub(1, at - 1) .. new .. text:sub(at + #old))
            local wanted = ("FILE: byte %d: "):format(at - 1 + offset)
            assert.are.equal(wanted, message:sub(1, #wanted), message)
            assert.is_truthy(message:find(what, 1, true), message)
        end
        broken("<ns>0</ns>", "<ns>0</nt>", 5, "does not match the element that is open")
        broken("<ns>0</ns>", "<ns>x</ns>", 5, "not a number")
        broken("&amp; a house", "& a house", 0, "& does not begin a character reference")
        broken("&amp; a house", "&nbsp; a house", 0, "& does not begin a character reference")
        broken("<model>wikitext", "<model <wikitext", 7, "expected an attribute")
        broken("a mill", "a \255mill", 2, "invalid UTF-8")
        broken("</page>\n", "</page>\nstray text", 8, "expected <page> or </mediawiki>")
        broken("</mediawiki>", "</mediawiki><page>", 0, "")
        assert.is_truthy(message_of(text:gsub("</mediawiki>%s*$", "")):find("ends without </mediawiki>", 1, true))
        assert.is_truthy(message_of(text:sub(1, -200)):find("cut off by the end of the file", 1, true))
    end)

    it("names block and byte for bad XML inside bzip2", function()
        local list, message = titles(FOLDER .. "bad.xml.bz2")
        assert.is_nil(list)
        assert.is_truthy(message:find(
            "bad.xml.bz2: byte 102 of what the bzip2 block at byte 4 holds: bad XML", 1, true), message)
    end)

    it("refuses other files", function()
        assert.is_truthy(message_of "":find("the file is empty", 1, true))
        assert.is_truthy(message_of "plain text":find("not a MediaWiki dump", 1, true))
        assert.is_truthy(message_of "<html><page></page></html>":find("not a MediaWiki dump", 1, true))
        assert.is_truthy(message_of "\31\139\8\0":find("gzip", 1, true))
        assert.is_truthy(message_of "\40\181\47\253":find("zstd", 1, true))
        for _, start in ipairs { "\255\254<\0m\0", "\254\255\0<\0m", "<\0m\0", "\0<\0m" } do
            assert.are.equal("FILE: UTF-16, expected UTF-8: convert it (iconv -f UTF-16 -t UTF-8)", (message_of(start)))
        end
        local list, message = titles "no/such/file.xml"
        assert.is_nil(list)
        assert.is_truthy(message:find("no/such/file.xml: cannot open: no such file", 1, true), message)
    end)

    it("bounds the memory of a page", function()
        local path = process.temporary("<mediawiki>\n<page><title>A</title>" .. ("x"):rep(2 ^ 20):rep(66))
        local list, message = titles(path)
        os.remove(path)
        assert.is_nil(list)
        assert.is_truthy(message:find("larger than 64 MB", 1, true), message)
    end)
end)
