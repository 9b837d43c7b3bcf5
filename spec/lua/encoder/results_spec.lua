--- What bl.load's methods return: tables, and the lines that they print as.

local results = require "bertlua.encoder.results"

local NAMES = { "bad", "fair", "good" }

describe("results", function()
    it("of labels are one, several or numbers", function()
        local single = results.labels("single", NAMES, { 0.25, 0.5, 0.25 }, 0.5)
        assert.are.same({ "fair", 0.5 }, { single.label, single.probability })
        -- Of equals, by the name.
        assert.are.same({ "fair", "bad", "good" }, { single.all[1].label, single.all[2].label, single.all[3].label })
        assert.are.equal("fair 50.0 %, bad 25.0 %, good 25.0 %", tostring(single))
        local multiple = results.labels("multiple", NAMES, { 0.75, 0.5, 0.875 }, 0.5)
        assert.are.same({ { "bad", "good" }, { 0.75, 0.875 } }, { multiple.labels, multiple.probabilities })
        assert.are.equal("good 87.5 %, bad 75.0 %, fair 50.0 %", tostring(multiple))
        local one, several = results.labels("values", { "x" }, { 1.5 }), results.labels("values", NAMES, { 1, 2, -0.5 })
        assert.are.same({ 1.5, "1.5", "1, 2, -0.5" }, { one.value, tostring(one), tostring(several) })
        assert.are.same({ 1, 2, -0.5 }, several.values)
        assert.are.equal("1: 1.5\n2: 1, 2, -0.5", tostring(results.list { one, several }))
    end)

    it("of masks print a line each, of one mask without a number", function()
        local guesses = {}
        for i = 1, 22 do guesses[i] = { token = "w" .. i, probability = 1 / i } end
        local masks = results.masks { guesses }
        assert.matches("^w1 100%.0 %%, w2 50%.0 %%, .*, w20 5%.0 %%, %.%.%. 2 more$", tostring(masks))
        assert.are.equal("1: a 50.0 %\n2: b 25.0 %", tostring(results.masks { { { token = "a", probability = 0.5 } },
            { { token = "b", probability = 0.25 } } }))
    end)

    it("of a question are the one to give, and all by their probability", function()
        local function texts(answer)
            local list = {}
            for i, entry in ipairs(answer.all) do list[i] = entry.text end
            return table.concat(list, " ")
        end
        local answer = results.answer { { text = "a", probability = 0.5 }, { text = "b", probability = 0.3 } }
        assert.are.same({ "a", 0.5, "a b", "a (50.0 %)" }, { answer.text, answer.probability, texts(answer),
            tostring(answer) })
        -- A threshold has chosen what is not the likeliest.
        answer = results.answer { { text = "", probability = 0.25 }, { text = "b", probability = 0.5 },
            { text = "c", probability = 0.2 } }
        assert.are.same({ "", "b  c", "no answer (25.0 %)" }, { answer.text, texts(answer), tostring(answer) })
        answer = results.answer {}
        assert.are.same({ "", 0, {} }, { answer.text, answer.probability, answer.all })
    end)
end)
