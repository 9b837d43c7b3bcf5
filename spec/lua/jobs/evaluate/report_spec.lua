--- Evaluations as text of a terminal's width.

local report = require "bertlua.jobs.evaluate.report"
local term = require "bertlua.util.term"

--- A result of so many classes; every tenth row is taken for the next class.
local function result_of(count)
    local result = { kind = "label", rows = 10 * count, wrong = count, metrics = { accuracy = 0.9, matthews = 0.5 },
        names = {}, confusion = {}, classes = {}, confusions = {}, worst = { { where = "gold.csv:7", score = 0.99,
            gold = "a\tb", predicted = "c", text = ("word "):rep(40) } } }
    for g = 1, count do
        local name, row = ("a class of number %d"):format(g), {}
        for p = 1, count do row[p] = p == g and 9 or p == g % count + 1 and 1 or 0 end
        result.names[g], result.confusion[g] = name, row
        result.classes[g] = { name = name, precision = 0.9, recall = 0.9, f1 = g / 100, support = 10 }
        result.confusions[g] = { gold = name, predicted = "x", count = 1 }
    end
    return result
end

local function lines_of(result, columns)
    local text, widest = report.text(result, "gold.csv", columns), 0
    for line in text:gmatch "[^\n]+" do widest = math.max(widest, term.width(line)) end
    return text, widest
end

describe("a report", function()
    it("shows a confusion table where it fits", function()
        local text, widest = lines_of(result_of(4), 80)
        assert.is_true(widest <= 80, text)
        assert.matches("^gold.csv: 40 rows, 4 labels\n", text)
        assert.matches("accuracy         90.00 %\nMatthews         0.5000\n", text, 1, true)
        assert.matches("\na class of number 1 *90.00 %% +90.00 %% +1.00 %% +10\n", text)
        assert.matches("\na class of number 2 +%. +9 +1 +%.\n", text)
        assert.matches("most surely wrong, 1 of 4 rows\nline 7       99.0 %  a\\tb as c\n", text, 1, true)
    end)

    it("shows the weakest classes and the largest confusions where there are many", function()
        local text, widest = lines_of(result_of(40), 80)
        assert.is_true(widest <= 80, text)
        assert.matches("weakest of 40", text, 1, true)
        assert.matches("confusions, the 15 largest of 40\n     1  a class of number 1", text, 1, true)
        assert.is_nil(text:find("number 21 ", 1, true))
    end)

    it("names the line of a row however long its labels are", function()
        local result = result_of(2)
        result.worst[1].where, result.worst[1].gold, result.worst[1].predicted = "gold.csv:186", ("left "):rep(12),
            ("right "):rep(12)
        local text, widest = lines_of(result, 60)
        assert.is_true(widest <= 60, text)
        assert.matches("\nline 186     99.0 %  left ", text, 1, true)
        assert.matches(("right "):rep(12):sub(1, -2), text:gsub("\n +", " "), 1, true)
    end)

    it("is cut nowhere in a pipe or a file, where every name and row stands whole", function()
        local result = result_of(40)
        local long = ("a very long name "):rep(8)
        result.classes[1].name, result.names[1], result.confusions[1].gold = long, long, long
        local text = report.text(result, "gold.csv")
        assert.matches("\n            " .. ("word "):rep(40) .. "\n", text, 1, true)
        assert.are.equal(2, select(2, text:gsub(long, "")), text)
        assert.is_nil(text:find("~", 1, true))
    end)

    it("of numbers shows correlations and the largest differences", function()
        local text = report.text({ kind = "value", rows = 1, metrics = { mse = 4, mae = 2 }, worst = { { where = "g:1",
            gold = 5, predicted = 3, difference = 2, text = "t" } } }, "g", 80)
        assert.matches("not defined", text)
        assert.matches("largest differences\nline 1      5, predicted 3\n            t\n", text, 1, true)
    end)
end)
