--- A file that grows while a long run makes it, and what a later run needs to go on with it after a kill.
--
-- FILE appears when it is whole. Until then FILE.part holds what is done, and FILE.part.json how much of it counts:
-- rows, bytes, their CRC32C, and what the run was told. Bytes beyond that are of rows that were not finished, and are
-- cut off. What the rows are does not belong here.

local aside = require "bertlua.util.aside"
local fault = require "bertlua.fault"
local file_lock = require "bertlua.file_lock"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local self_checksum = require "bertlua.util.self_checksum"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"

local M = {}

local Part = {}
Part.__index = Part

local VERSION = 1
local PIECE = 2 ^ 20

--- CRC32C of the bytes of a file between two places.
local function crc_of(path, first, stop)
    local file = fault.check(io.open(path, "rb"))
    file:seek("set", first)
    local crc = 0
    while first < stop do
        local piece, reason, code = file:read(math.min(PIECE, stop - first))
        if not piece then
            file:close()
            fault.raise(fs.read_problem(path, reason, code))
        end
        crc, first = storage.crc32c(piece, crc), first + #piece
    end
    file:close()
    return crc
end

--- The first thing that a run is told otherwise than the one before: a line, or nil.
local function difference(before, now)
    for _, entry in ipairs(now) do
        local name, value = entry[1], entry[2]
        if before[name] ~= value then
            return ("%s was %s, now it is %s"):format(name, before[name] or "unknown", value)
        end
    end
    return nil
end

local function refuse(self, problem)
    fault.raisef("%s: %s; --overwrite discards it and begins anew", self.part, problem)
end

--- What the run before left: its record, if this run goes on with it; nil to begin anew.
local function found(self, told, overwrite)
    local there = (fs.size(self.part) or 0) > 0
    local state, problem = nil, nil
    if fs.is_file(self.state) then state, problem = self_checksum.read(self.state) end
    if overwrite then
        if state and there and (state.rows or 0) > 0 then
            term.warn(("%s: %s of an interrupted run, and %s discarded"):format(self.part,
                plural.count(state.rows, "vector is", "vectors are"), state.rows == 1 and "is" or "are"))
        end
        return nil
    end
    if problem then refuse(self, "what an interrupted run wrote about it cannot be used: " .. problem) end
    if not state then
        if there then refuse(self, "is there already, and nothing beside it says what it is") end
        return nil
    end
    if not there or state.rows == 0 then return nil end
    if state.version ~= VERSION or type(state.told) ~= "table" then
        refuse(self, "was written by another version of bertlua")
    end
    if state.told["the input"] == "standard input" then
        term.warn(("%s: discarded: the interrupted run read standard input, which nobody can go on with")
            :format(self.part))
        return nil
    end
    problem = difference(state.told, told)
    if problem then
        refuse(self, ("holds %s of an interrupted run that was told otherwise (%s): give the same command to go on "
            .. "with it"):format(plural.count(state.rows, "vector"), problem))
    end
    local stop = self.head + state.bytes
    if fs.size(self.part) < stop or crc_of(self.part, self.head, stop) ~= state.crc32c then
        refuse(self, "is damaged: its bytes are not those that the interrupted run wrote")
    end
    return state
end

--- Take the file for this process; a fault if another one has it.
local function lock(self)
    local held, answer, new = file_lock.take(self.part)
    if held == nil then
        fault.raisef("%s: cannot write: %s", self.path, fs.is_directory(fs.dirname(self.path)) and answer
            or "there is no such folder: make it, or correct --output")
    end
    if answer == "taken" then
        fault.raisef("%s: another run is writing it (%s is locked): choose another --output, or stop that run",
            self.path, self.part)
    end
    self.lock, self.new = held or nil, new
end

--- Remove what a process that was killed left of a record. Nobody else is writing one.
local function sweep(self)
    local folder, start = fs.dirname(self.state), fs.basename(self.state) .. ".tmp-"
    for _, name in ipairs(fs.list(folder) or {}) do
        if name:sub(1, #start) == start then fs.remove(fs.join(folder, name)) end
    end
end

local function begin(self, told, overwrite)
    sweep(self)
    local state = found(self, told, overwrite)
    self.told = {}
    for _, entry in ipairs(told) do self.told[entry[1]] = entry[2] end
    self.rows, self.bytes, self.crc32c, self.notes = 0, 0, 0, {}
    if state then
        self.rows, self.bytes, self.crc32c, self.notes = state.rows, state.bytes, state.crc32c, state.notes
        fault.check(storage.truncate(self.part, self.head + self.bytes))
    else
        -- First what it is, then the file: no run is to find the one without the other.
        self:record()
    end
    local file, reason = io.open(self.part, state and "r+b" or "wb")
    if not file then fault.raisef("%s: cannot write: %s", self.part, reason) end
    self.file = file
    if state then file:seek("end") else self:put(("\0"):rep(self.head)) end
end

--- Open a file, or go on with it where a run that was told the same has left it.
-- @param path FILE: none, or a plain file
-- @tparam table options head: bytes at the beginning that are written last; told: list of {name, text}, what decides
--   the bytes of the file; overwrite: begin anew in any case
-- @return Part {rows, notes: the table that the last append() was given, {} at first}
function M.open(path, options)
    local self = setmetatable({ path = path, part = path .. ".part", state = path .. ".part.json",
        head = options.head }, Part)
    lock(self)
    local ok, problem = pcall(begin, self, options.told, options.overwrite)
    if not ok then
        if self.file then self.file:close() end
        self:let_go(self.new)
        error(problem, 0)
    end
    return self
end

--- Give up the lock, and the file too if it is worth nothing.
function Part:let_go(worthless)
    if worthless then
        fs.remove(self.state)
        fs.remove(self.part)
    end
    if self.lock then self.lock:abandon() end
    self.lock = nil
end

--- Write bytes at the file's place; they don't count before record().
function Part:put(bytes)
    local ok, reason = fs.append(self.file, bytes)
    if not ok then fault.raisef("%s: cannot write: %s", self.part, reason) end
end

--- Record how much of the file counts.
function Part:record()
    fault.check(self_checksum.write(self.state, { version = VERSION, rows = self.rows, bytes = self.bytes,
        crc32c = self.crc32c, notes = self.notes, told = self.told }))
end

--- Append rows; from now on a kill does not lose them.
-- @param bytes string
-- @param rows how many they are
-- @param notes table for the run that goes on; it replaces the one before
function Part:append(bytes, rows, notes)
    self:put(bytes)
    fault.check(fs.sync(self.part))
    self.rows, self.bytes, self.notes = self.rows + rows, self.bytes + #bytes, notes
    self.crc32c = storage.crc32c(bytes, self.crc32c)
    self:record()
end

local function differ(a, b)
    if fs.size(a) ~= fs.size(b) then return true end
    return fault.check(storage.file_crc32c(a)) ~= fault.check(storage.file_crc32c(b))
end

--- All is there: the file gets its head and its name. An earlier one that differs is kept.
function Part:finish(head)
    if #head ~= self.head then error(("part: a head of %d bytes, expected %d"):format(#head, self.head), 2) end
    self.file:seek("set", 0)
    self:put(head)
    self.file:close()
    self.file = nil
    fault.check(fs.sync(self.part))
    if fs.is_file(self.path) and differ(self.path, self.part) then
        local kept, reason = aside.keep(self.path)
        if reason then fault.raise(reason) end
        if kept then term.warn(("%s was there already and differs: kept as %s"):format(self.path, kept)) end
    end
    fault.check(fs.rename(self.part, self.path))
    -- The file is whole; a record without its file means nothing to a later run.
    local removed, problem = fs.remove(self.state)
    if not removed then term.warn(problem) end
    self:let_go(false)
end

--- Something went wrong. What has been appended stays for the next run, if it can go on.
-- @param lost true: nobody can go on with it
-- @return what to say about it
function Part:abandon(lost)
    if self.file then self.file:close() end
    lost = lost or self.rows == 0
    self:let_go(lost)
    if lost then return ("nothing was written to %s"):format(self.path) end
    return ("%s %s in %s, and the same command goes on from there"):format(plural.count(self.rows, "vector"),
        self.rows == 1 and "is" or "are", self.part)
end

return M
