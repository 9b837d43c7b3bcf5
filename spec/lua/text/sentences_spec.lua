--- Prose into sentences, by language.

local sentences = require "bertlua.text.sentences"
local texts = dofile "spec/fixtures/text/sentences.lua"

describe("sentences", function()
    for language, list in pairs(texts) do
        it("are found in " .. language, function()
            local text = table.concat(list, list.glue or " ")
            list.glue = nil
            assert.are.same(list, sentences.splitter(language):split(text))
        end)
    end

    it("continue after English titles, initials and reference words", function()
        local splitter = sentences.splitter "en"
        assert.are.same({ "A plan B. I like it.", "So do we." }, splitter:split "A plan B. I like it. So do we.")
        assert.are.same({ "1. Establish it.", "2. Keep it." }, splitter:split "1. Establish it. 2. Keep it.")
        assert.are.same({ "It fell ( and rose . )", "Then it stood." },
            splitter:split "It fell ( and rose . ) Then it stood.")
        assert.are.same({ "[ ... ] He fell (in the 9th ed.)." }, splitter:split "[ ... ] He fell (in the 9th ed.).")
        assert.are.same({ "One .", "( Two . )" }, splitter:split "One . ( Two . )")
    end)

    it("follow the language", function()
        local text = "Die Mühle steht bzw. Stand dort. Sie ist alt."
        assert.are.same({ "Die Mühle steht bzw. Stand dort.", "Sie ist alt." }, sentences.splitter("de"):split(text))
        assert.are.equal(3, #sentences.splitter("en"):split(text))
        -- A locale of ICU is the language that it begins with.
        assert.are.same(texts.de, sentences.splitter("de_AT"):split(table.concat(texts.de, " ")))
    end)

    it("keep no-break and wide spaces inside, and drop them at the edges", function()
        local text = "\227\128\128M.\194\160Dupont vient.\194\160\226\128\175Il part.\239\187\191"
        assert.are.same({ "M.\194\160Dupont vient.", "Il part." }, sentences.splitter("fr"):split(text))
        assert.are.same({ "すごい！", "本当？" }, sentences.splitter("ja"):split "　すごい！　本当？")
    end)

    it("of Thai and Lao, which have no full stop, end at a space once they are long", function()
        local word = ("ก"):rep(70)
        local text = table.concat({ word, word, word, "70", word }, " ")
        assert.are.same({ word .. " " .. word, word .. " 70 " .. word }, sentences.splitter("th"):split(text))
        assert.are.same({ text }, sentences.splitter("fr"):split(text))
    end)
end)
