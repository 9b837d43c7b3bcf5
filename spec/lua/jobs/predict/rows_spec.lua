--- Rows out of files of every form.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local rows = require "bertlua.jobs.predict.rows"

describe("rows to predict", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "bertlua-rows-") end)
    teardown(function() assert(fs.remove(folder)) end)

    local function open(name, text, wanted)
        local path = folder .. "/" .. name
        assert(fs.write(path, text))
        wanted = wanted or { text = "text" }
        wanted.path = path
        return rows.open(wanted)
    end

    --- What all rows hold of some fields, and the form.
    local function read(name, text, wanted, fields)
        local input, list = open(name, text, wanted), {}
        for row in input.next, input do
            for _, field in ipairs(fields or { "text" }) do list[#list + 1] = row[field] end
            list[#list + 1] = row.line
        end
        input:close()
        return list, input.form
    end

    local function refused(message, name, text, wanted)
        local ok, problem = pcall(read, name, text, wanted)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(message, (tostring(problem):gsub(folder:gsub("%p", "%%%0") .. "/", "")))
    end

    it("know how many lines may come, and tell what was replaced", function()
        local input = open("many", ("abc\n"):rep(50))
        for _ = 1, 10 do input:next() end
        -- All of so small a file has been taken in.
        assert.are.equal(10, input:expected_lines(10))
        input:close()
        input = open("bad", "a\255\nb\n", { text = "text", invalid_utf8 = "replace" })
        input:next()
        local told, stderr = {}, io.stderr
        io.stderr = { write = function(_, ...) told[#told + 1] = table.concat { ... } end, -- luacheck: ignore
            flush = function() end }
        input:tell_replaced()
        io.stderr = stderr -- luacheck: ignore
        input:close()
        assert.matches("bad: invalid UTF%-8: 1 byte replaced by U%+FFFD\n$", (table.concat(told):gsub("\n%s+", " ")))
    end)

    it("are lines of a text", function()
        assert.are.same({ { "a b", 1, "c", 2 }, "text" }, { read("a.txt", "a b\r\nc\n") })
        assert.are.same({ { "a,b", 1 }, "text" }, { read("a", "a,b\n") })
        assert.are.same({ {}, "text" }, { read("a", "") })
    end)

    it("are records of tables and of JSON lines, by the file's ending or its first line", function()
        local pairs_of = { text = "a", pair = "b", columns_named = true }
        local both = { "text", "pair" }
        assert.are.same({ { "x\ny", "z", 2, "u", "v", 4 }, "csv" },
            { read("a.csv", 'b,a\nz,"x\ny"\nv,u\n', pairs_of, both) })
        assert.are.same({ { "x", "y", 2 }, "tsv" }, { read("a", "a\tb\nx\ty\n", pairs_of, both) })
        assert.are.same({ { "x", "y", 1 }, "jsonl" }, { read("a", '{"a": "x", "b": "y"}\n', pairs_of, both) })
        assert.are.same({ { "x", "y", 1 }, "csv" },
            { read("a", "x,y\n", { text = "1", pair = "2", columns_named = true }, both) })
        assert.are.same({ { "y", 2 }, "csv" }, { read("a", "label,text\nx,y\n", { text = "text" }, { "text" }) })
        assert.are.same({ { "x", 2 }, "tsv" }, { read("a", "text\tlabel\nx\ty\n", { text = "text" }, { "text" }) })
        for _, line in ipairs { "text", "text, or not", "a text,label" } do
            assert.are.same({ { line, 1 }, "text" }, { read("a", line .. "\n", { text = "text" }, { "text" }) })
        end
        assert.are.same({ { "x", { "p", "q" }, 1 }, "jsonl" }, { read("a.jsonl", '{"text": "x", "l": ["p", "q"]}\n',
            { text = "text", label = "l", labeled = true }, { "text", "label" }) })
    end)

    it("are strings in JSON lines, but labels may be numbers", function()
        local labeled = { text = "text", pair = "pair", label = "l", labeled = true }
        assert.are.same({ { "x", "y", "5", 1 }, "jsonl" },
            { read("a.jsonl", '{"text": "x", "pair": "y", "l": 5}\n', labeled, { "text", "pair", "label" }) })
        for name, line in pairs { text = '{"text": 5, "pair": "y"}', pair = '{"text": "x", "pair": 5}' } do
            local _, problem = pcall(read, "a.jsonl", line .. "\n", { text = "text", pair = "pair" }, { "text" })
            assert.matches(("a.jsonl:1: %s is a number, expected a text"):format(name), tostring(problem), 1, true)
        end
    end)

    it("are words of columns, of JSON lines, or of text split at blanks", function()
        local function wanted() return { text = "text", words = true } end
        assert.are.same({ { { "a", "b" }, 1, { "c" }, 4 }, "conll" },
            { read("a.conll", "a\tO\nb\tO\n\nc\tO\n", wanted(), { "words" }) })
        assert.are.same({ { { "a" }, 1 }, "conll" }, { read("a", "a\tO\n", wanted(), { "words" }) })
        assert.are.same({ { { "a b" }, 1 }, "jsonl" }, { read("a", '{"words": ["a b"]}', wanted(), { "words" }) })
        assert.are.same({ { { "a", "b" }, 1 }, "text" }, { read("a", "a  b\n", wanted(), { "words" }) })
        local labeled = { text = "text", words = true, labeled = true }
        assert.are.same({ { { "a" }, { "B-X" }, 1 }, "conll" },
            { read("a.tsv", "a\tB-X\n", labeled, { "words", "tags" }) })
    end)

    it("are refused by file and line", function()
        refused("a.txt:2: the text is empty", "a.txt", "a\n \nb\n")
        refused("a.csv:3: the second is empty", "a.csv", "text,second\na,b\nc,\n", { text = "text", pair = "second" })
        refused('a.csv:1: no column "text"; the header has "a": name the column with --text-column; '
            .. "a file without a header has its columns by number (--text-column 1)", "a.csv",
            "a\nx\n")
        refused("a.conll: CoNLL columns hold words, but this model reads texts: name the form with --input-form",
            "a.conll", "a\tO\n")
        refused("a.txt: text lines hold one text each, but b is wanted too: give .csv, .tsv or JSON lines, or name the "
            .. "form with --input-form", "a.txt", "a\n", { text = "text", pair = "b" })
        refused("a.txt: text lines have no labels: give .csv, .tsv or JSON lines, or name the form with --input-form",
            "a.txt", "a\n", { text = "text", label = "l", labeled = true })
        refused("a.txt: expected tagged words: give CoNLL columns or JSON lines, or name the form with --input-form",
            "a.txt", "a\n", { text = "text", words = true, labeled = true })
        refused("a.txt:3: byte 4: invalid UTF-8 (0xff); name the file's encoding (such as --encoding windows-1252), "
            .. "convert the file (iconv -t UTF-8), or continue with --invalid-utf8 replace", "a.txt", "a\nb\n\255\n")
    end)

    it("know how many lines there are, and do not wait in a file", function()
        local input = open("a.txt", "a\nb\n")
        assert.are.equal(2, input:count_lines())
        assert.is_true(input:is_ready())
        input:close()
    end)
end)
