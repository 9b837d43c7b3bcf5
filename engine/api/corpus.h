/*
 * corpus.h - from raw sources to documents: MediaWiki dumps, wikitext to
 * plain text, downloads, document lists and their division into shards.
 *
 * Part of the public C API (include "bertlua.h"). Every message about a file
 * starts with its path and, where there is one, the byte offset. Objects may
 * be used by one thread at a time.
 */
#ifndef BERTLUA_API_CORPUS_H
#define BERTLUA_API_CORPUS_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * Reader of a MediaWiki XML dump, plain or bzip2 (one stream or many), one
 * page after the other. Memory does not grow with the file: one bzip2 block and
 * one page (at most 64 MB) are held.
 */
typedef struct bl_dump bl_dump;

/* One page; the pointers live until the next call. UTF-8, checked, entities decoded. */
typedef struct bl_dump_page {
    const char *title; /* ends in NUL */
    const char *text;  /* wikitext of the last revision; ends in NUL */
    int64_t title_bytes;
    int64_t text_bytes;
    int64_t id;
    int32_t ns;       /* namespace number; 0 holds the articles */
    int32_t redirect; /* 1 if the dump marks the page as a redirect */
    int32_t wikitext; /* 0 if the content model is a different one (JSON, CSS, ...) */
} bl_dump_page;

/*
 * Open bytes [begin, end) of the file at path; end 0 means to its end. A page
 * belongs to the range in which its <page> tag begins, so ranges that touch
 * give every page once wherever they are cut. In a bzip2 file the range is one
 * of compressed bytes, and a block belongs to it if its first bit does.
 */
bl_status bl_dump_open(bl_dump **out, const char *path, int64_t begin, int64_t end);
void bl_dump_close(bl_dump *dump);
/* The next page; *found is false after the last one. Bad XML, bad UTF-8 and damaged data are BL_ERROR_FORMAT. */
bl_status bl_dump_next(bl_dump *dump, bl_dump_page *page, bool *found);
/* Bytes of the file taken in so far, compressed ones for bzip2. */
int64_t bl_dump_position(const bl_dump *dump);
/* Lines "number name" of the namespaces in <siteinfo>; "" unless opened at begin 0. */
const char *bl_dump_namespaces(const bl_dump *dump);
/* The wiki's language, xml:lang of the root element; "" if there is none or unless opened at begin 0. */
const char *bl_dump_language(const bl_dump *dump);
/*
 * Offsets at which streams begin, from the index of a multistream dump (lines
 * "offset:page:title", plain or bzip2), ascending, each once. offsets is the
 * caller's to release with bl_dump_offsets_free.
 */
bl_status bl_dump_index_read(const char *path, int64_t **offsets, int64_t *count);
void bl_dump_offsets_free(int64_t *offsets);

/*
 * Wikitext to prose. Left out: templates (but the text of a few that only
 * format, such as {{lang}} and {{convert}}), tables, references, files,
 * categories, interlanguage links, headings, lists, preformatted lines, math,
 * code, galleries and other extension tags, comments, magic words. Links,
 * quotes and HTML tags are reduced to their text, -{ }- to the text of one
 * variant, entities decoded. The result is one paragraph per line.
 */
typedef struct bl_wikitext bl_wikitext;
/*
 * namespaces: what bl_dump_namespaces gave, or NULL for the English names alone. language: code of the wiki ("de", or
 * a variant such as "zh-tw", whose text of -{ }- is taken), for aliases of namespaces, numbers, dates and templates;
 * NULL or "" if it is not known.
 */
bl_status bl_wikitext_create(bl_wikitext **out, const char *namespaces, const char *language);
/* Codes of the Wikipedias whose own templates are known, with a space between them. */
const char *bl_wikitext_customs(void);
void bl_wikitext_free(bl_wikitext *wikitext);
/* text must be UTF-8; prose lives until the next call. */
bl_status bl_wikitext_convert(bl_wikitext *wikitext, const char *text, int64_t bytes, const char **prose,
                              int64_t *prose_bytes);
/* Whether a page redirects or only lists what its title may mean. */
bool bl_wikitext_is_redirect(const bl_wikitext *wikitext, const char *text, int64_t bytes);
bool bl_wikitext_is_disambiguation(const bl_wikitext *wikitext, const char *title, const char *text, int64_t bytes);

/*
 * A text that is written to disk as it grows: to "<path>.tmp-<pid>", which
 * bl_text_file_commit syncs and renames to path, and bl_text_file_free removes
 * if it was not committed. A full disk is an error with path and offset.
 */
typedef struct bl_text_file bl_text_file;
bl_status bl_text_file_create(bl_text_file **out, const char *path);
bl_status bl_text_file_add(bl_text_file *file, const char *text, int64_t bytes);
int64_t bl_text_file_bytes(const bl_text_file *file);
/* Nothing is added after this. */
bl_status bl_text_file_commit(bl_text_file *file);
void bl_text_file_free(bl_text_file *file);

/* A document of a text file. */
typedef struct bl_corpus_document {
    int64_t begin; /* byte offset in its file */
    int64_t bytes; /* up to and including the end of its last line */
    uint64_t key;  /* drawn from its text (64-bit FNV-1a) and the seed */
    int32_t file;  /* number that bl_corpus_scan got */
    int32_t shard; /* from 0; test shards follow the training shards */
} bl_corpus_document;
/*
 * The documents of text files and their division into shards. Memory does not
 * grow with the number of documents: beyond memory_bytes they go to nameless
 * temporary files in folder. Whether a document is for testing depends on a
 * hash of its text alone: a test_share of all hashes, whatever else is in the
 * corpus.
 */
typedef struct bl_corpus bl_corpus;
typedef struct bl_corpus_counts {
    int64_t documents;
    int64_t test_documents; /* of them */
    int64_t repeated;       /* of them, that are copies of another; known once they are dealt */
    int64_t bytes;
} bl_corpus_counts;
bl_status bl_corpus_create(bl_corpus **out, const char *folder, int64_t memory_bytes, double test_share, uint64_t seed);
void bl_corpus_free(bl_corpus *corpus);
/*
 * Add the documents of the file at path, which gets number `file`. A blank
 * line ends a document; a line of more than max_line bytes is an error that
 * names its offset. Not after bl_corpus_deal.
 */
bl_status bl_corpus_scan(bl_corpus *corpus, const char *path, int32_t file, int64_t max_line);
void bl_corpus_describe(const bl_corpus *corpus, bl_corpus_counts *out);
/*
 * Deal documents to `training` shards, and those for testing to `test` shards,
 * once: largest first, each to the smallest shard so far, those of about one
 * size in an order drawn from the seed. sizes [training + test] receives the bytes.
 */
bl_status bl_corpus_deal(bl_corpus *corpus, int32_t training, int32_t test, int64_t *sizes);
/*
 * The documents of a shard in the order of files and offsets, valid until the
 * next call. Processes forked after bl_corpus_deal may all call it.
 */
bl_status bl_corpus_shard(bl_corpus *corpus, int32_t shard, const bl_corpus_document **list, int64_t *count);

/*
 * A transfer from a URL (http, https, ftp, file) to the end of a local file,
 * driven step by step so that the caller can show progress and stop.
 */
typedef struct bl_transfer bl_transfer;
typedef struct bl_transfer_state {
    int64_t received;  /* bytes of the whole file that are there, the resumed ones included */
    int64_t total;     /* its size as far as known; -1 if not */
    int32_t done;      /* 1 when the transfer has ended, well or not */
    int32_t failed;    /* 1 if it ended badly: see message */
    int32_t http;      /* status of the answer; 0 if none */
    int32_t no_resume; /* 1 if the server would not continue from `resume`: start from 0 */
    int32_t permanent; /* 1 if retrying this URL is pointless (no such file, ...) */
    char message[256];
    char etag[256]; /* identity the server gave this version of the file; "" if none */
} bl_transfer_state;
/*
 * Begin. resume: bytes of path that are already there; they are kept and not
 * requested again; etag: of the version they came from, or NULL. timeout_s:
 * seconds without a byte after which the transfer fails.
 */
bl_status bl_transfer_start(bl_transfer **out, const char *url, const char *path, int64_t resume, const char *etag,
                            int32_t timeout_s);
/* Continue for at most wait_ms. */
bl_status bl_transfer_step(bl_transfer *transfer, int32_t wait_ms, bl_transfer_state *state);
/* Flushes the file; what was received stays there. */
void bl_transfer_free(bl_transfer *transfer);

/* CDEF-END */

#endif
