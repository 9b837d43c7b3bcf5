--- What a run minimises where a recipe computes it: a loss function of its own, or the forward of a model of its own.
--
-- Stands in for a model in the trainer: forward(tape, batch) returns the results. They are copied into memory that
-- outlives the step, so the recipe may return any variable of the tape; which results there are is known after the
-- first forward. What the results are shown as does not belong here: see jobs/common/logs.lua.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local Objective = {}
Objective.__index = Objective

-- Bytes between two scalars.
local STRIDE = 64

-- Names of what else a record of the log holds.
local RESERVED = {}
for name in ([[bad_loss bad_ranks grad_norm learning_rate loss_scale micro_steps rate_ranks remaining seconds sequences
    sequences_per_second skipped skipped_steps started step step_loss steps tokens tokens_per_second]]):gmatch "%S+" do
    RESERVED[name] = true
end

local function new(what, fn)
    local name = ("%s (%s)"):format(what, lua_value.shown(fn))
    return setmetatable({ what = name, call = lua_value.guarded(what, fn), known = {} }, Objective)
end

--- Results of a recipe's loss function.
-- @param fn function(tape, model, batch) -> a table of scalars by name, `loss` among them, or the loss alone
-- @param model that it is given
function Objective.of_loss(fn, model)
    local self = new("loss", fn)
    self.model = model
    return self
end

--- Results of a recipe's own model.
-- @param model whose forward(tape, batch) returns a table as above
function Objective.of_model(model)
    local self = new("model", model.forward)
    self.receiver = model
    return self
end

local function is_variable(value)
    return type(value) == "table" and value.dims ~= nil and value.dtype ~= nil
end

local function shown(value)
    if tensor.is(value) then return ("%s [%s]"):format(value:dtype_name(), table.concat(value:dims(), ",")) end
    if is_variable(value) then return ("%s [%s]"):format(value.dtype, table.concat(value.dims, ",")) end
    return type(value) == "table" and "a table" or tostring(value)
end

--- Note which results there are: the loss first, the others by name.
local function learn(self, given)
    local names = {}
    for name in pairs(given) do
        if type(name) ~= "string" then
            fault.raisef("%s: a result has the name %s, expected text: return { loss = ..., name = ... }", self.what,
                tostring(name))
        elseif RESERVED[name] then
            fault.raisef("%s: a result is called %s, which the log has already: choose another name", self.what, name)
        end
        if name ~= "loss" then names[#names + 1] = name end
    end
    table.sort(names)
    table.insert(names, 1, "loss")
    self.names, self.cells = names, {}
    self.buffer = memory.buffer(STRIDE * #names)
    for i, name in ipairs(names) do
        self.known[name] = true
        self.cells[i] = self.buffer:tensor(STRIDE * (i - 1), "f32", { 1 })
    end
end

--- The results as they must be each time: the same names.
local function check_names(self, given)
    local count = 0
    for name in pairs(given) do
        count = count + 1
        if not self.known[name] then
            fault.raisef("%s: it returned %s now but not before: the results must have the same names each time",
                self.what, tostring(name))
        end
    end
    if count == #self.names then return end
    for _, name in ipairs(self.names) do
        if given[name] == nil then
            fault.raisef("%s: it returned no %s now, as it did before: the results must have the same names each time",
                self.what, name)
        end
    end
end

--- The one number in a result, as a tensor.
local function number_of(self, name, scalar)
    local value = scalar
    if is_variable(scalar) then
        value = scalar.value
        if not value then
            fault.raisef("%s: %s has no value any more: %s; copy it before, or return another", self.what, name,
                scalar.gone or "it was released")
        end
    elseif not tensor.is(scalar) then
        fault.raisef("%s: %s is %s, expected a variable or a tensor of one element", self.what, name, shown(scalar))
    end
    if value:numel() ~= 1 then
        fault.raisef("%s: %s is %s, expected one element: take its mean", self.what, name, shown(scalar))
    end
    return value:view(1)
end

local function keep_backward(tape, node)
    local x = node.x
    local dx = tape:gradient_like(x)
    ops.copy(dx:view(1), node.output.grad)
    tape:accumulate(x, dx)
end

--- The loss as a variable whose value stays when its memory in the arena is used again.
local function keep(self, tape, loss, cell)
    ops.copy(cell, number_of(self, "loss", loss))
    if tape.recording and not loss.needs_grad then
        fault.raisef("%s: the loss depends on no parameter that trains", self.what)
    end
    return tape:record(tape:input(cell), loss, { backward = keep_backward, x = loss })
end

--- @return {loss = variable f32 [1], other names = f32 [1] tensors}: their values are valid until the next forward
function Objective:forward(tape, batch)
    local given
    if self.receiver then
        given = self.call(self.receiver, tape, batch)
    else
        given = self.call(tape, self.model, batch)
    end
    if is_variable(given) then given = { loss = given } end
    if type(given) ~= "table" or not is_variable(given.loss) then
        fault.raisef("%s: it returned %s, expected { loss = variable, name = scalar, ... }", self.what,
            type(given) == "table" and "loss = " .. shown(given.loss) or shown(given))
    end
    if not self.names then
        learn(self, given)
    else
        check_names(self, given)
    end
    local results = {}
    for i = 2, #self.names do
        local name = self.names[i]
        ops.copy(self.cells[i], number_of(self, name, given[name]))
        results[name] = self.cells[i]
    end
    results.loss = keep(self, tape, given.loss, self.cells[1])
    return results
end

--- Free the results' memory.
function Objective:free()
    if self.buffer then self.buffer:free() end
    self.buffer, self.cells = nil, nil
end

return Objective
