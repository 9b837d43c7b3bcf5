--- Top-level locals that stay: what is rewritten, and the scope that keeps them.

local locals = require "bertlua.prompt.locals"

--- What a chunk becomes, with a short name for the table.
local function rewritten(code)
    local result = locals.rewrite(code)
    assert(loadstring(result))
    return (result:gsub(locals.TABLE, "L"))
end

describe("rewriting", function()
    it("makes fields of top-level locals", function()
        assert.are.equal("L.x = 1", rewritten "local x = 1")
        assert.are.equal("L.a, L.b = f()", rewritten "local a, b = f()")
        assert.are.equal("L.a, L.b = nil;", rewritten "local a, b")
        assert.are.equal("L.x = nil; (print or f)(x)", rewritten "local x (print or f)(x)")
        assert.are.equal("function L.f(n) return f(n) end", rewritten "local function f(n) return f(n) end")
        assert.are.equal("y = 1 L.x = y", rewritten "y = 1 local x = y")
        assert.are.equal("L.f = function() local inner = 1 end L.x = 2",
            rewritten "local f = function() local inner = 1 end local x = 2")
    end)

    it("leaves blocks, strings and comments alone", function()
        for _, code in ipairs {
            "do local x = 1 end", "for i = 1, 2 do local x = i end", "while a do local x break end",
            "repeat local x = f() until x", "if a then local b elseif c then local d else local e end",
            "function f() local x = 1 return function() local y = x end end",
            "t = { function() local x end, ['local'] = 1, [ [[local y = 1]] ] = 2 }",
            "s = 'local x = 1' -- local y = 2", 's = "a\\"local z = 1"', "s = [==[ ]] local x = 1 ]==]",
            "--[[ local x = 1\nlocal y = 2 ]] z = 3", "-- local x", "locale = 1 alocal = 2", "x = 0x1e + 3 .. 'local'",
        } do
            assert.are.equal(code, rewritten(code))
        end
        assert.are.equal("do local x end L.y = 1", rewritten "do local x end local y = 1")
        assert.are.equal("repeat local x until true L.y = 1", rewritten "repeat local x until true local y = 1")
        assert.are.equal("if a then b() else c() end L.d = 1", rewritten "if a then b() else c() end local d = 1")
    end)

    it("keeps every line's number", function()
        local code = "local a,\n  b -- two\n  = 1,\n 2\nlocal function\nf() end\nlocal c\nprint(a)"
        local function breaks(text) return select(2, text:gsub("\n", "")) end
        assert.are.equal(breaks(code), breaks(rewritten(code)))
        local chunk = assert(loadstring(locals.rewrite "local x\n\nerror 'third'", "=chunk"))
        setfenv(chunk, locals.scope(_G).environment)
        assert.are.equal("chunk:3: third", select(2, pcall(chunk)))
    end)
end)

describe("a scope", function()
    local globals, scope
    local function run(code)
        local chunk = assert(loadstring(locals.rewrite(code)))
        return setfenv(chunk, scope.environment)()
    end

    before_each(function()
        globals = setmetatable({}, { __index = _G })
        scope = locals.scope(globals)
    end)

    it("finds locals of earlier chunks, before globals", function()
        run "local x, y = 1"
        assert.are.equal(1, run "return x")
        assert.are.equal(nil, run "return y")
        globals.y = "global"
        assert.are.equal(nil, run "return y")
        run "y = 2"
        assert.are.equal(2, run "return y")
        assert.are.equal("global", globals.y)
        run "z = 3"
        assert.are.equal(3, globals.z)
    end)

    it("shadows a global for the session alone", function()
        run "local print = function() return 'mine' end"
        assert.are.equal("mine", run "return print()")
        assert.are.equal(print, globals.print)
        -- The new local is in force only after its value.
        run "local type = type"
        assert.are.equal("number", run "return type(1)")
        run "type = nil"
        assert.are.equal(nil, run "return type")
        assert.are.equal(type, globals.type)
    end)

    it("shares locals between functions and later lines", function()
        run "local count = 0 local function add() count = count + 1 return count end"
        assert.are.equal(2, run "add() return add()")
        assert.are.equal(2, run "return count")
        run "count = 10"
        assert.are.equal(11, run "return add()")
        assert.are.equal(120, run "local function fact(n) return n < 2 and 1 or n * fact(n - 1) end return fact(5)")
        -- More of them than Lua has room for in one function.
        for i = 1, 250 do run(("local v%d = %d"):format(i, i)) end
        assert.are.equal(250, run "return v250")
    end)
end)
