--- freeze, lr_scale and weight_decay_of: what a recipe may say, and what is refused.

local ParameterStore = require "bertlua.nn.parameters"
local fault = require "bertlua.fault"
local groups = require "bertlua.jobs.common.parameter_groups"

local function store_of(...)
    local store = ParameterStore.new()
    for i, name in ipairs { "bert.embeddings.word.weight", "bert.layer.0.weight", "bert.layer.1.weight" } do
        store:register(name, { 10 * i, 2 }, { init = "normal" })
    end
    store:register("bert.layer.1.bias", { 2 }, { init = "zeros", decay = false })
    for _, pattern in ipairs { ... } do groups.freeze({ freeze = { pattern } }, store) end
    return store
end

local function refusal(fn, ...)
    local good, message = pcall(fn, ...)
    assert.is_false(good)
    assert.is_true(fault.is(message), tostring(message))
    return fault.message(message)
end

describe("freeze", function()
    it("marks what its patterns match", function()
        local store, values = store_of(), { freeze = { "embeddings", "layer.0" } }
        groups.check(values)
        groups.freeze(values, store)
        local frozen = {}
        for i, entry in ipairs(store.list) do frozen[i] = entry.frozen or false end
        assert.are.same({ true, true, false, false }, frozen)
        store:allocate {}
        assert.are.equal(62, store:trained_numel())
        assert.are.equal("60 of 122 parameters (embeddings, layer.0)", groups.frozen_text(values, store))
        store:free()
    end)

    it("takes patterns as text, the embeddings, and the lowest layers of the encoder", function()
        local function model()
            local store = ParameterStore.new()
            for i, name in ipairs { "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.weight",
                "bert.encoder.layer.1.weight", "bert.encoder.layer.10.weight", "bert.pooler.weight",
                "classifier.weight" } do
                store:register(name, { i, 2 }, { init = "normal" })
            end
            return store
        end
        local function frozen(values)
            local store, text = model(), ""
            groups.check(values)
            groups.freeze(values, store)
            for _, entry in ipairs(store.list) do text = text .. (entry.frozen and "x" or ".") end
            return text
        end
        assert.are.equal("xxxx..", frozen { freeze = "embeddings, encoder.layer.[0,1], layer.10" })
        assert.are.equal("x...x.", frozen { freeze = { "pooler" }, freeze_embeddings = true })
        assert.are.equal(".xx...", frozen { freeze_layers = 2 })
        assert.are.equal("......", frozen { freeze_embeddings = false })
        assert.are.equal("--freeze-layers 12, but the model's encoder has 11: choose 1 to 11",
            refusal(frozen, { freeze_layers = 12 }))
        assert.are.equal("--freeze-layers 1, but the model's encoder has 0: choose parameters by --freeze",
            refusal(groups.freeze, { freeze_layers = 1 }, store_of()))
        assert.are.equal('freeze: "a[" is not a pattern of names: the ] of a set is missing',
            refusal(groups.check, { freeze = "embeddings,a[" }))
        assert.are.equal('freeze: "" is not a pattern of names: it is empty',
            refusal(groups.check, { freeze = "embeddings," }))
        local store, values = model(), { freeze_layers = 1, freeze_embeddings = true }
        groups.freeze(values, store)
        store:allocate {}
        assert.are.equal("6 of 42 parameters (embeddings, encoder.layer.0)", groups.frozen_text(values, store))
        store:free()
    end)

    it("counts large models in millions", function()
        local store = ParameterStore.new()
        store:register("a", { 5200, 1000 }, { init = "zeros" })
        store:register("b", { 6000, 1000 }, { init = "zeros" })
        groups.freeze({ freeze = { "a" } }, store)
        store.numel = 11.2e6
        assert.are.equal("5.2 of 11.2 million parameters (a)", groups.frozen_text({ freeze = { "a" } }, store))
        assert.is_nil(groups.frozen_text({}, store))
        store = ParameterStore.new()
        store:register("a", { 64, 32 }, { init = "zeros" })
        store:register("b", { 1000, 1000 }, { init = "zeros" })
        groups.freeze({ freeze = { "a" } }, store)
        store.numel = 1002048
        assert.are.equal("2048 of 1.0 million parameters (a)", groups.frozen_text({ freeze = { "a" } }, store))
    end)

    it("refuses what cannot be meant", function()
        local function refused(list) return refusal(groups.check, { freeze = list }) end
        assert.are.equal('freeze: the list is empty, expected patterns: { "embeddings" }', refused {})
        assert.are.equal('freeze: unknown field embeddings, expected a list of patterns: { "embeddings" }',
            refused { embeddings = true })
        assert.are.equal("freeze: got 3 as a pattern, expected text", refused { 3 })
        assert.are.equal('freeze: "layer.[" is not a pattern of names: the ] of a set is missing',
            refused { "layer.[" })
        local function unmatched(list) return refusal(groups.freeze, { freeze = list }, store_of()) end
        assert.are.equal('freeze: "embedding" matches no parameter; the nearest is bert.embeddings.word.weight '
            .. "(a pattern matches whole parts of a name)",
            unmatched { "embedding" })
        assert.are.equal("freeze: these patterns freeze every parameter: leave at least one to train",
            unmatched { "bert" })
    end)

    it("refuses a part of what one product computes", function()
        local store = store_of()
        store:register_joint({ "query", "key", "value" }, { 4, 4 }, { init = "normal" })
        assert.are.equal("freeze: query is frozen but value is not: one product computes both, so freeze both or "
            .. "neither", refusal(groups.freeze, { freeze = { "query" } }, store))
        groups.freeze({ freeze = { "query", "key", "value" } }, store)
        assert.is_true(store:get("key").frozen)
    end)
end)

for _, setting in ipairs { "lr_scale", "weight_decay_of" } do
    describe(setting, function()
        it("is a function of names, or a table of patterns", function()
            local asked = {}
            local of = groups.numbers(setting, { [setting] = function(name)
                asked[#asked + 1] = name
                return name:find "layer" and 0.5 or nil
            end }, store_of "embeddings")
            assert.are.same({ "bert.layer.0.weight", "bert.layer.1.weight", "bert.layer.1.bias" }, asked)
            assert.are.equal(0.5, of "bert.layer.1.bias")
            local values = { [setting] = { ["layer.1"] = 0, ["embeddings"] = 2 } }
            groups.check(values)
            of = groups.numbers(setting, values, store_of())
            assert.are.same({ 2, 0, 0 }, { of "bert.embeddings.word.weight", of "bert.layer.1.weight",
                of "bert.layer.1.bias" })
            assert.is_nil(of "bert.layer.0.weight")
            assert.is_nil(groups.numbers(setting, {}, store_of()))
        end)

        it("refuses anything but numbers of at least 0, by name", function()
            for shown, value in pairs { ["-1"] = -1, ["nan"] = 0 / 0, ["inf"] = math.huge, ["one"] = "one",
                ["false"] = false } do
                local message = refusal(groups.numbers, setting, { [setting] = function() return value end },
                    store_of())
                assert.are.equal(("%s: got %s for bert.embeddings.word.weight, expected a finite number of at least 0")
                    :format(setting, shown), (message:gsub("%-nan", "nan")))
            end
            assert.are.equal(setting .. ': got -2 for "layer.0", expected a finite number of at least 0',
                refusal(groups.check, { [setting] = { ["layer.0"] = -2 } }))
            assert.matches(setting .. ", bert%.embeddings%.word%.weight: spec/.-: broken",
                refusal(groups.numbers, setting, { [setting] = function() error "broken" end }, store_of()))
        end)

        it("refuses tables that match nothing, twice, or only what is frozen", function()
            local function refused(given, ...)
                return refusal(groups.numbers, setting, { [setting] = given }, store_of(...))
            end
            assert.matches("the table is empty, expected function%(name%)", refusal(groups.check, { [setting] = {} }))
            assert.are.equal(setting .. ': "layer.3" matches no parameter; the nearest is bert.layer.0.weight '
                .. "(a pattern matches whole parts of a name)",
                refused { ["layer.3"] = 1 })
            assert.are.equal(setting .. ': bert.layer.1.bias is 0.5 by "bias" and 2 by "layer.1": let one pattern '
                .. "match it, or use a function", refused { ["layer.1"] = 2, bias = 0.5 })
            assert.are.equal(setting .. ': "embeddings" matches nothing but frozen parameters: leave it out, or thaw '
                .. "them", refused({ embeddings = 1 }, "embeddings"))
        end)
    end)
end

describe("layerwise_lr_decay", function()
    it("lowers the rate by layer, the embeddings' most", function()
        local store = ParameterStore.new()
        for _, name in ipairs { "bert.embeddings.LayerNorm.weight", "bert.encoder.layer.0.output.dense.weight",
            "bert.encoder.layer.1.output.dense.weight", "bert.pooler.dense.weight", "classifier.weight" } do
            store:register(name, { 2, 2 }, { init = "normal" })
        end
        local values = { layerwise_lr_decay = 0.5 }
        groups.check(values)
        local of, text = groups.numbers("lr_scale", values, store)
        assert.are.equal(0.125, of "bert.embeddings.LayerNorm.weight")
        assert.are.equal(0.25, of "bert.encoder.layer.0.output.dense.weight")
        assert.are.equal(0.5, of "bert.encoder.layer.1.output.dense.weight")
        assert.is_nil(of "bert.pooler.dense.weight")
        assert.is_nil(of "classifier.weight")
        assert.are.equal("0.125 0.25 0.5 -1 -1", text)
        assert.is_nil(groups.numbers("weight_decay_of", values, store))
        assert.are.equal("--layerwise-lr-decay and lr_scale are both set: give one of them",
            refusal(groups.check, { layerwise_lr_decay = 0.5, lr_scale = function() end }))
        assert.are.equal("--layerwise-lr-decay: the model has no encoder.layer.N: give rates by lr_scale",
            refusal(groups.numbers, "lr_scale", values, store_of()))
    end)
end)
