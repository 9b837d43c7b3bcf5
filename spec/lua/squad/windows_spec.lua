--- Windows, maximum context and answer spans, against the rules spelled out token by token.

local array = require "bertlua.array"
local windows = require "bertlua.squad.windows"
local vocabulary = require "spec.support.vocabulary"

--- The reference's loop, word for word.
local function reference_spans(count, room, stride)
    local list, start = {}, 0
    while start < count do
        local length = math.min(count - start, room)
        list[#list + 1] = { start, length }
        if start + length == count then break end
        start = start + math.min(length, stride)
    end
    return list
end

local function reference_owner(list, position)
    local best, best_score
    for i, span in ipairs(list) do
        local last = span[1] + span[2] - 1
        if position >= span[1] and position <= last then
            local score = math.min(position - span[1], last - position) + 0.01 * span[2]
            if not best_score or score > best_score then best, best_score = i, score end
        end
    end
    return best
end

local function pairs_of(spans)
    local list = {}
    for i = 0, spans.count - 1 do list[i + 1] = { spans.start[i], spans.length[i] } end
    return list
end

describe("windows", function()
    it("cover the context with a fixed stride", function()
        assert.are.same({ { 0, 5 } }, pairs_of(windows.spans(5, 8, 4)))
        assert.are.same({ { 0, 8 } }, pairs_of(windows.spans(8, 8, 4)))
        assert.are.same({ { 0, 8 }, { 4, 5 } }, pairs_of(windows.spans(9, 8, 4)))
        assert.are.same({ { 0, 4 }, { 4, 4 }, { 8, 1 } }, pairs_of(windows.spans(9, 4, 100)))
        assert.are.same({}, pairs_of(windows.spans(0, 8, 4)))
    end)

    it("and their maximum context match the reference for many sizes", function()
        local random = vocabulary.random(7)
        for _ = 1, 300 do
            local count, room, stride = random(300), random(90), random(60)
            local spans, list = windows.spans(count, room, stride), reference_spans(count, room, stride)
            assert.are.same(list, pairs_of(spans))
            windows.mark_max_context(spans, count)
            local wrong
            for position = 0, count - 1 do
                local owner = reference_owner(list, position)
                for i = 0, spans.count - 1 do
                    if (owner == i + 1) ~= (position >= spans.first[i] and position <= spans.last[i]) then
                        wrong = ("token %d of %d, window %d, room %d, stride %d"):format(position, count, i, room,
                            stride)
                    end
                end
            end
            assert.is_nil(wrong)
        end
    end)

    it("narrow an answer down to its tokens", function()
        local tokens = array.int32 { 9, 7, 1, 2, 3, 1, 2, 8 }
        local answer = array.int32 { 1, 2 }
        assert.are.same({ 2, 3 }, { windows.improve_span(tokens, 0, 7, answer, 2) })
        assert.are.same({ 5, 6 }, { windows.improve_span(tokens, 3, 7, answer, 2) })
        assert.are.same({ 3, 5 }, { windows.improve_span(tokens, 3, 5, answer, 2) })
        assert.are.same({ 0, 7 }, { windows.improve_span(tokens, 0, 7, answer, 0) })
    end)

    it("point to [CLS] unless the whole answer is inside", function()
        assert.are.same({ 15, 17 }, { windows.place(10, 8, 15, 17, 10) })
        assert.are.same({ 10, 17 }, { windows.place(10, 8, 10, 17, 10) })
        assert.are.same({ 0, 0 }, { windows.place(10, 8, 9, 12, 10) })
        assert.are.same({ 0, 0 }, { windows.place(10, 8, 15, 18, 10) })
    end)
end)
