--- Documents of a text of any form, paragraph by paragraph.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local text_source = require "bertlua.data.text_source"
local text_walk = require "bertlua.data.text_walk"

describe("text_walk", function()
    local path, usual = nil, text_walk.PIECE
    setup(function() path = process.temporary "" end)
    teardown(function() os.remove(path) end)
    after_each(function() text_walk.PIECE = usual end)

    --- "a b|c" for two documents, the first of two paragraphs.
    local function walk(content, border, options)
        assert(fs.write(path, content))
        options = options or {}
        local source = text_source.open(path, options.open)
        local documents, current, progress = {}, {}, 0
        text_walk.walk(source, {
            border_of = function() return border end,
            lines = options.lines,
            on_paragraph = function(paragraph) current[#current + 1] = paragraph end,
            on_end = function()
                documents[#documents + 1], current = table.concat(current, " "), {}
            end,
            on_progress = function(bytes)
                assert.is_true(bytes >= progress)
                progress = bytes
            end,
        })
        source:close()
        assert.are.same({}, current)
        assert.are.equal(#content, progress)
        return table.concat(documents, "|")
    end

    it("gives the same documents whatever the pieces are", function()
        local text = " = A = \n\nOne.\n\n = = B = = \n\nTwo.\n\n\n = C = \n\nThree.\nFour.\n\nFive.\n"
        for border, expected in pairs {
            heading = "One. Two.|Three. Four. Five.", blank = "One.|Two.|Three. Four.|Five.",
            line = "One.|Two.|Three.|Four.|Five.", none = "One. Two. Three. Four. Five.",
        } do
            for _, bytes in ipairs { 1, 2, 3, 5, 8, 13, 21, 34, usual } do
                text_walk.PIECE = bytes
                assert.are.equal(expected, walk(text, border), border .. bytes)
            end
        end
    end)

    it("takes each record as a document", function()
        local records = '{"text": "One.\\n\\nTwo."}\n{"text": ""}\n{"text": "Three."}\n'
        assert.are.equal("One. Two.||Three.", walk(records, "blank"))
        -- Lines that would be joined as wrapped ones.
        local line = ("word "):rep(10):sub(1, -2)
        local wrapped = '{"text": "' .. (line .. "\\n"):rep(6) .. '"}'
        assert.are.equal((line .. " "):rep(6):sub(1, -2), walk(wrapped, "none"))
        assert.are.equal((line .. " "):rep(6):sub(1, -2), walk(wrapped, "none", { lines = true }))
    end)
end)
