-- An op of your own, with its gradient, in Lua: the Huber loss of a line fitted to points with an outlier.
--
--     bertlua examples/lua_op.lua
--
-- `forward` writes y from x, `backward` writes dx from dy; both see tensors on the CPU (docs/adding_an_op.md).

local bl = require "bertlua"
local F, array = bl.autograd.functional, bl.array

local huber = {
    name = "huber",
    forward = function(y, x)
        local from, to = array.wrap(x[1]), array.wrap(y)
        for i = 0, y:numel() - 1 do
            local size = math.abs(from[i])
            to[i] = size < 1 and from[i] ^ 2 / 2 or size - 0.5
        end
    end,
    backward = function(dx, dy, x)
        local from, gradient, to = array.wrap(x[1]), array.wrap(dy), array.wrap(dx[1])
        for i = 0, dy:numel() - 1 do to[i] = gradient[i] * math.max(-1, math.min(1, from[i])) end
    end,
}

local x = bl.arange(6):view(6, 1)
local target = bl.from { { 1 }, { 3 }, { 5 }, { 7 }, { 9 }, { 100 } } -- 2 x + 1, but for the last
local slope, offset = bl.zeros(1, 1), bl.zeros(1)

local tape = bl.autograd.tape.new()
for step = 1, 400 do
    tape:start(step, 0, true)
    local a, b = tape:input(slope, true), tape:input(offset, true)
    local loss = F.custom(tape, huber, x * a + b - target):mean()
    if step % 100 == 0 then print(("step %d, loss %.4f"):format(step, loss:item())) end
    loss:backward()
    slope[{}] = slope - a.grad * 0.2
    offset[{}] = offset - b.grad * 0.2
end
print(("y = %.2f x + %.2f"):format(slope:item(), offset:item()))
