--- A script for bertlua: one byte of a file changes; what bertlua makes of it, for every kind of file that it reads.
--
--     make flips                                               everything
--     bertlua spec/faults/flips.lua [--only NAME] [--every N]
--
-- --only takes the rows whose names begin so; --every N takes each Nth of the bytes that a row would take. Of some
-- files each byte is changed in several ways, of large or slow ones each Nth in one; which is fixed. Refused, told and
-- read as before are well; other data in silence only where a format has no checksum, which the row says ("values").
-- Exits with 1 otherwise, and after an error that is no message for users.

package.path = package.path .. ";./?.lua"

local clock = require "bertlua.util.clock"
local flip_targets = require "spec.faults.flip_targets"

local options = { only = "", every = 1 }
for i = 1, #arg, 2 do options[arg[i]:match "^%-%-(.*)$"] = arg[i + 1] end

local sums = { changes = 0, refused = 0, told = 0, same = 0, other = 0, failed = 0 }
local silent = 0

local function show(name, found, note)
    print(("%-44s %7d %8d %6d %7d %7d %6d  %s"):format(name, found.changes, found.refused, found.told, found.same,
        found.other, found.failed, note))
    io.stdout:flush()
end

print(("%-44s %7s %8s %6s %7s %7s %6s"):format("file", "changes", "refused", "told", "same", "other", "failed"))
local targets, close = flip_targets.open()
for _, target in ipairs(targets) do
    if target.name:sub(1, #options.only) == options.only then
        local began = clock.monotonic()
        local found = target.run(tonumber(options.every))
        local allowed = target.unprotected and found.other or 0
        local note = ("%.0f s%s"):format(clock.monotonic() - began, target.unprotected and ", no checksum: values"
            or found.other > 0 and (", first at byte %d"):format(found.first_other) or "")
        show(target.name, found, note)
        if found.failed > 0 then print(("    byte %d: %s"):format(found.first_failed, found.why)) end
        for kind, count in pairs(sums) do sums[kind] = count + found[kind] end
        silent = silent + found.other - allowed
    end
end
close()
show("all", sums, ("%d in silence where a checksum should have told"):format(silent))
os.exit(silent + sums.failed > 0 and 1 or 0)
