--- The text of the demonstration: what is held out.

local text = require "bertlua.jobs.demo.text"

describe("demo text", function()
    it("holds out every tenth document", function()
        local documents = {}
        for i = 1, 25 do documents[i] = { "p" .. i } end
        local train, test = text.split(documents)
        assert.are.same({ { "p10" }, { "p20" } }, test)
        assert.are.equal(23, #train)
    end)
end)
