--- The context: its settings, the default device, and a missing one.

local context = require "bertlua.context"
local paths = require "bertlua.paths"
local process = require "spec.support.process"

local fails_here = require("spec.support.errors").fails_here

local run, quote = process.run, process.quote

describe("context", function()
    it("opens on first use and describes the device", function()
        assert.are.equal("cpu", context.device())
        assert.is_true(context.threads() >= 1)
        assert.is_truthy(context.describe():find "oneDNN")
        assert.is_boolean(context.fast_dtype "bf16")
    end)

    it("takes BERTLUA_CPU_BF16 for whether the CPU's bf16 is fast", function()
        local line = "-e 'print(pcall(require(\"bertlua.context\").fast_dtype, \"bf16\"))'"
        for value, expected in pairs { fast = "^true%s+true\n", slow = "^true%s+false\n",
            no = "context: BERTLUA_CPU_BF16 is no, expected fast or slow" } do
            assert.matches(expected, (run(("env BERTLUA_DEVICE=cpu BERTLUA_CPU_BF16=%s %s %s"):format(value,
                quote(process.bertlua), line))))
        end
    end)

    it("opens the same settings once, and refuses wrong ones", function()
        local before = context.current()
        local one = context.open { threads = 1 }
        assert.are.equal(1, context.threads())
        assert.are.equal(one, context.open { threads = 1, device = "cpu" })
        context.open { threads = before.threads }
        local function unknown() context.open { device = "gpu" } end
        fails_here("context: device is gpu, expected cpu, cuda or auto", unknown)
        local function negative() context.open { device = "cuda", device_index = -1 } end
        fails_here("context: device_index is %-1, expected 0 or more", negative)
        fails_here("context: threads is string", function() context.open { threads = "two" } end)
    end)
end)

local function bertlua(arguments, library)
    return run(("env -u BERTLUA_DEVICE BERTLUA_CUDA_LIB=%s %s %s"):format(quote(library), quote(process.bertlua),
        arguments))
end

describe("a missing GPU", function()
    local text_file

    setup(function()
        text_file = os.tmpname()
        local file = assert(io.open(text_file, "w"))
        file:write "no library\n"
        file:close()
    end)

    teardown(function() os.remove(text_file) end)

    local function assert_line(pattern, arguments, library)
        local text, code = bertlua(arguments, library)
        assert.are.equal(1, code, text)
        assert.are.equal(1, select(2, text:gsub("\n", "\n")), text)
        assert.is_truthy(text:find(pattern), text)
    end

    it("is named with the fix, by the executable and by a recipe", function()
        local missing = "^bertlua: cuda: BERTLUA_CUDA_LIB is /no/such.so: no such file"
        assert_line(missing, "--device cuda -e 1", "/no/such.so")
        assert_line(missing, "recipes/pretrain_phase1.lua --device cuda --show-config false --input-dir . --vocab-file "
            .. "vocab/bert-base-uncased/vocab.txt", "/no/such.so")
        assert_line("^bertlua: cuda: .*cannot be opened; install the CUDA libraries", "--device cuda -e 1", text_file)
        assert_line("^bertlua: cuda: .*another version of bertlua; run make cuda", "--device cuda -e 1",
            paths.library())
        assert_line("^bertlua: context: device is gpu, expected cpu, cuda or auto", "--device gpu -e 1", "")
    end)

    it("leaves auto on the CPU", function()
        local text, code = bertlua("--device auto -e 'require(\"bertlua.context\").device()'", "/no/such.so")
        assert.are.equal(0, code, text)
        assert.are.equal("cpu\n", text)
    end)

    it("is a note of the doctor's, and of --version", function()
        local text, code = bertlua("doctor", "/no/such.so")
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find "\nnote     CUDA +BERTLUA_CUDA_LIB is /no/such.so: no such file\n", text)
        assert.is_truthy(bertlua("--version", "/no/such.so"):find "\nCUDA BERTLUA_CUDA_LIB is /no/such.so")
    end)
end)

describe("the default device", function()
    it("is what BERTLUA_DEVICE names, and auto means it", function()
        assert.are.equal(os.getenv "BERTLUA_DEVICE", context.choose())
        assert.are.equal(os.getenv "BERTLUA_DEVICE", context.choose "auto")
        assert.are.equal("cuda", context.choose "cuda")
    end)
end)
