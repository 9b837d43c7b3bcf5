--- Vectors of texts, as a JSON line for each line of standard input: for a plain LuaJIT, or another program's Lua.
--
--     luajit examples/embed.lua MODEL < texts.txt
--
-- MODEL is a folder that bertlua or transformers wrote. After `make install PREFIX=/usr/local`, Debian's LuaJIT finds
-- bertlua; after another one, set LUA_PATH="PREFIX/share/lua/5.1/?.lua;;". See docs/embedding_in_programs.md.

local cjson = require "cjson"
require "bertlua" -- puts its folders on the path
local encoder_api = require "bertlua.encoder_api"

local encoder, message = encoder_api.open(arg[1] or error("usage: luajit embed.lua MODEL", 0), { threads = 1 })
if not encoder then error(message, 0) end

-- Many texts at once are sorted by length and computed together.
local BATCH = 64

local function write(texts)
    local vectors, problem = encoder:embed(texts)
    if not vectors then error(problem, 0) end
    for _, vector in ipairs(vectors:tolist()) do print(cjson.encode { embedding = vector }) end
end

local texts = {}
for line in io.lines() do
    texts[#texts + 1] = line
    if #texts == BATCH then
        write(texts)
        texts = {}
    end
end
if texts[1] then write(texts) end
encoder:close()
