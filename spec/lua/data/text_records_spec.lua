--- Documents out of JSON lines and WikiExtractor's files.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local text_records = require "bertlua.data.text_records"
local text_source = require "bertlua.data.text_source"

describe("text_records", function()
    local path
    setup(function() path = process.temporary "" end)
    teardown(function() os.remove(path) end)

    local function read(content, options)
        assert(fs.write(path, content))
        local source = text_source.open(path, options or { form = "jsonl" })
        local list = {}
        for text, line in text_records.documents(source) do list[#list + 1] = { text, line } end
        source:close()
        return list
    end

    local function refused(expected, content, options)
        local good, problem = pcall(read, content, options)
        assert.is_false(good)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(path .. expected, tostring(problem))
    end

    it("takes a text from each JSON line", function()
        assert.are.same({ { "One.\nTwo. é", 1 }, { "", 3 }, { "\240\159\166\138", 4 } },
            read('{"text": "One.\\nTwo. \\u00e9", "id": 7}\n\n{"text":""}\r\n{"text": "\\ud83e\\udd8a"}'))
        assert.are.same({ { "b", 1 } }, read('{"body": "b", "text": "a"}', { form = "jsonl", text_field = "body" }))
    end)

    it("refuses a line that is no such record, by file and line", function()
        local good = '{"text": "a"}\n'
        refused(':2: not a JSON object: column 10: unexpected end of text; expected {"text": "..."}',
            good .. '{"text": \n')
        refused(':2: not a JSON object: it is a number; expected {"text": "..."}', good .. "7\n")
        refused(':1: not a JSON object: it is null; expected {"text": "..."}', "null\n")
        refused(':2: field "text" is missing, expected a text; --text-field names another field', good .. "{}\n")
        refused(':2: field "text" is null, expected a text; --text-field names another field', good .. '{"text": null}')
        refused(':1: field "text" is a table, expected a text; --text-field names another field', '{"text": ["a"]}')
        refused(':1: field "text" holds a NUL character: is this text?', '{"text": "a\\u0000"}')
    end)

    it("takes a text from each object of an array, wherever its lines and pieces end", function()
        local content = '\n[ {"text": "One \\"]}, \\\\", "more": [{"a": [1]}, {}]},\n\n{\n  "text":\n"Two",\n"x": {}}'
            .. "\n]\n"
        assert.are.same({ { 'One "]}, \\', 2 }, { "Two", 4 } }, read(content))
        assert.are.same({}, read("[]", { form = "json" }))
        local source = { path = "FILE", form = "json", text_field = "text" }
        for size = 1, 7 do
            local at, list = 1, {}
            source.chunk = function()
                at = at + size
                local piece = content:sub(at - size, at - 1)
                return piece ~= "" and piece or nil
            end
            for text, line in text_records.documents(source) do list[#list + 1] = { text, line } end
            assert.are.same({ { 'One "]}, \\', 2 }, { "Two", 4 } }, list)
        end
        local options = { form = "json" }
        refused(":2: field \"text\" is missing, expected a text; --text-field names another field",
            '[{"text": "a"},\n{}]', options)
        refused(':1: not a JSON object: column 10: Expected value but found T_OBJ_END; expected {"text": "..."}',
            '[{"text": }]', options)
        local wanted = ", expected a JSON array of objects"
        refused(":2: the object that begins here does not end" .. wanted, '[{"text": "a"},\n{"text": "b"', options)
        refused(":1: the array does not end" .. wanted, '[{"text": "a"}, ', options)
        refused(':1: "{" between objects' .. wanted, '[{"text": "a"} {"text": "b"}]', options)
        refused(':1: "7" where an object should begin' .. wanted, "[7]", options)
        refused(":2: more behind the end" .. wanted, "[]\n7", options)
    end)

    it("takes a text from each <doc>, without its title, entities decoded", function()
        local list = read('<doc id="1" url="u" title="An "odd" one">\nAn "odd" one\n\nA &lt;b&gt; &amp;lt; x.\n</doc>\n'
            .. '\n<doc id="2" url="u" title="B">\nNo title line.\n</doc>\n<doc id="3" url="u" title="C">\n</doc>\n',
            { form = "wikiextractor" })
        assert.are.same({ { "\nA <b> &lt; x.", 1 }, { "No title line.", 7 }, { "", 10 } }, list)
    end)

    it("takes the same from WikiExtractor's JSON", function()
        assert.are.same({ { "\nA <b>.", 1 }, { "T\n&lt;", 2 } }, read(
            '{"id": "1", "url": "https://en.wikipedia.org/wiki?curid=1", "title": "T", "text": "T\\n\\nA &lt;b&gt;."}'
            .. '\n'
            .. '{"id": "1", "url": "https://en.wikipedia.org/wiki/T", "title": "T", "text": "T\\n&lt;"}\n'))
    end)

    it("refuses a file that is not as WikiExtractor writes it", function()
        local options = { form = "wikiextractor" }
        local start = '<doc id="1" url="u" title="A">\n'
        local wrong = ": not as WikiExtractor writes it: "
        refused(":1" .. wrong .. "the document that begins here has no </doc>: is the file complete?", start .. "A\n",
            options)
        refused(":3" .. wrong .. "a document begins, but that of line 1 has no </doc>", start .. "A\n" .. start,
            options)
        refused(":3" .. wrong .. "text outside of <doc ...> and </doc>", start .. "</doc>\nmore\n", options)
    end)

    it("takes time that grows with the text, whatever its shape", function()
        local many = 300000
        local start = '<doc id="1" url="u" title="'
        for _, text in ipairs { (" "):rep(many) .. "a", ("\n "):rep(many / 2) .. "a", (' title="'):rep(many / 8) } do
            local list = read(start .. 'A">\n' .. text .. "\n</doc>\n" .. start .. text:gsub("\n", "")
                .. '">\n</doc>\n', { form = "wikiextractor" })
            assert.are.same({ #text, 0 }, { #list[1][1], #list[2][1] })
            local quoted = text:gsub('"', '\\"'):gsub("\n", "\\n")
            assert.are.equal(#text,
                #read(('{"id": 1, "url": "?curid=1", "title": "A", "text": "%s"}'):format(quoted))[1][1])
        end
    end)

    it("knows no other form", function()
        assert.has_error(function() read("a", { form = "text" }) end)
    end)
end)
