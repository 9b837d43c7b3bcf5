--- Clocks and durations.

local clock = require "bertlua.util.clock"

describe("clock", function()
    it("formats durations", function()
        assert.are.same({ "0:00", "0:59", "1:00", "1:01:01", "2d03h", "--:--", "--:--", "--:--" },
            { clock.format(0), clock.format(59.4), clock.format(59.6), clock.format(3661), clock.format(183600),
                clock.format(nil), clock.format(0 / 0), clock.format(math.huge) })
    end)

    it("runs forward", function()
        local a, b = clock.monotonic(), clock.monotonic()
        assert.is_true(b >= a)
        assert.is_true(math.abs(clock.wall() - os.time()) < 2)
    end)
end)
