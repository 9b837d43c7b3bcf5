--- ParameterStore: layout, initial values, precision.

local ParameterStore = require "bertlua.nn.parameters"
local array = require "bertlua.array"
local device = require "bertlua.device"
local tensor = require "bertlua.tensor"

local function build(options)
    local store = ParameterStore.new()
    store:register("word", { 8, 6 }, { init = "normal", low = true, rows = 5 })
    local joint = store:register_joint({ "q", "k", "v" }, { 3, 3 }, { init = "normal", std = 0.5, low = true })
    store:register("gamma", { 3 }, { init = "ones", decay = false })
    store:register("beta", { 3 }, { init = "zeros", decay = false })
    store:allocate(options)
    return store, joint
end

describe("ParameterStore", function()
    local on_host = device.is_host()

    it("lays parameters out one after another on boundaries of 16 elements, of 128 on a GPU, joint ones without a gap",
            function()
        local store, joint = build()
        assert.are.same(on_host and { { 0, 48 }, { 48, 9 }, { 57, 9 }, { 66, 9 }, { 80, 3 }, { 96, 3 } }
            or { { 0, 48 }, { 128, 9 }, { 137, 9 }, { 146, 9 }, { 256, 3 }, { 384, 3 } }, store.segments:tolist())
        assert.are.equal(on_host and 112 or 512, store.total)
        assert.are.equal(30 + 27 + 6, store.numel)
        assert.are.same({ 9, 3 }, joint.value:dims())
        store:get("v").grad:slice(1, 1, 1):slice(2, 1, 1):fill(3)
        assert.are.equal(3, joint.grad:tolist()[7][1])
    end)

    it("draws the same values for a seed, others for another, and leaves pad rows 0", function()
        local a, b, c = build { seed = 1 }, build { seed = 1 }, build { seed = 2 }
        assert.are.same(a.value:tolist(), b.value:tolist())
        assert.are_not.same(a.value:tolist(), c.value:tolist())
        assert.are.equal(a:checksum(), b:checksum())
        assert.are_not.equal(a:checksum(), c:checksum())
        local rows = a:get("word").value:tolist()
        for i = 6, 8 do assert.are.same({ 0, 0, 0, 0, 0, 0 }, rows[i]) end
        assert.are_not.equal(0, rows[5][1])
        assert.are_not.same(a:get("q").value:tolist(), a:get("k").value:tolist())
        assert.are.same({ 1, 1, 1 }, a:get("gamma").value:tolist())
        assert.are.same({ 0, 0, 0 }, a:get("beta").value:tolist())
    end)

    it("initialises with the standard deviation asked for", function()
        local store = ParameterStore.new()
        store:register("w", { 200, 100 }, { init = "normal", std = 0.02 })
        store:allocate { seed = 3 }
        local host = store.value:host()
        local data, sum, squares = array.wrap(host), 0, 0
        for i = 0, 19999 do sum, squares = sum + data[i], squares + data[i] ^ 2 end
        assert.is_true(math.abs(sum / 20000) < 6e-4)
        assert.is_true(math.abs(math.sqrt(squares / 20000) - 0.02) < 5e-4)
    end)

    it("keeps a low-precision copy of matrices only", function()
        for precision, dtype in pairs { bf16 = "bf16", fp16 = "f16" } do
            local store, joint = build { precision = precision }
            assert.are.equal(dtype, joint.compute:dtype_name())
            assert.are.equal(dtype, store:get("word").compute:dtype_name())
            assert.are.equal("f32", store:get("gamma").compute:dtype_name())
            store:get("q").value:fill(0.75)
            store:sync_low()
            assert.are.equal(0.75, joint.compute:tolist()[3][3])
        end
        local store = build()
        assert.is_nil(store.low)
        assert.are.equal("f32", store:get("q").compute:dtype_name())
    end)

    it("sets decay and zeroes gradients", function()
        local store = build()
        store:set_decay(0.5)
        assert.are.same({ 0.5, 0.5, 0.5, 0.5, 0, 0 }, store.decay:tolist())
        store.grad:fill(3)
        store:zero_grad()
        assert.are.equal(0, store.grad:tolist()[112])
    end)

    it("allocates no gradients for inference", function()
        local store = build { training = false }
        assert.is_nil(store.grad)
        assert.is_nil(store:get("q").grad)
    end)

    it("loads through `stored`, without the pad rows", function()
        local store = build()
        local entry = store:get "word"
        assert.are.same({ 5, 6 }, entry.stored_dims)
        local t = tensor.new("f32", { 5, 6 })
        t:fill(2)
        entry.stored:copy_from(t)
        assert.are.equal(2, entry.value:tolist()[5][6])
        assert.are.equal(0, entry.value:tolist()[6][1])
    end)

    it("lays what is frozen behind the rest, without gradients", function()
        for _, precision in ipairs { "fp32", "bf16" } do
            local whole = build { seed = 5, precision = precision }
            local store = ParameterStore.new()
            store:register("word", { 8, 6 }, { init = "normal", low = true, rows = 5 })
            local joint = store:register_joint({ "q", "k", "v" }, { 3, 3 },
                { init = "normal", std = 0.5, low = true })
            store:register("gamma", { 3 }, { init = "ones", decay = false })
            store:register("beta", { 3 }, { init = "zeros", decay = false })
            store:freeze(function(name) return name == "word" or name == "gamma" end)
            store:allocate { seed = 5, precision = precision }
            assert.are.same({ { 0, 9 }, { 9, 9 }, { 18, 9 }, { on_host and 32 or 128, 3 } }, store.segments:tolist())
            assert.are.same(on_host and { 48, 112, 48 } or { 256, 512, 256 },
                { store.trained, store.total, store.grad:numel() })
            assert.are.equal(30 + 27 + 6, store.numel)
            assert.are.equal(30, store:trained_numel())
            assert.are.equal((on_host and 48 or 256) * 4, store:bytes().grad)
            assert.is_nil(store:get("word").grad)
            assert.is_nil(store:get("gamma").grad)
            assert.are.same({ 9, 3 }, joint.grad:dims())
            -- Values do not depend on what is frozen.
            for i, entry in ipairs(store.list) do
                assert.are.same(whole.list[i].value:tolist(), entry.value:tolist())
                assert.are.same(whole.list[i].compute:tolist(), entry.compute:tolist())
            end
            store:set_decay(0.5, function(name) return name == "k" and 0.25 or nil end)
            assert.are.same({ 0.5, 0.25, 0.5, 0 }, store.decay:tolist())
            store:set_lr_scale(function(name) return name == "beta" and 2 or nil end)
            assert.are.same({ 1, 1, 1, 2 }, store.lr_scale:tolist())
        end
    end)

    it("freezes all of a joint parameter or nothing of it, before it is laid out", function()
        local store = ParameterStore.new()
        local joint = store:register_joint({ "q", "k" }, { 3, 3 }, { init = "normal" })
        store:register("gamma", { 3 }, { init = "ones" })
        assert.error_matches(function() store:freeze(function(name) return name == "q" end) end,
            "freeze: q is frozen but k is not: one product computes both, so freeze both or neither")
        store:freeze(function(name) return name ~= "gamma" end)
        store:allocate {}
        assert.is_nil(joint.grad)
        assert.error_matches(function() store:freeze(function() return true end) end,
            "parameters: freeze%(%) after allocate%(%)")
        local all = ParameterStore.new()
        all:register("gamma", { 3 }, { init = "ones" })
        all:freeze(function() return true end)
        assert.error_matches(function() all:allocate {} end, "parameters: every parameter is frozen")
    end)

    it("refuses misuse", function()
        local store = build()
        assert.has_error(function() store:register("late", { 1 }, { init = "zeros" }) end,
            "parameters: late is registered after allocate()")
        assert.has_error(function() store:allocate() end, "parameters: allocate() was already called")
        local other = ParameterStore.new()
        other:register("w", { 1 }, { init = "zeros" })
        assert.has_error(function() other:register("w", { 1 }, { init = "zeros" }) end,
            "parameters: w is registered twice")
        assert.has_error(function() other:register("c", { 1 }, { int = "ones" }) end,
            "parameters: unknown option int of c, expected init, std, decay, low or rows")
        assert.has_error(function() other:register("c", { 1 }) end,
            "parameters: init of c is nil, expected normal, zeros or ones")
        assert.has_error(function() other:register("b", { 1 }, { init = "xavier" }) end,
            "parameters: init of b is xavier, expected normal, zeros or ones")
        assert.has_error(function() other:allocate { precision = "fp8" } end,
            "parameters: precision is fp8, expected fp32, bf16 or fp16")
    end)
end)
