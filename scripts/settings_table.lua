--- Print the settings of pre-training as Markdown, for README.md:
--
--     bertlua scripts/settings_table.lua
--     bertlua scripts/settings_table.lua README.md    rewrites the part between the markers
--       <!-- settings --> and <!-- /settings -->

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local pretraining = require "bertlua.settings.pretraining"

local text = pretraining:table_markdown()
local path = arg and arg[1]
if not path then
    io.stdout:write(text)
    return
end
local document = fault.check(fs.read(path))
local before, after = document:match("^(.-<!%-%- settings %-%->\n).-(<!%-%- /settings %-%->.*)$")
if not before then
    fault.raisef("%s: has no line <!-- settings --> followed by <!-- /settings -->", path)
end
fault.check(fs.write(path, before .. "\n" .. text .. after))
