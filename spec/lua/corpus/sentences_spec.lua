--- Prose into sentences, by language.

local sentences = require "bertlua.corpus.sentences"

describe("sentences", function()
    it("continue after English titles, initials and reference words", function()
        local splitter = sentences.splitter "en"
        assert.are.same({ "Dr. Marsh met Harry S. Truman in St. Ives.", "See vol. 3 and fig. 2 there.", "It rained." },
            splitter:split "Dr. Marsh met Harry S. Truman in St. Ives. See vol. 3 and fig. 2 there. It rained.")
        assert.are.same({ "It cost 3.5 pounds.", "\"Why?\" he asked.", "Nobody knew!" },
            splitter:split "It cost 3.5 pounds. \"Why?\" he asked. Nobody knew!")
    end)

    it("follow the language", function()
        local text = "Die Mühle steht bzw. Stand dort. Sie ist alt."
        assert.are.same({ "Die Mühle steht bzw. Stand dort.", "Sie ist alt." }, sentences.splitter("de"):split(text))
        assert.are.equal(3, #sentences.splitter("en"):split(text))
        assert.are.same({ "水は流れる。", "風車は回る。" }, sentences.splitter("ja"):split "水は流れる。風車は回る。")
    end)
end)
