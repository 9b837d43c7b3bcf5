--- From a dump or a folder of text to HDF5 shards: the stages in order, each
-- with its folder, its key and its summary line.
--
-- Under output_dir: download/, text/*.txt (one paragraph per line), sentences/*.txt
-- (one sentence per line), shards/{training,test}_NNNN.txt, vocab.txt,
-- hdf5/seqS_predP/{training,test}_NNNN.hdf5, manifest.json.
-- @module bertlua.corpus.pipeline

local asked = require "bertlua.corpus.asked"
local extract = require "bertlua.corpus.extract"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local languages = require "bertlua.corpus.languages"
local limits = require "bertlua.corpus.limits"
local manifest = require "bertlua.corpus.manifest"
local plain = require "bertlua.corpus.plain"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local process = require "bertlua.process"
local rebuild = require "bertlua.corpus.rebuild"
local remarks = require "bertlua.corpus.remarks"
local sample_checks = require "bertlua.data.sample_checks"
local samples = require "bertlua.corpus.samples"
local sentences = require "bertlua.corpus.sentences"
local shards = require "bertlua.corpus.shards"
local sources = require "bertlua.corpus.sources"
local stage = require "bertlua.corpus.stage"
local streamed = require "bertlua.corpus.streamed"
local text_source = require "bertlua.data.text_source"
local text_stream = require "bertlua.text_stream"
local vocab_trainer = require "bertlua.text.vocab_trainer"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local pipeline = {}

-- Incremented when a stage's output changes for the same settings, which invalidates older parts.
local FORMAT = 4

local function print_line(job, name, text)
    if not job.quiet then
        io.stdout:write(("%-10s %s\n"):format(name, printable.text(text)))
        io.stdout:flush()
    end
end

--- Write a line as a warning, if there is one.
local function warn(line)
    if line then io.stderr:write("warning: " .. printable.text(line) .. "\n") end
end

local function rate(bytes, seconds)
    return ("%.1f MB in %.1f s, %.2f MB/s"):format(bytes / 1e6, seconds, bytes / 1e6 / math.max(seconds, 1e-9))
end

local function note_kept(kept, parts)
    return kept > 0 and ("; %d of %d parts were already done"):format(kept, parts) or ""
end

local function run_stage(job, name, settings, files, options)
    options.name = name
    local parts = {}
    for i, part in ipairs(options.parts) do parts[i] = ("%s %d"):format(part.name, part.size) end
    options.key = { format = FORMAT, settings = settings, inputs = files, parts = json.array(parts) }
    options.on_rebuild = function(reason)
        if reason then print_line(job, name, "made again: " .. reason) end
        options.again = true
        manifest.drop_stage(job.output_dir, name)
    end
    local records, kept, seconds, worked = stage.run(job, options)
    -- A part that was kept may have been read from a file of another name.
    for i, part in ipairs(options.origin and options.parts or {}) do
        for _, file in ipairs(records[i].files) do
            for field, value in pairs(options.origin(part)) do file[field] = value end
        end
    end
    local made = stage.files(records)
    manifest.set_stage(job.output_dir, name, settings, made)
    if not options.only then warn(remarks.strangers(job, name, options.folder, made)) end
    return { files = made, records = records, kept = kept, seconds = seconds, worked = worked, parts = #options.parts,
        all = options.parts, again = options.again }
end

--- How a user of a variant tells where documents end.
local function border_hint(values)
    if values.variant ~= "corpus" then return "more or other text is needed" end
    return ("is --border %s right? (line: each line is a document; blank: blank lines separate them; heading: "
        .. "wikitext headings; none: each file is one)"):format(values.border)
end

local runners = {}

function runners.download(job, values)
    local paths = sources.download(job, values)
    local list = {}
    for i, path in ipairs(paths) do
        list[i] = path .. (job.present[path] and " (was here; remove it to fetch it anew)" or "")
    end
    print_line(job, "download", #list > 0 and table.concat(list, ", ") or "nothing to fetch: the sources are local")
    if values.variant == "squad" then manifest.set_sources(job.output_dir, sources.describe(job, paths)) end
end

--- Before anything has been made: check the sources against a checksum. Later: check every file against the manifest.
function runners.verify(job, values)
    local value = manifest.read(job.output_dir)
    if values.variant ~= "squad" and next(value.stages) == nil then
        local checked = 0
        for _, source in ipairs(sources.list(job, values)) do
            if source.path and values.checksum then
                local good, found = require("bertlua.util.download").matches(source.path, values.checksum)
                if not good then
                    fault.raisef("%s: checksum is %s, expected %s", source.path, found, values.checksum)
                end
                checked = checked + 1
            end
        end
        print_line(job, "verify", checked > 0 and "the dump matches its checksum"
            or "no checksum given; the stages check each source as they read it")
        return
    end
    job.is_source = sources.recognizer(values)
    local files, bytes, left_out, changed, missing = manifest.verify(job)
    job.changed_sources = {}
    for _, path in ipairs(changed) do job.changed_sources[path] = true end
    local but = {}
    if #changed > 0 then but[1] = plural.count(#changed, "changed source") end
    if #missing > 0 then
        but[#but + 1] = ("%s, to be made again (%s)"):format(plural.count(#missing, "missing file"), missing[1])
    end
    print_line(job, "verify", ("%d files, %.1f MB: all match the manifest%s%s"):format(files, bytes / 1e6,
        #but > 0 and " but " .. table.concat(but, ", ") or "",
        left_out > 0 and ("; %s outside of it not checked: name them as when they were read"):format(
            plural.count(left_out, "source")) or ""))
end

--- Stage extract: prose of the sources.
function runners.extract(job, values)
    local folder = fs.join(job.output_dir, "text")
    local parts, paths, site = {}, {}, nil
    for _, source in ipairs(sources.list(job, values)) do
        local list
        if source.kind == "wikipedia" then
            list = extract.parts(source.path, source.index, "wikipedia")
            site = extract.site(source.path, values.language)
            local unknown = extract.unknown_templates(site)
            if unknown then print_line(job, "extract", unknown) end
            paths[#paths + 1] = source.path
            paths[#paths + 1] = source.index
        else
            local kinds
            list, kinds = plain.parts(source.files, source.border, source.kind, streamed.reading(values))
            for _, line in ipairs(text_source.told(kinds)) do print_line(job, "input", line) end
            if source.others > 0 then
                print_line(job, "input", ("%s in %s not read: only text is (by its name)"):format(
                    plural.count(source.others, "other file"), source.folder))
            end
            for _, path in ipairs(source.files) do paths[#paths + 1] = path end
        end
        for _, part in ipairs(list) do
            part.kind = source.kind
            parts[#parts + 1] = part
        end
    end
    local described = sources.describe(job, paths)
    local changes = rebuild.sources_text(manifest.read(job.output_dir).sources, described)
    local books = plain.run(job, folder, streamed.reading(values))
    local run = { wikipedia = extract.run(job, folder, site), books = books, corpus = books }
    local settings = streamed.key(values)
    settings.variant, settings.border, settings.invalid_utf8 = values.variant, values.border, values.invalid_utf8
    settings.wiki = site and site.language
    local done = run_stage(job, "extract", settings,
        stage.hashes(described), {
            folder = folder, parts = parts, inputs_text = changes and "sources " .. changes,
            origin = function(part) return (part.kind == "wikipedia" and extract or plain).origin(part) end,
            memory = function(part) return (part.kind == "wikipedia" and extract or plain).memory(part) end,
            run = function(part, report) return run[part.kind](part, report) end,
        })
    manifest.set_sources(job.output_dir, described)
    if changes and not done.again then
        print_line(job, "extract", ("sources %s: with the same text"):format(changes))
    end
    if #done.files == 0 then
        fault.raisef("%s: contains no articles or text: the corpus is empty", paths[1] or "sources")
    end
    local articles, text = stage.sum(done.files, "documents"), stage.sum(done.files, "bytes")
    local pages = stage.sum(done.records, "pages")
    local replaced = stage.sum(done.records, "replaced")
    if replaced > 0 then
        warn(("invalid UTF-8: %s replaced by U+FFFD"):format(plural.count(replaced, "byte")))
    end
    local silent = remarks.silent(described, done.records)
    if silent then print_line(job, "extract", silent) end
    print_line(job, "extract", ("%s%s, %.1f MB of text; read %s%s"):format(
        pages > 0 and plural.count(pages, "page") .. ", " or "", plural.count(articles, "document"), text / 1e6,
        rate(done.worked, done.seconds), note_kept(done.kept, done.parts)))
end

--- Stage sentences: one sentence per line.
function runners.sentences(job, values)
    local files = manifest.files(job.output_dir, "extract", "sentences")
    local folder = fs.join(job.output_dir, "sentences")
    local language = languages.locale(values.language, values.locale)
    local done = run_stage(job, "sentences", { language = language }, stage.hashes(files), {
        folder = folder, parts = sentences.parts(files), run = sentences.run(job, folder, language),
        memory = sentences.memory,
    })
    local kept = stage.sum(done.files, "documents")
    local lost = stage.sum(files, "documents") - kept
    print_line(job, "sentences", ("%s in %s%s; %s%s"):format(plural.count(stage.sum(done.files, "sentences"),
        "sentence"), plural.count(kept, "document"), lost > 0 and (", %d without any left out"):format(lost) or "",
        rate(done.worked, done.seconds),
        note_kept(done.kept, done.parts)))
end

--- Stage shard: documents dealt to training and test shards.
function runners.shard(job, values)
    local files = manifest.files(job.output_dir, "sentences", "shard")
    local folder = fs.join(job.output_dir, "shards")
    local settings = { shards = values.shards, test_share = values.test_share, seed = values.seed }
    local plan, parts = shards.plan(job, files, settings)
    local done = run_stage(job, "shard", settings, stage.hashes(files), {
        folder = folder, parts = parts, run = shards.run(job, folder, plan), memory = shards.memory,
        memory_hint = "use more shards, or raise memory_limit",
    })
    local spread = shards.spread(done.files)
    print_line(job, "shard", ("%d training and %d test shards, sizes within %.2f %%; %s%s"):format(plan.training,
        plan.test, spread * 100, rate(done.worked, done.seconds), note_kept(done.kept, done.parts)))
    local single = 0
    for _, file in ipairs(done.files) do
        if file.documents == 1 then single = single + 1 end
    end
    local counts = plan.documents:counts()
    local lines = sample_checks.documents({ documents = counts.documents, single = single, shards = #done.files,
        repeated = counts.repeated }, { border = border_hint(values) })
    if counts.documents > 1 then
        lines[#lines + 1] = sample_checks.held_out(values.test_share, counts.test_documents, counts.documents,
            "document", "they are chosen by a hash of their text; more documents come closer")
    end
    for _, line in ipairs(lines) do warn(line) end
    if spread > shards.TOLERANCE then
        warn(("the training shards differ in size by %.1f %%: some documents are larger than a shard; use fewer "
            .. "shards or smaller documents"):format(spread * 100))
    end
end

--- The shards that a vocabulary is learned from.
local function training_shards(files)
    local training = {}
    for _, file in ipairs(files) do
        if fs.basename(file.path):match "^training" then training[#training + 1] = file end
    end
    return training
end

--- Stage vocab: a WordPiece vocabulary of the training shards.
function runners.vocab(job, values)
    local files = manifest.files(job.output_dir, "shard", "vocab")
    local settings = { vocab_size = values.vocab_size, do_lower_case = values.do_lower_case,
        min_frequency = values.min_frequency, alphabet_limit = values.alphabet_limit,
        memory_limit = values.memory_limit }
    local training = training_shards(files)
    local bytes = stage.sum(training, "bytes")
    local target = fs.join(job.output_dir, "vocab.txt")
    local done = run_stage(job, "vocab", settings, stage.hashes(training), {
        folder = job.output_dir, only = "vocab.txt", parts = { { name = "vocab", size = bytes } },
        run = function(_, report)
            local paths, read = {}, 0
            for i, file in ipairs(training) do paths[i] = fs.join(job.output_dir, file.path) end
            local tokens, stats = vocab_trainer.train {
                files = paths, vocab_size = settings.vocab_size, do_lower_case = settings.do_lower_case,
                min_frequency = settings.min_frequency, alphabet_limit = settings.alphabet_limit, output_file = target,
                memory_limit = job.memory_limit, scratch_folder = job.output_dir,
                on_read = function(more)
                    read = read + more
                    report(read)
                end,
            }
            return { notes = json.array(vocab_trainer.notes(stats, settings)),
                files = { stage.describe(job, target, { tokens = #tokens }) } }
        end,
    })
    print_line(job, "vocab", ("%d tokens in %s; %s%s"):format(done.files[1].tokens, target,
        rate(done.worked, done.seconds), note_kept(done.kept, done.parts)))
    for _, note in ipairs(done.records[1].notes) do warn("vocab: " .. note) end
end

--- The vocabulary to use: as set, or the one stage vocab has made.
local function vocabulary(job, values)
    if values.vocab_file then return values.vocab_file end
    local stages = manifest.read(job.output_dir).stages
    if not stages.vocab then
        fault.raise("vocab_file is not set: name a WordPiece vocabulary, or add stage vocab to learn one")
    end
    return fs.join(job.output_dir, manifest.files(job.output_dir, "vocab", "hdf5")[1].path)
end

--- Stage hdf5: samples for pre-training.
function runners.hdf5(job, values)
    local files = manifest.files(job.output_dir, "shard", "hdf5")
    local folder, sets = fs.join(job.output_dir, "hdf5"), samples.sets(values.sets)
    local vocab_file = vocabulary(job, values)
    local settings = { sets = values.sets, do_lower_case = values.do_lower_case, seed = values.seed,
        masked_lm_prob = values.masked_lm_prob, short_seq_prob = values.short_seq_prob,
        dupe_factor = values.dupe_factor, gzip = values.gzip,
        vocabulary = vocabulary_file.identity(vocab_file, values.do_lower_case) }
    if not values.vocab_file then warn(remarks.stale_vocabulary(job, training_shards(files))) end
    local made = { vocab_file = vocab_file,
        tokenizer = require("bertlua.text.tokenizer").load(vocab_file, { do_lower_case = values.do_lower_case }) }
    for name, value in pairs(settings) do made[name] = value end
    local done = run_stage(job, "hdf5", settings, stage.hashes(files), {
        folder = folder, parts = samples.parts(files, sets),
        run = samples.run(job, folder, made),
        memory = samples.memory(values), memory_hint = "use more shards, or raise memory_limit",
    })
    print_line(job, "hdf5", ("%d samples, %.1f MB in %d files; text %s%s"):format(stage.sum(done.files, "samples"),
        stage.sum(done.files, "bytes") / 1e6, #done.files, rate(done.worked, done.seconds),
        note_kept(done.kept, done.parts)))
    local told = {}
    for _, set in ipairs(sets) do
        for _, line in ipairs(samples.warnings(set, done.all, done.records, settings, { border = border_hint(values),
            named = stage.sum(files, "documents") == 1 })) do
            if not told[line] then warn(set.folder .. ": " .. line) end
            told[line] = true
        end
    end
end

--- Report what is known to be wrong before hours of work.
local function check(job, values, stages, given)
    local wanted = {}
    for _, name in ipairs(stages) do wanted[name] = true end
    for _, line in ipairs(asked.unused(values, given, wanted)) do warn(line) end
    if values.checksum then require("bertlua.util.download").checksum(values.checksum) end
    if values.variant == "squad" then return end
    languages.locale(values.language, values.locale)
    if values.encoding then fault.check(text_stream.check_encoding(values.encoding)) end
    if wanted.extract then
        local variant = values.variant
        if variant ~= "corpus" and values.wikipedia and not fs.is_file(values.wikipedia) then
            fault.raisef("%s: no such file; --wikipedia must name a MediaWiki dump, .xml or .xml.bz2", values.wikipedia)
        end
        if variant == "wiki_books" and not values.books_dir then
            fault.raise("books_dir is not set: name a folder of books, one .txt file each")
        elseif variant == "wiki_books" and not fs.exists(values.books_dir) then
            fault.raise(values.books_dir .. ": no such folder; --books-dir must name a folder of books")
        end
    end
    if wanted.hdf5 then
        samples.sets(values.sets)
        if values.vocab_file then
            require("bertlua.paths").check_vocabulary(values.vocab_file)
            require("bertlua.text.tokenizer").load(values.vocab_file, { do_lower_case = values.do_lower_case })
        elseif not wanted.vocab and not manifest.read(values.output_dir).stages.vocab then
            fault.raise("vocab_file is not set: name a WordPiece vocabulary, or add stage vocab before hdf5")
        end
    end
    limits.check(job, values, wanted)
end

--- Set of the stages after one that build something.
local function coming(values, stages, at)
    local set = {}
    if values.variant ~= "squad" then
        for i = at + 1, #stages do set[stages[i]] = true end
    end
    return set
end

--- Run the stages.
-- @tparam table values settings of bertlua.jobs.corpus.prepare
-- @tparam ?table given which of them the command line names: see bertlua.corpus.asked
-- @return the manifest
function pipeline.run(values, given)
    if not values.output_dir then fault.raise("output_dir is not set: name the folder for the corpus") end
    local workers = values.num_workers > 0 and values.num_workers or process.processors()
    local memory, lowered = process.memory_within(values.memory_limit * 2 ^ 20)
    local job = { output_dir = values.output_dir:gsub("(.)/+$", "%1"), num_workers = workers, quiet = values.quiet,
        memory_limit = memory }
    if lowered then print_line(job, "memory", lowered) end
    local stages = asked.stages(values.stages)
    check(job, values, stages, given or {})
    fault.check(fs.mkdirs(job.output_dir))
    for _, folder in ipairs { ".", ".state", "download" } do stage.sweep(fs.join(job.output_dir, folder)) end
    for i, name in ipairs(stages) do
        job.coming = coming(values, stages, i)
        if values.variant == "squad" and name ~= "download" and name ~= "verify" then
            print_line(job, name, "nothing to do: SQuAD is used as it is")
        else
            runners[name](job, values)
        end
        -- Workers are forks: what they share with this process counts towards their peaks too, so keep it small.
        collectgarbage()
    end
    local own, child = process.memory_peak()
    print_line(job, "memory", ("peak %.0f MB in the main process, %.0f MB in the largest of %s"):format(own / 1e6,
        child / 1e6, plural.count(workers, "worker")))
    local together = own + (job.most_processes or 1) * child
    print_line(job, "", ("at most %.0f MB together, limit %.0f MB"):format(together / 1e6, job.memory_limit / 1e6))
    return manifest.read(job.output_dir)
end

return pipeline
