--- What processes exchange, seen from rank 0 of three, the others simulated. Real jobs:
-- spec/support/ranks_program.lua.

local Ranks = require "bertlua.train.ranks"
local fault = require "bertlua.fault"

--- @param change what rank 2 adds to this rank's number
local function ranks_of(change)
    return Ranks.new {
        rank = 0, size = 3, wait = function() end, broadcast = function() end,
        all_gather = function(_, out, x)
            local own, all = x:tolist(), {}
            for r = 0, 2 do
                for i, value in ipairs(own) do all[#all + 1] = value + (r == 2 and i == 1 and change or 0) end
            end
            out:set(all)
        end,
    }
end

local function fault_of(fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    return problem
end

describe("ranks", function()
    it("are plain calls in a process of its own", function()
        local alone = Ranks.new { rank = 0, size = 1 }
        assert.is_true(alone.main)
        assert.are.same({ { 1, 2 } }, alone:exchange { 1, 2 })
        assert.are.equal("text", alone:broadcast_text "text")
        local value = {}
        assert.are.equal(value, alone:first(function() return value end))
        assert.are.equal(value, alone:together(function() return value end))
        alone:require_equal(7, "settings", "")
    end)

    it("exchange numbers of 48 bits, infinities and NaN", function()
        local all = ranks_of(1):exchange { 5, 2 ^ 31 + 1, 0.1, -2 ^ 47 - 1, math.huge, 0 / 0 }
        for r = 1, 3 do
            assert.are.same({ 2 ^ 31 + 1, -2 ^ 47 - 1, math.huge }, { all[r][2], all[r][4], all[r][5] })
            assert.is_true(math.abs(all[r][3] - 0.1) < 1e-14)
            assert.is_true(all[r][6] ~= all[r][6])
        end
        assert.are.same({ 5, 5, 6 }, { all[1][1], all[2][1], all[3][1] })
    end)

    it("broadcast any text", function()
        local ranks = ranks_of()
        for _, text in ipairs { "", "a", "ab\0cd\255efgh", ("long "):rep(3000) } do
            assert.are.equal(text, ranks:broadcast_text(text))
        end
    end)

    it("use rank 0's answer as the others receive it", function()
        local ranks = ranks_of()
        local answer = ranks:first(function() return { path = "a/b", step = 7, flag = false } end)
        assert.are.same({ path = "a/b", step = 7, flag = false }, answer)
        assert.is_nil(ranks:first(function() end))
        local problem = fault_of(ranks.first, ranks, function() fault.raise("no such folder", 3) end)
        assert.are.same({ "no such folder", 3 }, { problem.message, problem.code })
        -- A bug is not passed on.
        assert.error_matches(function() ranks:first(function() error "a bug" end) end, "a bug")
    end)

    it("name the rank that failed, unless all did", function()
        local ranks = ranks_of()
        assert.are.equal(8, ranks:together(function() return 8 end))
        assert.are.equal("bad setting",
            fault_of(ranks.together, ranks, function() fault.raise "bad setting" end).message)
        ranks = ranks_of(-3)
        local problem = fault_of(ranks.together, ranks, function() fault.raise("broken disk", 3) end)
        assert.are.same({ "rank 0: broken disk", 3 }, { problem.message, problem.code })
    end)

    it("say which of them differ", function()
        ranks_of():require_equal(5, "settings", "look")
        assert.are.equal("settings: rank 2 differs from rank 0: look at them",
            fault_of(function() ranks_of(1):require_equal(5, "settings", "look at them") end).message)
        assert.are.equal("rank 3", Ranks.names { 3 })
        assert.are.equal("ranks 1, 2", Ranks.names { 1, 2 })
        assert.are.equal("ranks 1, 2, 3, 4 and 3 more", Ranks.names { 1, 2, 3, 4, 5, 6, 7 })
    end)
end)
