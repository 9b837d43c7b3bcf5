--- Whether parameters and optimizer state are numbers. A run whose state holds an inf or NaN cannot recover, so such a
-- state must never become the checkpoint that a resumed run starts from.
--
-- The norm of a whole flat buffer is one pass over memory, and it is finite if and only if every element is (sums are
-- in f64, of squares that f64 holds); only where it is not is a name looked for.
-- @module bertlua.train.finite

local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local storage = require "bertlua.storage"

local finite = {}

local function is_finite(x)
    return x - x == 0
end

--- Run fn(is_sound), where is_sound(t) says whether every element of a tensor is finite, and if not, whether there is a
-- "NaN" or only an "inf".
-- @return what fn returns
function finite.with_check(fn)
    local buffer = memory.buffer(64)
    local result = buffer:tensor(0, "f32", { 1 })
    local ok, found = pcall(fn, function(t)
        if t:numel() == 0 then return true end
        ops.reduce(result, t, "norm")
        local norm = result:item()
        if is_finite(norm) then return true end
        if norm ~= norm then return false, "NaN" end
        -- A norm may exceed f32 where no element does.
        for _, extreme in ipairs { "max", "min" } do
            ops.reduce(result, t, extreme)
            if not is_finite(result:item()) then return false, "inf" end
        end
        return true
    end)
    buffer:free()
    if not ok then error(found, 0) end
    return found
end

--- The first parameter for which view(entry) gives a tensor with an inf or NaN; nil if its place is on another rank.
local function name_of(store, is_sound, view)
    for _, entry in ipairs(store.list) do
        local t = view(entry)
        if t and not is_sound(t) then return entry.name end
    end
end

--- What of a training state holds an inf or NaN, on this rank.
-- @tparam table parts store; optimizer: may be nil
-- @return text such as "the value of bert.pooler.dense.bias"; nil if all is finite
function finite.find(parts)
    local store, optimizer = parts.store, parts.optimizer
    return finite.with_check(function(is_sound)
        if not is_sound(store.master) then
            local name = name_of(store, is_sound, function(entry) return entry.value end)
            return "the value of " .. (name or "a parameter")
        end
        if not optimizer then return nil end
        for _, moment in ipairs { { "first", optimizer.m }, { "second", optimizer.v } } do
            local flat = moment[2]
            if not is_sound(flat) then
                -- Where the state is divided among ranks, its places are not those of the values.
                local name = not optimizer.gatherer and name_of(store, is_sound, function(entry)
                    return not entry.frozen and flat:slice(1, entry.offset + 1, entry.offset + entry.numel)
                end)
                return ("the %s moment of %s"):format(moment[1], name or "a parameter")
            end
        end
        return not is_sound(optimizer.scalars) and "the optimizer's state" or nil
    end)
end

--- The first tensor of a safetensors file of ours that holds an inf or NaN.
-- @tparam string path
-- @return its name; nil if all are finite
function finite.find_in_file(path)
    local file = fault.check(storage.open(path))
    local names, largest = {}, 0
    for _, name in ipairs(file:names()) do
        local info = file:info(name)
        if info.dtype == "F32" then
            names[#names + 1] = name
            largest = math.max(largest, info.bytes)
        end
    end
    -- One for all: fresh memory for each tensor would take longer than reading it.
    local buffer = memory.buffer(math.max(largest, 64))
    local ok, found = pcall(finite.with_check, function(is_sound)
        for _, name in ipairs(names) do
            local t = buffer:tensor(0, "f32", file:info(name).dims)
            fault.check(file:read(name, t))
            if not is_sound(t) then return name end
        end
    end)
    buffer:free()
    file:close()
    if not ok then error(found, 0) end
    return found
end

return finite
