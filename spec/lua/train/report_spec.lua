--- Report files: dllogger's lines, flushed immediately, valid after a kill.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local report = require "bertlua.train.report"

describe("report", function()
    local folder, path

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-report")
        path = folder .. "/logs/report.json"
    end)

    after_each(function()
        fs.remove(folder)
    end)

    local function records()
        local list = {}
        for line in assert(fs.read(path)):gmatch "([^\n]*)\n" do
            list[#list + 1] = assert(json.decode(assert(line:match "^DLLL (.*)$", line)))
        end
        return list
    end

    it("writes parameters, metadata, steps and the summary in dllogger's form", function()
        local now = 1700000000
        local log = assert(report.open(path, { now = function() return now end }))
        assert(log:parameters { batch_size = 32, optimizer = "Lamb" })
        assert(log:metadata("tokens_per_second", { unit = "tokens/s" }))
        now = now + 12.5
        assert(log:log(10, { loss = 7.123456789012345 }))
        assert(log:log({ 1, 20 }, { loss = 0 / 0 }))
        assert(log:log(nil, { loss = 1 }))
        log:close()
        log:close()
        local list = records()
        assert.are.equal(5, #list)
        assert.are.equal("PARAMETER", list[1].step)
        assert.are.same({ batch_size = 32, optimizer = "Lamb" }, list[1].data)
        assert.are.same({ "METADATA", "tokens_per_second", { unit = "tokens/s" } },
            { list[2].type, list[2].metric, list[2].metadata })
        assert.are.same({ type = "LOG", step = 10, timestamp = "1700000012.500000", elapsedtime = "12.500000",
            datetime = os.date("%Y-%m-%d %H:%M:%S", 1700000012) .. ".500000", data = { loss = 7.123456789012345 } },
            list[3])
        assert.are.same({ { 1, 20 }, "NaN" }, { list[4].step, list[4].data.loss })
        assert.are.same({}, list[5].step)
        assert.is_truthy(fs.read(path):find('"step":[],"data":{"loss":1}', 1, true))
        assert.are.same({ nil, path .. " is closed" }, { log:log(1, {}) })
    end)

    it("has each line on disk before writing the next", function()
        local log = assert(report.open(path))
        for step = 1, 3 do
            log:log(step, { loss = step })
            assert.are.equal(step, #records())
        end
        log:close()
    end)

    it("starts over, or continues for a resumed run", function()
        report.open(path):parameters { a = 1 }
        local second = report.open(path)
        second:parameters { a = 2 }
        assert.are.equal(1, #records())
        -- The first run's report is not lost.
        assert.are.equal(path .. ".1", second.kept)
        assert.matches('"a":1', fs.read(path .. ".1"), 1, true)
        assert(report.open(path, { append = true })):log(5, {})
        assert.are.equal(2, #records())
    end)

    it("does not append a record to half a line left by a kill", function()
        local log = report.open(path)
        log:log(1, { loss = 1 })
        log:close()
        local file = assert(io.open(path, "ab"))
        file:write 'DLLL {"timestamp":"17'
        file:close()
        assert(report.open(path, { append = true })):log(2, { loss = 2 })
        local text = fs.read(path)
        assert.matches('\nDLLL {"timestamp":"17\nDLLL {[^\n]+"step":2,"data":{"loss":2}}\n$', text)
    end)

    it("says why it cannot write", function()
        assert.matches("cannot create the folder", select(2, report.open "/proc/none/report.json"))
        assert.matches("Is a directory", select(2, report.open(folder)))
        local full = assert(report.open "/dev/full")
        local ok, message = full:log(1, {})
        assert.is_nil(ok)
        assert.matches("^/dev/full: cannot write: No space left", message)
    end)
end)
