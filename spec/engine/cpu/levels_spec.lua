--- The levels of CPUs that a build has kernels for, and BERTLUA_MAX_CPU. What those of each compute: make test-levels.

local process = require "spec.support.process"

local quote, run = process.quote, process.run

--- Output and code of a program that opens a context and describes it.
local function describe_under(most)
    return run(("BERTLUA_MAX_CPU=%s %s --device cpu -e %s"):format(quote(most), quote(process.bertlua),
        quote "require('bertlua.context').describe()"))
end

describe("levels of CPUs", function()
    local text, code = describe_under "no-such-level"
    local names = {}
    for name in (text:match "this build has kernels for (.-); name one" or ""):gmatch "[^, ]+" do
        names[#names + 1] = name
    end

    it("are named, in one line, where BERTLUA_MAX_CPU names none of them", function()
        assert.are.equal(1, code, text)
        assert.is_truthy(text:match("^bertlua: cpu: BERTLUA_MAX_CPU is no%-such%-level, but this build has kernels for "
            .. "[^\n]+; name one of these, unset it, or build with make ARCH=x86%-64, [^\n]+\n$"), text)
        assert.is_true(#names >= 1)
    end)

    it("end at the one that BERTLUA_MAX_CPU names, or below where the CPU lacks it", function()
        local place = {}
        for i, name in ipairs(names) do
            place[name] = i
            local description, status = describe_under(name)
            assert.are.equal(0, status, description)
            local taken = description:match ", kernels for ([^,]+), oneDNN"
            assert.are.equal(#names > 1, taken ~= nil, description)
            if taken then assert.is_true(place[taken] ~= nil, taken .. " is above " .. name) end
            if i == 1 then assert.are.equal(#names > 1 and name or nil, taken) end
        end
    end)

    it("are those of the CPU where nothing is named", function()
        assert.are.equal(describe_under(names[#names]), describe_under "")
    end)
end)
