--- Pseudo-perplexity, compared with one forward pass a token, added up by hand from the logits.

local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local pseudo_perplexity = require "bertlua.jobs.mlm.pseudo_perplexity"
local tiny = require "spec.support.tiny_bert"

local WORDS = { cls_id = 2, sep_id = 3, mask_id = 4 }

--- A corpus of sentences given as lists of ids.
local function corpus_of(sentences)
    local tokens, starts = {}, { 0 }
    for s, sentence in ipairs(sentences) do
        for _, id in ipairs(sentence) do tokens[#tokens + 1] = id end
        starts[s + 1] = #tokens
    end
    return { sentences = #sentences, token_count = #tokens, tokens = array.int32(tokens),
        sentence_starts = array.int32(starts) }
end

--- -log p of each token of a sentence, masked alone.
local function by_hand(model, tape, sentence)
    local sum = 0
    for at, id in ipairs(sentence) do
        local ids, types = { WORDS.cls_id }, {}
        for i, other in ipairs(sentence) do ids[i + 1] = i == at and WORDS.mask_id or other end
        ids[#ids + 1] = WORDS.sep_id
        for i = 1, #ids do types[i] = 0 end
        local batch = tiny.batch({ { ids = ids, types = types, masked = { { at, id } }, next_label = 0 } },
            { max_length = 16 })
        tape:reset(false)
        local scores, total = model:logits(tape, batch).mlm.value:tolist()[1], 0
        for _, score in ipairs(scores) do total = total + math.exp(score) end
        sum = sum + math.log(total) - scores[id + 1]
    end
    return sum
end

describe("pseudo-perplexity", function()
    local model, tape

    setup(function() model, tape = tiny.model "fp32", Tape.new() end)

    teardown(function()
        tape:close()
        model.store:free()
    end)

    it("is exp of the mean of -log p over all tokens, each masked in turn", function()
        local sentences, sum = { { 7, 9, 11 }, { 8 }, { 12, 6, 7, 10, 9, 5 } }, 0
        for _, sentence in ipairs(sentences) do sum = sum + by_hand(model, tape, sentence) end
        local expected = math.exp(sum / 10)
        for _, packed in ipairs { false, true } do
            for _, size in ipairs { 1, 4, 32 } do
                local seen = {}
                local found = pseudo_perplexity.run(model, tape, WORDS, corpus_of(sentences), { limit = 100,
                    max_seq_length = 16, batch_size = size, pack_sequences = packed,
                    on_batch = function(done, total) seen[#seen + 1] = done .. "/" .. total end })
                assert.is_true(math.abs(found.pseudo_perplexity / expected - 1) < 1e-4,
                    found.pseudo_perplexity .. " and " .. expected)
                assert.are.same({ 3, 10, 0, "10/10" }, { found.sentences, found.tokens, found.cut, seen[#seen] })
            end
        end
    end)

    it("is of sentences from all over the text, cut to the length of a sequence", function()
        local list = {}
        for s = 1, 10 do list[s] = {} for i = 1, s do list[s][i] = 6 end end
        local corpus = corpus_of(list)
        local chosen, tokens, cut = pseudo_perplexity.sentences(corpus, 4, 5)
        assert.are.same({ { 0, 1 }, { 3, 3 }, { 15, 5 }, { 28, 5 } }, chosen)
        assert.are.same({ 14, 2 }, { tokens, cut })
        assert.are.equal(10, #pseudo_perplexity.sentences(corpus, 99, 5))
        assert.has_error(function()
            pseudo_perplexity.run(model, tape, WORDS, corpus_of {}, { limit = 5, max_seq_length = 16, batch_size = 2 })
        end)
    end)
end)
