--- Weights of labels, in every form that the setting takes.

local class_weights = require "bertlua.jobs.classify.class_weights"
local fault = require "bertlua.fault"

describe("class_weights", function()
    local names, counts = { "bad", "good", "so, so" }, { bad = 1, good = 3, ["so, so"] = 2 }

    local function of(given, other) return class_weights.of(given, other or names, counts, "train.csv") end

    local function refused(expected, given, other)
        local ok, problem = pcall(of, given, other)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(expected, tostring(problem))
    end

    it("may be balanced: n / (labels * texts of the label)", function()
        assert.are.same({ 6 / 3, 6 / 9, 6 / 6 }, of "balanced")
        refused('train.csv: no text has the label "new", so balanced class_weights give it none: give them by label',
            "balanced", { "bad", "new" })
    end)

    it("may be given by label, as text, a table or a list", function()
        local expected = { 2, 0.5, 1 }
        assert.are.same(expected, of "bad=2, so, so=1,good=0.5")
        assert.are.same(expected, of { bad = 2, good = 0.5, ["so, so"] = 1 })
        assert.are.same(expected, of { 2, 0.5, 1 })
        assert.are.same({ 3, 1 }, of({ ["0"] = 3, ["1"] = 1 }, { "0", "1" }))
        assert.are.same({ 3, 1 }, of({ [0] = 3, [1] = 1 }, { "0", "1" }))
    end)

    it("are refused where they fit no label", function()
        refused('class_weights: no weight for the label "good"', { bad = 2 })
        refused('class_weights: no label is called "ugly"; they are bad, good, so, so', { bad = 2, good = 1,
            ["so, so"] = 1, ugly = 1 })
        refused('class_weights: got 0 for the label "good", expected a number above 0', { 1, 0, 1 })
        refused('--class-weights: got "heavy", expected "balanced", "label=weight,label=weight" or a table of weights '
            .. 'by label', "heavy")
    end)

    it("are shown by label, or by their range where they are many", function()
        assert.are.equal("bad 2, good 0.5, so, so 1", class_weights.described({ 2, 0.5, 1 }, names))
        local many, ones = {}, {}
        for i = 1, 9 do many[i], ones[i] = "l" .. i, i / 2 end
        assert.are.equal("from 0.5 to 4.5", class_weights.described(ones, many))
    end)
end)
