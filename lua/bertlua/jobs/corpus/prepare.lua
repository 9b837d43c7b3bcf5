--- Job: a Wikipedia dump or a folder of text to shards, stage by stage.

local pipeline = require "bertlua.corpus.pipeline"
local settings = require "bertlua.settings"

local M = {}

M.settings = settings.define {
    { name = "variant", type = "choice", choices = { "wiki_only", "wiki_books", "corpus", "squad" },
      default = "wiki_only", group = "What", help = "wiki_only: a dump; wiki_books: a dump and books_dir; corpus: any "
        .. "folder of text; squad: the question files" },
    { name = "stages", type = "string", default = "download,verify,extract,sentences,shard,hdf5,verify",
      group = "What", help = "what to run, in order; also vocab, which learns a vocabulary, before hdf5" },
    { name = "output_dir", type = "path", group = "What", help = "folder for everything that is made" },
    { name = "num_workers", type = "integer", default = 0, min = 0, max = 1024, group = "What",
      help = "processes; 0 takes one for each core; the files do not depend on it" },
    { name = "memory_limit", type = "integer", default = 2048, min = 64, group = "What",
      help = "MiB for all processes together: no more of them run than fit" },
    { name = "seed", type = "integer", default = 12345, min = 0, max = 2 ^ 50, group = "What",
      help = "of shards, samples and masks" },
    { name = "wikipedia", type = "path", group = "Sources", help = "dump, .xml or .xml.bz2; unset: fetch it" },
    { name = "wikipedia_index", type = "path", group = "Sources",
      help = "index of a multistream dump; not needed: blocks are found without it" },
    { name = "books_dir", type = "path", group = "Sources", help = "wiki_books: folder of books, a .txt file each" },
    { name = "corpus_dir", type = "path", group = "Sources", help = "corpus: folder of text files" },
    { name = "border", type = "choice", choices = { "auto", "heading", "blank", "none" }, default = "auto",
      group = "Sources", help = "corpus: what lies between documents of a file" },
    { name = "invalid_utf8", type = "choice", choices = { "error", "replace" }, default = "error", group = "Sources",
      help = "bytes of a text that are no UTF-8: stop and name them, or put U+FFFD in their place" },
    { name = "language", type = "string", default = "en", group = "Sources",
      help = "of the Wikipedia to fetch, and of sentences and abbreviations: a code such as en, de, ja" },
    { name = "locale", type = "string", group = "Sources", help = "ICU locale for sentences, instead of language" },
    { name = "mirrors", type = "string", group = "Download",
      default = "https://dumps.wikimedia.org,https://mirror.accum.se/mirror/wikimedia.org/dumps",
      help = "base URLs, tried in turn" },
    { name = "dump_date", type = "string", default = "latest", group = "Download",
      help = "date of the dump, YYYYMMDD" },
    { name = "wikipedia_url", type = "string", group = "Download", help = "this dump, instead of mirrors" },
    { name = "wikipedia_index_url", type = "string", group = "Download", help = "and its index" },
    { name = "squad_url", type = "string", group = "Download", help = "squad: base URL of the two files" },
    { name = "checksum", type = "string", group = "Download",
      help = "of the dump: md5:, sha1: or sha256: and digits; unset: the one that the wiki publishes" },
    { name = "retries", type = "integer", default = 10, min = 0, group = "Download",
      help = "further rounds through the mirrors" },
    { name = "retry_wait", type = "number", default = 2, min = 0, group = "Download",
      help = "seconds before the second round; doubles" },
    { name = "timeout", type = "integer", default = 60, min = 1, group = "Download",
      help = "seconds without a byte before a transfer is given up" },
    { name = "shards", type = "integer", default = 0, min = 0, group = "Shards",
      help = "training shards; 0 makes one for each 5 MB of text" },
    { name = "test_share", type = "number", default = 0.01, min = 0, below = 0.5, group = "Shards",
      help = "share of the documents kept for evaluation, chosen by their hash" },
    { name = "vocab_file", type = "path", group = "Samples",
      help = "WordPiece vocabulary; unset: what stage vocab made" },
    { name = "vocab_size", type = "integer", default = 30522, min = 6, max = 2 ^ 24, group = "Samples",
      help = "stage vocab: tokens to learn" },
    { name = "min_frequency", type = "integer", default = 2, min = 1, group = "Samples",
      help = "stage vocab: a pair of pieces must occur this often to be joined" },
    { name = "do_lower_case", type = "boolean", default = true, group = "Samples",
      help = "lower-case and strip accents; must fit the vocabulary" },
    { name = "sets", type = "string", default = "128:20,512:80", group = "Samples",
      help = "sets of samples: LENGTH:MASKED for phase 1 and phase 2" },
    { name = "masked_lm_prob", type = "number", default = 0.15, above = 0, max = 1, group = "Samples",
      help = "share of the tokens that is masked" },
    { name = "short_seq_prob", type = "number", default = 0.1, min = 0, max = 1, group = "Samples",
      help = "share of the samples that aim at a shorter length" },
    { name = "dupe_factor", type = "integer", default = 10, min = 1, group = "Samples",
      help = "passes over the text, each sampled and masked anew" },
    { name = "gzip", type = "integer", default = 1, min = 0, max = 9, group = "Samples", help = "compression level" },
    { name = "quiet", type = "boolean", default = false, group = "What", help = "print nothing but warnings" },
}

--- Run the job.
-- @param values of M.settings
-- @return the manifest
function M.run(values)
    return pipeline.run(values)
end

--- What the recipe calls: its own settings, then the command line.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        program = "recipes/prepare_corpus.lua",
        description = description,
    })
    return M.run(values)
end

return M
