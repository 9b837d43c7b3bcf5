--- Guesses for [MASK] in C against the graph in Lua.

local ffi = require "ffi"

local fails_here = require("spec.support.errors").fails_here
local models = require "spec.support.encoder_models"

local CLOSE = 1e-6

describe("the engine's guesses", function()
    local both, lua, c

    setup(function()
        both = models.both "words"
        lua, c = both.lua, both.c
    end)
    teardown(function() both.close() end)

    it("are those of the graph in Lua for every [MASK]", function()
        for _, text in ipairs { "The [MASK] sat on the mats, unseen.", "[MASK]", "[MASK][MASK] 北京[MASK]",
            "who? [SEP] the [MASK]", ("[MASK] "):rep(40), "ЯЖИ [MASK] (अब) [mask]" } do
            local theirs, mine = lua:fill_mask(text, 7), assert(c:fill_mask(text, 7))
            assert.are.equal(#theirs, #mine)
            for m, guesses in ipairs(theirs) do
                for i, guess in ipairs(guesses) do
                    assert.are.same({ guess.id, guess.token }, { mine[m][i].id, mine[m][i].token })
                    assert.is_true(math.abs(guess.probability - mine[m][i].probability) < CLOSE)
                end
            end
        end
    end)

    it("can be all words, and sum to 1 then", function()
        local size = lua.tokenizer:size()
        local theirs, mine = lua:fill_mask("the [MASK]", size), assert(c:fill_mask("the [MASK]", size))
        local sum, seen, by_id = 0, {}, {}
        for _, guess in ipairs(theirs[1]) do by_id[guess.id] = guess.probability end
        for i, guess in ipairs(mine[1]) do
            assert.is_nil(seen[guess.id])
            seen[guess.id] = true
            sum = sum + guess.probability
            assert.is_true(math.abs(guess.probability - by_id[guess.id]) < CLOSE)
            assert.is_true(i == 1 or guess.probability <= mine[1][i - 1].probability)
        end
        assert.are.equal(size, #mine[1])
        assert.is_true(math.abs(sum - 1) < 1e-5)
    end)

    it("leave out rows of the model that no token belongs to", function()
        local padded = models.write(both.path .. "-padded", "words",
            { config = { vocab_size = lua.config.vocab_size + 9 }, seed = 2 })
        local mine, size = assert(models.open(padded)), lua.tokenizer:size()
        assert.matches("has rows for %d+ words, 9 more than .*vocab.txt has tokens: no text has these",
            table.concat(mine:notes(), "\n"))
        local sum = 0
        for _, guess in ipairs(assert(mine:fill_mask("the [MASK]", size))[1]) do
            assert.is_true(guess.id < size)
            sum = sum + guess.probability
        end
        -- The others have their share.
        assert.is_true(sum < 0.999, sum)
        fails_here(("fill_mask: k is %d, expected 1 to %d, the words of the vocabulary"):format(size + 1, size),
            function() mine:fill_mask("the [MASK]", size + 1) end)
        mine:close()
    end)

    it("refuse a text without [MASK], one that is too long, and too many masks for the room", function()
        local _, message = c:fill_mask "the cat"
        assert.are.equal("fill_mask: the text has no [MASK]", message)
        _, message = c:fill_mask(("the "):rep(46) .. "[MASK]")
        assert.are.equal("fill_mask: the text has 49 tokens, expected at most 48: shorten it", message)
        _, message = c:fill_mask "\255 [MASK]"
        assert.matches("^fill_mask: the text: byte 0: invalid UTF%-8", message)
        local lib = require("bertlua.ffi").lib
        local guesses, masks = ffi.new "bl_guess[4]", ffi.new "int64_t[1]"
        assert.are.equal(1, tonumber(lib.bl_encoder_fill_mask(c.handle, "[MASK] [MASK] [MASK]", 2, 4, guesses, masks)))
        assert.are.equal(3, tonumber(masks[0]))
        assert.are.equal("fill_mask: 3 masks of 2 guesses each, but there is room for 4 guesses",
            ffi.string(lib.bl_last_error()))
    end)
end)
