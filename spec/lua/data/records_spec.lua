--- Records of CSV, TSV and JSON lines, and messages about files that hold none.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local records = require "bertlua.data.records"

describe("records", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "records_spec") end)
    teardown(function() fs.remove(folder) end)

    local function read(name, text, columns)
        local path = folder .. "/" .. name
        assert(fs.write(path, text))
        local list, lines = records.read(path, columns or { "text", "label" })
        for i, record in ipairs(list) do record.line = lines[i] end
        return list
    end

    local function refused(expected, name, text, columns)
        local ok, problem = pcall(read, name, text, columns)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(folder .. "/" .. name .. expected, tostring(problem))
    end

    it("of CSV have quotes, commas and line breaks inside them, and the line where they start", function()
        local text = 'label,text\n1,plain\n2,"a, ""b""\nand c"\r\n\n3,\n4,"",\n'
        assert.are.same({ { line = 2, label = "1", text = "plain" }, { line = 3, label = "2", text = 'a, "b"\nand c' },
            { line = 6, label = "3", text = "" } }, read("a.csv", (text:gsub('4,"",\n', ""))))
        refused(":7: 3 fields, expected 2 as in the header: a comma within a field stands between quotes", "b.csv",
            text)
        assert.are.same({ { line = 2, label = "x", text = "last" } }, read("c.csv", 'text,label\r\nlast,"x"'))
    end)

    it("of TSV have no quotes", function()
        assert.are.same({ { line = 2, label = "1", text = '"a, b' }, { line = 4, label = "", text = "c" } },
            read("a.tsv", 'id\ttext\tlabel\n7\t"a, b\t1\r\n\n8\tc\t\n'))
        refused(":2: 1 field, expected 2 as in the header", "b.tsv", "text\tlabel\nalone\n")
    end)

    it("of JSON lines are recognised by the name or the first character", function()
        local text = '{"text": "a\\tb", "label": 1}\n\n{"label": true, "text": "caf\\u00e9", "more": [1]}'
        local expected = { { line = 1, label = "1", text = "a\tb" }, { line = 3, label = "true", text = "café" } }
        for _, name in ipairs { "a.json", "a.jsonl", "a.txt" } do assert.are.same(expected, read(name, text)) end
        assert.are.equal("0.5", read("b.jsonl", '{"label": 0.5}', { "label" })[1].label)
    end)

    it("of a file without a header have numbers for columns", function()
        local columns = { "3", "1" }
        local text = '"a, b",x,5.0\nc,y,3\n'
        assert.are.same({ { line = 1, ["1"] = "a, b", ["3"] = "5.0" }, { line = 2, ["1"] = "c", ["3"] = "3" } },
            read("a.csv", text, columns))
        assert.is_true(select(3, records.read(folder .. "/a.csv", columns)))
        assert.are.same({ { line = 1, ["1"] = "gj04" } }, read("a.tsv", "gj04\t1\t\tOur friends.\n", { "1" }))
        assert.are.same({ { line = 1, ["1"] = "q", ["2"] = "a" } }, read("a.jsonl", '["q", "a"]', { "1", "2" }))
        assert.are.same({ { line = 2, ["1"] = "b", ["3"] = "a" } }, read("b.csv", "3,1\na,b\n", columns))
        assert.is_false(select(3, records.read(folder .. "/b.csv", columns)))
        refused(':1: no column "4"; the line has 3 fields', "a.csv", text, { "1", "4" })
        refused(":2: 2 fields, expected 3 as in the first line", "a.csv", "a,b,c\nd,e\n", columns)
        refused(':1: no column "3"; the header has "text", "label"', "a.csv", "text,label\na,b\n", { "text", "3" })
        refused(':1: no column "3"', "a.jsonl", '["q", "a"]', columns)
    end)

    it("may be told to have a header, or none; a number is a place where no column has that name", function()
        local function with(header, text, columns)
            local path = folder .. "/h.tsv"
            assert(fs.write(path, text))
            local list, _, by_number = records.read(path, columns, { header = header })
            return list, by_number
        end
        local text = "sentence\tlabel\nfine\t1\n"
        assert.are.same({ { ["1"] = "fine", ["2"] = "1" } }, (with(true, text, { "1", "2" })))
        assert.are.same({ { ["1"] = "sentence", ["2"] = "label" }, { ["1"] = "fine", ["2"] = "1" } },
            (with(false, text, { "1", "2" })))
        assert.are.same({ { sentence = "fine", ["2"] = "1" } }, (with(nil, text, { "sentence", "2" })))
        local ok, problem = pcall(with, false, text, { "sentence" })
        assert.is_false(ok)
        assert.matches('h.tsv:1: no column "sentence"; without a header, columns are numbers from 1$',
            tostring(problem))
        refused(':1: the header has several columns "a": name the one that is meant by its number', "d.csv",
            "a,b,a\n1,2,3\n", { "a" })
        assert.are.equal("3", read("d.csv", "a,b,a\n1,2,3\n", { "3" , "b" })[1]["3"])
    end)

    it("refuse a column that is wanted under its name and its number", function()
        refused(':1: columns "text" and "1" are the same one', "a.csv", "text,label\na,b\n", { "text", "1" })
        assert.are.equal("a", read("a.csv", "text,label\na,b\n", { "text", "text" })[1].text)
    end)

    it("show a blank at the end of a column's name", function()
        refused(':1: no column "text"; the header has "text ", "label"', "a.csv", "text ,label\na,b\n")
    end)

    it("tell spaces from tabs", function()
        refused(':1: no column "label"; the header has "text label"; columns of a .tsv are parted by tabs', "s.tsv",
            "text label\na 1\n", { "label" })
        refused(':3: 1 field, expected 2 as in the header: columns are parted by tabs, and here may be spaces in place '
            .. 'of one', "s.tsv", "text\tlabel\na b\t1\nc d   1\n")
        refused(":1: no column \"label\"; the header has \"text\\tlabel\"; columns of a .csv are parted by commas",
            "s.csv", "text\tlabel\na\t1\n", { "label" })
        -- A row of tabs alone is a row of empty fields.
        assert.are.same({ { line = 2, text = "", label = "" } }, read("t.tsv", "text\tlabel\n\t\n"))
    end)

    it("of JSON lines may hold lists where they are expected", function()
        local path = folder .. "/l.jsonl"
        assert(fs.write(path, '{"label": ["a", 2]}\n{"label": []}\n{"label": "c"}\n'))
        local reading = { lists = { label = true } }
        assert.are.same({ { label = { "a", "2" } }, { label = {} }, { label = "c" } },
            (records.read(path, { "label" }, reading)))
        assert(fs.write(path, '{"label": {"a": 1}}\n'))
        assert.has_error(function() records.read(path, { "label" }, reading) end)
    end)

    it("leave out bad rows where that is asked for", function()
        local path = folder .. "/bad.tsv"
        assert(fs.write(path, "text\tlabel\na\t1\nb\n\t1\nc\t0\n"))
        local list, lines, _, skipped = records.read(path, { "text", "label" }, { bad_rows = "skip",
            check = function(record) return record.text == "" and "the text is empty" or nil end })
        assert.are.same({ { text = "a", label = "1" }, { text = "c", label = "0" } }, list)
        assert.are.same({ 2, 5 }, lines)
        assert.are.same({ count = 2, first = path .. ":3: 1 field, expected 2 as in the header" }, skipped)
        assert(fs.write(path, "text\tlabel\nb\n"))
        local ok, problem = pcall(records.read, path, { "text", "label" }, { bad_rows = "skip" })
        assert.is_false(ok)
        assert.are.equal(path .. ": no record in it, 1 are bad, the first: " .. path
            .. ":2: 1 field, expected 2 as in the header", tostring(problem))
        assert.has_error(function() records.read(path, { "text", "none" }, { bad_rows = "skip" }) end)
    end)

    it("are read in linear time, whatever their quotes", function()
        local started = os.clock()
        refused(':2: a " is not closed', "a.csv", 'text,label\n"' .. ("a\n"):rep(100000))
        assert.are.equal(150000, #read("b.csv", 'text,label\n"' .. ('""'):rep(150000) .. '",1\n')[1].text)
        local seconds = os.clock() - started
        assert.is_true(seconds < 2, ("took %.1f s"):format(seconds))
    end)

    it("may follow a byte order mark", function()
        assert.are.equal("a", read("a.csv", "\239\187\191text,label\na,b\n")[1].text)
        assert.are.equal("a", read("a.jsonl", '\239\187\191{"text": "a"}', { "text" })[1].text)
    end)

    it("are read in other encodings, and compressed", function()
        local columns = { "text" }
        assert(fs.write(folder .. "/a.tsv", "text\tx\nK\228se\t1\n"))
        assert.are.equal("Käse", records.read(folder .. "/a.tsv", columns, { encoding = "latin1" })[1].text)
        assert.are.equal("a\tb", read("a.csv", "\254\255" .. ('text\n"a\tb"\n'):gsub(".", "\0%0"), columns)[1].text)
        assert.are.same(0, os.execute(("printf 'text\\tx\\na,b\\t1\\n' | gzip > %s/a.tsv.gz"):format(folder)))
        assert.are.equal("a,b", records.read(folder .. "/a.tsv.gz", columns)[1].text)
    end)

    it("of JSON have strings for texts, and numbers only where labels stand", function()
        local function read_texts(text)
            assert(fs.write(folder .. "/t.jsonl", '{"text": "a", "label": 1}\n' .. text))
            return records.read(folder .. "/t.jsonl", { "text", "label" }, { texts = { text = true } })
        end
        assert.are.same({ text = "5", label = "0.5" }, read_texts('{"text": "5", "label": 0.5}')[2])
        for value, got in pairs { ["12345678901234567890"] = "a number", ["5"] = "a number", ["true"] = "a boolean",
            ["[1]"] = "a list or an object" } do
            local _, problem = pcall(read_texts, ('{"text": %s, "label": 1}'):format(value))
            assert.matches(("t.jsonl:2: text is %s, expected a text: write it between quotes"):format(got),
                tostring(problem), 1, true)
        end
        local _, problem = pcall(read_texts, '{"text": null, "label": 1}')
        assert.matches("t.jsonl:2: text is null, expected a text$", tostring(problem))
    end)

    it("are refused by file and line", function()
        refused(':2: a " is not closed', "a.csv", 'text,label\n"open,1\n')
        refused(':2: a " is not closed; inside a field that begins with ", write " as ""', "a.csv",
            'text,label\na","\n')
        refused(':2: text follows a closing ": inside a field write " as ""', "a.csv", 'text,label\n"a\n"b,1\n')
        refused(':1: no column "label"; the header has "text", "x"', "a.csv", "text,x\na,b\n")
        refused(':2: no column "label"; the object has "text"', "a.jsonl", '{"text": 1, "label": 1}\n{"text": 1}')
        refused(":1: text is a list or an object, expected a text or a number", "a.jsonl", '{"text": [1], "label": 1}')
        refused(":2: label is null, expected a text or a number", "a.jsonl",
            '{"text": 1, "label": 1}\n{"text": 1, "label": null}')
        refused(":2: not a JSON object: it is a number", "a.jsonl", '{"text": 1, "label": 1}\n5\n')
        refused(":3: byte 15: invalid UTF-8 (0xff); convert the file (iconv -t UTF-8)", "a.tsv",
            "text\tlabel\na\t1\n\255\t2\n")
        refused(": no record in it", "a.csv", "text,label\n")
        refused(": no record in it", "a.csv", "")
        assert.has_error(function() records.read(folder .. "/none.csv", {}) end)
    end)
end)
