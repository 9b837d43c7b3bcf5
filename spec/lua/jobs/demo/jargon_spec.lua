--- The Jargon File as documents.

local jargon = require "bertlua.jobs.demo.jargon"

describe("jargon", function()
    it("names the demo's setting where the Jargon File is missing", function()
        local ok, problem = pcall(jargon.read, "/nowhere/jargon.txt.gz")
        assert.is_false(ok)
        assert.are.equal("/nowhere/jargon.txt.gz is missing: apt-get install jargon-text, or give a folder of text "
            .. "files with --corpus FOLDER (make demo CORPUS=FOLDER)", tostring(problem))
        assert.is_table(require("bertlua.jobs.demo.demo").settings.by_name.corpus)
    end)

    it("removes the Jargon File's markup", function()
        local text = table.concat({ "Table", "", "   goat file", "", "Chapter\194\1601. Hacker Slang", "",
            "   The {hacker} culture is a", "   loose network.", "", "   :goat file: n.", "",
            "   [common] A file used to test", "   a virus. See {worm}.", "", "   1. To be tested.", "",
            "   :gobble: vt.", "", "   2 | 3 | 4 = ===", "",
            "   To eat, see {chomp}; that is what it is about." }, "\n")
        assert.are.same({
            { "The hacker culture is a loose network." },
            { "Goat file: A file used to test a virus. See worm.", },
            { "Gobble: To eat, see chomp; that is what it is about." },
        }, jargon.documents(text))
    end)
end)
