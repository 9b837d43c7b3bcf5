--- What a text is, its lines and its pieces.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local terminal = require "spec.support.terminal"
local text_source = require "bertlua.data.text_source"

describe("text_source", function()
    local folder
    setup(function() folder = process.temporary_folder() end)
    teardown(function() fs.remove(folder) end)

    local function write(name, content)
        local path = fs.join(folder, name)
        assert(fs.mkdirs(fs.dirname(path)))
        assert(fs.write(path, content))
        return path
    end

    local function open(name, content, options)
        return text_source.open(write(name, content), options)
    end

    --- The message of a fault, with the folder left out.
    local function refused(call, ...)
        local good, problem = pcall(call, ...)
        assert.is_false(good)
        assert.is_true(fault.is(problem), tostring(problem))
        return (tostring(problem):gsub(folder:gsub("%p", "%%%0") .. "/", ""))
    end

    it("recognizes JSON lines and WikiExtractor's output by their beginning", function()
        local doc = '<doc id="1" url="u" title="A">\nA\n\nb\n</doc>\n'
        for _, case in ipairs {
            { "text", "a.txt", "A line.\n" }, { "text", "a.txt", "" }, { "text", "a.txt", "{curly} is a word\n" },
            { "text", "a.txt", "[1] is a note\n" }, { "jsonl", "a.txt", '\n {"text": "a"}\n' },
            { "jsonl", "a.jsonl", '{"text": "a"}' }, { "jsonl", "a.json", '{"title": "a", "text": "b"}\n{"text": 1}' },
            { "jsonl", "a.txt", '{"text": "' .. ("a"):rep(3000000) .. '"}\n' }, { "wikiextractor", "wiki_00", doc },
            { "jsonl", "a.txt", '{"body": "a"}\n', { text_field = "body" } },
            { "text", "a.txt", '{"body": "a"}\n', { literal = true } }, { "text", "a.txt", doc, { form = "text" } },
            { "jsonl", "a.txt", "words", { form = "jsonl" } }, { "json", "a.json", '[\n{"text": "a"}]' },
            { "json", "a.txt", '[{"text": "a"}]', { form = "jsonl" } }, { "json", "a.json", "[]" },
        } do
            local source = open(case[2], case[3], case[4])
            assert.are.equal(case[1], source.form, case[3]:sub(1, 40))
            assert.are.equal(case[1] == "text", source.plain)
            source:close()
        end
        assert.are.equal('a.txt:1: a JSON object without a text "text" (it has body, id): name the field with '
            .. "--text-field, or say --text-form text if the lines themselves are the text",
            refused(open, "a.txt", '{"id": 1, "body": "a"}\n'))
        assert.are.equal('a.jsonl:1: not a JSON object, expected JSON lines: {"text": "..."}',
            refused(open, "a.jsonl", "words\n"))
    end)

    it("says what is special about a text", function()
        for _, case in ipairs {
            { nil, "a.txt", "a\n" }, { nil, "a.txt", "\239\187\191a\n" }, { "line ends CR", "a.txt", "a\rb\r" },
            { "UTF-16LE by its byte order mark, JSON lines", "a.txt",
                "\255\254" .. ('{"text": ""}'):gsub(".", "%0\0"), {} },
            { "windows-1252", "a.txt", "a", { encoding = "windows-1252" } },
            { "a table (.csv) that is read as text, with all that separates its fields", "a.csv", "a,b\n" },
            { "windows-1252", "a.txt", "K\246nig", { encoding = "windows-1252" } },
            { "windows-1252 as --encoding says, though it looks like UTF-8: are its letters right?", "a.txt",
                ("K\195\182nig "):rep(20000), { encoding = "windows-1252" } },
        } do
            local source = open(case[2], case[3], case[4])
            assert.are.equal(case[1], source:special())
            source:close()
            assert.are.equal(case[1], source:special())
        end
        assert.is_nil(text_source.unused_field("text", { false }))
        assert.is_nil(text_source.unused_field("body", { false, "gzip, JSON lines" }))
        assert.are.equal("text_field is ignored: no file holds JSON",
            text_source.unused_field("body", { false, "gzip" }))
        assert.are.same({ "2 files: gzip", "1 file: line ends CR" },
            text_source.told { false, "gzip", "line ends CR", "gzip" })
    end)

    it("advises by the settings there are", function()
        assert.are.equal("a.txt: byte 1: invalid UTF-8 (0xff); name the file's encoding (such as --encoding "
            .. "windows-1252), convert the file (iconv -t UTF-8), or continue with --invalid-utf8 replace",
            refused(open, "a.txt", "a\255 and more\n"))
        assert.are.equal("a.txt: byte 1: not UTF-8: it looks like UTF-16LE without a byte order mark: set --encoding "
            .. "UTF-16LE", refused(open, "a.txt", "a\0b\0c\0"))
        assert.are.equal("a.txt: UTF-16LE, expected UTF-8 text",
            refused(text_source.check, write("a.txt", "\255\254a\0")))
        local text, message = text_source.read(write("a.tsv", "a\n\nb\255"))
        assert.is_nil(text)
        assert.are.equal(folder .. "/a.tsv:3: byte 4: invalid UTF-8 (0xff); convert the file (iconv -t UTF-8)", message)
        assert.are.equal("é", text_source.read(write("a.tsv", "\233"), { encoding = "latin1" }))
        assert.are.same({ "\239\187\191" .. "a", 1 },
            { text_source.read(write("a.tsv", "\239\187\191\239\187\191a"), {}), 1 })
        assert.are.equal("the text: byte 1: invalid UTF-8 (0xff): convert it (iconv -t UTF-8)",
            refused(text_source.checked, "a\255", "the text"))
    end)

    it("gives lines with their numbers, whatever ends them", function()
        local long = ("x"):rep(1500000)
        local source, lines = open("a.txt", "one\r\n\ntwo\n" .. long .. "\nlast"), {}
        for line, number in source:lines() do lines[number] = line end
        assert.are.same({ "one", "", "two", long, "last" }, lines)
        source:close()
    end)

    --- Pieces of a text that borders separate: each {bytes, whether a document ends behind it}.
    local function pieces(text, border, bytes)
        local source, list, all = open("a.txt", text), {}, {}
        for piece, clean in source:pieces(bytes, function() return border end) do
            list[#list + 1], all[#all + 1] = { #piece, clean }, piece
        end
        source:close()
        assert.are.equal(text, table.concat(all))
        return list
    end

    it("cuts plain text where documents end", function()
        assert.are.same({ { 5, true } }, pieces("a b c", "blank", 4))
        assert.are.same({ { 9, true }, { 13, true } }, pieces("one one\n\n \n\ntwo\nthree\n", "blank", 6))
        assert.are.same({ { 9, false }, { 13, true } }, pieces("one one\n\n \n\ntwo\nthree\n", "none", 6))
        assert.are.same({ { 8, true }, { 8, true }, { 0, true } }, pieces("one one\ntwo two\n", "line", 6))
        local article = " = A = \n\nText.\n\n"
        assert.are.same({ { 16, true }, { 16, true }, { 16, true } }, pieces(article:rep(3), "heading", 10))
        -- Headings may be rare, and blank lines too.
        assert.are.same({ { 9, false }, { 8, false }, { 7, true } }, pieces(article .. "\n\nMore.\n", "heading", 7))
    end)

    it("finds texts by their names", function()
        for _, name in ipairs { "find/a.txt", "find/b.TXT.gz", "find/notes.md", "find/c.jsonl.xz", "find/.hidden.txt",
            "find/out/d.txt", "deep/AA/wiki_00", "deep/AB/wiki_01.bz2", "deep/readme.md" } do
            write(name, "x")
        end
        local function found(name, options)
            local files, others = text_source.find(folder .. "/" .. name, options)
            for i, path in ipairs(files) do files[i] = path:sub(#folder + #name + 3) end
            return { others, unpack(files) }
        end
        assert.are.same({ 2, "a.txt", "b.TXT.gz" }, found "find")
        assert.are.same({ 3, "c.jsonl.xz" }, found("find", { form = "jsonl" }))
        assert.are.same({ 1, "AA/wiki_00", "AB/wiki_01.bz2" }, found "deep")
        assert.are.same({ 1, "AB/wiki_01.bz2" }, found("deep", { skip = folder .. "/deep/AA" }))
        assert(fs.mkdirs(folder .. "/empty"))
        assert.are.same({ 0 }, found "empty")
        assert.are.same({ folder .. "/find/a.txt", folder .. "/deep/readme.md" },
            text_source.list(folder .. "/find/a.txt," .. folder .. "/deep/readme.md"))
        assert.are.equal("none.txt: no such file", refused(text_source.list, folder .. "/none.txt"))
    end)

    it("waits for what is typed where Ctrl-C is heard", function()
        if not terminal.available then return pending "no script: apt-get install bsdutils" end
        local code = "for line in require [[bertlua.data.text_source]].open([[-]], { form = [[text]] }):lines() do "
            .. "print(#line) end"
        local program = ("%s -e %s"):format(process.quote(process.bertlua), process.quote(code))
        local function reading()
            local screen = terminal.start(folder, program)
            screen:wait "bertlua: reading lines from the terminal; Ctrl-D ends them\n"
            screen:send "abc\n"
            screen:wait "\n3\n"
            return screen
        end
        local screen = reading()
        screen:send "\3"
        screen:wait "bertlua: interrupted\n"
        assert.are.equal(130, select(2, screen:close()))
        screen = reading()
        screen:send "de\n"
        screen:wait "\n2\n"
        assert.are.equal(0, select(2, screen:close()))
    end)
end)
