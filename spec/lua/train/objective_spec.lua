--- What a recipe computes in place of a model: any variable of the tape, kept beyond the step; mistakes are named.

local Module = require "bertlua.nn.module"
local Linear = require "bertlua.nn.linear"
local F = require "bertlua.autograd.functional"
local Objective = require "bertlua.train.objective"
local Tape = require "bertlua.autograd.tape"
local fault = require "bertlua.fault"
local tensor = require "bertlua.tensor"

local Model = Module.class("Model")

local function model_of(precision)
    local self = Module.root(Model)
    self.layer = self:add("layer", Linear.new(self.store, "layer", 4, 3))
    self.store:allocate { seed = 1, precision = precision }
    return self
end

local function batch_of(first)
    return { x = tensor.from({ { first, 2, 3, 4 }, { 4, 3, 2, 1 } }, "f32"), labels = tensor.from({ 0, 2 }, "i32") }
end

--- The loss of the layer's scores.
local function scores_loss(tape, model, batch)
    local scores = model.layer:forward(tape, tape:input(batch.x))
    return F.cross_entropy(tape, scores, batch.labels), scores
end

describe("an objective", function()
    local model, tape
    before_each(function()
        model, tape = model_of(), Tape.new()
        tape:start(1, 0, true)
    end)
    after_each(function()
        tape:close()
        model.store:free()
    end)

    local function refused(pattern, fn)
        local objective = Objective.of_loss(fn, model)
        local ok, problem = true, nil
        for _ = 1, 2 do
            if ok then ok, problem = pcall(objective.forward, objective, tape, batch_of(1)) end
        end
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        -- What the function returned is told with its place, errors in it with that of the mistake.
        local text, places = tostring(problem):gsub("^loss %(function at [^)]*objective_spec%.lua:%d+%):", "loss:")
        assert.matches(pattern, text)
        assert.is_true(places == 1 or text:find("objective_spec%.lua:%d") ~= nil, text)
    end

    it("gives the same gradients as its loss alone, and keeps its scalars", function()
        local function gradient(loss)
            model.store:zero_grad()
            tape:backward(loss)
            return model.layer.weight.grad:tolist(), tape:memory()
        end
        local expected = gradient((scores_loss(tape, model, batch_of(1))))
        local objective = Objective.of_loss(function(own_tape, own_model, batch)
            local loss, scores = scores_loss(own_tape, own_model, batch)
            local again = F.cross_entropy(own_tape, scores, batch.labels)
            return { loss = loss, again = again, shift = tensor.from({ 0.5 }, "f32") }
        end, model)
        for step, first in ipairs { 1, 1, 7 } do
            tape:start(step, 0, true)
            local results = objective:forward(tape, batch_of(first))
            assert.are.same({ "loss", "again", "shift" }, { objective.names[1], objective.names[2],
                objective.names[3] })
            local got, left = gradient(results.loss)
            if first == 1 then assert.are.same(expected, got) else assert.are_not.same(expected, got) end
            -- The variables are gone, their numbers are not.
            assert.is_true(left <= 128, left)
            assert.are.equal(results.loss:item(), results.again:item())
            assert.are.equal(0.5, results.shift:item())
        end
        objective:free()
    end)

    it("is a model's own forward, or a loss alone", function()
        function model.forward(self, own_tape, batch)
            return { loss = (scores_loss(own_tape, self, batch)) }
        end
        local whole = Objective.of_model(model):forward(tape, batch_of(1)).loss:item()
        local alone = Objective.of_loss(function(...) return (scores_loss(...)) end, model)
        assert.are.equal(whole, alone:forward(tape, batch_of(1)).loss:item())
        -- Nothing is recorded in inference, as for an evaluation while training.
        tape:start(2, 0, false)
        assert.are.equal(whole, alone:forward(tape, batch_of(1)).loss:item())
    end)

    it("has a loss that depends on parameters, of one element", function()
        refused("^loss: it returned nil, expected { loss = variable", function() end)
        refused("^loss: it returned loss = nil, expected", function() return {} end)
        refused("^loss: it returned loss = 3, expected", function() return { loss = 3 } end)
        refused("^loss: loss is f32 %[2,3%], expected one element: take its mean", function(own_tape, _, batch)
            local _, scores = scores_loss(own_tape, model, batch)
            return scores
        end)
        refused("^loss: the loss depends on no parameter that trains", function(own_tape)
            return own_tape:input(tensor.from({ 1 }, "f32"))
        end)
    end)

    it("has scalars with names of their own, the same each time", function()
        local function with(fields)
            return function(own_tape, own_model, batch)
                fields.loss = scores_loss(own_tape, own_model, batch)
                return fields
            end
        end
        refused("^loss: margin is 3, expected a variable or a tensor of one element", with { margin = 3 })
        refused("^loss: margin is i32 %[2%], expected one element", with { margin = tensor.from({ 1, 2 }, "i32") })
        refused("^loss: a result is called tokens, which the log has already", with { tokens = 3 })
        refused("^loss: a result has the name 1, expected text", with { tensor.from({ 1 }, "f32") })
        local count = 0
        local function changing(first, second)
            count = 0
            return function(own_tape, own_model, batch)
                count = count + 1
                local fields = { loss = (scores_loss(own_tape, own_model, batch)) }
                fields[count == 1 and first or second] = tensor.from({ 1 }, "f32")
                return fields
            end
        end
        refused("^loss: it returned b now but not before", changing("a", "b"))
        count = 0
        refused("^loss: it returned no a now, as it did before", function(own_tape, own_model, batch)
            count = count + 1
            return { loss = (scores_loss(own_tape, own_model, batch)),
                a = count == 1 and tensor.from({ 1 }, "f32") or nil }
        end)
    end)

    it("says which value is gone, and the user's line of an error", function()
        refused("^loss: loss has no value any more: it was freed", function(own_tape, own_model, batch)
            own_tape:start(3, 0, false)
            local loss = scores_loss(own_tape, own_model, batch)
            own_tape:free(loss)
            return loss
        end)
        refused("^loss: .*objective_spec%.lua:%d+: attempt to index", function(_, _, batch) return batch.none.x end)
    end)
end)
