--- Expected figures: SciPy 1.17.1 and NumPy, of the same numbers.

local correlation = require "bertlua.metrics.correlation"

local function zero_based(list)
    local array = {}
    for i, value in ipairs(list) do array[i - 1] = value end
    return array
end

local X = zero_based { 1.8, -0.4, -1.2, -1.4, 0.9, -0.2, -0.6, -0.2, 2.1, 0.3, 0.7, 0.8, 1.0, 1.1, -0.7 }
local Y = zero_based { 1.6, -1.2, -1.9, -0.3, 0.4, -0.3, -1.3, -0.8, 2.9, -0.1, 0.2, 1.3, 1.5, 1.9, -0.5 }

local function near(expected, found) assert.is_true(math.abs(expected - found) < 1e-14, expected .. " ~= " .. found) end

describe("correlation", function()
    it("of Pearson and Spearman, with ties, is SciPy's", function()
        near(0.8906830749157263, correlation.pearson(X, Y, 15))
        near(0.9042933810375671, correlation.spearman(X, Y, 15))
    end)

    it("gives equal numbers the mean of their ranks", function()
        assert.are.same({ [0] = 1, [1] = 3, [2] = 3, [3] = 3, [4] = 5 },
            correlation.ranks(zero_based { 1, 2, 2, 2, 7 }, 5))
    end)

    it("is not defined where all numbers are equal, whatever rounding leaves of them", function()
        local same = zero_based { 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1 }
        assert.is_nil(correlation.pearson(same, X, 10))
        assert.is_nil(correlation.spearman(X, same, 10))
        assert.is_nil(correlation.pearson(X, Y, 1))
    end)

    it("stays within its range", function()
        assert.are.equal(1, correlation.pearson(X, X, 15))
    end)

    it("has errors beside it", function()
        local squared, absolute = correlation.errors(X, Y, 15)
        near(0.3813333333333333, squared)
        near(0.56, absolute)
    end)
end)
