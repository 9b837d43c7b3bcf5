--- What was meant by a name that does not exist: one that is spelled alike, or what PyTorch, numpy or Torch7 call it.
--
-- Names only: nothing of the user is called.

local complete = require "bertlua.prompt.complete"
local suggest = require "bertlua.util.suggest"

local M = {}

-- Names from elsewhere of methods of tensors, and what to write for them here.
local METHODS = {}
for text, names in pairs {
    ["x:matmul(y)"] = { "mm", "bmm", "mv", "dot", "addmm" },
    ["x:mul(y)"] = { "cmul", "multiply" },
    ["x:div(y)"] = { "cdiv", "divide" },
    ["x:fill(0)"] = { "zero", "zero_", "zeros" },
    ["x:fill(value)"] = { "fill_" },
    ["x:copy_from(y)"] = { "copy", "copy_" },
    ["x:masked_fill(mask, value)"] = { "masked_fill_", "maskedFill" },
    ['x:to "bf16"'] = { "half", "bfloat16", "double", "int", "long", "type", "astype", "type_as" },
    ["x:size()"] = { "shape", "sizes" },
    ["#x:size()"] = { "dim", "ndimension", "nDimension", "rank" },
    ["x:numel()"] = { "nElement", "nelement", "count" },
    ["x:view(-1)"] = { "flatten", "ravel", "resize" },
    ["x:slice(dim, first, last)"] = { "narrow" },
    ["x:maximum(low):minimum(high)"] = { "clamp", "clip", "cmax", "cmin" },
    ["((x - x:mean()) ^ 2):mean()"] = { "var", "std" },
    ["x:tolist()"] = { "numpy", "totable", "table" },
    ["x:describe()"] = { "info" },
    ["x:host()"] = { "cpu" },
    ["tape:input(x, true)"] = { "requires_grad", "requires_grad_" },
    ["tape:backward(loss)"] = { "backward" },
} do
    for _, name in ipairs(names) do METHODS[name] = text end
end

-- The same for fields of bl.
local FUNCTIONS = {
    full = "bl.zeros(2, 3):fill(value)", zeros_like = "bl.zeros(x:size())", ones_like = "bl.ones(x:size())",
    empty = "bl.zeros(2, 3)", Tensor = "bl.from { 1, 2 }", array = "bl.from { 1, 2 }", FloatTensor = "bl.from { 1, 2 }",
    concat = "bl.cat({ x, y }, 1)", concatenate = "bl.cat({ x, y }, 1)",
    stack = "bl.cat { x:unsqueeze(1), y:unsqueeze(1) }",
    manualSeed = "bl.manual_seed(1)", seed = "bl.manual_seed(1)", range = "bl.arange(1, 5)",
    no_grad = "tape:start(step, 0, false)",
    -- That of bl is a module.
    tensor = "bl.from { 1, 2 }",
}

-- Modules from elsewhere, and where their names are here.
local MODULES = { torch = "bl", np = "bl", numpy = "bl", tf = "bl", nn = "bl.nn", F = "bl.autograd.functional" }

local function tensor_methods()
    local tensor = package.loaded["bertlua.tensor"]
    return tensor and tensor.methods or {}
end

local function has(owner, name)
    for _, field in ipairs(complete.fields(owner, true)) do
        if field == name then return true end
    end
    return false
end

-- What to write for a name from elsewhere; nil if it is not known, or not there for this owner.
local function elsewhere(owner, name, env)
    local bl = rawget(env, "bl") or env.bl
    if owner ~= nil and owner == bl then
        if FUNCTIONS[name] then return FUNCTIONS[name] end
        return tensor_methods()[name] and ("x:%s(...)"):format(name) or nil
    end
    -- Other objects may have methods of these names that are something else.
    if owner ~= nil and not has(owner, "matmul") then return nil end
    local text = METHODS[name]
    -- A method of something else, such as a tape, is there.
    local method = text and text:match "[x%)]:(%a[%w_]*)"
    if text and not method then return text end
    if not text then
        -- torch's names of what works in place.
        local plain = name:match "^(%a[%w_]*)_$"
        if not plain or not tensor_methods()[plain] then return nil end
        text, method = ("x[{}] = x:%s(...)"):format(plain), plain
    end
    return has(owner or tensor_methods(), method) and text or nil
end

--- What was meant by a field or method that a value does not have; nil if nothing comes near.
-- @param owner the value, or nil if it is not known: then a tensor is assumed
-- @param path how it was written, with its separator, such as "bl."; "" if it is not known
-- @param name the field
-- @param env all names
function M.field(owner, path, name, env)
    local other = elsewhere(owner, name, env)
    if other then return other end
    local guess = suggest.closest(name, complete.fields(owner or tensor_methods(), false))
    return guess and #name > 2 and path .. guess or nil
end

-- The value before `name` in the code, and how it is written.
local function owner_in(code, name, separator, env)
    local pattern = "([%a_][%w_%.]*)%s*%" .. separator .. "%s*" .. name .. "%f[^%w_]"
    for path in code:gmatch(pattern) do
        local value = complete.resolve(path, env)
        if value ~= nil and not has(value, name) then return value, path .. separator end
    end
    return nil, ""
end

--- What was meant by a name of another program's module; that of ours where the code does not say which name.
-- @param module as the code calls it, such as "np"
-- @param code nil if it is not known
local function of_module(module, code, env)
    local own = MODULES[module]
    local path = (code or ""):match("%f[%w_]" .. module .. "%s*%.%s*([%a_][%w_%.]*)")
    if not path then return own end
    if own == "bl" and FUNCTIONS[path] then return FUNCTIONS[path] end
    local name = path:match "[%w_]*$"
    if complete.resolve(own .. "." .. path, env) ~= nil then return own .. "." .. path end
    if tensor_methods()[name] then return ("x:%s(...)"):format(name) end
    return METHODS[name] or own
end

--- A message of Lua, with the name that was meant where something is not set.
-- @param code the input that failed; nil if it is not known
-- @param env all names
function M.message(message, code, env)
    local line, kind, name, value, rest = message:match
        "^([^\n]*attempt to %l+ (%l+) '([%w_]+)' %(a (%l+) value%))(.*)$"
    local guess
    if value == "table" then
        -- A module here, a function elsewhere.
        local called = kind == "field" and (code or ""):find("%f[%w_]bl%s*%.%s*" .. name .. "%f[^%w_]")
        guess = called and FUNCTIONS[name]
    elseif value ~= "nil" then
        return message
    elseif kind == "global" and MODULES[name] then
        guess = of_module(name, code, env)
    elseif kind == "global" then
        -- Short names resemble too many.
        guess = #name > 3 and suggest.closest(name, complete.fields(env, false))
    elseif kind == "field" or kind == "method" then
        local owner, path = owner_in(code or "", name, kind == "method" and ":" or ".", env)
        -- Without an owner a field may be anyone's; a method of a file's own object, too.
        if owner ~= nil or kind == "method" and line:find "^stdin:" then guess = M.field(owner, path, name, env) end
    end
    return guess and ("%s; did you mean %s?%s"):format(line, guess, rest) or message
end

return M
