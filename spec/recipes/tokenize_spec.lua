--- recipes/tokenize.lua from the outside, and its job line by line.

local cjson = require "cjson"
local Tokenizer = require "bertlua.text.tokenizer"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local job = require "bertlua.jobs.corpus.tokenize"
local process = require "spec.support.process"
local vocabulary = require "spec.support.vocabulary"

local UNCASED = "vocab/bert-base-uncased-vocab.txt"

local function run(lines)
    local tokenizer = Tokenizer.load(UNCASED, { do_lower_case = true })
    local out, at = {}, 0
    local texts = job.run(tokenizer, function()
        at = at + 1
        return lines[at]
    end, function(line) out[#out + 1] = line end)
    return out, texts
end

local function message_of(...)
    local ok, problem = pcall(run, { ... })
    assert.is_false(ok)
    assert.is_true(fault.is(problem))
    return tostring(problem)
end

describe("tokenize", function()
    it("writes valid JSON that equals the golden cases", function()
        local cases = cjson.decode((assert(fs.read "spec/fixtures/text/tokenizer_cases.json")))
        local lines = {}
        for i, case in ipairs(cases) do lines[i] = cjson.encode { text = case.text } end
        local out, texts = run(lines)
        assert.are.equal(#cases, texts)
        for i, case in ipairs(cases) do
            assert.are.same(case.uncased, cjson.decode(out[i]), case.text)
        end
    end)

    it("writes lists for an empty text, escapes quotes, leaves slashes alone", function()
        local out = run { '{"text": ""}', "", '{"text": "\\"/\\\\", "other": 1}' }
        assert.are.equal('{"tokens": [], "ids": []}\n', out[1])
        assert.are.equal('{"tokens": ["\\"", "/", "\\\\"], "ids": [1000, 1013, 1032]}\n', out[2])
    end)

    it("names the line of bad input", function()
        local good = '{"text": "a"}'
        assert.is_truthy(message_of(good, "", "{"):find("^line 3: not JSON"))
        assert.is_truthy(message_of("7"):find("line 1: got a JSON number", 1, true))
        assert.is_truthy(message_of(good, "{}"):find("line 2: no member text", 1, true))
        assert.is_truthy(message_of("null"):find("line 1: got null", 1, true))
        assert.is_truthy(message_of('{"text": null}'):find("line 1: text is null", 1, true))
        assert.is_truthy(message_of('{"text": ["a"]}'):find("line 1: text is a table", 1, true))
    end)

    it("runs as a program and fails with one line", function()
        vocabulary.with_files(function(write, folder)
            local command = process.bertlua
                .. " recipes/tokenize.lua --vocab-file %s --do-lower-case true < %s > %s 2> %s; echo $?"
            local out, err = folder .. "/out", folder .. "/err"
            local function start(vocab_file, text)
                local pipe = assert(io.popen(command:format(vocab_file, write(text), out, err)))
                local code = tonumber(pipe:read "*a")
                pipe:close()
                return code, fs.read(out), fs.read(err)
            end
            assert.are.same({ 0, '{"tokens": ["hello", "!"], "ids": [7592, 999]}\n', "" },
                { start(UNCASED, '{"text": "Hello!"}\n') })
            local code, _, message = start("no/vocab.txt", "")
            assert.are.equal(1, code)
            assert.is_truthy(message:find "^bertlua: [^\n]*no/vocab.txt[^\n]*\n$", message)
            code, _, message = start(UNCASED, "nonsense\n")
            assert.are.equal(1, code)
            assert.is_truthy(message:find "^bertlua: line 1: not JSON[^\n]*\n$", message)
            code, _, message = start(UNCASED, '{"text": "K\228se"}\n')
            assert.are.equal(1, code)
            assert.is_truthy(message:find("standard input: byte 11: invalid UTF-8 (0xe4); name the file's", 1, true))
            assert.are.same({ 0, '{"tokens": ["ka", "##se"], "ids": [10556, 3366]}\n', "" },
                { start(UNCASED .. " --encoding latin1 --text-field t", '{"t": "K\228se"}\n') })
        end)
    end)
end)
