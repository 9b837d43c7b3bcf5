--- Files of labeled texts: GLUE's as they are, and what is wrong with others.

local dataset = require "bertlua.jobs.classify.dataset"
local fs = require "bertlua.util.fs"
local settings = require "bertlua.jobs.classify.settings"
local tokenizer = require "bertlua.text.tokenizer"

describe("labeled texts", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "dataset_spec") end)
    teardown(function() fs.remove(folder) end)

    local function values_of(changes) return (settings:parse({}, changes or {})) end

    local function read(name, text, changes)
        assert(fs.write(folder .. "/" .. name, text))
        return dataset.read(values_of(changes), folder .. "/" .. name)
    end

    -- Two rows of each of GLUE's files, in its form.
    local GLUE = {
        { "CoLA", "gj04\t1\t\tOur friends won't buy this.\ngj04\t0\t*\tThey drank the pub.\n",
            { text_column = "4", label_column = "2" }, "They drank the pub.", nil, "0" },
        { "SST-2", "sentence\tlabel\nhide new secretions \t0\n`` a \" feast '' \t1\n",
            { text_column = "sentence" }, "`` a \" feast '' ", nil, "1" },
        { "MRPC", "\239\187\191Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t702876\t702977\t\"Amrozi\tReferring to\n"
            .. "0\t2108705\t2108831\tYucaipa owned\tYucaipa \"bought\n",
            { text_column = "#1 String", pair_column = "#2 String", label_column = "Quality" }, "Yucaipa owned",
            "Yucaipa \"bought", "0" },
        { "QQP", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tHow?\tHow so?\t0\n4\t5\t6\tcut\n"
            .. "7\t8\t9\tWhy?\tWhy not?\t1\n", { text_column = "question1", pair_column = "question2",
            label_column = "is_duplicate", bad_rows = "skip" }, "Why?", "Why not?", "1" },
        { "MNLI", "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
            .. "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
            .. "0\t31193\t31193n\tgovernment\t( a )\t( b )\t(ROOT a)\t(ROOT b)\tOne.\tTwo.\tneutral\tneutral\n"
            .. "1\t101457\t101457e\ttelephone\t( a )\t( b )\t(ROOT a)\t(ROOT b)\tyou know\tYou lose.\tentailment\t"
            .. "entailment\n", { text_column = "sentence1", pair_column = "sentence2", label_column = "gold_label" },
            "you know", "You lose.", "entailment" },
        { "RTE", "index\tsentence1\tsentence2\tlabel\n0\tNo.\tYes.\tnot_entailment\n"
            .. "1\tA place.\tA place.\tentailment\n",
            { text_column = "sentence1", pair_column = "sentence2" }, "A place.", "A place.", "entailment" },
        { "QNLI", "index\tquestion\tsentence\tlabel\n0\tWhen?\tThen.\tentailment\n1\tWho?\tIt.\tnot_entailment\n",
            { text_column = "question", pair_column = "sentence" }, "Who?", "It.", "not_entailment" },
        { "STS-B", "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
            .. "0\tmain-captions\tMSRvid\t2012test\t0001\tnone\tnone\tA plane.\tAn air plane.\t5.000\n"
            .. "1\tmain-captions\tMSRvid\t2012test\t0004\tnone\tnone\tA man.\tA flute.\t3.800\n",
            { text_column = "sentence1", pair_column = "sentence2", label_column = "score" }, "A man.", "A flute.",
            "3.800" },
    }
    for _, case in ipairs(GLUE) do
        it("are read as GLUE has them: " .. case[1], function()
            local list, _, _, skipped = read("train.tsv", case[2], case[3])
            assert.are.equal(2, #list)
            assert.are.equal(case[1] == "QQP" and 1 or 0, skipped.count)
            local record, columns = list[2], values_of(case[3])
            assert.are.same({ case[4], case[5], case[6] },
                { record[columns.text_column], record[columns.pair_column], record[columns.label_column] })
        end)
    end

    it("are refused by file and row", function()
        local function refused(expected, ...)
            local ok, problem = pcall(read, ...)
            assert.is_false(ok)
            assert.are.equal(folder .. "/" .. expected, tostring(problem))
        end
        local SKIP = "; --bad-rows skip leaves out such rows"
        local NO_HEADER = "; a file without a header has its columns by number (%s 1)"
        refused("a.csv:3: the label is empty" .. SKIP, "a.csv", "text,label\na,x\nb,\n")
        refused("a.tsv:3: 3 fields, expected 2 as in the header: a tab cannot stand within a field" .. SKIP, "a.tsv",
            "text\tlabel\na\tx\nb\tc\tx\n")
        refused('a.jsonl:2: no column "label"; the object has "text": name the column with --label-column' .. SKIP,
            "a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n')
        refused('a.csv:1: no column "kind"; the header has "text", "label": name the column with --label-column'
            .. NO_HEADER:format "--label-column", "a.csv", "text,label\na,x\n", { label_column = "kind" })
        refused('a.csv:1: no column "text"; the header has "a", "label": name the column with --text-column'
            .. NO_HEADER:format "--text-column", "a.csv", "a,label\na,x\n")
        refused('a.csv:1: no column "b"; the header has "text", "label": name the column with --pair-column'
            .. NO_HEADER:format "--pair-column", "a.csv",
            "text,label\na,x\n", { pair_column = "b" })
        local list, lines, _, skipped = read("a.csv", "text,label\na,1\n ,2\nb,\nc,none\nd,0.5\n",
            { bad_rows = "skip", problem_type = "regression" })
        assert.are.same({ { text = "a", label = "1" }, { text = "d", label = "0.5" } }, list)
        assert.are.same({ 2, 6 }, lines)
        assert.are.same({ count = 3, first = folder .. "/a.csv:3: the text is empty" }, skipped)
        -- Several labels may be none.
        assert.are.equal("", read("b.csv", "text,label\na,\n", { label_separator = "," })[1].label)
    end)

    it("are told where they are empty, left out or cut", function()
        assert(fs.write(folder .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"))
        local job = { values = values_of { bad_rows = "skip", max_seq_length = 8 }, run = { warnings = {} },
            data = { words = tokenizer.load(folder .. "/vocab.txt", { do_lower_case = true }),
                kind = "single_label_classification", config = { labels = { "x", "y" } }, lines = {} } }
        local path = folder .. "/c.csv"
        assert(fs.write(path, "text,label\n" .. ("a "):rep(500000) .. ",x\nb\nb,y\n"))
        local part = dataset.load(job, path)
        assert.are.equal(2, part.set.count)
        assert.are.same({ path .. ": 1 bad row left out, the first: " .. path
            .. ":3: 1 field, expected 2 as in the header",
            path .. ": max_seq_length 8 cuts off the end of 1 of 2 texts" },
            job.run.warnings)
        assert.are.same({ path .. ": 2 texts of up to 8 tokens, 2 labels, one a text" }, job.data.lines)
        job.run.warnings, job.values.bad_rows = {}, "error"
        assert(fs.write(path, "text,label\n,x\n \t,y\nb,y\n"))
        dataset.load(job, path)
        assert.are.same({ path .. ":2: the text is empty, as in 1 other rows: it is taken as it is; --bad-rows skip "
            .. "leaves it out" }, job.run.warnings)
    end)

    it("are told of labels that have one text, or differ in case alone", function()
        local run = { warnings = {} }
        dataset.warn_of_labels(run, "t.csv", { 2, 3, 4 }, { "No", "no ", "yes" }, { No = 1, ["no "] = 2, yes = 1 },
            { No = 1, ["no "] = 2, yes = 3 })
        assert.are.same({ 't.csv: the labels "No" (line 2) and "no " (line 3) differ in case or spaces alone, and are '
            .. "two labels", 't.csv:2: no other text has the label "No"; 2 labels have one text each' }, run.warnings)
    end)
end)
