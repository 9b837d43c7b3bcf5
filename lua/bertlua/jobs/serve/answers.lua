--- What a reply of the queue becomes: JSON in the form of the route.
--
-- Functions of (reply, question, context) that return text, or pieces(emit) for what may be large. Long loops call
-- context.pause(), so that others are served meanwhile.

local base64 = require "bertlua.util.base64"
local json = require "bertlua.util.json"
local problem = require "bertlua.jobs.serve.problem"

local M = {}

-- Numbers that are written between two calls of pause.
local STRETCH = 8192

--- The reply's problem, if it has one.
-- @param limits max_length
function M.problem_of(reply, limits)
    if reply.status == "ok" then return nil end
    if reply.too_long then
        -- The words of text-embeddings-inference, though as many as max_length are taken.
        return problem.new(413, "Validation", ("`inputs` must have less than %d tokens. Given: %d"):format(
            limits.max_length, reply:length(reply.too_long)), { code = "context_length_exceeded" })
    elseif reply.status == "argument" then
        return problem.new(422, "Tokenizer", reply.message)
    elseif reply.status == "memory" then
        return problem.new(503, "Unhealthy", reply.message)
    end
    return problem.new(424, "Backend", reply.message)
end

local function check(x)
    if x - x ~= 0 then
        problem.raise(424, "Backend", "the model gave a number that is not finite: its parameters are damaged")
    end
    return x
end

local function check_row(values, from, width)
    for i = from, from + width - 1 do check(values[i]) end
end

-- Nine digits are every f32.
local function number(x)
    return ("%.9g"):format(check(x))
end

--- "[1,2,3]" of `width` floats.
local function row(values, from, width)
    local list = {}
    for i = 1, width do list[i] = number(values[from + i - 1]) end
    return "[" .. table.concat(list, ",") .. "]"
end

--- A function to be called before so many numbers are written.
local function pacer(pause)
    local written = 0
    return function(count)
        written = written + count
        if written >= STRETCH then
            written = 0
            pause()
        end
    end
end

--- /embed: [[...], ...].
function M.embed(reply, _, context)
    local list, pace = {}, pacer(context.pause)
    for i = 0, reply.count - 1 do
        pace(reply.width)
        list[i + 1] = row(reply.values, i * reply.width, reply.width)
    end
    return "[" .. table.concat(list, ",") .. "]"
end

--- /embed_all: a list of lists of vectors, in pieces.
function M.embed_all(reply, _, context)
    -- Before the first byte is sent: afterwards there is no way to tell.
    local total, pace = 0, pacer(context.pause)
    for i = 1, reply.count do total = total + reply:rows(i) end
    for at = 0, total - 1 do
        pace(reply.width)
        check_row(reply.values, at * reply.width, reply.width)
    end
    return function(emit)
        local at = 0
        for i = 1, reply.count do
            emit(i == 1 and "[[" or ",[")
            for t = 1, reply:rows(i) do
                pace(reply.width)
                emit((t == 1 and "" or ",") .. row(reply.values, at * reply.width, reply.width))
                at = at + 1
            end
            emit "]"
        end
        emit "]"
    end
end

--- /v1/embeddings.
function M.openai_embeddings(reply, question, context)
    local list, pace = {}, pacer(context.pause)
    for i = 0, reply.count - 1 do
        pace(reply.width)
        local vector
        if question.base64 then
            check_row(reply.values, i * reply.width, reply.width)
            vector = '"' .. base64.encode(reply:bytes(i)) .. '"'
        else
            vector = row(reply.values, i * reply.width, reply.width)
        end
        list[i + 1] = ('{"object":"embedding","embedding":%s,"index":%d}'):format(vector, i)
    end
    return ('{"object":"list","data":[%s],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}'):format(
        table.concat(list, ","), json.encode(context.limits.model), reply.tokens, reply.tokens)
end

--- /predict: labels with their scores, the highest first.
function M.predict(reply, question, context)
    local all = {}
    for t = 1, reply.count do
        local list = {}
        for i = 1, reply.width do
            local score = check(reply.values[(t - 1) * reply.width + i - 1])
            list[i] = { label = context.labels[i], score = score, place = i }
        end
        table.sort(list, function(a, b)
            if a.score ~= b.score then return a.score > b.score end
            return a.place < b.place
        end)
        for i, entry in ipairs(list) do
            list[i] = ('{"score":%s,"label":%s}'):format(number(entry.score), json.encode(entry.label))
        end
        all[t] = "[" .. table.concat(list, ",") .. "]"
    end
    return question.single and all[1] or "[" .. table.concat(all, ",") .. "]"
end

--- A guess's text with the blanks that are not part of it: "##ing" is "ing".
local function shown(token)
    return (token:gsub("^##", ""))
end

--- The text with its n-th [MASK] replaced.
local function filled(text, n, token)
    local at, seen = 1, 0
    while true do
        local first, last = text:find("[MASK]", at, true)
        if not first then return text end
        seen = seen + 1
        if seen == n then
            -- A piece continues the word before it.
            local before = text:sub(1, first - 1)
            if token:find "^##" then before = before:gsub("%s+$", "") end
            return before .. shown(token) .. text:sub(last + 1)
        end
        at = last + 1
    end
end

--- /fill_mask: guesses for each mask; a list of them where a text has several, as transformers' pipeline.
function M.fill_mask(reply, question)
    local texts, at = {}, 0
    for t = 1, reply.count do
        local masks = {}
        for m = 1, reply:rows(t) do
            local list = {}
            for k = 1, question.top do
                local id, token, probability = reply:guess(at)
                at = at + 1
                list[k] = ('{"score":%s,"token":%d,"token_str":%s,"sequence":%s}'):format(number(probability), id,
                    json.encode(shown(token)), json.encode(filled(question.texts[t], m, token)))
            end
            masks[m] = "[" .. table.concat(list, ",") .. "]"
        end
        texts[t] = #masks == 1 and masks[1] or "[" .. table.concat(masks, ",") .. "]"
    end
    return question.single and texts[1] or "[" .. table.concat(texts, ",") .. "]"
end

--- Characters (code points) in the first bytes of UTF-8 text.
local function characters(text, bytes)
    return select(2, text:sub(1, bytes):gsub("[^\128-\191]", ""))
end

--- /answer: the answer, or the likeliest ones where several were asked for.
function M.answer(reply, question)
    local texts, at = {}, 0
    for t = 1, reply.count do
        local list, passage = {}, question.pairs[t]
        for i = 1, reply:rows(t) do
            local first, stop, probability = reply:answer(at)
            at = at + 1
            list[i] = ('{"score":%s,"start":%d,"end":%d,"answer":%s}'):format(number(probability),
                characters(passage, first), characters(passage, stop), json.encode(passage:sub(first + 1, stop)))
        end
        texts[t] = question.top == 1 and (list[1] or '{"score":0,"start":0,"end":0,"answer":""}')
            or "[" .. table.concat(list, ",") .. "]"
    end
    return question.single and texts[1] or "[" .. table.concat(texts, ",") .. "]"
end

--- /tokenize: id, text and characters of each token.
-- @param lists per text, of {id, text, special, start, stop: bytes}
-- @param question texts
function M.tokenize(lists, question)
    local texts = {}
    for t, list in ipairs(lists) do
        local text, out = question.texts[t], {}
        -- Counted on from the token before: from the start it would take quadratic time.
        local bytes, count = 0, 0
        local function place(byte)
            count = count + characters(text:sub(bytes + 1, byte), byte - bytes)
            bytes = byte
            return count
        end
        for i, token in ipairs(list) do
            local start, stop = "null", "null"
            if not token.special then
                start = place(token.start)
                -- A token may begin before the last one ended, as the pieces of one character do.
                stop = start + characters(text:sub(token.start + 1, token.stop), token.stop - token.start)
            end
            out[i] = ('{"id":%d,"text":%s,"special":%s,"start":%s,"stop":%s}'):format(token.id, json.encode(token.text),
                tostring(token.special or false), start, stop)
        end
        texts[t] = "[" .. table.concat(out, ",") .. "]"
    end
    return "[" .. table.concat(texts, ",") .. "]"
end

return M
