--- Why a stage is built again, in words.

local rebuild = require "bertlua.corpus.rebuild"

local function key(change)
    local value = { format = 1, settings = { border = "auto", shards = 2 }, inputs = { "a", "b" }, parts = { "x 1" } }
    for name, field in pairs(change or {}) do value[name] = field end
    return value
end

describe("the reason to build a stage again", function()
    it("is what differs", function()
        for text, change in pairs {
            ['border "blank" instead of "auto", shards 4 instead of 2'] = {
                settings = { border = "blank", shards = 4 } },
            ['gzip 1 instead of unset'] = { settings = { border = "auto", shards = 2, gzip = 1 } },
            ["shards unset instead of 2"] = { settings = { border = "auto" } },
            ["another border"] = { settings = { border = ("0"):rep(64), shards = 2 } },
            ["1 of its 2 input files changed"] = { inputs = { "a", "c" } },
            ["2 of its 2 input files changed; shards 3 instead of 2"] = { inputs = { "c" },
                settings = { border = "auto", shards = 3 } },
            ["its inputs are divided into other parts"] = { parts = {} },
            ["its earlier files were made by another version"] = { format = 2 },
        } do
            assert.are.equal(text, rebuild.reason(key(), key(change)))
        end
        local long = { border = ("0"):rep(64), shards = 2 }
        assert.are.equal("another border", rebuild.reason(key { settings = long },
            key { settings = { border = ("1"):rep(64), shards = 2 } }))
        assert.are.equal("sources changed: x", rebuild.reason(key(), key { inputs = {} }, "sources changed: x"))
    end)

    it("needs no key that can be understood", function()
        for _, old in ipairs { 1, "x", {}, { settings = {} } } do
            assert.are.equal("its earlier files were made by another version", rebuild.reason(old, key()))
        end
        assert.are.equal("its earlier files were made by another version", rebuild.reason(nil, key()))
    end)
end)

describe("changes of sources", function()
    local function files(text)
        local list = {}
        for path, hash in text:gmatch "(%w+)=(%w+)" do list[#list + 1] = { path = path, sha256 = hash } end
        return list
    end

    it("are named by kind", function()
        local before = files "a=1 b=2 c=3 d=4"
        for now, text in pairs {
            ["a=1 b=2 c=3 d=4 e=5"] = "new: e",
            ["a=1 b=9 c=3 d=4"] = "changed: b",
            ["a=1 c=3 d=4"] = "gone: b",
            ["a=1 c=3 d=4 z=2"] = "renamed: b, now z",
            ["a=7 c=8 e=5 z=2"] = "changed: a, c; new: e; renamed: b, now z; gone: d",
            ["a=5 b=6 c=7 d=8"] = "changed: a, b, c and 1 more",
            ["a=1 b=2 c=3 d=4 e=4"] = "new: e",
        } do
            assert.are.equal(text, rebuild.sources_text(before, files(now)))
        end
        assert.is_nil(rebuild.sources_text(before, before))
        assert.is_nil(rebuild.sources_text({}, before))
    end)
end)
