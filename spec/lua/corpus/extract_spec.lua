--- Ranges of a dump, and the articles in one. How an article becomes prose: spec/engine/wiki.

local extract = require "bertlua.corpus.extract"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local FOLDER = process.root .. "/spec/fixtures/wiki/"
local MIB = 2 ^ 20

--- A sparse file of this size.
local function sparse(path, bytes, magic)
    local file = assert(io.open(path, "wb"))
    file:write(magic)
    file:seek("set", bytes - 1)
    file:write "\0"
    file:close()
    return path
end

describe("a dump", function()
    local folder

    before_each(function() folder = assert(fs.temporary_folder()) end)
    after_each(function() fs.remove(folder) end)

    --- Every byte must be in exactly one part; @return the parts.
    local function parts_of(bytes, magic)
        local parts = extract.parts(sparse(folder .. "/dump", bytes, magic), nil, "wikipedia")
        local at = 0
        for i, part in ipairs(parts) do
            assert.are.same({ at, part.stop - at, ("wikipedia-%05d"):format(i - 1) },
                { part.first, part.size, part.name })
            at = part.stop
        end
        assert.are.equal(bytes, at)
        return parts
    end

    it("is cut into ranges of bounded size, smaller if it is compressed", function()
        assert.are.equal(1, #parts_of(1000, "<mediawiki>"))
        assert.are.equal(4, #parts_of(2 * MIB, "<mediawiki>"))
        -- A remainder of an eighth of a part goes to the part before.
        assert.are.equal(4, #parts_of(2 * MIB + 2 ^ 16, "<mediawiki>"))
        for _, part in ipairs(parts_of(2 ^ 32, "<mediawiki>")) do assert.is_true(part.size <= 40 * MIB) end
        for _, part in ipairs(parts_of(2 ^ 32, "BZh9")) do assert.is_true(part.size <= 10 * MIB) end
    end)

    it("is cut where its index says streams begin", function()
        local path, index = FOLDER .. "dump-multistream.xml.bz2", FOLDER .. "dump-multistream-index.txt.bz2"
        local parts = extract.parts(path, index, "w")
        assert.are.equal(fs.size(path), parts[#parts].stop)
        local half = folder .. "/half.bz2"
        assert(fs.write(half, fs.read(path):sub(1, 2000)))
        assert.error_matches(function() extract.parts(half, index, "w") end,
            "dump%-multistream%-index.txt.bz2: lists a stream at byte %d+, but .*/half.bz2 has 2000 bytes")
    end)

    it("is refused if it is missing or empty", function()
        assert.error_matches(function() extract.parts("/no/such/dump.xml", nil, "w") end,
            "^/no/such/dump.xml: no such file; %-%-wikipedia must name a MediaWiki dump")
        assert(fs.write(folder .. "/empty", ""))
        assert.error_matches(function() extract.parts(folder .. "/empty", nil, "w") end, "/empty: the file is empty$")
    end)

    it("gives the same articles in one range and in two", function()
        local path = FOLDER .. "dump.xml"
        local size, site = fs.size(path), extract.site(path)
        local function read(first, stop)
            local pieces = {}
            local furthest = 0
            local counts = extract.range(path, first, stop, site, function(text) pieces[#pieces + 1] = text end,
                function(done) furthest = math.max(furthest, done) end)
            assert.is_true(furthest <= stop - first)
            return counts, table.concat(pieces)
        end
        local whole, text = read(0, size)
        assert.are.equal(whole.pages, whole.documents + whole.redirects + whole.disambiguations + whole.other)
        assert.is_true(whole.documents > 0 and whole.redirects > 0 and whole.other > 0)
        local middle = math.floor(size / 2)
        local first, first_text = read(0, middle)
        local second, second_text = read(middle, size)
        assert.are.equal(text, first_text .. second_text)
        for field, count in pairs(whole) do assert.are.equal(count, first[field] + second[field], field) end
    end)

    it("says which wiki it is of, and the corpus's language counts only where it may", function()
        local path = folder .. "/dump.xml"
        local function language(attributes, wanted)
            assert(fs.write(path, ("<mediawiki%s>\n<siteinfo></siteinfo>\n</mediawiki>\n"):format(attributes)))
            return extract.site(path, wanted).language
        end
        assert.are.equal("de", language(' version="0.11" xml:lang="de"'))
        assert.are.equal("de", language(" xml:lang='de' version='0.11'", "en"))
        assert.are.equal("zh-tw", language(' xml:lang="zh"', "zh-tw"))
        assert.are.equal("zh-hk", language(' xml:lang="zh-hk"', "zh-tw"))
        assert.are.equal("pl", language("", "pl"))
        assert.are.equal("", language(""))
        assert.are.equal("", language((' xml:lang="%s"'):format(("x"):rep(100))))
    end)

    it("is told where sentences will have gaps, because nobody knows the wiki's templates", function()
        for _, code in ipairs { "en", "simple", "de", "zh-tw" } do
            assert.is_nil(extract.unknown_templates { language = code })
        end
        assert.are.equal("templates: those of the Wikipedias de, en, es, fr, it, ja, nl, pl, pt, ru, zh are known, the "
            .. "dump is in bg; where others write a date or a number, a sentence has a gap",
            extract.unknown_templates { language = "bg" })
        local line = extract.unknown_templates { language = "" }
        assert.is_truthy(line:find("the dump is in an unnamed language", 1, true))
    end)

    it("holds some minimum of text, more per byte if it is compressed", function()
        assert.are.equal(0.1 * 1000, extract.least_text(sparse(folder .. "/plain", 1000, "<mediawiki>")))
        assert.are.equal(0.5 * 1000, extract.least_text(sparse(folder .. "/packed", 1000, "BZh9")))
    end)
end)
