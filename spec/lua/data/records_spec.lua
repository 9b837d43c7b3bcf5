--- Records of CSV, TSV and JSON lines: quoting, line numbers, what is refused.

local fs = require "bertlua.util.fs"
local records = require "bertlua.data.records"

describe("records", function()
    local folder

    before_each(function() folder = assert(fs.temporary_folder()) end)
    after_each(function() fs.remove(folder) end)

    local function read(name, text, columns)
        local path = fs.join(folder, name)
        assert(fs.write(path, text))
        return records.read(path, columns or { "text", "label" })
    end

    local function refused(pattern, ...)
        local arguments = { ... }
        assert.error_matches(function() read(unpack(arguments, 1, 3)) end, pattern)
    end

    it("of CSV have quotes, commas and line breaks inside quotes", function()
        assert.are.same({
            { line = 2, text = "plain", label = "a" },
            { line = 3, text = 'says "so", twice', label = "b" },
            { line = 4, text = "two\nlines", label = "" },
            { line = 6, text = "", label = "c" },
        }, read("x.csv", 'id,text,label\n1,plain,a\n2,"says ""so"", twice",b\n3,"two\nlines",\n4,,"c"'))
        refused('x.csv:3: a " is not closed', "x.csv", 'text,label\na,b\n"open,c\n')
        refused('x.csv:2: text follows a closing ": inside a field write " as ""', "x.csv", 'text,label\n"a"b,c\n')
    end)

    it("of TSV take quotes as they stand", function()
        assert.are.same({ { line = 2, text = '"a', label = "b,c" }, { line = 4, text = "d", label = "" } },
            read("x.tsv", 'text\tlabel\r\n"a\tb,c\r\n\r\nd\t\r\n'))
    end)

    it("of JSON lines turn numbers and booleans into text", function()
        local text = '{"text": "a\\tb", "label": 1}\n\n{"label": true, "text": 0.5, "other": []}\n'
        for _, name in ipairs { "x.jsonl", "x.json", "x.txt" } do
            assert.are.same({ { line = 1, text = "a\tb", label = "1" }, { line = 3, text = "0.5", label = "true" } },
                read(name, text))
        end
        refused("x.jsonl:2: not a JSON object", "x.jsonl", '{"text": "a", "label": 1}\n{"text": \n')
        refused("x.jsonl:1: not a JSON object: it is a number", "x.jsonl", "7\n")
        refused('x.jsonl:2: no column "label"$', "x.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n')
    end)

    it("may begin with a byte order mark", function()
        assert.are.equal("a", read("x.csv", "\239\187\191text,label\na,b\n")[1].text)
    end)

    it("are refused with file and line", function()
        refused('x.csv:%d: no column "label"; the header has text, other$', "x.csv", "text,other\na,b\n")
        refused("x.csv:3: 3 fields, expected 2 as in the header$", "x.csv", "text,label\na,b\na,b,c\n")
        refused("x.tsv:2: 1 fields, expected 2 as in the header$", "x.tsv", "text\tlabel\na\n")
        refused("x.csv:3: not UTF%-8$", "x.csv", "text,label\na,b\n\255,c\n")
        refused("x.csv: no record in it$", "x.csv", "")
        refused("x.csv: no record in it$", "x.csv", "text,label\n\n")
        assert.error_matches(function() records.read(folder .. "/none.csv", {}) end, "/none.csv: ")
    end)
end)
