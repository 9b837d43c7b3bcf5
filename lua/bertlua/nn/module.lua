--- Base class of all modules: named parameters, named children, and traversal of both.
--
-- A module is a table with a `forward(tape, ...)` method. Parameters live in a
-- ParameterStore that the whole model shares:
--
--     local Linear = Module.class("Linear")
--     function Linear.new(store, prefix, inputs, outputs)
--         local self = Module.init(Linear, store, prefix)
--         self.weight = self:parameter("weight", { outputs, inputs }, { init = "normal", low = true })
--         return self
--     end
--
-- Whether a forward pass trains (dropout, recording) is decided by the tape, not
-- the module: tape:start(step, micro, true or false).
--
-- To try out a single module, let nn.create(Linear, 4, 3) create the store, and
-- call the module like a function: layer(x) is the inference forward of a tensor.

local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local memory = require "bertlua.memory"
local summary = require "bertlua.summary"
local tensor = require "bertlua.tensor"

local Module = {}
Module.__index = Module

local prompt_tape

--- Inference on a plain tensor, for the prompt: `layer(x, ...)`; of a variable, forward() on the variable's tape.
-- @param x tensor or variable; the other arguments go to forward() unchanged
-- @return a new tensor in the current scope, or what forward() returns for a variable
function Module:__call(x, ...)
    if getmetatable(x) == Tape.Variable then
        local result = self:forward(x.tape, x, ...)
        return result
    end
    if not tensor.is(x) then
        error(("%s: got %s, expected a tensor or a variable; with anything else call forward(tape, ...)"):format(
            self.class_name, x == nil and "nil" or "a " .. type(x)), 2)
    end
    prompt_tape = prompt_tape or Tape.new()
    prompt_tape:start(0, 0, false)
    local y = self:forward(prompt_tape, prompt_tape:input(x), ...)
    return tensor.new(y.dtype, y.dims):copy_from(y.value)
end

-- Lines of text of a module that fit on a screen of 24.
local MOST_LINES = 21

-- What a module is made of. Layers that are alike, one after the other, are shown once.
local function outline(module)
    local lines = { module.class_name .. (module.description and " (" .. module.description .. ")" or "") }
    local children = module.children
    local i = 1
    while i <= #children do
        local text, last = table.concat(outline(children[i].module), "\n  "), i
        while children[last + 1] and table.concat(outline(children[last + 1].module), "\n  ") == text do
            last = last + 1
        end
        local name = children[i].name .. (last > i and " to " .. children[last].name or "")
        for line in ("  " .. name .. ": " .. text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
        i = last + 1
    end
    return lines
end

--- What the module is made of and how many parameters it has, a screen at most.
function Module:__tostring()
    local lines = outline(self)
    if #lines > MOST_LINES then
        local more = #lines - MOST_LINES
        for i = #lines, MOST_LINES + 1, -1 do lines[i] = nil end
        lines[#lines + 1] = ("  ... %d more lines"):format(more)
    end
    local size = self:size()
    if size > 0 and #self.children > 0 then
        local dtype = self.store.dtype
        lines[#lines + 1] = ("[%s parameters%s]"):format(summary.count(size), dtype and ", " .. dtype or "")
    end
    return table.concat(lines, "\n")
end

--- Create a class whose objects are modules.
function Module.class(name)
    local class = setmetatable({ class_name = name, __tostring = Module.__tostring, __call = Module.__call }, {
        __index = Module,
    })
    class.__index = class
    return class
end

--- Create an empty object of a class.
-- @param store the ParameterStore that will hold its parameters
-- @param prefix full name of the module, "" for the root
function Module.init(class, store, prefix)
    if type(store) ~= "table" or not store.register then
        error(("%s: expected a ParameterStore as first argument, got %s"):format(class.class_name, type(store)), 3)
    end
    return setmetatable({ store = store, prefix = prefix or "", children = {}, own_parameters = {} }, class)
end

--- Make an empty whole model: a module without a prefix, whose class has `architecture`, the name that transformers has
-- for it.
-- @param store the ParameterStore that will hold its parameters; a new one if left out
function Module.root(class, store)
    local self = Module.init(class, store or ParameterStore.new(), "")
    self.store.architecture, self.store.labeled = class.architecture, class.labeled
    return self
end

--- Scalars that outlive the step: f32 [1] tensors outside the arena, 64 bytes apart, made at the first call.
-- @param ... their names
-- @return table by name
function Module:scalars(...)
    if not self.scalar_tensors then
        local names = { ... }
        self.scalar_buffer, self.scalar_tensors = memory.buffer(64 * #names), {}
        for i, name in ipairs(names) do
            self.scalar_tensors[name] = self.scalar_buffer:tensor(64 * (i - 1), "f32", { 1 })
        end
    end
    return self.scalar_tensors
end

--- Full name of something inside the module.
function Module:name(suffix)
    return self.prefix == "" and suffix or self.prefix .. "." .. suffix
end

--- Register a parameter under this module's name. See ParameterStore:register().
function Module:parameter(suffix, dims, options)
    local entry = self.store:register(self:name(suffix), dims, options)
    self.own_parameters[#self.own_parameters + 1] = entry
    return entry
end

--- Register parameters that are adjacent in memory. See ParameterStore:register_joint().
function Module:joint_parameter(suffixes, dims, options)
    local names = {}
    for i, suffix in ipairs(suffixes) do names[i] = self:name(suffix) end
    local joint = self.store:register_joint(names, dims, options)
    for _, name in ipairs(names) do self.own_parameters[#self.own_parameters + 1] = self.store:get(name) end
    return joint
end

--- Add a child. Its name is only for display; its parameters have their own names.
function Module:add(name, module)
    self.children[#self.children + 1] = { name = name, module = module }
    return module
end

--- Call visit(module, path) for this module and everything below it, parents first.
function Module:walk(visit, path)
    path = path or ""
    visit(self, path)
    for _, child in ipairs(self.children) do
        child.module:walk(visit, path == "" and child.name or path .. "." .. child.name)
    end
end

--- Parameters of this module and everything below it, in order of construction.
function Module:parameters()
    local list = {}
    self:walk(function(module)
        for _, entry in ipairs(module.own_parameters) do list[#list + 1] = entry end
    end)
    return list
end

--- Number of parameter values below this module, without padding.
function Module:size()
    local n = 0
    for _, entry in ipairs(self:parameters()) do
        n = n + entry.numel / entry.dims[1] * (entry.rows or entry.dims[1])
    end
    return n
end

return Module
