--- Guesses for [MASK]: where it is, what is likeliest, what is never suggested.

local Tape = require "bertlua.autograd.tape"
local fault = require "bertlua.fault"
local fill_mask = require "bertlua.models.fill_mask"
local tiny = require "spec.support.tiny_bert"

--- A tokenizer of single letters: a = 10, b = 11 ...
local letters = { cls_id = 1, sep_id = 2, mask_id = 3 }

function letters.encode_marked(_, text)
    local ids = {}
    for letter in text:gsub("%[MASK%]", "*"):gmatch "[%a*]" do
        ids[#ids + 1] = letter == "*" and letters.mask_id or letter:byte() - 87
    end
    return ids
end

function letters.size()
    return 203
end

function letters.token(_, id)
    return "token" .. id
end

describe("fill_mask", function()
    it("gives the words of the largest scores with their softmax, and no padding", function()
        local model = tiny.model "fp32"
        local heads = model.heads
        -- This makes the scores the decoder's bias, whatever the text.
        heads.transform_norm.gamma.value:fill(0)
        heads.transform_norm.beta.value:fill(0)
        heads.decoder_bias.value:fill(0)
        local bias = heads.decoder_bias.value
        for id, score in pairs { [50] = math.log(20), [60] = math.log(30), [203] = 100 } do
            bias:slice(1, id + 1, id + 1):fill(score)
        end
        local answer = fill_mask.fill_mask(model, letters, "ab [MASK] c [MASK]", 3)
        assert.are.equal(2, #answer)
        for _, guesses in ipairs(answer) do
            assert.are.same({ 60, 50, 0 }, { guesses[1].id, guesses[2].id, guesses[3].id })
            assert.are.equal("token60", guesses[1].token)
            assert.is_true(math.abs(guesses[1].probability - 30 / 251) < 1e-6)
            assert.is_true(math.abs(guesses[2].probability - 20 / 251) < 1e-6)
            assert.is_true(math.abs(guesses[3].probability - 1 / 251) < 1e-6)
        end
    end)

    it("never guesses a row of the model that no token belongs to", function()
        local model = tiny.model "fp32"
        model.heads.transform_norm.gamma.value:fill(0)
        model.heads.transform_norm.beta.value:fill(0)
        model.heads.decoder_bias.value:fill(0)
        model.heads.decoder_bias.value:slice(1, 151, 151):fill(50)
        local short = setmetatable({ size = function() return 150 end }, { __index = letters })
        local guesses = fill_mask.fill_mask(model, short, "a [MASK]", 200)[1]
        assert.are.equal(150, #guesses)
        for _, guess in ipairs(guesses) do
            assert.is_true(guess.id < 150)
            -- The row still has its share.
            assert.is_true(guess.probability < 1e-15)
        end
    end)

    it("guesses in batches what it guesses one by one", function()
        local model = tiny.model "fp32"
        local texts = { "a [MASK]", "[MASK]abc[MASK] d", "abcdef [MASK]", "[MASK]", "ab [MASK] [MASK] [MASK]" }
        for _, size in ipairs { 1, 2, 32 } do
            local lists = fill_mask.fill_masks(model, letters, texts, 2, nil, size)
            assert.are.equal(#texts, #lists)
            for i, text in ipairs(texts) do
                for m, guesses in ipairs(fill_mask.fill_mask(model, letters, text, 2)) do
                    for rank, guess in ipairs(guesses) do
                        assert.are.equal(guess.token, lists[i][m][rank].token)
                        assert.is_true(math.abs(guess.probability - lists[i][m][rank].probability) < 1e-6)
                    end
                end
            end
        end
    end)

    it("asks the model about the masked rows of [CLS] text [SEP]", function()
        local model = tiny.model "fp32"
        local answer = fill_mask.fill_mask(model, letters, "[MASK]abc[MASK] d", 1)
        local batch = tiny.batch({
            { ids = { 1, 3, 10, 11, 12, 3, 13, 2 }, types = { 0, 0, 0, 0, 0, 0, 0, 0 },
                masked = { { 1, 0 }, { 5, 0 } }, next_label = 0 },
        }, { max_length = 8 })
        local tape = Tape.new {}
        tape:start(0, 0, false)
        local rows = model:logits(tape, batch).mlm:tolist()
        for i = 1, 2 do
            local best, sum = 1, 0
            for id = 1, 203 do
                sum = sum + math.exp(rows[i][id])
                if rows[i][id] > rows[i][best] then best = id end
            end
            assert.are.equal(best - 1, answer[i][1].id)
            assert.is_true(math.abs(math.exp(rows[i][best]) / sum - answer[i][1].probability) < 1e-5)
        end
        tape:close()
    end)

    it("works on the caller's tape and in bf16", function()
        local tape = Tape.new {}
        local exact = fill_mask.fill_mask(tiny.model "fp32", letters, "a[MASK]b", 1, tape)[1][1]
        local near = fill_mask.fill_mask(tiny.model "bf16", letters, "a[MASK]b", 1, tape)[1][1]
        assert.is_true(math.abs(near.probability / exact.probability - 1) < 0.1)
        tape:close()
    end)

    it("refuses a text without [MASK] and one that is too long", function()
        local model = tiny.model "fp32"
        local ok, err = pcall(fill_mask.fill_mask, model, letters, "abc")
        assert.is_true(not ok and fault.is(err))
        assert.are.equal('fill_mask: "abc" has no [MASK]', tostring(err))
        ok, err = pcall(fill_mask.fill_mask, model, letters, ("a"):rep(62) .. "[MASK]")
        assert.is_true(not ok and fault.is(err))
        assert.are.equal("fill_mask: the text has 65 tokens, expected at most 64", tostring(err))
    end)
end)
