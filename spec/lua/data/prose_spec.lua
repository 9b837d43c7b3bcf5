--- Prose cut into documents, paragraphs and sentences.

local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local prose = require "bertlua.data.prose"

describe("sentences", function()
    it("end where Unicode's rules say", function()
        local splitter = native.sentences()
        assert.are.same({ "Is it so?", "It is!", "Then 3.5 is less than 4." },
            splitter:split("Is it so? It is! Then 3.5 is less than 4."))
        assert.are.same({}, splitter:split(""))
        assert.are.same({}, splitter:split("  \t "))
        assert.are.same({ "no end" }, splitter:split(" no end "))
    end)

    it("do not end after common abbreviations, except by the root rules", function()
        assert.are.same({ "Prof. Smith met Mr. Jones.", "They left." },
            native.sentences():split("Prof. Smith met Mr. Jones. They left."))
        assert.are.equal(4, #native.sentences("en"):split("Prof. Smith met Mr. Jones. They left."))
    end)

    it("are cut in other scripts and at the right bytes", function()
        assert.are.same({ "今日は晴れ。", "明日は雨。" }, native.sentences("ja"):split("今日は晴れ。明日は雨。"))
        assert.are.same({ "Größe zählt.", "Ähnlich so." }, native.sentences("de"):split("Größe zählt. Ähnlich so."))
    end)

    it("survive text that is not UTF-8", function()
        local splitter = native.sentences()
        local rng = require("bertlua.rng").new(3)
        for _ = 1, 200 do
            local bytes = {}
            for i = 1, 80 do bytes[i] = string.char(rng:integer(1, 255)) end
            local text = table.concat(bytes)
            local total = 0
            for _, sentence in ipairs(splitter:split(text)) do total = total + #sentence end
            assert.is_true(total <= #text)
        end
    end)
end)

describe("prose", function()
    it("starts a document at a level-one wikitext heading and drops the other headings", function()
        local text = " \n = One = \n \n First paragraph . \n = = Part = = \n Second one . \n"
            .. " = = = Deep = = = \n Third . \n = Two = \n Fourth with a = b = c . \n"
        assert.are.same({ { "First paragraph .", "Second one .", "Third ." }, { "Fourth with a = b = c ." } },
            prose.documents(text))
    end)

    it("treats each line as a paragraph, or joins wrapped lines", function()
        local long = ("A long paragraph on one line. "):rep(6)
        assert.are.same({ { (long:gsub(" $", "")), "Another one." } },
            prose.documents(long .. "\nAnother one.\n"))
        local wrapped = "This is the first line of a paragraph that somebody wrapped\n"
            .. "at about sixty columns, so that it goes on over more lines\n"
            .. "until it ends here.\n\n"
            .. "A second paragraph begins after a blank line and is as well\n"
            .. "wrapped at about sixty columns, as the first one was before\n"
            .. "it came to an end.\n"
        local documents = prose.documents(wrapped)
        assert.are.equal(1, #documents)
        assert.are.equal(2, #documents[1])
        assert.is_truthy(documents[1][1]:find("wrapped at about", 1, true))
    end)

    it("cuts at blank lines when asked to", function()
        local text = "One. Two.\r\nThree.\r\n\r\n\r\nFour.\r\n"
        assert.are.same({ { "One. Two.", "Three." }, { "Four." } }, prose.documents(text, "blank"))
        assert.are.same({ { "One. Two.", "Three.", "Four." } }, prose.documents(text, "none"))
        assert.has_error(function() prose.documents(text, "page") end)
    end)

    it("finds headings as the patterns say that describe them", function()
        -- Every line of up to six of these characters.
        local characters = { "=", " ", "a", "\t" }
        local function pattern_level(line)
            if not line:find "^%s*=" then return nil end
            local marks = line:match "^%s*([= ]+)[^=%s].-[^=]=+%s*$"
            return marks and select(2, marks:gsub("=", ""))
        end
        local function each(line, visit)
            visit(line)
            if #line < 6 then
                for _, character in ipairs(characters) do each(line .. character, visit) end
            end
        end
        local wrong
        each("", function(line)
            local level = pattern_level(line)
            -- A heading is no paragraph, and one of the first level separates the paragraphs around it.
            local documents = prose.documents("x\n" .. line .. "\ny", "heading")
            local shown = #documents == 2 and 1 or documents[1][3] == nil and line:find "%S" and 2 or nil
            if (level and math.min(level, 2)) ~= shown then wrong = line end
        end)
        assert.is_nil(wrong)
    end)

    it("measures wrapped lines in columns, and joins those of scripts without spaces without one", function()
        local russian = "Старая мельница стоит у реки, и её колесо давно не вращается. Мельник\n"
            .. "ушёл в город много лет назад, оставив дом своей сестре. Она живёт там\n"
            .. "одна и каждое утро открывает ставни, чтобы посмотреть на воду. Вода\n"
            .. "течёт медленно, и по ней плывут листья.\n"
        assert.are.same({ { (russian:gsub("\n$", ""):gsub("\n", " ")) } }, prose.documents(russian))
        local japanese = ("彼は町へ行った。水車はどこにあるのか、と聞いたが、誰も知らない\n"):rep(4)
        assert.are.same({ { (japanese:gsub("\n", "")) } }, prose.documents(japanese))
        local thai = ("กังหันน้ำเป็นเครื่องจักรที่ใช้พลังงานน้ำในการโม่แป้งและสูบน้ำมา\n"):rep(4)
        assert.are.same({ { (thai:gsub("\n", "")) } }, prose.documents(thai))
    end)

    it("keeps lines that are too long to be wrapped apart, whatever the script", function()
        local long = ("Старая мельница стоит у реки. "):rep(5):gsub(" $", "")
        assert.are.same({ { long, long, long, long } }, prose.documents((long .. "\n"):rep(4)))
    end)

    it("writes one sentence per line and a blank line after each document", function()
        local folder = assert(fs.temporary_folder("text_corpus_spec"))
        finally(function() fs.remove(folder) end)
        local documents, sentences = prose.write(folder .. "/out.txt",
            { { "One here. Two\there.", "Three." }, { " " }, { "Four." } })
        assert.are.same({ 2, 4 }, { documents, sentences })
        assert.are.equal("One here.\nTwo here.\nThree.\n\nFour.\n\n", fs.read(folder .. "/out.txt"))
    end)
end)
