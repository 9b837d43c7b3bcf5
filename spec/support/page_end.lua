--- Texts whose last byte is the last one of mapped memory: whoever reads one byte more dies of SIGSEGV.
--
-- Lua's own strings have a NUL behind them, which hides such a read. Specs run what may die in a process of its own.

local ffi = require "ffi"

ffi.cdef [[
void *mmap(void *address, size_t bytes, int protection, int flags, int descriptor, int64_t offset);
int mprotect(void *address, size_t bytes, int protection);
int getpagesize(void);
]]

local PAGE = ffi.C.getpagesize()
local NONE, READ_WRITE = 0, 3
local PRIVATE_ANONYMOUS = 0x22

--- Memory for texts of up to so many bytes.
-- @return function(text) -> pointer to its copy, valid until the next call
return function(capacity)
    local bytes = math.ceil(math.max(capacity, 1) / PAGE) * PAGE
    local memory = ffi.cast("char *", ffi.C.mmap(nil, bytes + PAGE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0))
    assert(ffi.cast("intptr_t", memory) ~= -1, "page_end: no memory")
    local stop = memory + bytes
    assert(ffi.C.mprotect(stop, PAGE, NONE) == 0, "page_end: cannot protect the page behind the text")
    return function(text)
        assert(#text <= bytes, "page_end: the text is longer than asked for")
        local place = stop - #text
        ffi.copy(place, text, #text)
        return place
    end
end
