--- What is different in Wikipedias of other languages: namespaces, numbers, dates, templates, variants, and pages that
-- are no articles.

local corpus = require "bertlua.corpus"
local fs = require "bertlua.util.fs"

describe("a wiki's language", function()
    for code, cases in pairs(dofile "spec/fixtures/wiki/languages.lua") do
        it("decides how constructs read: " .. code, function()
            local converter = corpus.wikitext(nil, code)
            for _, case in ipairs(cases) do assert.are.equal(case[2], converter:convert(case[1])) end
        end)
    end

    it("brings aliases of namespaces beside the dump's own names, whatever their case", function()
        local text = "Die Mühle ist alt und grau.\n[[%s:Mühle.jpg|mini|Ein Bild der Mühle, das im Text nichts sucht.]]"
        for _, name in ipairs { "Datei", "datei", "DATEI", "Bild", "File", "image", "Image ", "Medium", "kategorie" } do
            assert.are.equal("Die Mühle ist alt und grau.\n", corpus.wikitext(nil, "de"):convert(text:format(name)))
        end
        -- Names that no table has come from the dump; case is folded as Unicode does it.
        local other = corpus.wikitext("6 Ĥdatejo Ŝ\n14 \n-2 X\n", "qqq")
        for _, name in ipairs { "Ĥdatejo Ŝ", "ĥdatejo_ŝ", "ĤDATEJO ŝ" } do
            assert.are.equal("Die Mühle ist alt und grau.\n", other:convert(text:format(name)))
        end
        assert.is_truthy(other:convert(text:format "Bild"):find("Ein Bild der Mühle", 1, true))
    end)

    it("knows its own code as no other wiki's", function()
        local link = "Die Mühle steht in [[de:Kornau]] am alten Fluss."
        assert.are.equal("Die Mühle steht in de:Kornau am alten Fluss.\n", corpus.wikitext(nil, "de"):convert(link))
        assert.are.equal("Die Mühle steht in am alten Fluss.\n", corpus.wikitext(nil, "fr"):convert(link))
    end)

    it("has -{ }- only where the wiki has variants", function()
        local text = "The mill turns -{round and round}- in the wind."
        assert.are.equal("The mill turns -{round and round}- in the wind.\n", corpus.wikitext(nil, "en"):convert(text))
        for _, code in ipairs { "zh", "zh-hk", "sr", "kk" } do
            assert.are.equal("The mill turns round and round in the wind.\n", corpus.wikitext(nil, code):convert(text))
        end
        -- What nobody closed is text, and does not hide what comes next.
        assert.are.equal("The mill -{turns in the -{old wind.\n",
            corpus.wikitext(nil, "zh"):convert "The mill -{turns in {{nowrap|the -{old}} wind.")
    end)

    it("leaves English words out where a template would write them", function()
        assert.are.equal("Die Mühle ist alt und grau.\n",
            corpus.wikitext(nil, "de"):convert "Die Mühle ist {{as of|2014}} alt und grau.")
    end)

    it("knows units by their symbol where names would be English", function()
        for code, text in pairs { en = "12,345 nautical miles", de = "12.345 nmi", bg = "12345 nmi" } do
            assert.are.equal(("The mill is %s from here.\n"):format(text),
                corpus.wikitext(nil, code):convert "The mill is {{convert|12345|nmi|km|0}} from here.")
        end
    end)

    it("groups digits and writes fractions", function()
        for code, number in pairs { en = "12,345.5", de = "12.345,5", fr = "12 345,5", es = "12 345,5", pl = "12 345,5",
            ja = "12,345.5", bg = "12345.5" } do
            assert.are.equal(("The mill has %s sacks of corn.\n"):format(number),
                corpus.wikitext(nil, code):convert "The mill has {{formatnum:12345.5}} sacks of corn.")
        end
        assert.are.equal("La villa 1234 casas con molino.\n",
            corpus.wikitext(nil, "es"):convert "La villa {{formatnum:1234}} casas con molino.")
        assert.are.equal("The mill has 12345 sacks of corn.\n",
            corpus.wikitext():convert "The mill has {{formatnum:12345|R}} sacks of corn.")
    end)

    it("names the wikis whose templates are known", function()
        local known = table.concat(corpus.template_languages(), " ")
        local found = {}
        for _, path in ipairs(fs.list "engine/wiki") do
            if path:match "^templates_.*%.c$" then
                for code in fs.read("engine/wiki/" .. path):gmatch '%.code = "(%l+)"' do found[#found + 1] = code end
            end
        end
        found[#found + 1] = "en"
        table.sort(found)
        assert.are.equal(table.concat(found, " "), known)
    end)

    it("has patterns whose braces close", function()
        local rows = 0
        for _, path in ipairs(fs.list "engine/wiki") do
            if path:match "^templates_.*%.c$" then
                for pattern in fs.read("engine/wiki/" .. path):gmatch '_PATTERN,%s*"([^\n]-)"}' do
                    assert.are.equal("", (pattern:gsub("%b{}", ""):gsub("[^{}]", "")), pattern)
                    rows = rows + 1
                end
            end
        end
        assert.is_true(rows > 100)
    end)
end)

describe("pages that are no articles", function()
    local converter = corpus.wikitext()

    it("redirect in every language, in any case", function()
        for _, word in ipairs { "REDIRECT", "Weiterleitung", "REDIRECCIÓN", "redirección", "ПЕРЕНАПРАВЛЕНИЕ",
            "перенаправление", "PRZEKIERUJ", "転送", "重定向", "ÁTIRÁNYÍTÁS", "YÖNLENDİRME", "넘겨주기", "تحويل", "הפניה" } do
            assert.is_true(converter:is_redirect("#" .. word .. " [[Mill]]"), word)
            assert.is_true(converter:is_redirect("\n# " .. word .. ":[[Mill]]"), word)
        end
        assert.is_true(converter:is_redirect "＃転送 [[水車]]")
        assert.is_false(converter:is_redirect "#redirects are lists of [[mills]]")
        assert.is_false(converter:is_redirect "# [[Mill]]")
    end)

    it("list meanings, by a template or by the title", function()
        for _, name in ipairs { "Begriffsklärung", "BEGRIFFSKLÄRUNG", "Homonymie", "Неоднозначность", "неоднозначность",
            "Aimai", "曖昧さ回避", "消歧义", "Ujednoznacznienie", "Rozcestník", "동음이의" } do
            assert.is_true(converter:is_disambiguation("X", "{{" .. name .. "}}"), name)
        end
        for _, title in ipairs { "Mühle (Begriffsklärung)", "Мельница (значения)", "水車 (曖昧さ回避)", "磨坊 (消歧义)" } do
            assert.is_true(converter:is_disambiguation(title, "text"), title)
        end
        assert.is_false(converter:is_disambiguation("Mühle (Kornau)", "Die {{Mühle}} mahlt."))
        assert.is_true(corpus.wikitext(nil, "ru"):is_disambiguation("X", "{{Шаблон:Неоднозначность}}"))
    end)
end)
