--- Specs of ops from the PTX that nvcc made of the kernels (`make test-cuda-ptx`): they pass on it, and one changed
-- instruction in it makes them fail. Each is run by a busted of its own.

local context = require "bertlua.context"

local FOLDER = os.getenv "BERTLUA_EMULATION_PTX"
if context.device() ~= "cuda" or not context.describe():find "^emulated" or (FOLDER or "") == "" then return end

local ffi = require "ffi"
local fs = require "bertlua.util.fs"
local lfs = require "lfs"
local process = require "spec.support.process"
local tensor = require "bertlua.tensor"

ffi.cdef "double bl_emulated_ptx_launches(const char *text);"
local library = ffi.load(os.getenv "BERTLUA_CUDA_LIB")

-- Where each family is judged against float64.
local ATTENTION = { "spec/cuda/attention_spec.lua", "drops the documented elements: bf16, heads of 64" }
local LAYERNORM = { "spec/engine/ops/layernorm_spec.lua", "normalises dropout" }
local GRADIENT = { "spec/engine/ops/layernorm_spec.lua", "has the gradients" }
local LINEAR = { "spec/engine/ops/linear_spec.lua", "differentiates in bf16, activation gelu$" }
local LAMB = { "spec/engine/optim/lamb_spec.lua", "follows the formula" }

-- What a spec says about the text of the PTX: the file, which kernels, a pattern and what replaces its first match in
-- each, and what the report must contain; with alternatives, one of them.
local WRONG = { "differs by", "expected", "Expected", "differ" }
local UNORDERED = { "in no order with", "that the block has not written" }
local FAULTS = {
    { "an mma takes the rows of A in the wrong order", ATTENTION, "attention_native", "attention_forward",
        "(mma%.sync[^\n]-}, {%%r%d+), (%%r%d+), ", function(start, second)
            local first = start:match "%%r%d+$"
            return start:sub(1, -#first - 1) .. second .. ", " .. first .. ", "
        end, WRONG },
    { "an mma takes the halves of B in the wrong order", ATTENTION, "attention_native", "attention_forward",
        "(mma%.sync[^\n]-}, {[^}]*}, {)(%%r%d+), (%%r%d+)}", "%1%3, %2}", WRONG },
    { "an mma writes its columns in the wrong order", ATTENTION, "attention_native_backward", "attention_backward",
        "(mma%.sync[^\n]-{)(%%f%d+), (%%f%d+),", "%1%3, %2,", WRONG },
    { "an ldmatrix does not transpose", ATTENTION, "attention_native", "attention_forward",
        "ldmatrix%.sync%.aligned%.m8n8%.x4%.trans", "ldmatrix.sync.aligned.m8n8.x4", WRONG },
    { "an ldmatrix transposes", ATTENTION, "attention_native_backward", "attention_backward",
        "ldmatrix%.sync%.aligned%.m8n8%.x4%.shared", "ldmatrix.sync.aligned.m8n8.x4.trans.shared", WRONG },
    { "a barrier is missing", ATTENTION, "attention_native", "attention_forward", "bar%.sync[^\n]*", "", UNORDERED },
    { "a barrier is missing in the backward pass", ATTENTION, "attention_native_backward", "attention_backward",
        "bar%.sync[^\n]*", "", { "in no order with", "that the block has not written", "differs by" } },
    { "a barrier of a warp is missing", ATTENTION, "attention_native", "attention_forward", "bar%.warp%.sync[^\n]*",
        "", UNORDERED },
    { "nobody waits for a copy", ATTENTION, "attention_native", "attention_forward", "cp%.async%.wait_all;", "",
        { "of what a cp.async copies into" } },
    { "a copy brings too little", ATTENTION, "attention_native", "attention_forward",
        "(cp%.async%.cg[^\n]*, )16, %%r%d+;", "%116, 8;", WRONG },
    { "a shuffle goes the wrong way", LAYERNORM, "layernorm", "normalize_forward", "shfl%.sync%.bfly", "shfl.sync.up",
        WRONG },
    { "a word of Philox is another", LAYERNORM, "layernorm", "normalize_forward", "mul%.hi%.u32( [^\n]*)",
        "mul.lo.s32%1", WRONG },
    { "a store of 16 bytes is misaligned", GRADIENT, "layernorm", "normalize_backward_kernel",
        "(st%.global%.wb%.v4%.%a%d+ *\t*%[%%rd%d+)%]", "%1+4]", { "a misaligned access of 16 bytes" } },
    { "a store lies far outside", GRADIENT, "layernorm", "add_partials", "(st%.global%.f32 *\t*%[%%rd%d+)%]",
        "%1+1099511627776]", { "outside of what is allocated" } },
    { "a reciprocal is another function", LINEAR, "linear", "linear_gradient", "rcp%.approx%.ftz%.f32",
        "ex2.approx.ftz.f32", WRONG },
    { "a root is a reciprocal", LAMB, "lamb", "kernel", "sqrt%.rn%.f32", "rcp.rn.f32", WRONG },
    { "a barrier of a sum is missing", LAMB, "lamb", "kernel", "(bar%.sync[^\n]*)(.-)bar%.sync[^\n]*", "%1%2",
        UNORDERED },
    { "an instruction is unknown", LAMB, "lamb", "kernel", "fma%.rn%.f32", "fma.rz.f32",
        { "instruction fma.rz.f32 is unknown to the interpreter" } },
}

local function run(folder, what)
    -- Dots stand for spaces: the script that starts busted splits its arguments at those.
    return process.run(("BERTLUA_EMULATION_PTX=%s busted --filter %s %s"):format(process.quote(folder),
        process.quote((what[2]:gsub(" ", "."))), what[1]))
end

-- The text with the first match in each kernel replaced, and in how many of them.
local function planted(text, kernels, pattern, replacement)
    local parts, from, count = {}, 1, 0
    while true do
        local start, stop = text:find("%.entry [^\n]*%(.-\n}\n", from)
        if not start then break end
        local body = text:sub(start, stop)
        if body:match("^%.entry ([^(]*)"):find(kernels) then
            local changed, times = body:gsub(pattern, replacement, 1)
            body, count = changed, count + times
        end
        parts[#parts + 1] = text:sub(from, start - 1) .. body
        from = stop + 1
    end
    return table.concat(parts) .. text:sub(from), count
end

describe("the PTX of the kernels", function()
    it("is what runs", function()
        local before = library.bl_emulated_ptx_launches "fill"
        local full = tensor.new("f32", { 1000 }):fill(3)
        assert.are.equal(3, full:tolist()[1000])
        assert.is_true(library.bl_emulated_ptx_launches "fill" > before)
    end)

    for _, what in ipairs { ATTENTION, LAYERNORM, GRADIENT, LINEAR, LAMB } do
        it(("passes %s: %s"):format(what[1], what[2]), function()
            local output, code = run(FOLDER, what)
            assert.are.equal(0, code, output)
        end)
    end

    for _, fault in ipairs(FAULTS) do
        local name, what, file, kernels, pattern, replacement, reports = unpack(fault)
        it("fails where " .. name, function()
            local folder = process.temporary_folder()
            for each in lfs.dir(FOLDER) do
                if each:find "%.ptx$" then assert(lfs.link(fs.join(FOLDER, each), fs.join(folder, each), true)) end
            end
            local path = fs.join(folder, file .. ".ptx")
            local text, count = planted(assert(fs.read(path)), kernels, pattern, replacement)
            assert.is_true(count > 0, "nothing to change")
            assert(os.remove(path))
            assert(fs.write(path, text))
            local output, code = run(folder, what)
            assert(fs.remove(folder))
            assert.are_not.equal(0, code)
            local found = false
            for _, report in ipairs(reports) do found = found or output:find(report, 1, true) ~= nil end
            assert.is_true(found, output)
        end)
    end
end)
