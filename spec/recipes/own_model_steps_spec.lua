--- The model of examples/own_model.lua trained for twenty steps, compared with the same model in PyTorch (the fixture
-- is made by spec/peers/make_own_model_fixtures.py).

local BertConfig = require "bertlua.models.bert_config"
local Optimizer = require "bertlua.train.optimizer"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

-- It shifts all scores of a softmax equally, so its gradient is rounding noise, which an update normalises.
local IDLE = "%.key%.bias$"

local LENGTH, STEPS, LIMIT = 16, 20, 1e-5

--- The settings that an example gives its recipe; the recipe is not run.
local function settings_of(example)
    local name, given = "bertlua.recipe", nil
    local loaded = package.loaded[name]
    package.loaded[name] = { pretrain = function(settings) given = settings end }
    local ok, problem = pcall(dofile, example)
    package.loaded[name] = loaded
    assert(ok, problem)
    return given
end

describe("the own model of the examples", function()
    local file, model, tape
    setup(function()
        file = tiny.open "own_model_steps"
        local config = BertConfig.new({ vocab_size = 53, hidden_size = 16, num_hidden_layers = 2,
            num_attention_heads = 2, intermediate_size = 24, max_position_embeddings = LENGTH, hidden_dropout_prob = 0,
            attention_probs_dropout_prob = 0, gate = "gelu" }, "model", { own = true })
        model = settings_of("examples/own_model.lua").model.new(config, ParameterStore.new())
        model.store:allocate { seed = 1 }
        tape = Tape.new()
    end)
    teardown(function()
        tape:close()
        model.store:free()
        file:close()
    end)

    for _, packed in ipairs { false, true } do
        it(("equals PyTorch's after twenty steps of AdamW, %s"):format(packed and "packed" or "padded"), function()
            tiny.load_weights(model.store, file, "before.")
            local optimizer = Optimizer.new { kind = "AdamW", store = model.store, weight_decay = 0.01,
                epsilon = 1e-6, max_grad_norm = 0 }
            local losses = tiny.read(file, "losses"):tolist()
            for step = 1, STEPS do
                model.store:zero_grad()
                tape:start(step, 0, true)
                local loss = model:forward(tape, tiny.batch(tiny.samples(file, step), { max_length = LENGTH,
                    packed = packed })).loss
                local apart = math.abs(loss:item() - losses[step])
                assert.is_true(apart < LIMIT, ("step %d: the losses are %g apart"):format(step, apart))
                tape:backward(loss, optimizer.loss_scale_tensor)
                optimizer:step(3e-3)
            end
            for _, entry in ipairs(model.store.list) do
                if not entry.name:find(IDLE) then
                    local _, apart = tiny.distance(entry.stored, tiny.read(file, "after." .. entry.name))
                    assert.is_true(apart < LIMIT, ("%s: %g apart"):format(entry.name, apart))
                    -- They have moved much farther than that.
                    local _, moved = tiny.distance(entry.stored, tiny.read(file, "before." .. entry.name))
                    assert.is_true(moved > 1000 * LIMIT, ("%s: %g moved"):format(entry.name, moved))
                end
            end
            optimizer:free()
        end)
    end

    it("has the values of the fixture in every parameter", function()
        local names = {}
        for _, name in ipairs(file:names()) do
            local own = name:match "^before%.(.*)$"
            if own then names[#names + 1] = own end
        end
        local list = {}
        for i, entry in ipairs(model.store.list) do list[i] = entry.name end
        table.sort(list)
        table.sort(names)
        assert.are.same(names, list)
        assert.is_true(tensor.is(model.store.value))
    end)
end)
