--- Patterns of dotted names: what they match, what is refused, which name is suggested.

local name_pattern = require "bertlua.util.name_pattern"

local WORDS = "bert.embeddings.word_embeddings.weight"
local NORM = "bert.encoder.layer.0.attention.output.LayerNorm.bias"
local FIRST = "bert.encoder.layer.1.output.dense.weight"
local TENTH = "bert.encoder.layer.10.output.dense.weight"
local NAMES = { WORDS, NORM, FIRST, TENTH }

describe("a name pattern", function()
    for pattern, expected in pairs {
        ["embeddings"] = { WORDS }, ["word_embeddings.weight"] = { WORDS }, ["bert"] = NAMES,
        -- Whole components only, and a dot is no other character.
        ["embed"] = {}, ["layer.1"] = { FIRST }, ["layer.[0-5]."] = { NORM, FIRST }, ["layer.[0-5]"] = { NORM, FIRST },
        ["layer.%d%d"] = { TENTH }, ["layer.%d+"] = { NORM, FIRST, TENTH }, [".layer.1."] = { FIRST },
        -- With a quantifier it is any character.
        ["encoder.*weight"] = { FIRST, TENTH }, ["layer.-LayerNorm"] = { NORM }, ["word.+"] = { WORDS },
        ["^bert.embeddings"] = { WORDS }, ["^embeddings"] = {}, ["bias$"] = { NORM }, ["output$"] = {},
        ["[.]"] = {}, ["Layer[MN]orm"] = { NORM }, ["%.layer%.1%."] = { FIRST },
    } do
        it(("%q matches %d of 4 names"):format(pattern, #expected), function()
            local matches, found = assert(name_pattern.compile(pattern)), {}
            for _, name in ipairs(NAMES) do
                if matches(name) then found[#found + 1] = name end
            end
            assert.are.same(expected, found)
        end)
    end

    it("that is none is refused with the reason", function()
        for pattern, reason in pairs { ["layer.["] = "the ] of a set is missing", [""] = "it is empty",
            ["."] = "it is empty", ["layer%"] = "% has no meaning here", ["(bias"] = "( has no meaning here",
            ["*bias"] = "* has nothing before it", ["a%1"] = "%1 has no meaning here",
            ["%b()"] = "%b has no meaning here" } do
            local matches, message = name_pattern.compile(pattern)
            assert.is_nil(matches)
            assert.are.equal(reason, message)
        end
    end)

    it("that matches nothing has a nearest name", function()
        assert.are.equal(WORDS, name_pattern.nearest("embedding", NAMES))
        assert.are.equal(TENTH, name_pattern.nearest("encoder.layer.100.", NAMES))
        assert.are.equal(NORM, name_pattern.nearest("attention.output.layernorm", NAMES))
    end)
end)
