--- Two workers that write their process ids to arg[1].1 and arg[1].2, and wait for a minute. Run by
-- spec/lua/data/workers_spec.lua.

local fs = require "bertlua.util.fs"
local unistd = require "posix.unistd"
local workers = require "bertlua.data.workers"

workers.run(2, 2, function(task)
    assert(fs.write(("%s.%d"):format(arg[1], task), tostring(unistd.getpid())))
    unistd.sleep(60)
    return {}
end)
