--- What was meant by a name that does not exist.

local bl = require "bertlua"
local guess = require "bertlua.prompt.guess"

local Tape = require "bertlua.autograd.tape"

describe("guess", function()
    local names, tape

    setup(function()
        tape = Tape.new()
        local v, box = tape:input(bl.zeros(2)), { label = 1, size = print }
        names = { bl = bl, x = bl.zeros(2), v = v, box = box, print = print }
    end)
    teardown(function() tape:close() end)

    -- What is added to the message of Lua about a piece of code.
    local function meant(code, problem, value)
        local message = ("stdin:1: attempt to %s (a %s value)"):format(problem, value or "nil")
        local text = guess.message(message .. "\n    here:1", code, names)
        local added = text:match("^" .. message:gsub("%p", "%%%0") .. "(.*)\n    here:1$")
        assert.is_truthy(added, text)
        return added:match "^; did you mean (.*)%?$" or added
    end

    it("knows names that are spelled alike", function()
        assert.are.equal("print", meant("prinnt(3)", "call global 'prinnt'"))
        assert.are.equal("bl.arange", meant("y = bl.aranje(3)", "call field 'aranje'"))
        assert.are.equal("bl.nn.Linear", meant("bl.nn.Liner.new()", "index field 'Liner'"))
        assert.are.equal("x:softmax", meant("x:sofmax()", "call method 'sofmax'"))
        assert.are.equal("softmax", meant("(x + 1):sofmax()", "call method 'sofmax'"))
        assert.are.equal("box.label", meant("box.lable()", "call field 'lable'"))
    end)

    it("knows what others call it", function()
        assert.are.equal("x:matmul(y)", meant("x:mm(x)", "call method 'mm'"))
        assert.are.equal("x:matmul(y)", meant("v:mm(v)", "call method 'mm'"))
        assert.are.equal("x[{}] = x:add(...)", meant("x:add_(1)", "call method 'add_'"))
        assert.are.equal("x:fill(0)", meant("x:exp():zero()", "call method 'zero'"))
        assert.are.equal("x:exp(...)", meant("bl.exp(x)", "call field 'exp'"))
        assert.are.equal("bl.zeros(2, 3):fill(value)", meant("bl.full({2}, 1)", "call field 'full'"))
    end)

    it("knows modules of others, and what is a module here", function()
        assert.are.equal("bl.from { 1, 2 }", meant("bl.tensor({1, 2})", "call field 'tensor'", "table"))
        assert.are.equal("bl.randn", meant("y = torch.randn(2)", "index global 'torch'"))
        assert.are.equal("bl.zeros", meant("np.zeros(2)", "index global 'np'"))
        assert.are.equal("bl.from { 1, 2 }", meant("torch.tensor({1})", "index global 'torch'"))
        assert.are.equal("bl.nn.Linear", meant("torch.nn.Linear(2, 3)", "index global 'torch'"))
        assert.are.equal("bl.nn.Linear", meant("nn.Linear(2, 3)", "index global 'nn'"))
        assert.are.equal("bl.autograd.functional.relu", meant("F.relu(x)", "index global 'F'"))
        assert.are.equal("x:exp(...)", meant("np.exp(x)", "index global 'np'"))
        assert.are.equal("bl", meant("torch.nothing(x)", "index global 'torch'"))
        assert.are.equal("bl", meant(nil, "index global 'torch'"))
        assert.are.equal("", meant("bl.nn(2)", "call field 'nn'", "table"))
        assert.are.equal("", meant("box.tensor()", "call field 'tensor'", "table"))
    end)

    it("knows how gradients are asked for here", function()
        assert.are.equal("tape:input(x, true)", meant("x:requires_grad()", "call method 'requires_grad'"))
        assert.are.equal("tape:backward(loss)", meant("v:backward()", "call method 'backward'"))
        assert.are.equal("", meant("box:backward()", "call method 'backward'"))
        assert.are.equal("x:host()", meant("x:cpu()", "call method 'cpu'"))
    end)

    it("is silent where nothing comes near, and where a value has none of it", function()
        assert.are.equal("", meant("x:frobnicate()", "call method 'frobnicate'"))
        assert.are.equal("", meant("v:zero()", "call method 'zero'"), "a variable cannot be filled")
        assert.are.equal("", meant("box:shape()", "call method 'shape'"))
        assert.are.equal("", meant("unknown.randm(3)", "call field 'randm'"))
        assert.are.equal("", meant("len(x)", "call global 'len'"), "short names resemble too many")
        assert.are.equal("boo", guess.message("boo", "x", names))
        assert.are.equal("", meant(nil, "call field 'randm'"))
    end)
end)
