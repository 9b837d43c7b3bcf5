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

    it("leaves out columns that do not fit, the results last", function()
        local many = { { name = "loss", column = "loss" }, { name = "a", column = "distillation" },
            { name = "b", column = "mlm" }, { name = "c", column = "contrast" } }
        assert.are.equal("step          loss distillation    mlm contrast       lr   grad  seq/s  tok/s      ETA",
            console.header(20000, many, 90))
        assert.are.equal("step          loss distillation    mlm contrast       lr   grad  seq/s      ETA",
            console.header(20000, many))
        assert.are.equal("1000/20000   8.123            -      -        - 6.00e-03   12.3    529  1:02:03",
            console.line(RECORD, 20000, many))
        assert.are.equal("step          loss distillation      ETA", console.header(20000, many, 40))
        assert.are.equal("step          loss", console.header(20000, many, 20))
    end)

    it("may begin with its header, before the first record", function()
        local lines = {}
        local log = console.new { max_steps = 7038, results = RESULTS, columns = function() return 68 end,
            write = function(line) lines[#lines + 1] = line end }
        log:begin()
        assert.are.same({ "step        loss    mlm    nsp       lr   grad  seq/s      ETA" }, lines)
        for _ = 1, 41 do log:record(RECORD) end
        assert.are.equal(43, #lines)
        assert.matches("^step ", lines[42])
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

    it("names the results for which there is no room", function()
        local results = { { name = "loss", column = "loss" }, { name = "contrast", column = "contrast" },
            { name = "mlm_loss", column = "mlm_loss" }, { name = "quiet" }, { name = "temperature", column = "temp" } }
        local function hidden_of(list)
            return console.new({ max_steps = 70380, results = list, write = function() end }):hidden()
        end
        assert.are.same({}, hidden_of(results))
        assert.are.equal("step          loss contrast mlm_loss   temp       lr   grad  seq/s      ETA",
            console.header(70380, results))
        local long = ("x"):rep(40)
        table.insert(results, 2, { name = "second", column = long })
        assert.are.same({ "mlm_loss", "temperature" }, hidden_of(results))
    end)

    it("prints no header before the results are known", function()
        local lines, results = {}, {}
        local log = console.new { max_steps = 5, results = results,
            write = function(line) lines[#lines + 1] = line end }
        log:begin()
        assert.are.same({}, lines)
        results[1] = { name = "loss", column = "loss" }
        log:record { step = 1, loss = 2 }
        assert.matches("^step   loss", lines[1])
        assert.matches("^1/5  2%.000", lines[2])
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
