--- What the JSON of a request asks for: from a decoded body to a question for the queue, or a problem.
--
-- Fields are those of text-embeddings-inference, of OpenAI's embeddings, and of the pipelines of Hugging Face's
-- inference API. A field that nothing here knows is refused: it would be ignored in silence.
--
-- A question: {ask, texts, pairs, truncate, ...: see bertlua.encoder_queue; single: whether the result is that of one
-- text rather than a list; and what the answer needs}.

local json = require "bertlua.util.json"
local problem = require "bertlua.jobs.serve.problem"
local suggest = require "bertlua.util.suggest"

local M = {}

local brief = problem.brief

-- Most levels of a body; a list of pairs has three.
local DEPTH = 8
-- Most words of a mask, answers of a question.
local MOST_TOP = 100
-- Bytes of texts for /tokenize, of sequences that /fill_mask answers with: they are made in the event loop.
local MOST_TOKENIZED, MOST_FILLED = 131072, 4194304

local function invalid(message, param, code)
    problem.raise(422, "Validation", message, { param = param, code = code })
end

local KINDS = { table = "an object or a list", string = "text" }

local function kind_of(value)
    if value == json.null then return "null" end
    return KINDS[type(value)] or "a " .. type(value)
end

--- A body as a table.
-- @tparam string body
function M.decode(body)
    local value, message = json.decode(body, "body", DEPTH)
    if value == nil then problem.raise(400, "Validation", message) end
    if type(value) ~= "table" or value == json.null or value[1] ~= nil then
        invalid(("the body is %s, expected an object such as {\"inputs\": \"a text\"}"):format(
            type(value) == "table" and value ~= json.null and "a list" or kind_of(value)))
    end
    return value
end

--- The fields of an object, null being none; a problem for one that is unknown or has another type.
-- @param object of the body
-- @param known name to type: "boolean", "string", "number", "object" or "any"
-- @param inside name of the object in the body, or nil
local function fields(object, known, inside)
    local found, names = {}, {}
    for name in pairs(known) do names[#names + 1] = name end
    table.sort(names)
    for name, value in pairs(object) do
        local wanted, shown = known[name], brief(name)
        if inside then shown = inside .. "." .. shown end
        if not wanted then
            -- The name may be as long as the body.
            local near = suggest.closest(shown, names)
            invalid(("unknown field %s%s"):format(shown, near and "; did you mean " .. near .. "?"
                or "; known are " .. table.concat(names, ", ")), shown)
        end
        if value ~= json.null then
            local fits = wanted == "any" or type(value) == (wanted == "object" and "table" or wanted)
            if not fits then
                invalid(("%s is %s, expected %s"):format(shown, kind_of(value),
                    wanted == "string" and "text" or wanted == "object" and "an object" or "a " .. wanted), shown)
            end
            found[name] = value
        end
    end
    return found
end

--- A text for the engine. NUL ends texts there; U+0001 is as little a part of any word.
local function text_of(value, shown)
    if type(value) == "number" or type(value) == "table" and type(value[1]) == "number" then
        invalid(("%s is made of token ids, expected text"):format(shown), shown)
    elseif type(value) ~= "string" then
        invalid(("%s is %s, expected text"):format(shown, kind_of(value)), shown)
    end
    return (value:gsub("%z", "\1"))
end

local function not_empty(text, shown)
    if text == "" then problem.raise(400, "Empty", ("`%s` cannot be empty"):format(shown), { param = shown }) end
    return text
end

local function is_list(value)
    return type(value) == "table" and value ~= json.null and (value[1] ~= nil or next(value) == nil)
end

--- A list that is not empty and not longer than a request may be.
local function check_list(list, name, limits)
    if #list == 0 then problem.raise(400, "Empty", ("`%s` cannot be empty"):format(name), { param = name }) end
    if #list > limits.max_inputs then
        problem.raise(413, "Validation", ("batch size %d > maximum allowed batch size %d"):format(#list,
            limits.max_inputs), { param = name })
    end
end

--- A text or a list of texts.
-- @return list, whether it is a single text
local function texts_of(value, name, limits)
    if value == nil then invalid(("missing field `%s`"):format(name), name) end
    if type(value) == "string" then return { not_empty(text_of(value, name), name) }, true end
    if not is_list(value) then invalid(("%s is %s, expected text or a list of texts"):format(name,
        type(value) == "table" and "an object" or kind_of(value)), name) end
    check_list(value, name, limits)
    if type(value[1]) == "number" then text_of(value, name) end
    local list = {}
    for i, text in ipairs(value) do
        local shown = ("%s[%d]"):format(name, i - 1)
        list[i] = not_empty(text_of(text, shown), shown)
    end
    return list, false
end

local function truncation(found, limits)
    if found.truncation_direction and found.truncation_direction:lower() ~= "right" then
        invalid(("truncation_direction is %s; only Right is done here"):format(brief(found.truncation_direction)),
            "truncation_direction")
    end
    if found.truncate == nil then return limits.auto_truncate or false end
    return found.truncate
end

local function no_prompt(found)
    if found.prompt_name then
        invalid("prompt_name: prompts of models are not known here; write the prompt in front of the text",
            "prompt_name")
    end
end

local function dimensions(found, limits)
    if found.dimensions and found.dimensions ~= limits.hidden_size then
        invalid(("dimensions is %s; the vectors of this model have %d, and are not shortened"):format(
            tostring(found.dimensions), limits.hidden_size), "dimensions")
    end
end

local function need(limits, head, what)
    if limits[head] then return end
    problem.raise(424, "Backend", ("the model `%s` has no head for %s"):format(limits.model, what))
end

--- POST /embed.
-- @param body decoded
-- @param limits max_inputs, max_context (bytes), auto_truncate, hidden_size, pooling, model, and the model's heads:
--   classifies, answers, fills_masks
function M.embed(body, limits)
    local found = fields(body, { inputs = "any", normalize = "boolean", truncate = "boolean",
        truncation_direction = "string", prompt_name = "string", dimensions = "number" })
    no_prompt(found)
    dimensions(found, limits)
    return { ask = "embed", texts = texts_of(found.inputs, "inputs", limits), truncate = truncation(found, limits),
        normalize = found.normalize ~= false, pooling = limits.pooling }
end

--- POST /embed_all: a vector for each token.
function M.embed_all(body, limits)
    local found = fields(body, { inputs = "any", truncate = "boolean", truncation_direction = "string",
        prompt_name = "string" })
    no_prompt(found)
    return { ask = "hidden", texts = texts_of(found.inputs, "inputs", limits), truncate = truncation(found, limits) }
end

--- A text, or the two of a pair.
local function sequence(value, shown)
    if not is_list(value) or #value < 1 or #value > 2 then
        invalid(("%s is %s, expected [text] or [text, text]"):format(shown, is_list(value)
            and ("a list of %d"):format(#value) or kind_of(value)), shown)
    end
    local a = text_of(value[1], shown .. "[0]")
    local b = value[2] ~= nil and text_of(value[2], shown .. "[1]")
    if a == "" and (not b or b == "") then not_empty("", shown) end
    return a, b
end

--- POST /predict: a text, a pair [text, text], or a list of [text] and [text, text].
function M.predict(body, limits)
    need(limits, "classifies", "labels of texts")
    local found = fields(body, { inputs = "any", truncate = "boolean", truncation_direction = "string",
        raw_scores = "boolean" })
    if found.raw_scores and not limits.values then
        invalid("raw_scores is true; scores are probabilities here", "raw_scores")
    end
    local inputs = found.inputs
    if inputs == nil then invalid("missing field `inputs`", "inputs") end
    local question = { ask = "classify", texts = {}, pairs = {}, truncate = truncation(found, limits) }
    if type(inputs) == "string" then
        question.texts, question.single = { not_empty(text_of(inputs, "inputs"), "inputs") }, true
    elseif is_list(inputs) and type(inputs[1]) == "string" then
        if #inputs > 2 then
            invalid(("inputs is a list of %d texts: [text, text] is a pair, several texts are [[text], [text], ...]")
                :format(#inputs), "inputs")
        end
        question.texts[1], question.pairs[1] = sequence(inputs, "inputs")
        question.single = true
    elseif is_list(inputs) then
        check_list(inputs, "inputs", limits)
        for i, value in ipairs(inputs) do
            question.texts[i], question.pairs[i] = sequence(value, ("inputs[%d]"):format(i - 1))
        end
    else
        invalid(("inputs is %s, expected text, a pair of texts or a list of lists"):format(kind_of(inputs)), "inputs")
    end
    local paired = false
    for _, pair in ipairs(question.pairs) do paired = paired or pair end
    if not paired then question.pairs = nil end
    return question
end

--- A problem if texts are too long together.
local function check_bytes(texts, name, most)
    local bytes = 0
    for _, text in ipairs(texts) do bytes = bytes + #text end
    if bytes > most then
        problem.raise(413, "Validation", ("%s: %d bytes, expected at most %d"):format(name, bytes, most),
            { param = name })
    end
end

--- POST /tokenize.
function M.tokenize(body, limits)
    local found = fields(body, { inputs = "any", add_special_tokens = "boolean", prompt_name = "string" })
    no_prompt(found)
    local texts = texts_of(found.inputs, "inputs", limits)
    check_bytes(texts, "inputs", MOST_TOKENIZED)
    return { texts = texts, special = found.add_special_tokens ~= false }
end

local function top(parameters, default)
    local wanted = parameters.top_k or default
    if wanted < 1 or wanted > MOST_TOP or wanted ~= math.floor(wanted) then
        invalid(("parameters.top_k is %s, expected 1 to %d"):format(tostring(wanted), MOST_TOP), "parameters.top_k")
    end
    return wanted
end

-- What a server that loads models on demand is told; there is nothing to do here.
local OPTIONS = { use_cache = "boolean", wait_for_model = "boolean" }

--- POST /fill_mask.
function M.fill_mask(body, limits)
    need(limits, "fills_masks", "words in place of [MASK]")
    local found = fields(body, { inputs = "any", parameters = "object", options = "object" })
    local parameters = fields(found.parameters or {}, { top_k = "number" }, "parameters")
    fields(found.options or {}, OPTIONS, "options")
    local texts, single = texts_of(found.inputs, "inputs", limits)
    local wanted, bytes = top(parameters, 5), 0
    for i, text in ipairs(texts) do
        local masks = select(2, text:gsub("%[MASK%]", ""))
        if masks == 0 then
            local shown = single and "inputs" or ("inputs[%d]"):format(i - 1)
            invalid(shown .. " has no [MASK]", shown)
        end
        bytes = bytes + masks * wanted * #text
    end
    if bytes > MOST_FILLED then
        problem.raise(413, "Validation", ("inputs: the texts filled with each word have %.0f bytes, expected at most "
            .. "%d; ask for fewer words, or fewer or shorter texts"):format(bytes, MOST_FILLED), { param = "inputs" })
    end
    return { ask = "fill_mask", texts = texts, single = single, top = wanted }
end

--- POST /answer: {inputs: {question, context}}, a list of them, or the two at once.
function M.answer(body, limits)
    need(limits, "answers", "answers")
    local found = fields(body, { inputs = "object", question = "string", context = "string", parameters = "object",
        options = "object" })
    local parameters = fields(found.parameters or {}, { top_k = "number", handle_impossible_answer = "boolean" },
        "parameters")
    fields(found.options or {}, OPTIONS, "options")
    if found.inputs and (found.question or found.context) then
        invalid("inputs and question or context: give one of them", "inputs")
    end
    local single = not is_list(found.inputs)
    local list = single and { found.inputs or { question = found.question, context = found.context } } or found.inputs
    check_list(list, "inputs", limits)
    local question = { ask = "answer", texts = {}, pairs = {}, single = single, top = top(parameters, 1),
        allow_none = parameters.handle_impossible_answer or false }
    for i, entry in ipairs(list) do
        local shown = not single and ("inputs[%d]"):format(i - 1) or found.inputs and "inputs" or nil
        if type(entry) ~= "table" or is_list(entry) and next(entry) ~= nil then
            invalid(("%s is %s, expected {\"question\": ..., \"context\": ...}"):format(shown, kind_of(entry)), shown)
        end
        local pair = fields(entry, { question = "string", context = "string" }, shown)
        for _, name in ipairs { "question", "context" } do
            local field = shown and shown .. "." .. name or name
            if pair[name] == nil then invalid(("missing field `%s`"):format(field), field) end
            local into = name == "question" and question.texts or question.pairs
            into[i] = not_empty(text_of(pair[name], field), field)
        end
    end
    check_bytes(question.pairs, "contexts together", limits.max_context)
    return question
end

--- POST /v1/embeddings.
function M.openai_embeddings(body, limits)
    local found = fields(body, { input = "any", model = "string", encoding_format = "string", dimensions = "number",
        user = "string" })
    if found.model and found.model ~= limits.model then
        problem.raise(404, "Validation", ("the model `%s` does not exist here; this server has `%s` (--model-name "
            .. "gives it another name)"):format(brief(found.model), limits.model),
            { param = "model", code = "model_not_found" })
    end
    local format = found.encoding_format or "float"
    if format ~= "float" and format ~= "base64" then
        invalid(("encoding_format is %s, expected float or base64"):format(brief(format)), "encoding_format")
    end
    dimensions(found, limits)
    return { ask = "embed", texts = texts_of(found.input, "input", limits), truncate = limits.auto_truncate or false,
        normalize = true, pooling = limits.pooling, base64 = format == "base64" }
end

return M
