--- From a dump or a folder of text to HDF5 shards: the stages in order, each
-- with its folder, its key and its summary line.
--
-- Under output_dir: download/, text/*.txt (one paragraph per line), sentences/*.txt
-- (one sentence per line), shards/{training,test}_NNNN.txt, vocab.txt,
-- hdf5/seqS_predP/{training,test}_NNNN.hdf5, manifest.json.
-- @module bertlua.corpus.pipeline

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
local samples = require "bertlua.corpus.samples"
local sentences = require "bertlua.corpus.sentences"
local shards = require "bertlua.corpus.shards"
local sources = require "bertlua.corpus.sources"
local stage = require "bertlua.corpus.stage"
local vocab_trainer = require "bertlua.text.vocab_trainer"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local pipeline = {}

pipeline.STAGES = { "download", "verify", "extract", "sentences", "shard", "vocab", "hdf5" }

-- Incremented when a stage's output changes for the same settings, which invalidates older parts.
local FORMAT = 3

local function print_line(job, name, text)
    if not job.quiet then
        io.stdout:write(("%-10s %s\n"):format(name, printable.text(text)))
        io.stdout:flush()
    end
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
    local records, kept, seconds, worked = stage.run(job, options)
    local made = stage.files(records)
    manifest.set_stage(job.output_dir, name, settings, made)
    return { files = made, records = records, kept = kept, seconds = seconds, worked = worked, parts = #options.parts }
end

local runners = {}

function runners.download(job, values)
    local paths = sources.download(job, values)
    print_line(job, "download", #paths > 0 and table.concat(paths, ", ") or "nothing to fetch: the sources are local")
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
    local files, bytes, left_out = manifest.verify(job)
    print_line(job, "verify", ("%d files, %.1f MB: all match the manifest%s"):format(files, bytes / 1e6,
        left_out > 0 and ("; %s outside of it not checked: name them as when they were read"):format(
            plural.count(left_out, "source")) or ""))
end

--- Stage extract: prose of the sources.
function runners.extract(job, values)
    local folder = fs.join(job.output_dir, "text")
    local parts, paths, namespaces = {}, {}, ""
    for _, source in ipairs(sources.list(job, values)) do
        local list
        if source.kind == "wikipedia" then
            list = extract.parts(source.path, source.index, "wikipedia")
            namespaces = extract.namespaces(source.path)
            paths[#paths + 1] = source.path
            paths[#paths + 1] = source.index
        else
            list = plain.parts(source.files, source.border, source.kind)
            for _, path in ipairs(source.files) do paths[#paths + 1] = path end
        end
        for _, part in ipairs(list) do
            part.kind = source.kind
            parts[#parts + 1] = part
        end
    end
    local described = sources.describe(job, paths)
    local books = plain.run(job, folder, values.invalid_utf8)
    local run = { wikipedia = extract.run(job, folder, namespaces), books = books, corpus = books }
    local done = run_stage(job, "extract", { variant = values.variant, border = values.border,
        invalid_utf8 = values.invalid_utf8 },
        stage.hashes(described), {
            folder = folder, parts = parts,
            memory = function(part) return (part.kind == "wikipedia" and extract or plain).memory(part) end,
            run = function(part, report) return run[part.kind](part, report) end,
        })
    manifest.set_sources(job.output_dir, described)
    if #done.files == 0 then
        fault.raisef("%s: contains no articles or text: the corpus is empty", paths[1] or "sources")
    end
    local articles, text = stage.sum(done.files, "documents"), stage.sum(done.files, "bytes")
    local pages = stage.sum(done.records, "pages")
    local replaced = stage.sum(done.records, "replaced")
    if replaced > 0 then
        io.stderr:write(("warning: invalid UTF-8: %s replaced by U+FFFD\n"):format(plural.count(replaced, "byte")))
    end
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
    print_line(job, "sentences", ("%s in %s; %s%s"):format(plural.count(stage.sum(done.files, "sentences"), "sentence"),
        plural.count(stage.sum(done.files, "documents"), "document"), rate(done.worked, done.seconds),
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
    if spread > shards.TOLERANCE then
        io.stderr:write(("warning: the training shards differ in size by %.1f %%: some documents are larger than a "
            .. "shard; use fewer shards or smaller documents\n"):format(spread * 100))
    end
end

--- Stage vocab: a WordPiece vocabulary of the training shards.
function runners.vocab(job, values)
    local files = manifest.files(job.output_dir, "shard", "vocab")
    local settings = { vocab_size = values.vocab_size, do_lower_case = values.do_lower_case,
        min_frequency = values.min_frequency, memory_limit = values.memory_limit }
    local training = {}
    for _, file in ipairs(files) do
        if fs.basename(file.path):match "^training" then training[#training + 1] = file end
    end
    local bytes = stage.sum(training, "bytes")
    local target = fs.join(job.output_dir, "vocab.txt")
    local done = run_stage(job, "vocab", settings, stage.hashes(training), {
        folder = job.output_dir, only = "vocab.txt", parts = { { name = "vocab", size = bytes } },
        run = function(_, report)
            local paths, read = {}, 0
            for i, file in ipairs(training) do paths[i] = fs.join(job.output_dir, file.path) end
            local tokens, stats = vocab_trainer.train {
                files = paths, vocab_size = settings.vocab_size, do_lower_case = settings.do_lower_case,
                min_frequency = settings.min_frequency, output_file = target,
                memory_limit = job.memory_limit, scratch_folder = job.output_dir,
                on_read = function(more)
                    read = read + more
                    report(read)
                end,
            }
            return { rare = vocab_trainer.rare_text(stats),
                files = { stage.describe(job, target, { tokens = #tokens }) } }
        end,
    })
    print_line(job, "vocab", ("%d tokens in %s; %s%s"):format(done.files[1].tokens, target,
        rate(done.worked, done.seconds), note_kept(done.kept, done.parts)))
    if done.records[1].rare then print_line(job, "", done.records[1].rare) end
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
    local folder = fs.join(job.output_dir, "hdf5")
    local vocab_file = vocabulary(job, values)
    local settings = { sets = values.sets, do_lower_case = values.do_lower_case, seed = values.seed,
        masked_lm_prob = values.masked_lm_prob, short_seq_prob = values.short_seq_prob,
        dupe_factor = values.dupe_factor, gzip = values.gzip,
        vocabulary = vocabulary_file.identity(vocab_file, values.do_lower_case) }
    local made = { vocab_file = vocab_file,
        tokenizer = require("bertlua.text.tokenizer").load(vocab_file, { do_lower_case = values.do_lower_case }) }
    for name, value in pairs(settings) do made[name] = value end
    local done = run_stage(job, "hdf5", settings, stage.hashes(files), {
        folder = folder, parts = samples.parts(files, samples.sets(values.sets)),
        run = samples.run(job, folder, made),
        memory = samples.memory(values), memory_hint = "use more shards, or raise memory_limit",
    })
    print_line(job, "hdf5", ("%d samples, %.1f MB in %d files; text %s%s"):format(stage.sum(done.files, "samples"),
        stage.sum(done.files, "bytes") / 1e6, #done.files, rate(done.worked, done.seconds),
        note_kept(done.kept, done.parts)))
end

--- "a,b" to the list of stages, checked.
local function stage_list(values)
    local known, list = {}, {}
    for _, name in ipairs(pipeline.STAGES) do known[name] = true end
    for name in values.stages:gmatch "[^,%s]+" do
        if not known[name] then
            fault.raisef("stages: unknown stage %q, expected a list of %s", name, table.concat(pipeline.STAGES, ","))
        end
        list[#list + 1] = name
    end
    if #list == 0 then fault.raise("stages: empty, expected at least one stage") end
    return list
end

--- Report what is known to be wrong before hours of work.
local function check(job, values, stages)
    local wanted = {}
    for _, name in ipairs(stages) do wanted[name] = true end
    if values.checksum then require("bertlua.util.download").checksum(values.checksum) end
    if values.variant == "squad" then return end
    languages.locale(values.language, values.locale)
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
            if not fs.is_file(values.vocab_file) then
                fault.raise(values.vocab_file .. ": no such file; --vocab-file must name a WordPiece vocabulary")
            end
            require("bertlua.text.tokenizer").load(values.vocab_file, { do_lower_case = values.do_lower_case })
        elseif not wanted.vocab and not manifest.read(values.output_dir).stages.vocab then
            fault.raise("vocab_file is not set: name a WordPiece vocabulary, or add stage vocab before hdf5")
        end
    end
    limits.check(job, values, wanted)
end

--- Run the stages.
-- @tparam table values settings of bertlua.jobs.corpus.prepare
-- @return the manifest
function pipeline.run(values)
    if not values.output_dir then fault.raise("output_dir is not set: name the folder for the corpus") end
    local workers = values.num_workers > 0 and values.num_workers or process.processors()
    local job = { output_dir = values.output_dir:gsub("(.)/+$", "%1"), num_workers = workers, quiet = values.quiet,
        memory_limit = values.memory_limit * 2 ^ 20 }
    local stages = stage_list(values)
    check(job, values, stages)
    fault.check(fs.mkdirs(job.output_dir))
    for _, folder in ipairs { ".", ".state", "download" } do stage.sweep(fs.join(job.output_dir, folder)) end
    for _, name in ipairs(stages) do
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
