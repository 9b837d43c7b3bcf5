--- How a long context is split into windows, and where an answer lies in them.
-- The rules of Google's run_squad.py. Token numbers are 0-based; nothing here deals with text.
-- @module bertlua.squad.windows

local array = require "bertlua.array"

local windows = {}

--- Windows of at most `room` tokens, each starting `stride` after the previous one, the last reaching the end.
-- @tparam number count tokens of the context; 0 gives no window
-- @return {count =, start = int32 array, length = int32 array}, both 0-based
function windows.spans(count, room, stride)
    local step = math.min(room, stride)
    local n = count == 0 and 0 or 1 + math.ceil(math.max(0, count - room) / step)
    local start, length = array.int32(n), array.int32(n)
    for i = 0, n - 1 do
        start[i] = i * step
        length[i] = math.min(count - i * step, room)
    end
    return { count = n, start = start, length = length }
end

--- The tokens that have their maximum context in each window.
-- In each window that holds it, a token scores the smaller of its left and right context plus a
-- hundredth of the window's length; it belongs to the first window with the best score. The scores of
-- two windows differ by a value that never rises from left to right, so a window's tokens form a run.
-- @param spans from windows.spans; gets first and last, int32 arrays of token numbers of the context
--   (first > last: none)
-- @param count tokens of the context
function windows.mark_max_context(spans, count)
    local n, start, length = spans.count, spans.start, spans.length
    local first, last = array.int32(n), array.int32(n)
    for i = 0, n - 1 do first[i], last[i] = 1, 0 end
    local low = 0
    for position = 0, count - 1 do
        while start[low] + length[low] <= position do low = low + 1 end
        local best, best_score = low, -1
        local i = low
        while i < n and start[i] <= position do
            local left, right = position - start[i], start[i] + length[i] - 1 - position
            local score = math.min(left, right) + 0.01 * length[i]
            if score > best_score then best, best_score = i, score end
            i = i + 1
        end
        if first[best] > last[best] then first[best] = position end
        last[best] = position
    end
    spans.first, spans.last = first, last
end

--- The part of tokens first..last that is exactly the answer's own tokens, else first, last.
-- The first match from the left, as the answer's words may hold more than the answer: "(1895-1943)."
-- @param tokens array of ids of the context
-- @param answer array of ids of the answer, answer_count of them
-- @treturn number first
-- @treturn number last
function windows.improve_span(tokens, first, last, answer, answer_count)
    if answer_count == 0 then return first, last end
    for start = first, last - answer_count + 1 do
        local k = 0
        while k < answer_count and tokens[start + k] == answer[k] do k = k + 1 end
        if k == answer_count then return start, start + answer_count - 1 end
    end
    return first, last
end

--- Position of tokens first..last in a window's sequence; 0, 0 ([CLS]) unless all of them are inside.
-- @param start, length the window
-- @param shift position of the window's first token in the sequence
function windows.place(start, length, first, last, shift)
    if first < start or last > start + length - 1 then return 0, 0 end
    return first - start + shift, last - start + shift
end

return windows
