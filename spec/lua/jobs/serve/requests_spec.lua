--- What bodies ask for, and what is said of those that ask for nothing that can be done.

local problem = require "bertlua.jobs.serve.problem"
local requests = require "bertlua.jobs.serve.requests"

local LIMITS = { model = "m", max_inputs = 3, hidden_size = 4, classifies = true, answers = true, fills_masks = true,
    max_context = 20, pooling = "model" }

local function read(name, body, limits)
    return requests[name](requests.decode(body), limits or LIMITS)
end

--- The problem of a body: status, kind, message, field.
local function refused(name, body, limits)
    local ok, found = pcall(read, name, body, limits)
    assert.is_false(ok)
    assert(problem.is(found), tostring(found))
    return { found.status, found.message, found.param }
end

describe("a body", function()
    it("is an object", function()
        assert.are.same({ 400, "body:1:2: not valid JSON: Expected object key string but found invalid token" },
            refused("embed", "{inputs}"))
        assert.are.same({ 422, 'the body is a list, expected an object such as {"inputs": "a text"}' },
            refused("embed", "[1]"))
        assert.are.same({ 422, 'the body is null, expected an object such as {"inputs": "a text"}' },
            refused("embed", "null"))
        assert.are.same({ 422, "missing field `inputs`", "inputs" }, refused("embed", "{}"))
        local deep = ("["):rep(8) .. ("]"):rep(8)
        assert.are.same({ 400, "body:1:19: not valid JSON: Found too many nested data structures (9)" },
            refused("embed", ('{"inputs": %s}'):format(deep)))
    end)

    it("has no fields that would be ignored, and none of another type; null is none", function()
        assert.are.same({ 422, "unknown field input; did you mean inputs?", "input" },
            refused("embed", '{"input": "a"}'))
        assert.are.same({ 422, "unknown field x; known are add_special_tokens, inputs, prompt_name", "x" },
            refused("tokenize", '{"x": 1}'))
        assert.are.same({ 422, "truncate is text, expected a boolean", "truncate" },
            refused("embed", '{"inputs": "a", "truncate": "yes"}'))
        assert.are.same({ 422, "parameters.top_k is text, expected a number", "parameters.top_k" },
            refused("fill_mask", '{"inputs": "[MASK]", "parameters": {"top_k": "2"}}'))
        assert.is_true(read("embed", '{"inputs": "a", "normalize": null, "prompt_name": null}').normalize)
    end)

    it("has a text or a list of texts", function()
        assert.are.same({ "a" }, read("embed", '{"inputs": "a"}').texts)
        assert.are.same({ "a", "b" }, read("embed", '{"inputs": ["a", "b"]}').texts)
        local cases = {
            { '3', 422, "inputs is a number, expected text or a list of texts", "inputs" },
            { '{"a": 1}', 422, "inputs is an object, expected text or a list of texts", "inputs" },
            { '["a", 3]', 422, "inputs[1] is made of token ids, expected text", "inputs[1]" },
            { '["a", null]', 422, "inputs[1] is null, expected text", "inputs[1]" },
            { '[101, 102]', 422, "inputs is made of token ids, expected text", "inputs" },
            { '[[101], [102]]', 422, "inputs[0] is made of token ids, expected text", "inputs[0]" },
            { '""', 400, "`inputs` cannot be empty", "inputs" }, { '[]', 400, "`inputs` cannot be empty", "inputs" },
            { '["a", ""]', 400, "`inputs[1]` cannot be empty", "inputs[1]" },
            { '["a", "b", "c", "d"]', 413, "batch size 4 > maximum allowed batch size 3", "inputs" },
        }
        for _, case in ipairs(cases) do
            assert.are.same({ case[2], case[3], case[4] }, refused("embed", ('{"inputs": %s}'):format(case[1])))
        end
    end)

    it("may hold NUL, where a text of the engine would end", function()
        assert.are.same({ "a\1b" }, read("embed", '{"inputs": "a\\u0000b"}').texts)
    end)
end)

describe("what is too much", function()
    it("is refused before it is made", function()
        assert.are.same({ 413, "inputs: 131073 bytes, expected at most 131072", "inputs" },
            refused("tokenize", ('{"inputs": "%s"}'):format(("x"):rep(131073))))
        assert.are.same({ 413, "contexts together: 21 bytes, expected at most 20", "contexts together" },
            refused("answer", ('{"question": "q", "context": "%s"}'):format(("x"):rep(21))))
        assert.are.same({ 413, "inputs: the texts filled with each word have 5000600 bytes, expected at most 4194304; "
            .. "ask for fewer words, or fewer or shorter texts", "inputs" }, refused("fill_mask",
            ('{"inputs": "[MASK]%s", "parameters": {"top_k": 100}}'):format(("x"):rep(50000))))
    end)

    it("is not repeated in messages", function()
        local name = ("ü"):rep(1000)
        local shown = ("ü"):rep(39) .. "..."
        assert.are.same({ 422, ("unknown field %s; known are dimensions, inputs, normalize, prompt_name, truncate, "
            .. "truncation_direction"):format(shown), shown }, refused("embed", ('{"%s": 1}'):format(name)))
        assert.is_truthy(refused("openai_embeddings", ('{"input": "a", "model": "%s"}'):format(name))[2]
            :find(("`%s`"):format(shown), 1, true))
        assert.are.equal("unknown field a\\nb", refused("embed", '{"a\\nb": 1}')[2]:match "^[^;]*")
    end)
end)

describe("vectors", function()
    it("are asked for as text-embeddings-inference has it", function()
        assert.are.same({ ask = "embed", texts = { "a" }, truncate = false, normalize = true, pooling = "model" },
            read("embed", '{"inputs": "a"}'))
        local question = read("embed", '{"inputs": "a", "normalize": false, "truncate": true, "dimensions": 4}')
        assert.are.same({ false, true }, { question.normalize, question.truncate })
        assert.is_true(read("embed_all", '{"inputs": "a"}', { max_inputs = 1, auto_truncate = true }).truncate)
        assert.are.same({ 422, "truncation_direction is Left; only Right is done here", "truncation_direction" },
            refused("embed", '{"inputs": "a", "truncation_direction": "Left"}'))
        assert.are.equal(422, refused("embed", '{"inputs": "a", "prompt_name": "query"}')[1])
    end)

    it("are asked for as OpenAI has it", function()
        local question = read("openai_embeddings",
            '{"input": ["a"], "model": "m", "encoding_format": "base64", "user": "u"}')
        assert.are.same({ true, true, false }, { question.base64, question.normalize, question.truncate })
        assert.are.same({ 404, "the model `n` does not exist here; this server has `m` (--model-name gives it another "
            .. "name)", "model" }, refused("openai_embeddings", '{"input": "a", "model": "n"}'))
        assert.are.same({ 422, "dimensions is 2; the vectors of this model have 4, and are not shortened",
            "dimensions" }, refused("openai_embeddings", '{"input": "a", "dimensions": 2}'))
        assert.are.same({ 422, "encoding_format is hex, expected float or base64", "encoding_format" },
            refused("openai_embeddings", '{"input": "a", "encoding_format": "hex"}'))
    end)
end)

describe("labels", function()
    local function texts(inputs)
        local question = read("predict", ('{"inputs": %s}'):format(inputs))
        return { question.texts, question.pairs or 0, question.single or false }
    end

    it("are asked for one text, a pair, or a list of both", function()
        assert.are.same({ { "a" }, 0, true }, texts '"a"')
        assert.are.same({ { "a" }, { "b" }, true }, texts '["a", "b"]')
        assert.are.same({ { "a" }, 0, true }, texts '["a"]')
        assert.are.same({ { "a", "b" }, 0, false }, texts '[["a"], ["b"]]')
        assert.are.same({ { "a", "b" }, { false, "c" }, false }, texts '[["a"], ["b", "c"]]')
        assert.are.same({ 422, "inputs is a list of 3 texts: [text, text] is a pair, several texts are [[text], "
            .. "[text], ...]", "inputs" }, refused("predict", '{"inputs": ["a", "b", "c"]}'))
        assert.are.same({ 422, "inputs[1] is a list of 3, expected [text] or [text, text]", "inputs[1]" },
            refused("predict", '{"inputs": [["a"], ["a", "b", "c"]]}'))
        assert.are.same({ 422, "inputs[1] is text, expected [text] or [text, text]", "inputs[1]" },
            refused("predict", '{"inputs": [["a"], "b"]}'))
        assert.are.same({ 422, "raw_scores is true; scores are probabilities here", "raw_scores" },
            refused("predict", '{"inputs": "a", "raw_scores": true}'))
    end)

    it("need a model that has them", function()
        local limits = { model = "m", max_inputs = 3 }
        assert.are.same({ 424, "the model `m` has no head for labels of texts" },
            refused("predict", '{"inputs": "a"}', limits))
        assert.are.same({ 424, "the model `m` has no head for answers" }, refused("answer", "{}", limits))
        assert.are.same({ 424, "the model `m` has no head for words in place of [MASK]" },
            refused("fill_mask", "{}", limits))
    end)
end)

describe("words and answers", function()
    it("are asked for as transformers' pipelines have it", function()
        local question = read("fill_mask", '{"inputs": "a [MASK]", "options": {"wait_for_model": true}}')
        assert.are.same({ ask = "fill_mask", texts = { "a [MASK]" }, single = true, top = 5 }, question)
        assert.are.same({ 422, "inputs[1] has no [MASK]", "inputs[1]" },
            refused("fill_mask", '{"inputs": ["[MASK]", "b"]}'))
        assert.are.same({ 422, "parameters.top_k is 1.5, expected 1 to 100", "parameters.top_k" },
            refused("fill_mask", '{"inputs": "[MASK]", "parameters": {"top_k": 1.5}}'))
        local expected = { ask = "answer", texts = { "q" }, pairs = { "c" }, single = true, top = 1,
            allow_none = false }
        assert.are.same(expected, read("answer", '{"inputs": {"question": "q", "context": "c"}}'))
        assert.are.same(expected, read("answer", '{"question": "q", "context": "c"}'))
        expected.single, expected.top, expected.allow_none = false, 2, true
        assert.are.same(expected, read("answer", '{"inputs": [{"question": "q", "context": "c"}], "parameters": '
            .. '{"top_k": 2, "handle_impossible_answer": true}}'))
        assert.are.same({ 422, "missing field `inputs.context`", "inputs.context" },
            refused("answer", '{"inputs": {"question": "q"}}'))
        assert.are.same({ 422, "missing field `question`", "question" }, refused("answer", "{}"))
        assert.are.same({ 422, "unknown field inputs[0].text; known are context, question", "inputs[0].text" },
            refused("answer", '{"inputs": [{"text": "q"}]}'))
        assert.are.same({ 422, "inputs[0] is text, expected {\"question\": ..., \"context\": ...}", "inputs[0]" },
            refused("answer", '{"inputs": ["q"]}'))
        assert.are.equal(422, refused("answer", '{"inputs": {"question": "q", "context": "c"}, "question": "q"}')[1])
    end)
end)
