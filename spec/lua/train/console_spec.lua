--- The log for people: fixed columns that fit a terminal.

local console = require "bertlua.train.console"

local RECORD = {
    step = 1000, loss = 8.1234, mlm_loss = 7.4304, nsp_loss = 0.693, learning_rate = 6e-3, grad_norm = 12.34,
    loss_scale = 2 ^ 20, sequences_per_second = 529.4, tokens_per_second = 67700, remaining = 3723,
}

local RESULTS = { { name = "loss", column = "loss" }, { name = "mlm_loss", column = "mlm" },
    { name = "nsp_loss", column = "nsp" }, { name = "mlm_accuracy" } }

describe("console", function()
    it("keeps header and values in line", function()
        assert.are.equal("step        loss    mlm    nsp       lr   grad scale  seq/s  tok/s      ETA",
            console.header(7038, RESULTS))
        assert.are.equal("1000/7038  8.123  7.430  0.693 6.00e-03   12.3  2^20    529  67.7k  1:02:03",
            console.line(RECORD, 7038, RESULTS))
    end)

    it("fits 80 columns at any size of numbers", function()
        for _, step in ipairs { 1, 99999 } do
            for _, big in ipairs { 0, 1e-9, 1, 12.345, 99999, 1e9 } do
                local line = console.line({ step = step, loss = 11.0001, mlm_loss = 10.3, nsp_loss = 0.7,
                    learning_rate = big, grad_norm = big, loss_scale = 65536, sequences_per_second = big,
                    tokens_per_second = big, remaining = 1e6 }, 99999, RESULTS)
                assert.is_true(#line <= 80, line)
            end
        end
        assert.are.equal(#console.header(99999, RESULTS), #console.line(RECORD, 99999, RESULTS))
    end)

    it("shows what is missing as a dash and never joins columns", function()
        local line = console.line({ step = 1, loss = 123456789.5 }, 5, RESULTS)
        assert.matches("^1/5 123456789%.500%s+%-%s+%-%s+%-%s+%-%s+%-%s+%-%s+%-%s+%-%-:%-%-$", line)
    end)

    it("writes loss scales as powers of two only where they are such", function()
        for value, text in pairs { [1] = "1", [128] = "128", [1024] = "1024", [2048] = "2^11", [1000] = "1000",
            [2 ^ 24] = "2^24", [3e6] = "3.00M", [0.5] = "0.500" } do
            local line = console.line({ step = 1, loss_scale = value }, 5, RESULTS)
            assert.is_truthy(line:find(" " .. text .. " ", 1, true), line)
        end
    end)

    it("gives results of any name a column while there is room", function()
        local results = { { name = "loss", column = "loss" }, { name = "contrast", column = "contrast" },
            { name = "mlm_loss", column = "mlm_loss" }, { name = "quiet" }, { name = "temperature", column = "temp" } }
        local log = console.new { max_steps = 70380, results = results, write = function() end }
        assert.are.equal("step          loss contrast   temp       lr   grad scale  seq/s  tok/s      ETA",
            console.header(70380, results))
        assert.are.same({ "mlm_loss" }, log:hidden())
        local line = console.line({ step = 7, loss = 1, contrast = 0.5, temperature = 0.05 }, 70380, results)
        assert.are.equal(#console.header(70380, results), #line)
        assert.matches("^7/70380      1%.000    0%.500  0%.050 ", line)
    end)

    it("repeats the header now and then", function()
        local lines = {}
        local function write(line) lines[#lines + 1] = line end
        local log = console.new { max_steps = 7038, results = RESULTS, write = write }
        for _ = 1, 41 do log:record(RECORD) end
        assert.are.equal(43, #lines)
        assert.matches("^step ", lines[1])
        assert.matches("^step ", lines[42])
    end)
end)
