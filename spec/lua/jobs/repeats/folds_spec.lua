--- Division of a file for cross-validation.

local fault = require "bertlua.fault"
local folds = require "bertlua.jobs.repeats.folds"
local fs = require "bertlua.util.fs"
local tasks = { classify = require "bertlua.jobs.classify.task", tokens = require "bertlua.jobs.tokens.task" }

local function items_of(labels)
    local items = {}
    for label in labels:gmatch "%S" do items[#items + 1] = { stratum = label, names = { label } } end
    return items
end

describe("folds", function()
    it("have their share of each label, and sizes that differ by one at most", function()
        local items = items_of(("aaaaaabbbc"):rep(5))
        local part_of, kept = folds.deal(items, 4, 7)
        assert.are.equal(0, kept)
        local sizes, shares = {}, {}
        for i, part in ipairs(part_of) do
            sizes[part] = (sizes[part] or 0) + 1
            local key = part .. items[i].stratum
            shares[key] = (shares[key] or 0) + 1
        end
        for part = 1, 4 do
            assert.is_true(sizes[part] == 12 or sizes[part] == 13)
            assert.is_true(shares[part .. "a"] == 7 or shares[part .. "a"] == 8)
            assert.is_true(shares[part .. "b"] == 3 or shares[part .. "b"] == 4)
            assert.is_true(shares[part .. "c"] == 1 or shares[part .. "c"] == 2)
        end
    end)

    it("are drawn from the seed", function()
        local items = items_of(("ab"):rep(20))
        assert.are.same({ folds.deal(items, 3, 1) }, { folds.deal(items, 3, 1) })
        assert.are_not.same(folds.deal(items, 3, 1), folds.deal(items, 3, 2))
    end)

    it("never hold out the only item of a label", function()
        local part_of, kept = folds.deal(items_of "aaaabbc", 2, 1)
        assert.are.equal(1, kept)
        assert.are.equal(0, part_of[7])
        local tagged = { { names = { "O", "B-X" } }, { names = { "O" } }, { names = { "O", "B-X", "B-X" } },
            { names = { "O" } } }
        for seed = 1, 8 do
            part_of, kept = folds.deal(tagged, 2, seed)
            if part_of[1] == 0 then
                assert.are.equal(0, part_of[3])
            else
                assert.are_not.equal(part_of[1], part_of[3])
            end
            assert.are.equal(part_of[1] == 0 and 2 or 0, kept)
        end
    end)
end)

describe("files of folds", function()
    local dir
    before_each(function() dir = assert(fs.temporary_folder "folds_spec") end)
    after_each(function() assert(fs.remove(dir)) end)

    local function divide(task, name, text, more)
        local values = tasks[task].settings:parse({}, { train_file = dir .. "/" .. name, folds = 2 })
        for key, value in pairs(more or {}) do values[key] = value end
        assert(fs.write(values.train_file, text))
        return folds.write(tasks[task].folds(values), values, dir .. "/folds")
    end

    local function refused(pattern, ...)
        local good, problem = pcall(divide, ...)
        assert.is_false(good)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.matches(pattern, fault.message(problem))
    end

    it("keep header, quotes, line breaks in fields and the order of a table", function()
        local rows = { '"a\nb",x\n', "c,y\n", '\n"d ""e""",x\n', "f,y" }
        local files, lines = divide("classify", "t.csv", "text,label\n" .. table.concat(rows))
        assert.are.same({}, lines)
        assert.are.equal(dir .. "/folds/1-train.csv", files[1].train)
        local held_out = 0
        for fold = 1, 2 do
            local train, dev = fs.read(files[fold].train), fs.read(files[fold].dev)
            local expected_train, expected_dev = "text,label\n", "text,label\n"
            for i, row in ipairs(rows) do
                row = i == 2 and row .. "\n" or row:gsub("^\n", "")
                if i == 4 then row = row .. "\n" end
                if dev:find(row:match "%a", 12, true) then
                    expected_dev, held_out = expected_dev .. row, held_out + 1
                else
                    expected_train = expected_train .. row
                end
            end
            assert.are.equal(expected_train, train)
            assert.are.equal(expected_dev, dev)
        end
        assert.are.equal(4, held_out)
    end)

    it("are those of sentences, too", function()
        local files = divide("tokens", "t.conll", "-DOCSTART- O\n\na O\nb B-X\n\nc O\nd B-X\n")
        local one, two = fs.read(files[1].dev), fs.read(files[1].train)
        if one:find("a O", 1, true) then one, two = two, one end
        assert.are.equal("-DOCSTART- O\n\na O\nb B-X\n\n", two)
        assert.are.equal("-DOCSTART- O\n\nc O\nd B-X\n", one)
    end)

    it("are found again, and not replaced by others", function()
        local text = "text,label\na,x\nb,x\nc,y\nd,y\n"
        local files = divide("classify", "t.csv", text)
        assert.are.same(files, (divide("classify", "t.csv", text)))
        refused("folds/1%-train%.csv: an earlier call divided the file otherwise .-: choose another %-%-output%-dir$",
            "classify", "t.csv", text .. "e,x\nf,y\n")
    end)

    it("are UTF-8, and those of a single label's number say so", function()
        local files, lines = divide("classify", "t.tsv", "text\tlabel\n\228\tx\nb\tx\nc\ty\n", { encoding = "latin1" })
        assert.are.same({ dir .. "/t.tsv: 1 of 3 texts have a label that is nowhere else, and are never held out" },
            lines)
        assert.matches("ä", fs.read(files[1].train) .. fs.read(files[1].dev), 1, true)
        refused("^%-%-folds 5, but .*t%.csv has only 2 texts$", "classify", "t.csv", "text,label\na,x\nb,y\n",
            { folds = 5 })
    end)

    it("know numbers that are measured from labels", function()
        local values = tasks.classify.settings:parse({}, { train_file = dir .. "/n.csv" })
        assert(fs.write(values.train_file, "text,label\na,1.5\nb,2.25\nc,3\n"))
        assert.are.same({ line = 2, names = {} }, tasks.classify.folds(values)[1])
        assert(fs.write(values.train_file, "text,label\na,1\nb,2\nc,1\nd,2\n"))
        assert.are.same({ line = 2, stratum = "1", names = { "1" } }, tasks.classify.folds(values)[1])
        values.label_separator = "|"
        assert(fs.write(values.train_file, "text,label\na,1|x\nb,2\n"))
        assert.are.same({ line = 2, names = { "1", "x" } }, tasks.classify.folds(values)[1])
    end)
end)
