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
        -- However long this process waits in between; os.time() may lag by a tick of the kernel.
        local before, now, after = os.time(), clock.wall(), os.time()
        assert.is_true(now > before - 0.1 and now < after + 1.1)
    end)
end)
