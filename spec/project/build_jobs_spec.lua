--- How many compilers run at once, in containers made of files.

local process = require "spec.support.process"

describe("make", function()
    local folder

    setup(function()
        folder = process.temporary_folder()
        process.run(("mkdir %s/cpu %s/memory"):format(folder, folder))
    end)
    teardown(function() process.run("rm -r " .. process.quote(folder)) end)

    --- The number where these files, by name, are all there is.
    local function jobs(files)
        for name, text in pairs(files) do
            local file = assert(io.open(folder .. "/" .. name, "w"))
            file:write(text, "\n")
            file:close()
        end
        local text, code = process.run("scripts/build_jobs.sh " .. process.quote(folder))
        assert.are.equal(0, code, text)
        for name in pairs(files) do os.remove(folder .. "/" .. name) end
        return tonumber(text)
    end

    it("runs no more compilers than a container gives time and memory for", function()
        local all = jobs {}
        assert.is_true(all >= 1)
        assert.are.equal(all, jobs { ["cpu.max"] = "max 100000", ["memory.max"] = "max" })
        assert.are.equal(all, jobs { ["cpu/cpu.cfs_quota_us"] = "-1", ["cpu/cpu.cfs_period_us"] = "100000",
            ["memory/memory.limit_in_bytes"] = "9223372036854771712" })
        assert.are.equal(1, jobs { ["cpu.max"] = "50000 100000" })
        assert.are.equal(1, jobs { ["cpu/cpu.cfs_quota_us"] = "100000", ["cpu/cpu.cfs_period_us"] = "100000" })
        assert.are.equal(math.min(all, 2), jobs { ["cpu.max"] = "150000 100000" })
        assert.are.equal(1, jobs { ["memory.max"] = "200000000" })
        assert.are.equal(math.min(all, 2), jobs { ["memory/memory.limit_in_bytes"] = "700000000" })
    end)
end)
