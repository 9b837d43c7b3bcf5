--- A pickle reader that builds data and runs nothing.
--
-- A Python pickle is a program for a stack machine. This one knows the
-- instructions that build numbers, strings, tuples, lists and dictionaries.
-- The name of a Python class or function (GLOBAL) is looked up in a fixed table
-- (globals of bertlua.weights.objects) of constructors written here, for tensors and
-- dictionaries; any other name is refused, and so is every instruction that
-- would create or change another kind of object. Strings longer than a name and
-- all bytes stay in the file: values only record where they are.
--
-- Values are booleans, numbers, and tables with a `kind`:
--   none | text {value, offset, length, raw} | bytes {offset, length, latin1} | tuple, list {[1] ...}
--   dict {keys, map} (text keys only; others are dropped) | global {name, build} | what constructors return
-- @module bertlua.weights.pickle

local fault = require "bertlua.fault"

local pickle = {}

-- Far above any model's needs, far below what could do harm.
local MAX_VALUES, MAX_INSTRUCTIONS, MAX_INLINE = 1000000, 10000000, 64 * 2 ^ 20
local LONGEST_NAME, LONGEST_LONG = 4096, 64

local NONE = { kind = "none" }
pickle.NONE = NONE
local MARK = { kind = "mark" }

--- Text from a file, made safe for a message.
function pickle.printable(text)
    return (text:sub(1, 80):gsub("[^\32-\126]", "?"))
end
local printable = pickle.printable

local Machine = {}
Machine.__index = Machine

--- A fault: the pickle asks for something that is not read.
function Machine:refuse(what)
    fault.raisef("%s: refused: its pickle %s; only tensors, dictionaries, lists, tuples, strings and numbers are read "
        .. "from a pickle, and nothing in it is run", self.label, what)
end

--- A fault: the pickle contradicts itself.
function Machine:broken(what)
    fault.raisef("%s: broken pickle: %s at byte %.0f", self.label, what, self.reader.position)
end

--- Count the values created, so that a small file cannot create many.
function Machine:charge(n)
    self.values = self.values + n
    if self.values > MAX_VALUES then
        fault.raisef("%s: its pickle has more than %d values: not a model's parameters", self.label, MAX_VALUES)
    end
end

--- Put a value on the stack.
function Machine:push(value)
    local top = self.top + 1
    self:charge(1)
    self.stack[top], self.top = value, top
end

--- Take the top value from the stack.
function Machine:pop()
    local top = self.top
    local value = self.stack[top]
    if top == 0 or value == MARK then self:broken "an instruction lacks its operand" end
    self.stack[top], self.top = nil, top - 1
    return value
end

--- The top value, which must be of a kind.
function Machine:peek(kind)
    local value = self.stack[self.top]
    if type(value) ~= "table" or value.kind ~= kind then self:broken("an instruction expects a " .. kind) end
    return value
end

--- Pop everything above the last mark, and the mark.
function Machine:pop_mark()
    local at = self.top
    while at > 0 and self.stack[at] ~= MARK do at = at - 1 end
    if at == 0 then self:broken "an instruction expects a mark" end
    local items = {}
    for i = at + 1, self.top do
        items[i - at] = self.stack[i]
        self.stack[i] = nil
    end
    self.stack[at], self.top = nil, at - 1
    return items
end

--- A string of n bytes at the reader's position; its value is read if it is short enough for a name.
function Machine:text(n, raw)
    local reader = self.reader
    local value = { kind = "text", offset = reader.position, length = n, raw = raw }
    if n <= LONGEST_NAME then
        self.inline = self.inline + n
        if self.inline > MAX_INLINE then
            fault.raisef("%s: its pickle has too many strings: not a model's parameters", self.label)
        end
        value.value = reader:bytes(n)
    else
        reader:skip(n)
    end
    return value
end

--- Skip n raw bytes; only where they lie is kept.
function Machine:bytes(n)
    local value = { kind = "bytes", offset = self.reader.position, length = n }
    self.reader:skip(n)
    return value
end

local function set_items(self, dict, items)
    if #items % 2 ~= 0 then self:broken "a key without a value" end
    for i = 1, #items, 2 do
        local key = items[i]
        if type(key) == "table" and key.kind == "text" and key.value then
            if dict.map[key.value] == nil then dict.keys[#dict.keys + 1] = key.value end
            dict.map[key.value] = items[i + 1]
        end
    end
    return dict
end

local function new_dict()
    return { kind = "dict", keys = {}, map = {} }
end

--- What a global name of the pickle stands for here.
-- @param module Python's name of the module
-- @param name in the module
function Machine:find_global(module, name)
    -- Python 2's names for the same things.
    if module == "__builtin__" then module = "builtins" end
    local full = module .. "." .. name
    local global = self.globals[full]
    if not global then self:refuse("asks for " .. printable(full)) end
    return global
end

local function sequence(kind, items)
    items.kind = kind
    return items
end

local function append(self, items)
    local list = self:peek "list"
    for i = 1, #items do list[#list + 1] = items[i] end
end

local function remember(self, index, value)
    if value == nil then value = self.stack[self.top] end
    if value == nil or value == MARK then self:broken "nothing to remember" end
    -- Large indices cost nothing: the memo is a hash table of what was stored, and each entry takes an instruction.
    self.entries = self.entries + 1
    if self.entries > 2 * MAX_VALUES then
        fault.raisef("%s: its pickle has more than %d values: not a model's parameters", self.label, MAX_VALUES)
    end
    self.memo[index] = value
end

local function recall(self, index)
    local value = self.memo[index]
    if value == nil then self:broken(("memo %s is not set"):format(tostring(index))) end
    self:push(value)
end

local function signed(reader, n)
    local value = reader:unsigned(n)
    if value >= 2 ^ (8 * n - 1) then value = value - 2 ^ (8 * n) end
    return value
end

local function long(self, n)
    if n > LONGEST_LONG then self:broken "an integer with too many digits" end
    return n == 0 and 0 or signed(self.reader, n)
end

--- IEEE 754 double, most significant byte first.
local function big_endian_double(text)
    local a, b = text:byte(1, 2)
    local exponent = a % 128 * 16 + math.floor(b / 16)
    local fraction = b % 16
    for i = 3, 8 do fraction = fraction * 256 + text:byte(i) end
    local value
    if exponent == 2047 then
        value = fraction == 0 and math.huge or 0 / 0
    elseif exponent == 0 then
        value = fraction * 2 ^ -1074
    else
        value = (1 + fraction / 2 ^ 52) * 2 ^ (exponent - 1023)
    end
    return a >= 128 and -value or value
end

local function line_number(self, pattern)
    local text = self.reader:line(LONGEST_NAME)
    local digits = text:match(pattern)
    return tonumber(digits) or self:broken "not a number", text
end

local function make(self, what, class)
    local name = type(class) == "table" and class.kind == "global" and class.name or "something that is not a class"
    self:refuse(("makes a %s with %s"):format(name, what))
end

local OPS = {}

local function on(code, handler)
    OPS[type(code) == "string" and code:byte() or code] = handler
end

-- Constants and numbers.
on("N", function(m) m:push(NONE) end)
on(0x88, function(m) m:push(true) end)
on(0x89, function(m) m:push(false) end)
on("K", function(m) m:push(m.reader:byte()) end)
on("M", function(m) m:push(m.reader:unsigned(2)) end)
on("J", function(m) m:push(signed(m.reader, 4)) end)
on(0x8a, function(m) m:push(long(m, m.reader:byte())) end)
on(0x8b, function(m) m:push(long(m, m.reader:unsigned(4))) end)
on("G", function(m) m:push(big_endian_double(m.reader:bytes(8))) end)
on("L", function(m) m:push((line_number(m, "^(%-?%d+)L?$"))) end)
on("F", function(m) m:push((line_number(m, "^([%-+.%deE]+)$"))) end)
on("I", function(m)
    local number, text = line_number(m, "^(%-?%d+)$")
    if text == "00" or text == "01" then number = text == "01" end
    m:push(number)
end)

-- Strings and bytes.
on("X", function(m) m:push(m:text(m.reader:unsigned(4))) end)
on(0x8c, function(m) m:push(m:text(m.reader:byte())) end)
on(0x8d, function(m) m:push(m:text(m.reader:unsigned(8))) end)
on("T", function(m) m:push(m:text(m.reader:unsigned(4), true)) end)
on("U", function(m) m:push(m:text(m.reader:byte(), true)) end)
on("B", function(m) m:push(m:bytes(m.reader:unsigned(4))) end)
on("C", function(m) m:push(m:bytes(m.reader:byte())) end)
on(0x8e, function(m) m:push(m:bytes(m.reader:unsigned(8))) end)
on(0x96, function(m) m:push(m:bytes(m.reader:unsigned(8))) end)
on("V", function(m) m:push { kind = "text", value = m.reader:line(LONGEST_NAME), offset = 0, length = 0 } end)
on("S", function(m)
    local text = m.reader:line(LONGEST_NAME)
    m:push { kind = "text", value = text:match "^'(.*)'$" or text:match '^"(.*)"$' or text, offset = 0, length = 0 }
end)

-- Containers.
on("(", function(m) m:push(MARK) end)
on("0", function(m) if m.stack[m.top] == MARK then m:pop_mark() else m:pop() end end)
on("1", function(m) m:pop_mark() end)
on("2", function(m)
    local value = m:pop()
    m:push(value)
    m:push(value)
end)
on(")", function(m) m:push { kind = "tuple" } end)
on("]", function(m) m:push { kind = "list" } end)
on("}", function(m) m:push(new_dict()) end)
on("t", function(m) m:push(sequence("tuple", m:pop_mark())) end)
on("l", function(m) m:push(sequence("list", m:pop_mark())) end)
on("d", function(m) m:push(set_items(m, new_dict(), m:pop_mark())) end)
on(0x85, function(m) m:push { kind = "tuple", m:pop() } end)
on(0x86, function(m)
    local b = m:pop()
    m:push { kind = "tuple", m:pop(), b }
end)
on(0x87, function(m)
    local c = m:pop()
    local b = m:pop()
    m:push { kind = "tuple", m:pop(), b, c }
end)
on("a", function(m) append(m, { m:pop() }) end)
on("e", function(m) append(m, m:pop_mark()) end)
on("s", function(m)
    local value = m:pop()
    local key = m:pop()
    set_items(m, m:peek "dict", { key, value })
end)
on("u", function(m)
    local items = m:pop_mark()
    set_items(m, m:peek "dict", items)
end)

-- Memo.
on("p", function(m) remember(m, (line_number(m, "^(%d+)$"))) end)
on("q", function(m) remember(m, m.reader:byte()) end)
on("r", function(m) remember(m, m.reader:unsigned(4)) end)
on(0x94, function(m) remember(m, m.entries) end)
on("g", function(m) recall(m, (line_number(m, "^(%d+)$"))) end)
on("h", function(m) recall(m, m.reader:byte()) end)
on("j", function(m) recall(m, m.reader:unsigned(4)) end)

-- Names, constructors and state.
on("c", function(m)
    local module = m.reader:line(LONGEST_NAME)
    m:push(m:find_global(module, m.reader:line(LONGEST_NAME)))
end)
on(0x93, function(m)
    local name, module = m:pop(), m:pop()
    for _, part in ipairs { name, module } do
        if type(part) ~= "table" or part.kind ~= "text" or not part.value then
            m:broken "a global without a name"
        end
    end
    m:push(m:find_global(module.value, name.value))
end)
on("R", function(m)
    local arguments, callable = m:pop(), m:pop()
    if type(callable) ~= "table" or callable.kind ~= "global" then m:refuse "calls something that has no name" end
    if type(arguments) ~= "table" or arguments.kind ~= "tuple" then m:broken "a call without arguments" end
    if not callable.build then m:refuse("calls " .. callable.name) end
    m:push(callable.build(m, arguments))
end)
on("b", function(m)
    local state = m:pop()
    local object = m.stack[m.top]
    local kind = type(object) == "table" and object.kind or type(object)
    if kind == "dict" then return end -- attributes of an OrderedDict: no parameters among them
    if type(object) ~= "table" or not object.set_state then
        m:refuse(("sets the state of a %s with BUILD"):format(kind))
    end
    object.set_state(m, object, state)
end)
on("i", function(m)
    local module = m.reader:line(LONGEST_NAME)
    make(m, "INST", m:find_global(module, m.reader:line(LONGEST_NAME)))
end)
on("o", function(m) make(m, "OBJ", m:pop_mark()[1]) end)
on(0x81, function(m)
    m:pop()
    make(m, "NEWOBJ", m:pop())
end)
on(0x92, function(m)
    m:pop()
    m:pop()
    make(m, "NEWOBJ_EX", m:pop())
end)
for code, name in pairs { [0x82] = "EXT1", [0x83] = "EXT2", [0x84] = "EXT4", [0x97] = "NEXT_BUFFER",
    [0x98] = "READONLY_BUFFER", [0x8f] = "EMPTY_SET", [0x90] = "ADDITEMS", [0x91] = "FROZENSET" } do
    on(code, function(m) m:refuse("uses the instruction " .. name) end)
end
-- Protocol 0 writes what a persistent id looks like, not the id.
on("P", function(m)
    local text = m.reader:line(LONGEST_NAME)
    if not m.persistent_text then m:refuse "refers to an object by text" end
    m:push(m.persistent_text(m, text))
end)
on("Q", function(m)
    local id = m:pop()
    if not m.persistent then m:refuse "refers to an object outside it" end
    m:push(m.persistent(m, id))
end)

-- Frames only group the bytes that follow.
on(0x95, function(m) m.reader:bytes(8) end)
on(0x80, function(m)
    local version = m.reader:byte()
    if version > 5 then m:broken(("protocol %d is unknown"):format(version)) end
end)

local STOP = 0x2e

--- Read one pickle; the reader is positioned after it.
-- @param reader bertlua.weights.byte_reader
-- @tparam table options globals: constructors by Python name; persistent(machine, id): resolves a persistent id;
--   persistent_text(machine, text): the same for one that was written as Python's repr;
--   label: name of the file in messages (the reader's path)
-- @return the value; a fault for anything that is not plain data
function pickle.load(reader, options)
    local machine = setmetatable({
        reader = reader, globals = options.globals or {}, persistent = options.persistent,
        persistent_text = options.persistent_text,
        label = options.label or reader.path, stack = {}, top = 0, memo = {}, values = 0, entries = 0, inline = 0,
    }, Machine)
    for _ = 1, MAX_INSTRUCTIONS do
        local code = reader:byte()
        if code == STOP then return machine:pop() end
        local handler = OPS[code]
        if not handler then machine:broken(("unknown instruction 0x%02x"):format(code)) end
        handler(machine)
    end
    fault.raisef("%s: its pickle has more than %d instructions: not a model's parameters", machine.label,
        MAX_INSTRUCTIONS)
end

return pickle
