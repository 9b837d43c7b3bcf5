--- `? name` at the prompt.

local prompt = require "spec.support.prompt"

describe("help", function()
    local _, feed = prompt.new()

    it("shows the header's comment for an op", function()
        local text = feed "? bl.ops.linear_forward"
        assert.is_truthy(text:find("bl.ops.linear_forward(y, pre, x, w, bias, activation)", 1, true))
        assert.is_truthy(text:find("y = f(x w^T + bias)", 1, true))
        -- The comment above the first of a group of declarations covers the group.
        assert.is_truthy((feed "? tanh_backward"):find "Elementwise, any shape")
    end)

    it("shows the comment of a Lua function and of a module", function()
        local text = feed "? bl.rng.restore"
        assert.is_truthy(text:find("A generator that continues where save() was called", 1, true))
        assert.is_truthy(text:find("bindings/bertlua/rng.lua:%d+"))
        text = feed "? bl.rng"
        assert.is_truthy(text:find "Sequential host random numbers" and text:find "new, restore")
        feed "x = bl.ones(2)"
        assert.is_truthy((feed "? x:slice"):find "Elements first..last")
        assert.is_truthy((feed "? x:sum"):find "Sum of all elements, a number")
        text = feed "? x"
        assert.is_truthy(text:find "x is a tensor, f32 2 cpu" and text:find("x[{{1, 2}, {}}]", 1, true))
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
        feed "v = bl.autograd.tape.new():start(0, 0, true):input(x)"
        assert.is_truthy((feed "? v:log_softmax"):find "Logarithm of the softmax")
        assert.is_truthy((feed "? bl.arange"):find("bl.arange(4) is 0 1 2 3", 1, true))
    end)

    it("stays within 80 columns, whatever the source's lines are", function()
        for _, topic in ipairs { "bl.load", "bl.ops.linear_forward", "bl.train.checkpoint.save", "bl", "bl.ops",
            "bl.train.trainer", "bl.squad.reader" } do
            for line in (feed("? " .. topic)):gmatch "[^\n]+" do assert.is_true(#line < 80, line) end
        end
        assert.is_truthy((feed "? bl.load"):find("  path (string): folder of a model", 1, true))
        assert.is_truthy((feed "? bl.train.checkpoint.save"):find("Returns: string: the checkpoint's path", 1, true))
        assert.is_truthy((feed "help"):find "^expression ")
    end)

    it("guesses what was meant", function()
        assert.are.equal("no bl.ops.linear_forwrd; did you mean bl.ops.linear_forward?\n",
            (feed "? bl.ops.linear_forwrd"))
        assert.is_truthy((feed "? gelu_forwad"):find "did you mean gelu_forward")
        assert.are.equal("no bl.exp; did you mean x:exp(...)?\n", (feed "? bl.exp"))
        assert.are.equal("no zzzzzzzz\n", (feed "? zzzzzzzz"))
    end)
end)
