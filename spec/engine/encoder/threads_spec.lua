--- One encoder in many threads of a C program, and many calls: short forms of `make tsan` and `make encoder-soak`.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local quote = process.quote

describe("an encoder in a C program", function()
    local folder, program

    local function run(arguments)
        local output, code = process.run(quote(program) .. " " .. arguments)
        assert.are.equal(0, code, output)
        return output
    end

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-threads-")
        program = folder .. "/threads"
        local build = fs.dirname(process.bertlua)
        local output, code = process.run(("%s spec/support/write_graph_model.lua %s %s"):format(quote(process.bertlua),
            quote(folder .. "/model"), quote(folder .. "/texts")))
        assert.are.equal(0, code, output)
        output, code = process.run(("${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -Iengine -o %s "
            .. "spec/engine/encoder/threads.c -L%s -lbertlua -lpthread -Wl,-rpath,%s -Wl,--allow-shlib-undefined")
            :format(quote(program), quote(build), quote(build)))
        assert.are.equal(0, code, output)
    end)
    teardown(function() fs.remove(folder) end)

    it("gives eight threads what it gives one, also where they wait for memory", function()
        local paths = quote(folder .. "/model") .. " " .. quote(folder .. "/texts")
        assert.matches("^8 threads, 74 calls each, the same bits", run(("check %s 8 2"):format(paths)))
        local output = run(("check %s 8 2 %d"):format(paths, 900 * 1024))
        assert.is_true(tonumber(output:match "(%d+) bytes held") <= 900 * 1024)
    end)

    -- AddressSanitizer keeps for a while what was freed.
    local counted = (os.getenv "LD_PRELOAD" or ""):find "asan" and pending or it
    counted("leaves no memory behind", function()
        assert.matches("^5000 calls", run(("soak %s %s 5000"):format(quote(folder .. "/model"),
            quote(folder .. "/texts"))))
    end)
end)
