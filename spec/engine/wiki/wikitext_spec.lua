--- Wikitext to prose: a golden example per construct, and what hostile text must not do.

local corpus = require "bertlua.corpus"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

describe("wikitext", function()
    local converter = corpus.wikitext()

    for _, case in ipairs(dofile "spec/fixtures/wiki/constructs.lua") do
        it("handles " .. case[1], function()
            assert.are.equal(case[3], converter:convert(case[2]))
        end)
    end

    it("keeps the part of each known template that a sentence needs", function()
        local examples = dofile "spec/fixtures/wiki/templates.lua"
        local used = {}
        for _, case in ipairs(examples) do
            for name in case[1]:gmatch "{{([^|}]+)" do used[name:lower()] = true end
            if case[2]:find("\n", 1, true) then
                assert.are.equal(case[2], converter:convert(case[1]))
            else
                assert.are.equal(("The old mill has %s in it.\n"):format(case[2]),
                    converter:convert(("The old mill has %s in it."):format(case[1])))
            end
        end
        local count = 0
        for name in assert(fs.read "engine/wiki/template_table.c"):gmatch '{"([^\n]-)", BL_TEMPLATE_' do
            name = name:gsub("\\(.)", "%1")
            if name ~= "" then
                assert.is_true(used[name], name .. " has no example")
                count = count + 1
            end
        end
        assert.is_true(count > 100)
    end)

    it("turns a whole page into its paragraphs", function()
        assert.are.equal(fs.read "spec/fixtures/wiki/page.txt",
            converter:convert(assert(fs.read "spec/fixtures/wiki/page.wiki")))
    end)

    it("knows localised names of files and categories", function()
        local german = corpus.wikitext "6 Datei\n14 Kategorie\n0 \n"
        local text = "Die Mühle ist alt, hoch und grau. [[Datei:Mühle.jpg|mini|Alte Mühle]]\n[[Kategorie:Mühle]]"
        assert.are.equal("Die Mühle ist alt, hoch und grau.\n", german:convert(text))
        assert.is_truthy(converter:convert(text):find("Alte Mühle", 1, true))
    end)

    it("recognises redirects and disambiguation pages", function()
        assert.is_true(converter:is_redirect "#REDIRECT [[Mill]]")
        assert.is_true(converter:is_redirect "\n#Weiterleitung [[Mühle]]")
        assert.is_false(converter:is_redirect "The # redirect key")
        assert.is_true(converter:is_disambiguation("Mill", "Mill may mean:\n* [[A]]\n{{Disambig|geo}}"))
        assert.is_true(converter:is_disambiguation("Mill", "{{ hndis | name=Mill }}"))
        assert.is_true(converter:is_disambiguation("Mill (disambiguation)", "text"))
        assert.is_false(converter:is_disambiguation("Mill", "{{For|others|Mill (disambiguation)}} A mill grinds."))
    end)

    it("takes linear time on hostile text", function()
        local clock = require "bertlua.util.clock"
        local chinese = corpus.wikitext(nil, "zh")
        for _, piece in ipairs { "{{", "[[", "{|\n", "<ref>", "<!--", "''", "<div", "}}", "[http://a ", "{{{", "<ul>",
            "[[a|", "&amp", "__A", "&#0", "&", "<", "'''", "'''''x", "-{", "-{zh:", "-{zh-hans:a;", "}-", "-{A|",
            "__ж_", "[[a:", "{{nowrap|<ref>}}", "{{nowrap|<ul>}}", "{{convert|1|", "{{a=", "|a=", "{{lang|",
            "\226\128\142", "[[ж", "a<ref ", "{{nowrap|'''", "<!-- --> ", "<nowiki><!--" } do
            local started = clock.monotonic()
            local text = piece:rep(math.floor(150000 / #piece))
            converter:convert(text)
            chinese:convert(text)
            chinese:convert(text .. "</ref></ul>}-")
            chinese:convert("{{nowrap|" .. text .. "}}")
            chinese:convert("-{" .. text .. "}-")
            local seconds = clock.monotonic() - started
            assert.is_true(seconds < 2, ("%q took %.1f s"):format(piece, seconds))
        end
    end)

    it("survives deep nesting", function()
        local deep = ("{{nowrap|"):rep(5000) .. "x" .. ("}}"):rep(5000)
        assert.are.equal("The mill is old and grey.\n", converter:convert(deep .. " The mill is old and grey."))
        converter:convert(("[[a|"):rep(5000) .. ("]]"):rep(5000))
    end)

    it("accepts any bytes without reading beyond them", function()
        local rng = require("bertlua.rng").new(7, 0)
        local alphabet = { "{", "}", "[", "]", "|", "'", "<", ">", "=", "\n", "*", "a ", "ref", "/", "!--", "&", ";",
            "nowiki", "math", "#", "-", "_", "\226", "\194", "\0", "\3", "convert|1|ft", "zh:", "zh-hans:", "lang|",
            "x27;" }
        local chinese, french = corpus.wikitext(nil, "zh"), corpus.wikitext(nil, "fr")
        for _ = 1, 1000 do
            local parts = {}
            for i = 1, 40 do parts[i] = alphabet[rng:integer(1, #alphabet)] end
            local text = table.concat(parts)
            assert.is_true(#converter:convert(text) < 10000)
            assert.is_true(#chinese:convert("-{" .. text .. "}-") < 10000)
            assert.is_true(#french:convert("{{s|" .. text .. "}}") < 10000)
        end
    end)

    it("never reads the byte behind a text, wherever it is cut off", function()
        local script = process.temporary [[
            package.path = package.path .. ";./?.lua"
            local corpus = require "bertlua.corpus"
            local converter, place = corpus.wikitext(), require "spec.support.page_end"(8192)
            local texts, tried = {}, 0
            for _, list in ipairs { "constructs", "templates" } do
                for _, case in ipairs(dofile("spec/fixtures/wiki/" .. list .. ".lua")) do
                    texts[#texts + 1] = case[list == "templates" and 1 or 2]
                end
            end
            for _, start in ipairs { "{", "[", "<", "&", "'", "_", "~", "\n", "!", "-", "=", "#", "\194",
                "\226\129", "|" } do
                texts[#texts + 1] = "The mill is old and grey." .. start:rep(4)
                texts[#texts + 1] = "The mill is old and grey.\n" .. start:rep(4)
            end
            for _, text in ipairs(texts) do
                for length = 0, #text do
                    local part = text:sub(1, length)
                    local there = place(part)
                    local prose = converter:convert(there, length)
                    assert(prose == converter:convert(part), part)
                    assert(converter:is_redirect(there, length) == converter:is_redirect(part), part)
                    assert(converter:is_disambiguation("Mill", there, length)
                        == converter:is_disambiguation("Mill", part), part)
                    tried = tried + 1
                end
            end
            print(tried)
        ]]
        local output, code = process.run_bertlua(script)
        os.remove(script)
        assert.are.equal(0, code, output)
        assert.is_true(tonumber(output) > 5000, output)
    end)
end)
