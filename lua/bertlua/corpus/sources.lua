--- Where a corpus comes from: the files of each variant, fetched or local.
-- @module bertlua.corpus.sources

local download = require "bertlua.util.download"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local printable = require "bertlua.printable"
local progress = require "bertlua.util.progress"
local published = require "bertlua.squad.published"
local self_checksum = require "bertlua.util.self_checksum"
local storage = require "bertlua.storage"
local text_source = require "bertlua.data.text_source"

local sources = {}

-- What variant squad fetches.
local SQUAD = { "train-v1.1.json", "dev-v1.1.json" }

--- Fetch a file, unless it is here.
-- @return its path
local function fetch(job, values, name, urls, checksum, check_present)
    local path = fs.join(job.output_dir, "download", name)
    local bar
    local fetched = download.fetch {
        path = path, urls = urls, checksum = checksum, retries = values.retries, timeout = values.timeout,
        wait = values.retry_wait, check_present = check_present or false,
        on_progress = function(received, total)
            if job.quiet then return end
            bar = bar or progress.new { total = total, label = name, unit = "bytes", start = received }
            bar:update(received)
        end,
        on_retry = function(message) io.stderr:write("download: " .. printable.text(message) .. "\n") end,
        on_wait = function(seconds) io.stderr:write(("download: trying again in %g s\n"):format(seconds)) end,
    }
    if bar then bar:finish() end
    job.present = job.present or {}
    job.present[path] = not fetched
    return path
end

local function mirrors(values, name)
    local urls = {}
    for base in values.mirrors:gmatch "[^,%s]+" do
        urls[#urls + 1] = ("%s/%swiki/%s/%s"):format(base:gsub("/+$", ""), values.language, values.dump_date, name)
    end
    if #urls == 0 then fault.raise("mirrors: empty, expected base URLs separated by commas") end
    return urls
end

--- The SHA-1 that a wiki publishes for a file of its dump.
local function published_checksum(job, values, name)
    local list = ("%swiki-%s-sha1sums.txt"):format(values.language, values.dump_date)
    local path = fetch(job, values, list, mirrors(values, list))
    for digest, file in fault.check(fs.read(path)):gmatch "(%x+)%s+(%S+)" do
        -- The checksums of "latest" list the dated name.
        if file:gsub("%-%d+%-", "-") == name:gsub("%-latest%-", "-"):gsub("%-%d+%-", "-") then
            return "sha1:" .. digest
        end
    end
    fault.raisef("%s: contains no checksum for %s", path, name)
end

local function name_in(url)
    return url:match "([^/?]+)[^/]*$"
end

--- Names of the dump and its index in the folder of downloads, as the settings have it; the latter may be nil.
local function dump_names(values)
    if values.wikipedia_url then
        return name_in(values.wikipedia_url), values.wikipedia_index_url and name_in(values.wikipedia_index_url)
    end
    local stem = ("%swiki-%s-pages-articles-multistream"):format(values.language, values.dump_date)
    return stem .. ".xml.bz2", stem .. "-index.txt.bz2"
end

--- Fetch the dump and its index.
local function fetch_wikipedia(job, values)
    local name, index = dump_names(values)
    if values.wikipedia_url then
        return fetch(job, values, name, { values.wikipedia_url }, values.checksum),
            index and fetch(job, values, index, { values.wikipedia_index_url }) or nil
    end
    local checksum = values.checksum or published_checksum(job, values, name)
    return fetch(job, values, name, mirrors(values, name), checksum), fetch(job, values, index, mirrors(values, index))
end

--- Text files below a folder, sorted: *.txt, or every regular file if there is none; with text_form, those of its
-- names first. What the preparation itself has made below it is no source.
-- @return list of paths; number of files left out
local function text_files(job, setting, folder, form)
    if not folder then fault.raisef("%s is not set: name a folder of text files", setting) end
    -- The stages of a run see the same files, and thousands of them are looked for once.
    job.texts = job.texts or {}
    if job.texts[setting] then return unpack(job.texts[setting]) end
    if fs.is_file(folder) then return { folder }, 0 end
    if fs.identity(folder) and fs.identity(folder) == fs.identity(job.output_dir) then
        fault.raisef("output_dir %s is %s: the next run would read its own files as text; name another output_dir",
            job.output_dir, setting)
    end
    local files, others
    if form == "jsonl" or form == "wikiextractor" then
        files, others = text_source.find(folder, { form = form, skip = job.output_dir })
        if #files == 0 then fault.raisef("%s: contains no files to read as %s", folder, form) end
    else
        files, others = require("bertlua.text.vocab_trainer").find_files(folder, job.output_dir)
    end
    for _, path in ipairs(files) do
        local kind = fs.kind(path)
        if kind and kind ~= "file" then
            fault.raisef("%s: not a plain file, but a %s: take it out of %s", path, kind, setting)
        end
    end
    job.texts[setting] = { files, others }
    return files, others
end

--- Stage download: fetch what the variant needs, unless it is given as a local file.
-- @return paths of the files fetched; job.present has those that were here already
function sources.download(job, values)
    if values.variant == "squad" then
        local paths = {}
        local base = (values.squad_url or published.ADDRESS):gsub("/+$", "") .. "/"
        for i, name in ipairs(SQUAD) do
            -- These are small: an existing one is checked again.
            paths[i] = fetch(job, values, name, { base .. name }, published.checksum(name), true)
        end
        return paths
    end
    if values.variant == "corpus" or values.wikipedia then return {} end
    local dump, index = fetch_wikipedia(job, values)
    return { dump, index }
end

--- The dump and its index: as set, or as left by stage download.
function sources.wikipedia(job, values)
    if values.wikipedia then return values.wikipedia, values.wikipedia_index end
    local folder = fs.join(job.output_dir, "download")
    local wanted, index = dump_names(values)
    local dumps, indexes = {}, {}
    for _, name in ipairs(fs.is_directory(folder) and fs.list(folder) or {}) do
        if name:match "index%.txt" and not name:match "%.part" then
            indexes[#indexes + 1] = name
        elseif name:match "%.xml$" or name:match "%.xml%.bz2$" then
            dumps[#dumps + 1] = name
        end
    end
    if #dumps == 0 then
        fault.raisef("%s: contains no complete dump: give --wikipedia FILE, or run stage download", folder)
    end
    local dump = wanted
    if not fs.is_file(fs.join(folder, wanted)) then
        -- One of another name will do if there is no doubt about it.
        local language = dumps[1]:match "^([%w_]+)wiki%-"
        if #dumps > 1 or language and language ~= values.language:gsub("-", "_") then
            fault.raisef("%s: has %s, but not %s: run stage download, or give --wikipedia FILE", folder,
                table.concat(dumps, ", "), wanted)
        end
        dump, index = dumps[1], #indexes == 1 and indexes[1] or nil
    end
    if values.wikipedia_index then return fs.join(folder, dump), values.wikipedia_index end
    index = index and fs.join(folder, index)
    return fs.join(folder, dump), index and fs.is_file(index) and index or nil
end

--- Files of the variant's sources, each {kind, path, index} or {kind, files, border, others: number left out}.
function sources.list(job, values)
    local list = {}
    if values.variant == "wiki_only" or values.variant == "wiki_books" then
        local dump, index = sources.wikipedia(job, values)
        list[1] = { kind = "wikipedia", path = dump, index = index }
    end
    if values.variant == "wiki_books" then
        local files, others = text_files(job, "books_dir", values.books_dir, values.text_form)
        list[#list + 1] = { kind = "books", files = files, border = "none", others = others, folder = values.books_dir }
    elseif values.variant == "corpus" then
        local files, others = text_files(job, "corpus_dir", values.corpus_dir, values.text_form)
        list[1] = { kind = "corpus", files = files, border = values.border, others = others,
            folder = values.corpus_dir }
    end
    return list
end

--- A function that says whether the settings name a path: a source file, or a folder that it lies in.
function sources.recognizer(values)
    local files, folders = {}, {}
    for _, name in ipairs { "wikipedia", "wikipedia_index" } do
        if values[name] then files[values[name]] = true end
    end
    for _, name in ipairs { "books_dir", "corpus_dir" } do
        if values[name] then
            files[values[name]] = true
            folders[#folders + 1] = (values[name]:gsub("/*$", "/"))
        end
    end
    return function(path)
        if files[path] then return true end
        for _, folder in ipairs(folders) do
            -- A line end in a name leads nowhere.
            local below = path:sub(#folder + 1):gsub("%c", "_")
            if path:sub(1, #folder) == folder and not inside.problem(below) then return true end
        end
        return false
    end
end

-- A file that changed less than so many seconds before its hash was taken may have changed again within the same
-- second.
local SETTLED = 2

--- Size and SHA-256 of source files; hashes are reused while size, inode and times stay the same.
-- @tparam table job changed_sources = set of paths whose hashes are not reused, or nil
-- @tparam table paths
-- @return list of {path, bytes, sha256}
function sources.describe(job, paths)
    local lfs = require "lfs"
    local cache_path = fs.join(job.output_dir, ".state", "sources.json")
    local cache = fs.is_file(cache_path) and self_checksum.read(cache_path) or {}
    local list, kept = {}, {}
    for i, path in ipairs(paths) do
        local is = lfs.attributes(path)
        if not is then fault.raise(path .. ": no such file") end
        local bytes, changed = is.size, ("%.0f %.0f %.0f"):format(is.modification, is.change, is.ino)
        local old = cache[path]
        local hash
        if type(old) == "table" and old.bytes == bytes and old.changed == changed
            and not (job.changed_sources and job.changed_sources[path]) then
            hash = old.sha256
        else
            -- Kept only if a later change cannot look the same.
            if math.max(is.modification, is.change) > os.time() - SETTLED then changed = nil end
            hash = fault.check(storage.file_sha256(path))
        end
        list[i] = { path = path, bytes = bytes, sha256 = hash }
        kept[path] = { bytes = bytes, changed = changed, sha256 = hash }
    end
    fault.check(fs.mkdirs(fs.dirname(cache_path)))
    fault.check(self_checksum.write(cache_path, kept))
    return list
end

return sources
