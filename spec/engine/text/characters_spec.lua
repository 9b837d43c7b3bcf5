--- Single characters of a text, by Unicode's properties.

local text = require "bertlua.text"

describe("characters", function()
    local names = {}
    for name, kind in pairs(text.KINDS) do names[kind] = name end

    local function kinds(s)
        local list, at = {}, 0
        while true do
            local kind, stop = text.character(s, at)
            if not kind then return table.concat(list, " ") end
            list[#list + 1], at = names[kind], stop
        end
    end

    it("have a kind", function()
        assert.are.equal("lower upper digit space other", kinds "aA0 .")
        assert.are.equal("lower upper upper letter letter", kinds "жЖǅ水ა")
        assert.are.equal("digit digit", kinds "３٣")
        assert.are.equal("lower mark letter mark", kinds "e\204\129ก\224\184\177")
        assert.are.equal("opening opening opening opening opening", kinds "([«“「")
        assert.are.equal("closing closing closing closing closing", kinds ")]»”」")
        -- No-break, ideographic and zero-width space, byte order mark; a joiner is none.
        assert.are.equal("space space space space other",
            kinds "\194\160\227\128\128\226\128\139\239\187\191\226\128\141")
        assert.are.equal("other lower other", kinds "\255a\208")
    end)

    it("are found backwards too, also among bytes that are not UTF-8", function()
        local s = "aж水\240\159\166\138\255\128x\204"
        local forwards, at = {}, 0
        while at < #s do
            local _, stop, code_point = text.character(s, at)
            forwards[#forwards + 1] = { at, stop, code_point }
            at = stop
        end
        for i = #forwards, 1, -1 do
            local _, begin, code_point = text.character_before(s, at)
            assert.are.same(forwards[i], { begin, at, code_point })
            at = begin
        end
        assert.is_nil(text.character_before(s, 0))
        assert.is_nil(text.character(s, #s))
        assert.is_nil(text.character(s, -1))
        assert.is_nil(text.character_before(s, #s + 1))
    end)

    it("take columns", function()
        assert.are.equal(5, text.columns "abcde")
        assert.are.equal(4, text.columns "мышь")
        assert.are.equal(8, text.columns "水車（。")
        assert.are.equal(1, text.columns "e\204\129")
        assert.are.equal(3, text.columns "\255\254a")
    end)

    it("of some scripts have no spaces between words", function()
        for _, code_point in ipairs { 0x6c34, 0x306e, 0x30ab, 0x30fc, 0xe01, 0xe31, 0xe81, 0x1780, 0x1000, 0xf40 } do
            assert.is_true(text.is_unspaced(code_point), ("U+%04X"):format(code_point))
        end
        for _, code_point in ipairs { 0x61, 0x416, 0x5d0, 0x915, 0xac00, 0x3002, 0x300c, 0x1f600 } do
            assert.is_false(text.is_unspaced(code_point), ("U+%04X"):format(code_point))
        end
    end)

    it("that are white space go from both ends", function()
        local s = " \227\128\128\tone\194\160two \226\128\175\n"
        local first, last = text.trim(s, 0, #s)
        assert.are.equal("one\194\160two", s:sub(first + 1, last))
        first, last = text.trim("  ", 0, 2)
        assert.are.equal(first, last)
    end)
end)
