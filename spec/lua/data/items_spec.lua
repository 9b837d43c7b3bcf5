--- Items of a recipe's own data: epochs, positions, shuffling, what is refused.

local Items = require "bertlua.data.items"
local fault = require "bertlua.fault"

--- A source whose epoch e yields "e:1" to "e:count".
local function counting(count)
    return function(run)
        local n = 0
        return function()
            n = n + 1
            if n <= count then return ("%d:%d"):format(run.epoch, n) end
        end
    end
end

local function take(items, count)
    local list = {}
    for i = 1, count do list[i] = items:next().text end
    return list
end

describe("items", function()
    it("come epoch after epoch, from a function or a list", function()
        assert.are.same({ "1:1", "1:2", "1:3", "2:1", "2:2", "2:3", "3:1" }, take(Items.new(counting(3), {}), 7))
        assert.are.same({ "a", "b", "a" }, take(Items.new(function() return { "a", { text = "b" } } end, {}), 3))
    end)

    it("get the epoch, the seed and what the job adds", function()
        local seen = {}
        local items = Items.new(function(run)
            seen[#seen + 1] = ("%d %d %s"):format(run.epoch, run.seed, run.phase)
            return { "a", "b" }
        end, { seed = 7, run = { phase = "phase2" } })
        take(items, 5)
        assert.are.same({ "1 7 phase2", "2 7 phase2", "3 7 phase2" }, seen)
    end)

    it("are the rest from a position on, with the checksum of those before", function()
        for _, buffer in ipairs { 0, 4 } do
            local whole = Items.new(counting(10), { shuffle_buffer = buffer })
            take(whole, 16)
            local position = whole:position()
            assert.are.same({ 2, 6 }, { position.epoch, position.item })
            local resumed, dropped = Items.new(counting(10), { shuffle_buffer = buffer }), 0
            assert.is_true(resumed:seek(position, function(n) dropped = n end))
            assert.are.equal(6, dropped)
            assert.are.same(take(whole, 20), take(resumed, 20))
            assert.are.same(whole:position(), resumed:position())
        end
    end)

    it("that are others than before a position are noticed", function()
        local function position(list, count)
            local items = Items.new(function() return list end, {})
            for _ = 1, count do items:next() end
            return items:position()
        end
        local function problem(before, now, count)
            local ok, text = Items.new(function() return now end, {}):seek(position(before, count))
            return not ok and text or nil
        end
        local pair, label = { text = "a", pair = "b" }, { text = "a", label = 1 }
        assert.is_nil(problem({ "a", pair, label }, { { text = "a" }, pair, label }, 3))
        -- An empty item is none, and what comes later does not matter.
        assert.is_nil(problem({ "a", " ", "b", "c" }, { "a", "b", "d" }, 2))
        assert.are.equal("the first 2 items of epoch 1 are others", problem({ "a", "b" }, { "a", "c" }, 2))
        assert.are.equal("the first 1 item of epoch 1 are others", problem({ pair }, { "ab" }, 1))
        assert.are.equal("the first 1 item of epoch 1 are others", problem({ label }, { "a" }, 1))
        assert.are.equal("the first 1 item of epoch 1 are others", problem({ { ids = { 6 } } }, { { ids = { 7 } } }, 1))
        assert.are.equal("epoch 1 has fewer items (1, but 2 were used)", problem({ "a", "b" }, { "a" }, 2))
    end)

    it("are drawn from those read ahead, by seed and epoch", function()
        local function epochs(seed, buffer)
            local list = take(Items.new(counting(40), { seed = seed, shuffle_buffer = buffer }), 80)
            return { unpack(list, 1, 40) }, { unpack(list, 41, 80) }
        end
        local first, second = epochs(1, 10)
        assert.are.same(first, (epochs(1, 10)))
        assert.are_not.same(first, (epochs(2, 10)))
        local place, moved, same = {}, 0, 0
        for i, name in ipairs(first) do
            local n = tonumber(name:match "^1:(%d+)$")
            assert.is_nil(place[n])
            -- Item n is read once n - 10 are out.
            assert.is_true(i > n - 10, name)
            place[n] = i
            if i ~= n then moved = moved + 1 end
            if second[i] == "2:" .. n then same = same + 1 end
        end
        assert.is_true(moved > 25 and same < 10, moved .. " " .. same)
        assert.are.equal("1:1", (epochs(1, 1))[1])
    end)

    it("may share one table, which is read at once", function()
        local shared, n = {}, 0
        local items = Items.new(function()
            return function()
                n = n + 1
                shared.text = "t" .. n
                return shared
            end
        end, {})
        local first, second = items:next(), items:next()
        assert.are.same({ "t1", "t2" }, { first.text, second.text })
    end)

    it("that are empty are left out, and fields that nothing reads ignored; both are told once", function()
        local told = {}
        local items = Items.new(function()
            return { "a", "", { text = "b", url = "u" }, { text = "c", pair = " " }, { ids = {} },
                { text = "d", url = 1 } }
        end, { tell = function(line) told[#told + 1] = line end })
        assert.are.same({ "a", "b", "d", "a" }, take(items, 4))
        assert.are.equal(3, items.empty)
        assert.are.same({ "data: item 2 of epoch 1 is empty and left out; others are only counted",
            "data: the field url of items is ignored", "data: epoch 1 had 3 items" }, told)
    end)

    it("may be lists of ids", function()
        local items = Items.new(function() return { { ids = { 5, 9 }, pair = { 7 }, label = 0 } } end,
            { vocab_size = 10, cls_id = 2 })
        local item = items:next()
        assert.are.same({ 2, 5, 9, 1, 7, 0 }, { item.count, item.ids[0], item.ids[1], item.pair_count,
            item.pair_ids[0], item.label })
    end)

    it("may have lists of labels, which the checksum tells apart", function()
        local function last(labels)
            local items = Items.new(function() return { { text = "a", label = labels } } end,
                { no_ids = true, label_lists = true })
            items:open(1)
            local item
            for each in items.next_of_epoch, items do item = each end
            return item.label, items:position().checksum
        end
        local labels, checksum = last { "x", 2, true }
        assert.are.same({ "x", "2", "true" }, labels)
        assert.are.equal(checksum, (select(2, last { "x", "2", "true" })))
        assert.are_not.equal(checksum, (select(2, last { "x", "2" })))
        assert.are.same({}, (last {}))
    end)

    it("of another form are refused, with the place of the function", function()
        local function refused(pattern, value, options)
            local ok, message = pcall(function()
                local items = Items.new(type(value) == "function" and value or function() return { "a", value } end,
                    options or { vocab_size = 10, cls_id = 2 })
                for _ = 1, 3 do items:next() end
            end)
            assert.is_false(ok)
            assert.is_true(fault.is(message), tostring(message))
            assert.matches(pattern, tostring(message))
        end
        local FORM = "^data, item 2 of epoch 1 %(function at .*items_spec%.lua:%d+%): got "
        refused(FORM .. "a number, expected a text, { text = ", 17)
        refused(FORM .. "text = nil, expected a text", {})
        refused(FORM .. "text = 3, expected a text", { text = 3 })
        refused(FORM .. "pair = a number, expected a text", { text = "a", pair = 3 })
        refused(FORM .. "text = bytes that are not UTF%-8 %(0xff at byte 1%), expected UTF%-8 text", "a\255")
        refused(FORM .. "pair = bytes that are not UTF%-8", { text = "a", pair = "\200" })
        refused(FORM .. "label = a table, expected a number", { text = "a", label = {} })
        local LISTS = { no_ids = true, label_lists = true }
        refused(FORM .. "label%[1%] = a table, expected", { text = "a", label = { {} } }, LISTS)
        refused(FORM .. "label = a table without %[1%], expected a label, or a list of labels",
            { text = "a", label = { x = true } }, LISTS)
        refused(FORM .. "both text and ids, expected one of them", { text = "a", ids = { 5 } })
        refused(FORM .. "ids = 5, expected a list of token ids", { ids = 5 })
        refused(FORM .. "pair = a, expected a list of token ids", { ids = { 5 }, pair = "a" })
        refused(FORM .. "ids%[2%] = 10, expected token ids from 0 to 9", { ids = { 9, 10 } })
        refused(FORM .. "ids%[1%] = 1.5, expected token ids", { ids = { 1.5 } })
        refused(FORM .. "ids that begin with %[CLS%], expected ids without", { ids = { 2, 5, 3 } })
        refused(FORM .. "text = nil, expected { text = ..., pair", { ids = { 5 } }, { no_ids = true })
        local WHOLE = "^data %(function at .*items_spec%.lua:%d+%): "
        refused(WHOLE .. "there is no item in epoch 1: an iterator must begin anew", counting(0))
        refused(WHOLE .. "there is no item that is not empty in epoch 1", function() return { " ", "" } end)
        local iterator = counting(2) { epoch = 1 }
        refused(WHOLE .. "there is no item in epoch 2", function() return iterator end)
        refused(WHOLE .. "it returned nil for epoch 1, expected a list of items, or an iterator", function() end)
        refused(WHOLE .. "it returned what pairs or ipairs gives", function() return ipairs { "a" } end)
        refused("^data, epoch 1: .*items_spec%.lua:%d+: attempt to index", function(run) return run.no.thing end)
        refused("^data, item 1 of epoch 1: .*items_spec%.lua:%d+: attempt to call", function()
            return function() return ("x").nothing() end
        end)
    end)
end)
