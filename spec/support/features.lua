--- Comparison of feature sets of SQuAD.

local assert = require "luassert"

local M = {}

--- Every array of two sets is the same.
function M.assert_same_set(expected, set)
    assert.are.equal(expected.count, set.count)
    for i, item in ipairs(expected:arrays()) do
        local other = set:arrays()[i]
        assert.are.equal(item[3], other[3], item[1])
        local wrong
        for k = 0, item[3] - 1 do
            if item[2][k] ~= other[2][k] then wrong = ("%s[%d]"):format(item[1], k) end
        end
        assert.is_nil(wrong)
    end
end

return M
