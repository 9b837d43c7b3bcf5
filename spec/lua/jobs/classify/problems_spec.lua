--- What labels ask for, and what becomes of them.

local problems = require "bertlua.jobs.classify.problems"

describe("problems", function()
    local function where(i) return "f.csv:" .. i + 1 end

    local function of(values)
        local list = {}
        for i, value in ipairs(values) do list[i] = { label = value } end
        return list
    end

    local function find(values, separator) return problems.find(of(values), "label", separator, where) end

    local function refused(expected, ...)
        local ok, problem = pcall(...)
        assert.is_false(ok)
        assert.are.equal(expected, tostring(problem))
    end

    it("are found out from labels", function()
        assert.are.equal("single_label_classification", find { "a", "1.5", "b", "c" })
        assert.are.equal("single_label_classification", find { "1", "0", "2.0" })
        assert.are.equal("regression", find { "1", "0.5", "5.000" })
        assert.are.equal("regression", find { "-1e-3", "+.5", "2." })
        assert.are.equal("multi_label_classification", find { "a", { "b" } })
        assert.are.equal("multi_label_classification", find({ "a;b", "c" }, ";"))
        refused('f.csv:4: the label "n/a" is no number, as most are: correct it, or set --problem-type', find,
            { "1", "0.5", "n/a" })
    end)

    it("read decimal numbers that 32 bits hold", function()
        assert.are.equal(-150, problems.number " -1.5e2 ")
        for _, text in ipairs { "", " ", "nan", "inf", "-inf", "0x10", "1e39", "1,5", "5 stars", "." } do
            assert.is_nil(problems.number(text), text)
        end
        assert.is_nil(problems.number { "1" })
    end)

    it("part labels", function()
        assert.are.same({ "a", "b c" }, problems.list_of("a ; b c", ";"))
        assert.are.same({}, problems.list_of("  ", ";"))
        assert.are.same({ "a", "" }, problems.list_of("a||", "||"))
        assert.are.same({ "a;b" }, problems.list_of "a;b")
        local names, counts, first = problems.names(problems.MULTI, of { { "b", "a" }, {}, { "b" } }, "label")
        assert.are.same({ { "a", "b" }, { a = 1, b = 2 }, { a = 1, b = 1 } }, { names, counts, first })
    end)

    it("turn labels into numbers of a batch", function()
        local ids, text = problems.encode(problems.SINGLE, of { "b", "a" }, "label", { "a", "b" }, where)
        assert.are.same({ 1, 0, "2 labels, one a text" }, { ids[0], ids[1], text })
        local many
        many, text = problems.encode(problems.MULTI, of { { "c", "a", "a" }, {} }, "label", { "a", "b", "c" }, where)
        assert.are.same({ "f32", 3, "3 labels, 1.0 a text" }, { many.dtype, many.width, text })
        assert.are.same({ 1, 0, 1, 0, 0, 0 },
            { many.values[0], many.values[1], many.values[2], many.values[3], many.values[4], many.values[5] })
        local numbers
        numbers, text = problems.encode(problems.REGRESSION, of { "2.5", "-1" }, "label", { "LABEL_0" }, where)
        assert.are.same({ 2.5, -1, "f32", "numbers from -1 to 2.5" },
            { numbers.values[0], numbers.values[1], numbers.dtype, text })
        -- Labels that nobody named are also meant by their numbers.
        ids = problems.encode(problems.SINGLE, of { "1", "LABEL_0" }, "label", { "LABEL_0", "LABEL_1" }, where)
        assert.are.same({ 1, 0 }, { ids[0], ids[1] })
    end)

    it("refuse labels that do not fit, by file and line", function()
        local function encode(kind, values, separator)
            return problems.encode(kind, of(values), "label", { "a", "b" }, where, separator)
        end
        refused('f.csv:3: label "c" is not one of the model\'s 2', encode, problems.SINGLE, { "a", "c" })
        refused("f.csv:2: the label is a list, but the model gives one label a text", encode, problems.SINGLE,
            { { "a" } })
        refused('f.csv:2: label "c" is not one of the model\'s 2', encode, problems.MULTI, { { "c" } })
        refused("f.csv:2: a label is empty", encode, problems.MULTI, { "a;;b" }, ";")
        refused('f.csv:3: the label "x" is no number', encode, problems.REGRESSION, { "1", "x" })
        refused("f.csv:2: the label is a list and is no number", encode, problems.REGRESSION, { { "1" } })
    end)
end)
