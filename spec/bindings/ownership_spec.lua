--- Tensors outside a scope are collected; their views keep the memory.

local array = require "bertlua.array"
local bl = require "bertlua"
local context = require "bertlua.context"
local device = require "bertlua.device"
local ownership = require "bertlua.ownership"
local process = require "spec.support.process"
local tensor = require "bertlua.tensor"

local MEBIBYTE = 2 ^ 20

-- Bytes that are held after everything without a reference is gone.
local function settled()
    ownership.collect(2)
    return ownership.held()
end

-- In a function of its own, so that no slot of the caller's stack still refers to what it made.
local function away(fn)
    local function call() return fn() end
    jit.off(call)
    return call()
end

local function first_of(value)
    value = value:tolist()
    while type(value) == "table" do value = value[1] end
    return value
end

describe("a tensor outside a scope", function()
    it("is freed when nothing refers to it", function()
        local before = settled()
        local kept = away(function()
            bl.zeros(1000, 100)
            return bl.ones(1000, 50)
        end)
        assert.are.equal(before + 1000 * 50 * 4, settled())
        assert.are.equal(1, kept:select(1000):tolist()[50])
        kept = nil -- luacheck: ignore
        assert.are.equal(before, settled())
    end)

    it("lives as long as a view or a pointer of it", function()
        local views = {
            view = function(t) return t:view(6, 4) end,
            slice = function(t) return t:slice(1, 2, 3) end,
            select = function(t) return t:select(2) end,
            transpose = function(t) return t:transpose(1, 2) end,
            ["view of a view of a view"] = function(t) return t:view(6, 4):slice(1, 1, 2):transpose(1, 2) end,
            host = function(t) return t:host():select(2) end,
        }
        if context.device() == "cpu" then
            views.data_ptr = function(t) return t:data_ptr "float" end
            views.wrap = function(t) return array.wrap(t) end
        end
        for name, look in pairs(views) do
            local before = settled()
            local view = away(function() return look(bl.ones(4, 6)) end)
            local held = settled() - before
            -- On a GPU the host's copy keeps itself.
            local expected = name == "host" and context.device() ~= "cpu" and 0 or 96
            assert.are.equal(expected, held, name)
            away(function()
                -- They would take the memory, were it free.
                local others = {}
                for i = 1, 50 do others[i] = bl.zeros(4, 6) end
                assert.are.equal(0, others[50]:sum())
                local first = tensor.is(view) and first_of(view) or view[0]
                assert.are.equal(1, first, name)
            end)
            view = nil -- luacheck: ignore
            assert.are.equal(before, settled(), name)
        end
    end)

    it("that a scope kept for it is collected too, with views made before", function()
        local before = settled()
        local row = away(function()
            return tensor.scope(function(scope)
                local t = bl.ones(4, 6)
                local second = t:select(2)
                scope:keep(t)
                return second
            end)
        end)
        assert.are.equal(before + 96, settled())
        assert.are.same({ 1, 1, 1, 1, 1, 1 }, row:tolist())
        row = nil -- luacheck: ignore
        assert.are.equal(before, settled())
    end)

    it("that is a view of a host array keeps the array", function()
        local row = away(function() return tensor.wrap(array.float { 1, 2, 3, 4 }, "f32", { 2, 2 }):select(2) end)
        away(function()
            collectgarbage()
            local others, sum = {}, 0
            for i = 1, 1000 do others[i] = array.float { 9, 9, 9, 9 } end
            for i = 1, 1000 do sum = sum + others[i][3] end
            assert.are.equal(9000, sum)
        end)
        assert.are.same({ 3, 4 }, row:tolist())
    end)

    it("makes the collector run before much is held", function()
        local before, most = settled(), 0
        -- It is put off in proportion to Lua's own heap, which many specs before this one have made larger.
        local allowed = 2 * math.max(32 * MEBIBYTE, before / 2, collectgarbage "count" * 1024 / 2)
        away(function()
            for _ = 1, math.ceil(3 * allowed / MEBIBYTE) do
                bl.tensor.new("f32", { 1024, 256 })
                most = math.max(most, ownership.held() - before)
            end
        end)
        assert.is_true(most >= 16 * MEBIBYTE, "it does not run for every tensor")
        assert.is_true(most <= allowed, ("%g MiB"):format(most / MEBIBYTE))
        settled()
    end)

    it("is not freed while a device records, nor as long as a recorded graph may read it", function()
        local before = settled()
        ownership.pause()
        away(function() bl.ones(1000) end)
        collectgarbage()
        collectgarbage()
        assert.are.equal(before + 4000, ownership.held())
        ownership.resume()
        assert.are.equal(before, ownership.held())
        if context.device() == "cpu" then return end

        local sum = bl.zeros(1000)
        local graph = away(function()
            local x = bl.ones(1000)
            local function work() bl.ops.axpby(sum, x, 1, 1) end
            work()
            return (assert(device.record(work)))
        end)
        before = settled() - 4000
        away(function() bl.zeros(1000) end)
        assert.are.equal(before + 4000, settled(), "made after the graph, so freed; what the graph reads is not")
        graph:launch()
        assert.are.equal(2, sum:select(7):item())
        graph:free()
        assert.are.equal(before, settled())
    end)
end)

describe("10,000 tensors of 1000 x 500", function()
    it("stay under 100 MB resident, without a call of the collector", function()
        local script = process.temporary [[
            local bl = require "bertlua"
            local function high_water()
                for line in io.lines "/proc/self/status" do
                    local kib = line:match "^VmHWM:%s*(%d+) kB"
                    if kib then return tonumber(kib) * 1024 end
                end
            end
            for _ = 1, 10000 do bl.ones(1000, 500) end
            print(high_water())
        ]]
        local output, code = process.run_bertlua("--device cpu " .. process.quote(script), "OMP_NUM_THREADS=1")
        os.remove(script)
        assert.are.equal(0, code, output)
        local bytes = tonumber(output)
        assert.is_true(bytes < 100e6, ("%g MB"):format(bytes / 1e6))
    end)
end)
