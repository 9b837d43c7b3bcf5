--- A short form of `make faults`: some of the calls that write, killed or failing. The injector itself, too.

local json = require "bertlua.util.json"
local process = require "spec.support.process"

local quote, run = process.quote, process.run

describe("faults", function()
    -- The sanitizers must be loaded first.
    local it = (os.getenv "LD_PRELOAD" or ""):find "asan" and pending or it
    local library
    setup(function()
        library = os.tmpname()
        local text, code = run("${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -shared -fPIC -o " .. quote(library)
            .. " spec/faults/inject.c -ldl")
        assert(code == 0, text)
    end)
    teardown(function() os.remove(library) end)

    it("happen at the call that was asked for", function()
        local folder = process.temporary_folder()
        local script = process.temporary [[
            local fs = require "bertlua.util.fs"
            for i = 1, 2 do print(fs.write(arg[1] .. "/file", "text " .. i)) end
        ]]
        local function with(kind, at, log)
            return run(("FAULT_KIND=%s FAULT_AT=%d %s LD_PRELOAD=%s %s %s %s; cat %s/file*"):format(kind, at,
                log and "FAULT_LOG=" .. folder .. "/calls" or "", quote(library), quote(process.bertlua), script,
                folder, folder))
        end
        assert.are.equal("true\ntrue\ntext 2", (with("EIO", 0, true)))
        -- A file: what may lie at its temporary name goes, then open, write, fsync, rename, fsync of the folder.
        assert.matches("^unlink %S+\nopen %S+\nwrite \nfsync \nrename %S+\nfsync \nunlink %S+\n",
            (run("cat " .. folder .. "/calls")))
        local text = with("ENOSPC", 9)
        assert.matches("^true\nnil.*file: cannot write at byte 0: no space left on the device: free some space[^\n]*\n"
            .. "text 1$", text)
        assert.matches("^true\nnil.*input/output error %(EIO%)[^\n]*\ntext 1$", (with("EIO", 11)))
        -- What is left of the second text lies beside the file, under a temporary name.
        assert.matches("text 1text 2$", (with("kill", 11)))
        run(("rm %s/file.tmp-*"):format(folder))
        assert.matches("text 1tex$", (with("half", 9)))
        run("rm -rf " .. folder)
        os.remove(script)
    end)

    it("happen in the process that was asked for, below the folder that was asked for, or after a time", function()
        local folder = process.temporary_folder()
        local script = process.temporary [[
            local fs = require "bertlua.util.fs"
            local unistd = require "posix.unistd"
            local wait = require "posix.sys.wait"
            for i = 1, 2 do
                if unistd.fork() == 0 then
                    print(i, fs.write(arg[1] .. "/file" .. i, "text"))
                    io.stdout:flush()
                    unistd._exit(0)
                end
                wait.wait()
            end
            print(0, fs.write(arg[1] .. "/file", "text"))
        ]]
        local function with(variables)
            return run(("export FAULT_KIND=EIO %s; LD_PRELOAD=%s %s %s %s | cut -c1-6"):format(variables,
                quote(library), quote(process.bertlua), script, folder))
        end
        assert.are.equal("1\ttrue\n2\ttrue\n0\tnil\n",
            (with("FAULT_AT=4 FAULT_PROCESS=0 FAULT_UNDER=" .. folder):gsub("nil\t?", "nil")))
        assert.are.equal("1\ttrue\n2\tnil\n0\ttrue\n",
            (with("FAULT_AT=4 FAULT_PROCESS=2"):gsub("nil\t?", "nil")))
        assert.are.equal("1\ttrue\n2\ttrue\n0\ttrue\n", (with("FAULT_AT=4 FAULT_UNDER=/none FAULT_PROCESS=2")))
        assert.are.equal("1\ttrue\n2\ttrue\n0\ttrue\n", (with "FAULT_AT=4 FAULT_RANK=1"))
        local _, code = run(("FAULT_AFTER=0 LD_PRELOAD=%s %s -e 'while true do end'"):format(quote(library),
            quote(process.bertlua)))
        assert.are.equal(137, code)
        run("rm -rf " .. folder)
        os.remove(script)
    end)

    for scenario, every in pairs { save = 90, convert = 40, shards = 6, vectors = 12, ["corpus-process-4"] = 6 } do
        it("lose nothing: " .. scenario, function()
            local output, code = process.run_bertlua(("spec/faults/run.lua %s --scenario %s --every %d"):format(
                quote(library), scenario, every))
            assert.are.equal(0, code, output)
            local records = json.decode(output:match "([^\n]*)\n$")
            assert.are.equal(4, #records)
            for _, record in ipairs(records) do
                assert.is_true(record.tried >= 2, output)
                assert.are.equal(0, record.lost, output)
            end
        end)
    end
end)
