--- Texts that are read from beginning to end, as parts of a prepared corpus.

local fs = require "bertlua.util.fs"
local plain = require "bertlua.corpus.plain"
local process = require "spec.support.process"
local streamed = require "bertlua.corpus.streamed"

local DEFAULTS = { text_form = "auto", text_field = "text", invalid_utf8 = "error" }

describe("streamed texts", function()
    local folder
    setup(function() folder = process.temporary_folder() end)
    teardown(function() fs.remove(folder) end)

    local function write(name, content)
        local path = fs.join(folder, name)
        assert(fs.write(path, content))
        return path
    end

    local function with(change)
        local values = {}
        for key, value in pairs(DEFAULTS) do values[key] = value end
        for key, value in pairs(change or {}) do values[key] = value end
        return values
    end

    --- Text and record of one part made of files.
    local function make(files, border, change)
        local reading = streamed.reading(with(change))
        local parts, kinds = plain.parts(files, border, "corpus", reading)
        assert.are.equal(1, #parts)
        local out = folder .. "/out"
        assert(fs.mkdirs(out))
        local record = plain.run({ output_dir = folder }, out, reading)(parts[1], function() end)
        return fs.read(out .. "/corpus-00000.txt"), record, kinds
    end

    it("become the same text as plain ones", function()
        local text = "Grün ist\r\ndie Wiese.\n\nEin  Bach.\n"
        local expected = "Grün ist\ndie Wiese.\n\nEin Bach.\n\n"
        assert.are.equal(expected, make({ write("a.txt", text) }, "blank"))
        for name, content in pairs {
            latin = text:gsub("ü", "\252"), marked = "\239\187\191" .. text,
            wide = "\254\255" .. text:gsub("ü", "\252"):gsub(".", "\0%0"),
        } do
            local found, record = make({ write(name .. ".txt", content) }, "auto",
                { encoding = name == "latin" and "ISO-8859-1" or nil })
            assert.are.equal(expected, found)
            assert.are.equal(2, record.files[1].documents)
        end
    end)

    it("are one document a record, beside plain files in one part", function()
        local text, record, kinds = make({ write("1.jsonl", '{"text": "One.\\nTwo."}\n{"text": " "}\n{"text": "3."}'),
            write("2.txt", "Four.\n\nFive.\n"), write("3", '<doc id="1" url="u" title="A">\nA\n\nSix.\n</doc>\n') },
            "auto")
        assert.are.equal("One.\nTwo.\n\n3.\n\nFour.\nFive.\n\nSix.\n\n", text)
        assert.are.equal(4, record.files[1].documents)
        assert.are.same({ "JSON lines", false, "WikiExtractor's output" }, kinds)
    end)

    it("count replaced bytes, and refuse what is too long for a paragraph", function()
        local text, record = make({ write("a.jsonl", '{"text": "A\255."}') }, "auto", { invalid_utf8 = "replace" })
        assert.are.equal("A\239\191\189.\n\n", text)
        assert.are.equal(1, record.replaced)
        assert.error_matches(function()
            make({ write("a.jsonl", '{"text": "' .. ("a"):rep(plain.MAX_LINE + 1) .. '"}') }, "auto")
        end, "a%.jsonl: a paragraph of 4194305 bytes, expected at most 4194304")
    end)

    it("leave the key of plain ones as it was", function()
        assert.are.same({}, streamed.key(DEFAULTS))
        assert.are.same({ encoding = "latin1", text_form = "jsonl", text_field = "body" },
            streamed.key(with { encoding = "latin1", text_form = "jsonl", text_field = "body" }))
    end)

    it("need as much memory as the largest piece, whatever their size", function()
        local parts = plain.parts({ write("a.jsonl", '{"text": "A."}') }, "auto", "corpus", streamed.reading(DEFAULTS))
        assert.are.equal(plain.memory { size = plain.MAX_PART }, plain.memory(parts[1]))
    end)
end)
