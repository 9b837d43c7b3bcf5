--- Join SQuAD files, or parts of them, into one:
--
--     bertlua spec/peers/join_squad.lua OUT.json FILE[:FIRST-LAST] ...
--
-- FIRST and LAST are article numbers from 1, inclusive.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local out = arg and arg[1]
if not out or #arg < 2 then fault.raise("usage: join_squad.lua OUT.json FILE[:FIRST-LAST] ...") end

local articles = {}
for i = 2, #arg do
    local path, first, last = arg[i]:match "^(.+):(%d+)%-(%d+)$"
    path = path or arg[i]
    local data = fault.check(json.read(path)).data
    if type(data) ~= "table" then fault.raisef("%s: has no data: not a SQuAD file", path) end
    first, last = tonumber(first) or 1, tonumber(last) or #data
    if first < 1 or last > #data or first > last then
        fault.raisef("%s: articles %d to %d requested, but it has %d", path, first, last, #data)
    end
    for n = first, last do articles[#articles + 1] = data[n] end
end
fault.check(fs.write(out, json.encode { version = "1.1", data = articles }))
print(("%s: %d articles"):format(out, #articles))
