--- Parameter files, whatever program wrote them: recognised by their first bytes,
-- opened with the interface of storage.File (names, info, read, metadata, close).
--
--   safetensors       bertlua's and Hugging Face's, including a *.index.json over several
--   zip               PyTorch's torch.save (data.pkl and storages), numpy.savez (*.npy)
--   pickle            PyTorch's before 1.6, Paddle's .pdparams (numpy arrays in a dictionary)
-- @module bertlua.weights.formats

local ByteReader = require "bertlua.weights.byte_reader"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local json = require "bertlua.util.json"
local npy = require "bertlua.weights.npy"
local objects = require "bertlua.weights.objects"
local pickle = require "bertlua.weights.pickle"
local source = require "bertlua.weights.source"
local storage = require "bertlua.storage"
local zip = require "bertlua.weights.zip"

local formats = {}

-- What torch.save's old format starts with: a pickle of its magic number, in protocol 0 and 1 as text, from 2 on as ten
-- bytes, from 4 on in a frame whose length takes eight bytes.
local TORCH_MAGIC = "\138\10\108\252\156\70\249\32\106\168\80\25."
local TORCH_MAGIC_TEXT = "L119547037146038801333356L\n."
local TORCH_VERSION = 1001

local A_MODEL = "expected a folder with config.json and model.safetensors, or beside a config.json a file of "
    .. "parameters (.safetensors, .bin, .pdparams, .npz)"

-- An index of ten thousand tensors has 1 MiB.
local MOST_INDEX_BYTES = 32 * 2 ^ 20

--- Bytes of that pickle in the first bytes of a file; nil if it has none.
local function torch_magic_length(head)
    if head:sub(1, #TORCH_MAGIC_TEXT) == TORCH_MAGIC_TEXT then return #TORCH_MAGIC_TEXT end
    local protocol = head:byte(2)
    if head:byte(1) ~= 128 or not protocol or protocol < 2 or protocol > 5 then return nil end
    local before = head:byte(3) == 0x95 and 11 or 2
    return head:sub(before + 1, before + #TORCH_MAGIC) == TORCH_MAGIC and before + #TORCH_MAGIC or nil
end

local function text_of_member(path, member, limit)
    local offset, length = zip.locate(path, member)
    local reader = ByteReader.open(path, offset, length)
    local text = reader:bytes(math.min(length, limit))
    reader:close()
    return text
end

--- A pickle of torch.save's, whose storages lie outside it.
-- @param resolve function(machine, store) -> store with its offset, now or later
local function load_torch(reader, resolve)
    return (pickle.load(reader, { globals = objects.globals,
        persistent = function(machine, id) return resolve(machine, objects.torch_storage(machine, id)) end,
        persistent_text = function(machine, text)
            return resolve(machine, objects.torch_storage_text(machine, text))
        end,
    }))
end

--- torch.save's zip: FOLDER/data.pkl, whose storages are FOLDER/data/KEY.
local function open_torch_zip(path, members, pickle_name)
    local folder = pickle_name:gsub("data%.pkl$", "")
    local order = members[folder .. "byteorder"]
    if order and text_of_member(path, order, 16) ~= "little" then
        fault.raisef("%s: its numbers are not little-endian: save it on another machine", path)
    end
    local offset, length = zip.locate(path, members[pickle_name])
    local reader = ByteReader.open(path, offset, length)
    -- Tensors may share a storage; its checksum is compared once, however often the pickle names it.
    local located = {}
    local function resolve(machine, store)
        local member = members[folder .. "data/" .. store.key]
        if not member then machine:broken("storage " .. pickle.printable(store.key) .. " is missing") end
        located[member] = located[member] or { zip.locate(path, member) }
        local bytes
        store.offset, bytes = located[member][1], located[member][2]
        if bytes < store.bytes then machine:broken("storage " .. pickle.printable(store.key) .. " is too short") end
        return store
    end
    local value = load_torch(reader, resolve)
    reader:close()
    local entries = source.from_pickle(path, value)
    source.check(path, entries, reader.size)
    return source.new(path, entries)
end

--- torch.save before 1.6: pickles of magic number, version, machine, object, storage keys; then the storages.
local function open_torch_legacy(path, magic_length)
    local reader = ByteReader.open(path)
    reader:skip(magic_length)
    local options = { globals = objects.globals }
    local version = pickle.load(reader, options)
    if version ~= TORCH_VERSION then
        fault.raisef("%s: version %s of torch.save's old format, expected %d", path, tostring(version), TORCH_VERSION)
    end
    local machine = pickle.load(reader, options)
    if type(machine) == "table" and machine.map and machine.map.little_endian ~= true then
        fault.raisef("%s: its numbers are not little-endian: save it on another machine", path)
    end
    local stores = {}
    local value = load_torch(reader, function(vm, store)
        local same = stores[store.key]
        if same and (same.dtype ~= store.dtype or same.bytes ~= store.bytes) then
            vm:broken("storage " .. pickle.printable(store.key) .. " has two types")
        end
        stores[store.key] = same or store
        return stores[store.key]
    end)
    local keys = pickle.load(reader, options)
    if type(keys) ~= "table" or keys.kind ~= "list" then fault.raisef("%s: broken: no list of storages", path) end
    for _, key in ipairs(keys) do
        local store = type(key) == "table" and stores[key.value or false]
        if not store then fault.raisef("%s: broken: contains a storage that nothing refers to", path) end
        local count = reader:unsigned(8)
        if count * objects.BYTES[store.dtype] ~= store.bytes then
            fault.raisef("%s: broken: storage %s has %.0f elements, expected %.0f", path,
                pickle.printable(store.key), count, store.bytes / objects.BYTES[store.dtype])
        end
        store.offset = reader.position
        reader:skip(store.bytes)
    end
    reader:close()
    for key, store in pairs(stores) do
        if not store.offset then fault.raisef("%s: truncated: storage %s is missing", path, pickle.printable(key)) end
    end
    local entries = source.from_pickle(path, value)
    source.check(path, entries, reader.size)
    return source.new(path, entries)
end

--- A dictionary of numpy arrays, as written by paddle.save and paddle.static.save.
local function open_pickle(path)
    local reader = ByteReader.open(path)
    local entries = source.from_pickle(path, pickle.load(reader, { globals = objects.globals }))
    reader:close()
    for _, entry in pairs(entries) do
        -- numpy has no bfloat16; Paddle keeps its bits in uint16.
        if entry.dtype == "U16" then entry.dtype = "BF16" end
        -- Bytes written as text take one or two bytes each; how many is only known by reading them.
        if not entry.storage.latin1 then source.check(path, { [""] = entry }, reader.size) end
    end
    return source.new(path, entries)
end

--- One stored array.
local function read_npy(path, member)
    local offset, length = zip.locate(path, member)
    local reader = ByteReader.open(path, offset, length)
    local entry = npy.entry(reader, path, member.name)
    reader:close()
    return entry
end

local function open_zip(path)
    local members, names = zip.open(path)
    local arrays = {}
    for _, name in ipairs(names) do
        if name == "data.pkl" or name:match "^[^/]+/data%.pkl$" then return open_torch_zip(path, members, name) end
        local array = name:match "^(.*)%.npy$"
        if array then arrays[array] = members[name] end
    end
    if not next(arrays) then
        fault.raisef("%s: a zip archive with neither a PyTorch data.pkl nor numpy arrays", path)
    end
    for name, member in pairs(arrays) do arrays[name] = read_npy(path, member) end
    return source.new(path, arrays)
end

--- Several files listed by an index ({"weight_map": {tensor: file}}).
function formats.open_index(path)
    local index = fault.check(json.read(path, MOST_INDEX_BYTES))
    local map = type(index) == "table" and index.weight_map
    if type(map) ~= "table" then fault.raisef("%s: contains no weight_map", path) end
    local seen, names = {}, {}
    for _, name in pairs(map) do
        if not inside.is_name(name) or name:find "\\" or name:sub(1, 1) == "." then
            fault.raisef("%s: %s is not the name of a file in the same folder", path, pickle.printable(tostring(name)))
        end
        -- Itself, for example.
        if name:find "%.index%.json$" then
            fault.raisef("%s: %s is an index too, not a file of parameters", path, pickle.printable(name))
        end
        if not seen[name] then
            seen[name] = true
            names[#names + 1] = name
        end
    end
    table.sort(names)
    local files = {}
    for i, name in ipairs(names) do
        local part = fs.join(fs.dirname(path), name)
        if not fs.is_file(part) then fault.raisef("%s: missing, but listed in %s", part, fs.basename(path)) end
        files[i] = formats.open(part)
    end
    local joined = source.join(path, files)
    for tensor in pairs(map) do
        if not joined:info(tensor) then
            fault.raisef("%s: %s is not in any of the files", path, pickle.printable(tostring(tensor)))
        end
    end
    return joined
end

local function head_of(path)
    local reader = ByteReader.open(path)
    local head = reader:bytes(math.min(64, reader.size))
    reader:close()
    if head == "" then fault.raisef("%s: the file is empty", path) end
    return head
end

--- Whether a file's first bytes are those of a text, such as a table of the data or a page that says why there was no
-- download. A safetensors file begins with a length of eight bytes, of which the last are zero.
local function is_text(head)
    return not head:find "[%z\1-\8\14-\26\28-\31\127]"
end

--- What reads a file: a function of its path and first bytes; nil for safetensors. A fault that says what the file is
-- if it is something else.
local function reader_of(path, head)
    if head:sub(1, 4) == "PK\3\4" or head:sub(1, 4) == "PK\5\6" then return open_zip end
    if torch_magic_length(head) then return open_torch_legacy end
    if head:find "^\128[\2-\5]" then return open_pickle end
    if head:find "^version https://git%-lfs" then
        fault.raisef("%s: a Git LFS pointer, not the file itself: fetch it with git lfs pull", path)
    end
    if head:find "^\137HDF\r\n" then
        fault.raisef("%s: an HDF5 file: convert it to safetensors or .npz first", path)
    end
    -- Protocols 0 and 1 have no magic number; no program writes parameters in them any more, so rely on the name.
    if path:find "%.pdparams$" or path:find "%.pkl$" or path:find "%.bin$" or path:find "%.pt$" then
        return open_pickle
    end
    if is_text(head) then
        if path:find "%.safetensors$" then
            fault.raisef("%s: a text, not a safetensors file: fetch it again", path)
        end
        fault.raisef("%s: a text, not a model: %s", path, A_MODEL)
    end
    return nil
end

--- A safetensors file; a fault that says what a model is where the name does not say so.
local function open_safetensors(path)
    local file, message = storage.open(path)
    if file then return file end
    if not path:find "%.safetensors$" and message:find(": not a safetensors file", 1, true) then
        fault.raisef("%s: not a model: %s", path, A_MODEL)
    end
    fault.raise(message)
end

--- Refuse a file that holds no parameters by its first bytes, before anything is made of it.
function formats.check(path)
    if path:find "%.index%.json$" or reader_of(path, head_of(path)) then return end
    open_safetensors(path):close()
end

--- Open a parameter file; a fault that says what the file is if it is something else.
function formats.open(path)
    if path:find "%.index%.json$" then return formats.open_index(path) end
    local head = head_of(path)
    local open = reader_of(path, head) or open_safetensors
    return open(path, torch_magic_length(head))
end

return formats
