--- Predictions against gold; figures checked by hand.

local comparing = require "bertlua.jobs.evaluate.comparing"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"

local function rows_of(field, list)
    local rows = {}
    for i, value in ipairs(list) do
        rows[i] = { text = "text " .. i, where = "gold:" .. i + 1, [field] = value }
        if field == "tags" then
            rows[i].text, rows[i].words = nil, {}
            for w = 1, #value do rows[i].words[w] = "w" .. w end
        end
    end
    return rows
end

local function compare(rows, predictions, options)
    options = options or {}
    options.worst = options.worst or 10
    if options.separator == nil then options.separator = "," end
    options.place = function(i) return "said:" .. i end
    local result = comparing.compare(rows, predictions, options)
    return result
end

local function refused(message, ...)
    local ok, problem = pcall(compare, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    assert.are.equal(message, tostring(problem))
end

describe("predictions against gold", function()
    it("of one label have figures, confusions, and the most surely wrong rows", function()
        local result = compare(rows_of("label", { "a", "a", "b", "b" }), { { label = "a", score = 0.9 },
            { label = "b", score = 0.6 }, { label = "a", score = 0.8, text = "text 3" }, { label = "a", score = 0.7 } },
            { worst = 2 })
        assert.are.equal(0.25, result.metrics.accuracy)
        assert.are.same({ { 1, 1 }, { 2, 0 } }, result.confusion)
        assert.are.same({ { gold = "b", predicted = "a", count = 2 }, { gold = "a", predicted = "b", count = 1 } },
            result.confusions)
        assert.are.same({ name = "a", precision = 1 / 3, recall = 0.5, f1 = 0.4, support = 2 }, result.classes[1])
        assert.are.same({ 3, { { where = "gold:4", score = 0.8, gold = "b", predicted = "a", text = "text 3" },
            { where = "gold:5", score = 0.7, gold = "b", predicted = "a", text = "text 4" } } },
            { result.wrong, result.worst })
        local record = assert(json.decode(comparing.encode(result)))
        assert.are.same({ 0.25, 4, 0.5 }, { record.accuracy, record.rows, record.classes.a.recall })
    end)

    it("of several labels take lists or parted texts", function()
        local gold = rows_of("label", { "a, b", { "b" }, "" })
        local result = compare(gold, { { labels = { "a", "b" }, scores = { 1, 1 } },
            { labels = { "c" }, scores = { 0.75 } }, { labels = {}, scores = {} } })
        assert.are.same({ 2 / 3, 2 / 3 }, { result.metrics.accuracy, result.metrics.micro_f1 })
        assert.are.same({ { where = "gold:3", score = 0.75, gold = "b", predicted = "c", text = "text 2" } },
            result.worst)
        refused('gold:2: "a;b" seems to be several labels: --label-separator says what parts them',
            rows_of("label", { "a;b" }), { { labels = { "a" }, scores = { 1 } } }, { separator = false })
        refused('gold:2: label "x" is not one of the model\'s 2', rows_of("label", { "x" }),
            { { labels = {}, scores = {} } }, { names = { "a", "b" } })
    end)

    it("of numbers correlate", function()
        local predictions = { { value = 1 }, { value = 3 }, { value = 2 } }
        local result = compare(rows_of("label", { "0", "1", "2.5" }), predictions)
        assert.is_true(math.abs(result.metrics.spearman - 0.5) < 1e-12)
        assert.are.equal((1 + 2 + 0.5) / 3, result.metrics.mae)
        assert.are.equal("gold:3", result.worst[1].where)
        result = compare(rows_of("label", { "0", "10", "20" }), predictions, { ranked = true })
        assert.is_true(math.abs(result.metrics.spearman - 0.5) < 1e-12)
        assert.are.equal(1, result.worst[1].difference)
        assert.is_nil(result.metrics.mse)
        refused('gold:2: "x" is not a number', rows_of("label", { "x" }), { { value = 1 } })
        refused('gold:2: "nan" is not a number', rows_of("label", { "nan" }), { { value = 1 } })
    end)

    it("of words count entities, or single tags", function()
        local result = compare(rows_of("tags", { { "B-X", "I-X", "O" }, { "B-Y", "O" } }), {
            { tags = { "B-X", "I-X", "O" }, scores = { 1, 1, 1 } }, { tags = { "B-X", "O" }, scores = { 0.5, 1 } } })
        assert.are.same({ "IOB2", 5, 0.5 }, { result.scheme, result.words, result.metrics.f1 })
        assert.are.same({ { "X", 1 }, { "Y", 1 } }, { { result.classes[1].name, result.classes[1].support },
            { result.classes[2].name, result.classes[2].support } })
        assert.are.same({ { gold = "B-Y", predicted = "B-X", count = 1 } }, result.confusions)
        assert.are.equal("w1: w1 w2", result.worst[1].text)
        result = compare(rows_of("tags", { { "N", "V" } }), { { tags = { "N", "N" } } })
        assert.are.same({ nil, 0.5 }, { result.scheme, result.metrics.accuracy })
        refused("gold:2: 1 gold tag, but 2 predicted", rows_of("tags", { { "N" } }), { { tags = { "N", "V" } } })
    end)

    it("take labels that nobody named by their numbers, and know those that the model does not", function()
        local result = compare(rows_of("label", { "0", "1", "x" }), { { label = "LABEL_0", score = 1 },
            { label = "LABEL_1", score = 1 }, { label = "LABEL_0", score = 1 } }, { names = { "LABEL_0", "LABEL_1" } })
        assert.are.equal(2 / 3, result.metrics.accuracy)
        assert.are.same({ { { "x", "gold:4" } }, 1 }, { result.unknown, result.of_unknown })
        result = compare(rows_of("label", { { "1" }, "0" }), { { labels = { "LABEL_1" }, scores = { 1 } },
            { labels = {}, scores = {} } })
        assert.are.equal(0.5, result.metrics.accuracy)
        result = compare(rows_of("tags", { { "O", "B-X" } }), { { tags = { "O", "O" } } }, { names = { "O", "B-Y" } })
        assert.are.same({ { { "B-X", "gold:2" } }, 1 }, { result.unknown, result.of_unknown })
    end)

    it("must be of the same rows", function()
        refused("said:2: no prediction with a label like the first one's", rows_of("label", { "a", "a" }),
            { { label = "a", score = 1 }, { value = 1 } })
        refused("said:1: a prediction of another text than that of gold:2: are they of the same file?",
            rows_of("label", { "a" }), { { label = "a", text = "text 7" } })
        refused("gold:2: the label is empty", rows_of("label", { "" }), { { label = "a" } })
        refused("gold:2: the gold label is a list, but the predictions are of one label", rows_of("label", { { "a" } }),
            { { label = "a" } })
    end)
end)
