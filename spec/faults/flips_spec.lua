--- A short form of `make flips`: some changes of one byte in every kind of file. The counting of them, too.

local byte_changes = require "spec.support.byte_changes"
local fault = require "bertlua.fault"
local flip_targets = require "spec.faults.flip_targets"
local fs = require "bertlua.util.fs"
local term = require "bertlua.util.term"

describe("a changed byte", function()
    it("is counted by what its reader does", function()
        local path = os.tmpname()
        assert(fs.write(path, "abcdef"))
        local found = byte_changes.run(path, function()
            local text = assert(fs.read(path))
            if text:sub(1, 1) ~= "a" then return nil, "refused" end
            if text:sub(2, 2) ~= "b" then fault.raise "refused" end
            if text:sub(3, 3) ~= "c" then term.warn "told" end
            if text:sub(4, 4) ~= "d" then error "a defect" end
            if text:sub(5, 5) ~= "e" then return nil, "two\nlines" end
            return text:sub(1, 5)
        end, { masks = { 1, 2 } })
        assert.matches("a defect$", found.why)
        found.why = nil
        -- A warning about what is nevertheless read as before is none.
        assert.are.same({ changes = 12, refused = 4, told = 2, same = 2, other = 0, failed = 4, first_failed = 3 },
            found)
        assert.are.equal("abcdef", fs.read(path))
        found = byte_changes.run(path, function() return assert(fs.read(path)) end, { masks = { 1, 2 }, step = 2,
            alternate = true })
        assert.are.same({ changes = 3, refused = 0, told = 0, same = 0, other = 3, failed = 0, first_other = 0 }, found)
        os.remove(path)
    end)

    local targets, close = {}, nil
    setup(function() targets, close = flip_targets.open() end)
    teardown(function() close() end)

    it("is never read as other data in silence, nor a defect, in any kind of file", function()
        local changes = 0
        assert.is_true(#targets > 20)
        for _, target in ipairs(targets) do
            local found = target.run(target.slow and 499 or 199)
            changes = changes + found.changes
            assert.are.equal(0, found.failed, ("%s, byte %s: %s"):format(target.name, found.first_failed, found.why))
            if not target.unprotected then
                assert.are.equal(0, found.other, ("%s, byte %s"):format(target.name, found.first_other))
            end
        end
        assert.is_true(changes > 500)
    end)
end)
