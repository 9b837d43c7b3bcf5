--- Run programs from specs: the bertlua executable of the build under test, and its output.

local clock = require "bertlua.util.clock"
local lfs = require "lfs"
local posix_signal = require "posix.signal"
local posix_time = require "posix.time"

local M = {}

local library = os.getenv "BERTLUA_LIB"
local build = library and library ~= "" and library:match "^(.*)/[^/]*$" or "build"

local function absolute(path)
    if path:sub(1, 1) == "/" then return path end
    local pipe = assert(io.popen "pwd")
    local folder = pipe:read "*l"
    pipe:close()
    return folder .. "/" .. path
end

--- The source tree and the executable, absolute.
M.root = absolute(".")
M.bertlua = absolute(build .. "/bertlua")

--- Quote for the shell.
function M.quote(text)
    return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Run a shell command.
-- @return standard output and error together, exit code
function M.run(command)
    local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"rc=$?\""))
    local text = pipe:read "*a"
    pipe:close()
    local output, code = text:match "^(.*)rc=(%d+)\n$"
    return output, tonumber(code)
end

--- Ids of a process's living children, oldest first.
function M.children(pid)
    local list, began = {}, {}
    for name in lfs.dir "/proc" do
        local file = name:match "^%d+$" and io.open(("/proc/%s/stat"):format(name))
        if file then
            -- State, parent, and as the 20th field from here when it was started.
            local parent, rest = (file:read "*a" or ""):match ".*%) %a (%d+)(.*)"
            file:close()
            if tonumber(parent) == tonumber(pid) then
                local id, number = tonumber(name), 0
                list[#list + 1] = id
                for field in rest:gmatch "%S+" do
                    number = number + 1
                    if number == 18 then began[id] = tonumber(field) end
                end
            end
        end
    end
    -- Ids begin again from below when the last one was given out.
    table.sort(list, function(a, b) return began[a] < began[b] or began[a] == began[b] and a < b end)
    return list
end

--- Start a shell command, wait for a file as long as the command runs, two minutes at most, send a signal, and wait for
-- the end.
-- @param path of the file; it is an error if it never appears
-- @param signal "TERM", "KILL", ...
-- @param whom(pid) -> process to send it to; that of the command if left out
-- @return output, exit code
function M.interrupt(command, path, signal, whom)
    local log = M.temporary ""
    local pipe = assert(io.popen(("{ %s > %s 2>&1 & echo $!; wait $!; echo rc=$?; } 2> /dev/null"):format(command,
        M.quote(log))))
    local pid = tonumber(pipe:read "*l")
    local deadline = clock.monotonic() + 120
    local came
    repeat
        posix_time.nanosleep { tv_sec = 0, tv_nsec = 5e6 }
        -- In this order, so that a file that came just before the end is seen.
        local runs = lfs.attributes(("/proc/%d"):format(pid)) ~= nil
        came = lfs.attributes(path) ~= nil
    until came or not runs or clock.monotonic() > deadline
    posix_signal.kill(came and whom and whom(pid) or pid, posix_signal["SIG" .. (came and signal or "KILL")])
    local code = tonumber(pipe:read("*a"):match "rc=(%d+)")
    pipe:close()
    local file = assert(io.open(log))
    local output = file:read "*a"
    file:close()
    os.remove(log)
    if not came then error(path .. " never came: " .. output, 2) end
    return output, code
end

--- Run bertlua with these arguments (already quoted).
function M.run_bertlua(arguments, setup)
    return M.run((setup and setup .. " " or "") .. M.quote(M.bertlua) .. " " .. arguments)
end

--- A file with this text in the system's temporary folder.
function M.temporary(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
end

--- Scripts of a spec.
-- @return script(text) -> path, quoted; remove() -> all of them
function M.scripts()
    local files = {}
    return function(text)
        files[#files + 1] = M.temporary(text)
        return M.quote(files[#files])
    end, function()
        for _, path in ipairs(files) do os.remove(path) end
    end
end

--- What run() returned is this output and exit code.
function M.assert_output(expected, code, output, got_code)
    local assert = require "luassert"
    assert.are.equal(expected, output)
    assert.are.equal(code, got_code)
end

--- A new empty folder.
function M.temporary_folder()
    local folder = M.run "mktemp -d"
    return (folder:gsub("\n", ""))
end

return M
