--- Stage extract for MediaWiki dumps: turns each byte range of the dump into a file of
-- plain text with one paragraph per line and a blank line between articles.
-- @module bertlua.corpus.extract

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local stage = require "bertlua.corpus.stage"

local extract = {}

-- The size of a part: small enough that its text fits in memory many times over, and independent of the number of
-- processes. Compressed bytes hold about four times as much XML.
local MAX_PART = { compressed = 8 * 1024 * 1024, plain = 32 * 1024 * 1024 }
local MIN_PART = 512 * 1024
local PARTS = 64

local function is_compressed(path)
    local file = fault.check(io.open(path, "rb"))
    local magic = file:read(3)
    file:close()
    return magic == "BZh"
end

--- The first offset of the index at or after a byte.
local function next_offset(offsets, byte)
    local low, high = 1, #offsets + 1
    while low < high do
        local middle = math.floor((low + high) / 2)
        if offsets[middle] < byte then low = middle + 1 else high = middle end
    end
    return offsets[low]
end

--- Ranges of a dump.
-- @tparam string path
-- @tparam ?string index of a multistream dump: parts then start where streams do
-- @tparam string prefix of the parts' names
-- @return list of parts for bertlua.corpus.stage
function extract.parts(path, index, prefix)
    local size = fs.size(path)
    if not size then fault.raise(path .. ": no such file; --wikipedia must name a MediaWiki dump, .xml or .xml.bz2") end
    if size == 0 then fault.raise(path .. ": the file is empty") end
    local offsets = index and fault.check(corpus.read_index(index))
    if offsets and offsets[#offsets] >= size then
        fault.raisef("%s: lists a stream at byte %d, but %s has %d bytes: they do not belong together, or the dump "
            .. "is incomplete", index, offsets[#offsets], path, size)
    end
    local limit = MAX_PART[is_compressed(path) and "compressed" or "plain"]
    local step = math.min(limit, math.max(MIN_PART, math.ceil(size / PARTS)))
    local parts, first = {}, 0
    while first < size do
        local stop = math.min(first + step, size)
        -- Don't make a separate part of a small remainder.
        if size - stop < step / 4 then stop = size end
        if offsets and stop < size then stop = next_offset(offsets, stop) or size end
        parts[#parts + 1] = {
            name = ("%s-%05d"):format(prefix, #parts), path = path, first = first, stop = stop, size = stop - first,
        }
        first = stop
    end
    return parts
end

--- Text of the articles in a range.
-- @param add function called with the text, piece by piece
-- @tparam table site of extract.site
-- @return counts {pages, documents, redirects, disambiguations, other}
function extract.range(path, first, stop, site, add, report)
    local dump = fault.check(corpus.open_dump(path, first, stop))
    local converter = corpus.wikitext(site.namespaces, site.language)
    local counts = { pages = 0, documents = 0, redirects = 0, disambiguations = 0, other = 0 }
    local function count(field) counts[field] = counts[field] + 1 end
    while true do
        local page, message = dump:next()
        if page == nil then fault.raise(message) end
        if not page then break end
        local bytes = tonumber(page.text_bytes)
        count "pages"
        if page.ns ~= 0 or page.wikitext == 0 then
            count "other"
        elseif page.redirect ~= 0 or converter:is_redirect(page.text, bytes) then
            count "redirects"
        elseif converter:is_disambiguation(page.title, page.text, bytes) then
            count "disambiguations"
        else
            local prose = converter:convert(page.text, bytes)
            if prose ~= "" then
                add(prose)
                add "\n"
                count "documents"
            end
        end
        if report then report(math.max(0, math.min(dump:position(), stop) - first)) end
    end
    dump:close()
    return counts
end

--- What a dump says of its wiki, for the local names of files, categories and templates.
-- @tparam string path
-- @tparam ?string language of the corpus: counts where the dump does not say, or where it names a variant of the
--   dump's (zh-tw), whose texts are then taken from -{ }-
-- @treturn table namespaces, language
function extract.site(path, language)
    local dump = fault.check(corpus.open_dump(path))
    local site = { namespaces = dump:namespaces(), language = dump:language() }
    dump:close()
    if language and (site.language == "" or language:match "^[^-]+" == site.language) then site.language = language end
    return site
end

--- One line that says what is lost because a wiki's own templates are not known; nil if they are.
function extract.unknown_templates(site)
    local known = corpus.template_languages()
    local base = site.language:match "^[^-]*"
    if base == "simple" then return nil end
    for _, code in ipairs(known) do
        if code == base then return nil end
    end
    return ("templates: those of the Wikipedias %s are known, the dump is in %s; where others write a date or "
        .. "a number, a sentence has a gap"):format(table.concat(known, ", "),
        site.language == "" and "an unnamed language" or site.language)
end

--- Bytes that a process needs for a part of a dump of any size: several times its largest page.
function extract.memory()
    return 96 * 2 ^ 20
end

--- Lower bound on a dump's bytes of text, from its size: the English Wikipedia has 1.5 times its bz2.
function extract.least_text(path)
    return (fs.size(path) or 0) * (is_compressed(path) and 0.5 or 0.1)
end

--- What a file made from a part says about its source, for the manifest.
function extract.origin(part)
    return { source = part.path, first = part.first, stop = part.stop }
end

--- The function that makes one part, for bertlua.corpus.stage.
function extract.run(job, folder, site)
    return function(part, report)
        local path, counts = fs.join(folder, part.name .. ".txt"), nil
        local written = stage.write_text(path, function(add)
            counts = extract.range(part.path, part.first, part.stop, site, add, report)
        end)
        local record = { files = {}, pages = counts.pages, redirects = counts.redirects,
            disambiguations = counts.disambiguations, other = counts.other }
        if written then
            local described = extract.origin(part)
            described.documents = counts.documents
            record.files[1] = stage.describe(job, path, described)
        end
        return record
    end
end

return extract
