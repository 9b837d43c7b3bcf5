--- `require "bertlua"` after `make install`: installed as PREFIX/share/lua/5.1/bertlua.lua.
--
-- Puts bertlua's folders on the path and hands over to its init.lua.

local folder = debug.getinfo(1, "S").source:match "^@(.*)/lua/5%.1/[^/]*$"
if not folder then error("bertlua: this file belongs into PREFIX/share/lua/5.1; run make install", 0) end
local root = folder .. "/bertlua"

package.path = table.concat({
    root .. "/lua/?.lua", root .. "/lua/?/init.lua", root .. "/bindings/?.lua", package.path,
}, ";")

local init, message = loadfile(root .. "/lua/bertlua/init.lua")
if not init then error("bertlua: " .. message, 0) end
return init(...)
