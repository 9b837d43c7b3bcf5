--- JSON: nothing is lost in a round trip, and errors say where.

local json = require "bertlua.util.json"

describe("json", function()
    it("writes numbers in the shortest form that keeps every bit", function()
        local cases = {
            [0] = "0", [1] = "1", [-7] = "-7", [0.1] = "0.1", [1 / 3] = "0.3333333333333333", [1e300] = "1e+300",
            [2 ^ 53 - 1] = "9007199254740991", [0.1 + 0.2] = "0.30000000000000004", [-2.5e-10] = "-2.5e-10",
        }
        for value, text in pairs(cases) do assert.are.equal(text, json.encode(value)) end
        assert.are.equal("-0.0", json.encode(-0.0))
        assert.are.equal(-math.huge, 1 / json.decode "-0.0")
    end)

    it("round-trips any double", function()
        math.randomseed(7)
        for _ = 1, 2000 do
            local value = (math.random() - 0.5) * 10 ^ math.random(-300, 300)
            assert.are.equal(value, json.decode(json.encode { value })[1])
        end
        for _, value in ipairs { 2 ^ 53, 2 ^ 53 + 2, 2 ^ 60, 5e-324, 1.7976931348623157e308 } do
            assert.are.equal(value, json.decode(json.encode { value })[1])
        end
    end)

    it("treats NaN and infinity as the policy says", function()
        for _, value in ipairs { 0 / 0, math.huge, -math.huge } do
            assert.error_matches(function() json.encode { x = value } end, "cannot write %-?%w+: choose nan")
            assert.are.equal("[null]", json.encode({ value }, { nan = "null" }))
        end
        assert.are.equal('["NaN","Infinity","-Infinity"]',
            json.encode({ 0 / 0, math.huge, -math.huge }, { nan = "string" }))
        assert.error_matches(function() json.encode(1, { nan = "maybe" }) end, "nan is maybe, expected")
    end)

    it("sorts keys, the wanted ones first", function()
        local value = { b = 1, a = 2, step = 3, c = { z = 1, y = 2 } }
        assert.are.equal('{"a":2,"b":1,"c":{"y":2,"z":1},"step":3}', json.encode(value))
        assert.are.equal('{"step":3,"c":{"y":2,"z":1},"a":2,"b":1}', json.encode(value, { order = { "step", "c" } }))
    end)

    it("tells arrays from objects", function()
        assert.are.equal("{}", json.encode {})
        assert.are.equal("[]", json.encode(json.array {}))
        assert.are.equal('[1,[2],{"k":[]}]', json.encode { 1, { 2 }, { k = json.array() } })
        assert.are.equal('[1,null,"x"]', json.encode { 1, json.null, "x" })
        assert.error_matches(function() json.encode { [1] = 1, [3] = 2 } end, "key is a number")
        assert.error_matches(function() json.encode { 1, a = 2 } end, "key is a number")
    end)

    it("escapes strings and keeps UTF-8", function()
        local text = "quote \" slash \\ tab \t line \n nul \0 é 😀 \127"
        assert.are.equal('"quote \\" slash \\\\ tab \\t line \\n nul \\u0000 é 😀 \\u007f"', json.encode(text))
        assert.are.equal(text, json.decode(json.encode { text })[1])
    end)

    it("indents when asked", function()
        assert.are.equal('{\n  "a": [\n    1,\n    2\n  ],\n  "b": {},\n  "c": true\n}',
            json.encode({ a = { 1, 2 }, b = {}, c = true }, { pretty = true }))
    end)

    it("refuses what JSON cannot hold", function()
        local loop = {}
        loop.self = loop
        assert.error_matches(function() json.encode(loop) end, "contains itself")
        assert.error_matches(function() json.encode { f = print } end, "cannot write a function")
        local shared = {}
        assert.are.equal("[{},{}]", json.encode { shared, shared })
    end)

    it("allows as many levels as it is told", function()
        assert.are.same({ { 1 } }, json.decode("[[1]]", "body", 2))
        assert.are.same({ nil, "body:1:3: not valid JSON: Found too many nested data structures (3)" },
            { json.decode("[[[1]]]", "body", 2) })
        assert.are.same({ { { 1 } } }, json.decode "[[[1]]]")
    end)

    it("names file, line and column of an error", function()
        local value, message = json.decode('{"a": 1,\n  "b" 2}', "x.json")
        assert.is_nil(value)
        assert.matches("^x%.json:2:7: not valid JSON: Expected colon", message)
        value, message = json.decode('{"a":', "x.json")
        assert.is_nil(value)
        assert.are.equal("x.json:1:6: not valid JSON: unexpected end of text", message)
        for _, text in ipairs { "", "[1,]", "{'a':1}", "[NaN]", "[1] 2", "nul", "\255", ("["):rep(2000) } do
            value, message = json.decode(text)
            assert.is_nil(value, text)
            assert.matches("^json:%d+:%d+: not valid JSON", message)
        end
        assert.has_error(function() json.decode(nil) end)
    end)

    it("reads files", function()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write '{"k": [1, null]}'
        file:close()
        assert.are.same({ k = { 1, json.null } }, json.read(path))
        file = assert(io.open(path, "w"))
        file:write "false"
        file:close()
        assert.are.same({ nil, path .. ": holds false, expected an object or a list" }, { json.read(path) })
        os.remove(path)
        assert.matches("No such file", select(2, json.read(path)))
        assert.matches("/tmp: cannot be read", select(2, json.read "/tmp"))
    end)
end)
