--- Figures of vectors: correlation with scores; ranks of wanted texts.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local similarity = require "bertlua.jobs.embeddings.similarity"

--- What data.distinct makes of rows, and vectors of length 1 on a circle, at an angle in degrees for each text.
local function found_of(rows, angles, scores)
    local found, count = { path = "x.tsv", rows = rows, numbers = {}, scores = scores and array.double(scores) }, 0
    for _, row in ipairs(rows) do
        for _, text in ipairs(row) do
            if not found.numbers[text] then found.numbers[text], count = count, count + 1 end
        end
    end
    local vectors = array.float(2 * count)
    for text, number in pairs(found.numbers) do
        local angle = math.rad(angles[text])
        vectors[2 * number], vectors[2 * number + 1] = math.cos(angle), math.sin(angle)
    end
    return found, vectors
end

describe("similarity", function()
    it("is read from vectors of any length", function()
        local out = array.float(4)
        local read = similarity.reader(out, 2)
        read({ members = { 1, 0 } }, array.float { 3, 4, 0, -2 })
        local got = { out[0], out[1], out[2], out[3] }
        for i, value in ipairs { 0, -1, 0.6, 0.8 } do assert.is_true(math.abs(got[i] - value) < 1e-6) end
        read({ members = { 0 } }, array.float { 0, 0 })
        assert.are.same({ 0, 0 }, { out[0], out[1] })
        local ok, problem = pcall(read, { members = { 7 } }, array.float { 0 / 0, 1 })
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.matches("vector of text 7 is NaN", tostring(problem))
    end)

    it("correlates with scores", function()
        local rows = { { "a", "b" }, { "a", "c" }, { "c", "d" } }
        local found, vectors = found_of(rows, { a = 0, b = 10, c = 60, d = 80 }, { 5, 1, 4 })
        local metrics, predictions = similarity.scored(found, vectors, 2)
        assert.is_true(math.abs(metrics.spearman - 1) < 1e-12)
        -- Of cos 10, cos 60 and cos 20 degrees with 5, 1 and 4.
        local x, y, xx, yy, xy = { math.cos(math.rad(10)), 0.5, math.cos(math.rad(20)) }, { 5, 1, 4 }, 0, 0, 0
        local mx, my = (x[1] + x[2] + x[3]) / 3, 10 / 3
        for i = 1, 3 do
            xx, yy, xy = xx + (x[i] - mx) ^ 2, yy + (y[i] - my) ^ 2, xy + (x[i] - mx) * (y[i] - my)
        end
        assert.is_true(math.abs(metrics.pearson - xy / math.sqrt(xx * yy)) < 1e-6)
        assert.are.equal("c", predictions[2].pair)
        assert.is_true(math.abs(predictions[2].score - 0.5) < 1e-6)
        found, vectors = found_of(rows, { a = 0, b = 0, c = 0, d = 0 }, { 5, 1, 4 })
        assert.is_nil(similarity.scored(found, vectors, 2).spearman)
    end)

    it("ranks every candidate of the file, negatives too", function()
        -- a: b is second behind d's; c: d is first; e: f is behind all but the negative.
        local found, vectors = found_of({ { "a", "b", "n" }, { "c", "d", "n" }, { "e", "f", "n" } },
            { a = 0, b = 20, c = 14, d = 10, e = 5, f = 90, n = 120 })
        local metrics, predictions = similarity.retrieval(found, vectors, 2)
        assert.is_true(math.abs(metrics.mrr - (1 / 2 + 1 + 1 / 3) / 3) < 1e-12, metrics.mrr)
        assert.are.equal(1, metrics.recall_at_5)
        assert.are.same({ 2, 3 }, { predictions[1].rank, predictions[3].rank })
        assert.are.same({ "d", "f" }, { predictions[1].best, predictions[3].pair })
        assert.is_true(math.abs(predictions[1].best_score - math.cos(math.rad(10))) < 1e-6)
    end)

    it("counts a text with several pairs once, by the best placed one", function()
        local found, vectors = found_of({ { "a", "b" }, { "a", "c" }, { "d", "e" } },
            { a = 0, b = 50, c = 5, d = 180, e = 170 })
        local metrics, predictions = similarity.retrieval(found, vectors, 2)
        assert.are.equal(2, #predictions)
        assert.are.equal(1, metrics.recall_at_1)
        assert.are.same({ "c", 1 }, { predictions[1].pair, predictions[1].rank })
    end)
end)
