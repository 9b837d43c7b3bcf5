--- Pairs, triples and scored pairs of files: columns, rows, sequences, and messages about what is wrong.

local data = require "bertlua.jobs.embeddings.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local tokenizer = require "bertlua.text.tokenizer"

describe("data of sentence embeddings", function()
    local folder, words
    setup(function()
        folder = assert(fs.temporary_folder "embeddings_data_spec")
        assert(fs.write(folder .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n"))
        words = tokenizer.load(folder .. "/vocab.txt", { do_lower_case = true })
    end)
    teardown(function() fs.remove(folder) end)

    local function columns(changes)
        local values = { text_column = "text", pair_column = "pair" }
        for name, value in pairs(changes or {}) do values[name] = value end
        return data.columns(values)
    end

    local function refused(expected, fn, ...)
        local ok, problem = pcall(fn, ...)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        local text, prefix = tostring(problem), folder .. "/"
        assert.are.equal(expected, text:sub(1, #prefix) == prefix and text:sub(#prefix + 1) or text)
    end

    local function read(name, text, changes)
        assert(fs.write(folder .. "/" .. name, text))
        return data.read(folder .. "/" .. name, columns(changes), {})
    end

    it("are of the kind that the columns say", function()
        assert.are.same({ texts = { "text", "pair" }, kind = "pair" }, columns())
        assert.are.same({ texts = { "text", "pair", "x", "y z" }, kind = "triple" },
            columns { negative_column = "x,y z" })
        assert.are.same({ texts = { "text", "pair" }, label = "s", kind = "scored pair" },
            columns { label_column = "s" })
        refused("--negative-column and --label-column are both set: data are triples or scored pairs, not both",
            columns, { negative_column = "x", label_column = "s" })
        refused("--negative-column x,,y: a name is empty, expected NAME or NAME,NAME", columns,
            { negative_column = "x,,y" })
        for _, changes in ipairs { { negative_column = "pair" }, { label_column = "pair" },
            { text_column = "pair" } } do
            refused("column pair is named twice, expected a column each for the text, its pair and what else is set",
                columns, changes)
        end
    end)

    it("have scores that are numbers", function()
        local found = read("a.csv", 'a,"b, c",0.5\nb,d,-1e1\n', { text_column = "1", pair_column = "2",
            label_column = "3" })
        assert.are.same({ { "a", "b, c" }, { "b", "d" } }, found.rows)
        assert.are.same({ 0.5, -10, -10, 0.5 }, { found.scores[0], found.scores[1], found.least, found.most })
        assert.is_true(found.by_number)
        local set = data.groups(found, words, 8, 10)
        assert.are.equal(4, set.count)
        assert.are.equal(-1, set.labels.scores.values[1])
        assert.are.equal("groups", set.labels.scores.per)
        assert.matches("a%.csv: 2 scored pairs of up to 5 tokens, scores from %-10 to 0%.5; no header, columns by "
            .. "number$", data.line(found, set))
        for _, wrong in ipairs { "high", "", "nan", "inf", "0x10" } do
            refused(("b.csv:2: column s is %q, expected a number"):format(wrong), read, "b.csv",
                "text,pair,s\na,b," .. wrong .. "\n", { label_column = "s" })
        end
    end)

    it("are refused where a text is empty or a column is missing", function()
        refused("a.csv:3: the text in column pair is empty", read, "a.csv", "text,pair\na,b\na, \n")
        refused("a.jsonl:2: the text in column n is empty", read, "a.jsonl",
            '{"text":"a","pair":"b","n":"c"}\n{"text":"a","pair":"b","n":""}\n', { negative_column = "n" })
        refused('a.tsv:1: no column "n"; the header has "text", "pair": name the column with --negative-column; '
            .. "a file without a header has its columns by number (--negative-column 1)", read,
            "a.tsv", "text\tpair\na\tb\n",
            { negative_column = "n" })
    end)

    it("may be left out where they are wrong", function()
        assert(fs.write(folder .. "/s.csv", "text,pair,s\na,b,1\na,,2\nb\nb,c,x\nc,d,3\n"))
        local scored = columns { label_column = "s" }
        local found = data.read(folder .. "/s.csv", scored, { bad_rows = "skip" })
        assert.are.same({ { "a", "b" }, { "c", "d" } }, found.rows)
        assert.are.same({ 2, 6 }, found.lines)
        assert.are.equal(3, found.scores[1])
        assert.are.equal(3, found.skipped.count)
        assert.matches("s%.csv:3: the text in column pair is empty$", found.skipped.first)
        refused("s.csv:3: the text in column pair is empty; --bad-rows skip leaves out such rows", data.read,
            folder .. "/s.csv", scored, { bad_rows = "error" })
        found = data.read(folder .. "/s.csv", columns { text_column = "1", pair_column = "2" },
            { header = true, bad_rows = "skip" })
        assert.are.same({ "b", "c" }, found.rows[2])
    end)

    it("become groups to train on, and distinct texts to evaluate on", function()
        local found = read("a.jsonl", '{"text":"a b c d","pair":"b","n":"c"}\n{"text":"a b c d","pair":"c","n":"d"}\n',
            { negative_column = "n" })
        local set, cut = data.groups(found, words, 5)
        assert.are.same({ 6, 2 }, { set.count, cut })
        assert.is_nil(set.labels)
        local count
        cut, count = data.distinct(found, words, 5)
        assert.are.same({ 1, 4, 4 }, { cut, count, found.set.count })
        assert.are.same({ ["a b c d"] = 0, b = 1, c = 2, d = 3 }, found.numbers)
        assert.matches("a%.jsonl: 2 triples of up to 5 tokens$", data.line(found, set))
    end)
end)
