/*
 * deal.c - documents of text files, and their division into shards of equal
 * size: longest processing time first (Graham 1969), which leaves the shards
 * about one small document apart. Memory does not grow with their number: they
 * are sorted by size, dealt in that order, and sorted by shard.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/document_sort.h"
#include "storage/file.h"

enum { READ_BYTES = 1 << 20 };

/* What stands for a shard before the documents are dealt: training documents are dealt first. */
enum { TEST = -1, TRAINING = -2 };

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

struct bl_corpus {
    char *folder;
    double test_share;
    uint64_t seed_key;
    bl_corpus_counts counts;
    bl_document_sort by_size, by_shard;
    bl_spill lists;  /* the documents of shard 0, of shard 1, ... */
    int64_t *starts; /* [shards + 1] numbers in lists; NULL before they are dealt */
    int32_t shards;
    bl_corpus_document *list; /* of the shard requested last */
    int64_t list_capacity;
};

/* Spread the bits of x (the finalizer of MurmurHash3, Appleby). */
static uint64_t spread(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static bool is_test(uint64_t hash, double test_share) {
    return (double) (spread(hash) >> 11) * 0x1p-53 < test_share;
}

/* bytes cut to its three leading bits: documents of similar size come in an order drawn from the seed. */
static int64_t size_class(int64_t bytes) {
    int shift = 0;
    while (bytes >> shift > 7)
        shift++;
    return bytes >> shift << shift;
}

static int compare_place(const bl_corpus_document *x, const bl_corpus_document *y) {
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int compare_size(const void *a, const void *b) {
    const bl_corpus_document *x = a, *y = b;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    int64_t x_class = size_class(x->bytes), y_class = size_class(y->bytes);
    if (x_class != y_class) return x_class > y_class ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return compare_place(x, y);
}

static int compare_shard(const void *a, const void *b) {
    const bl_corpus_document *x = a, *y = b;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    return compare_place(x, y);
}

BL_API bl_status bl_corpus_create(bl_corpus **out, const char *folder, int64_t memory_bytes, double test_share,
                                  uint64_t seed) {
    if (!out || !folder || memory_bytes < 1 || !(test_share >= 0) || test_share >= 1) {
        return bl_fail(BL_ERROR_ARGUMENT, "corpus_create: an argument is NULL, memory is %lld bytes or test_share %g",
                       (long long) memory_bytes, test_share);
    }
    bl_corpus *corpus = calloc(1, sizeof *corpus);
    if (corpus) corpus->folder = strdup(folder);
    if (!corpus || !corpus->folder) {
        free(corpus);
        return bl_fail(BL_ERROR_MEMORY, "corpus_create: no memory");
    }
    corpus->test_share = test_share;
    corpus->seed_key = spread(seed + 0x9e3779b97f4a7c15ull);
    /* The second sort fills while the first is read. */
    bl_document_sort_init(&corpus->by_size, corpus->folder, memory_bytes / 2, compare_size);
    bl_document_sort_init(&corpus->by_shard, corpus->folder, memory_bytes / 2, compare_shard);
    *out = corpus;
    return BL_OK;
}

BL_API void bl_corpus_free(bl_corpus *corpus) {
    if (!corpus) return;
    bl_document_sort_clear(&corpus->by_size);
    bl_document_sort_clear(&corpus->by_shard);
    bl_spill_close(&corpus->lists);
    free(corpus->starts);
    free(corpus->list);
    free(corpus->folder);
    free(corpus);
}

BL_API void bl_corpus_describe(const bl_corpus *corpus, bl_corpus_counts *out) {
    *out = corpus->counts;
}

typedef struct scanner {
    bl_corpus *corpus;
    const char *path;
    int32_t file;
    int64_t max_line;
    int64_t begin; /* of the document, -1 outside one */
    int64_t end;   /* of its last line so far */
    int64_t line;  /* offset of the present line */
    bool blank;    /* nothing but white space on it yet */
    uint64_t hash; /* of the document up to here */
    uint64_t kept; /* and up to `end` */
} scanner;

static bl_status finish_document(scanner *s) {
    bl_corpus *corpus = s->corpus;
    if (s->begin < 0) return BL_OK;
    bl_corpus_document document = {.begin = s->begin,
                                   .bytes = s->end - s->begin,
                                   .key = spread(s->kept ^ corpus->seed_key),
                                   .file = s->file,
                                   .shard = is_test(s->kept, corpus->test_share) ? TEST : TRAINING};
    s->begin = -1;
    corpus->counts.documents++;
    corpus->counts.test_documents += document.shard == TEST;
    corpus->counts.bytes += document.bytes;
    return bl_document_sort_add(&corpus->by_size, &document);
}

static bl_status finish_line(scanner *s, int64_t next) {
    if (s->blank) {
        BL_TRY(finish_document(s));
    } else {
        s->end = next;
        s->kept = s->hash;
    }
    s->line = next;
    s->blank = true;
    return BL_OK;
}

static bl_status too_long(const scanner *s) {
    return bl_fail(BL_ERROR_FORMAT, "%s: byte %lld: a line of more than %lld bytes begins here: is this text?", s->path,
                   (long long) s->line, (long long) s->max_line);
}

static bl_status scan(scanner *s, FILE *file, unsigned char *buffer) {
    int64_t at = 0;
    size_t n;
    while ((n = fread(buffer, 1, READ_BYTES, file)) > 0) {
        for (size_t i = 0; i < n; i++) {
            unsigned char c = buffer[i];
            bool space = c == ' ' || (c >= '\t' && c <= '\r');
            if (!space && s->blank) {
                s->blank = false;
                if (s->begin < 0) {
                    s->begin = s->line;
                    s->hash = FNV_OFFSET;
                }
            }
            if (s->begin >= 0 && !s->blank) s->hash = (s->hash ^ c) * FNV_PRIME;
            if (c == '\n') BL_TRY(finish_line(s, at + (int64_t) i + 1));
        }
        at += (int64_t) n;
        if (at - s->line > s->max_line) return too_long(s);
    }
    if (ferror(file)) return bl_file_fail(s->path, "read", errno);
    if (at > s->line) BL_TRY(finish_line(s, at));
    return finish_document(s);
}

BL_API bl_status bl_corpus_scan(bl_corpus *corpus, const char *path, int32_t file, int64_t max_line) {
    if (!corpus || !path || max_line < 1) {
        return bl_fail(BL_ERROR_ARGUMENT, "corpus_scan: an argument is NULL or max_line is %lld", (long long) max_line);
    }
    if (corpus->starts) return bl_fail(BL_ERROR_ARGUMENT, "corpus_scan: the documents have already been dealt");
    FILE *stream = fopen(path, "rb");
    if (!stream) return bl_file_fail(path, "open", errno);
    unsigned char *buffer = malloc(READ_BYTES);
    scanner s = {
        .corpus = corpus, .path = path, .file = file, .max_line = max_line, .begin = -1, .blank = true, .hash = 0};
    bl_status status =
        buffer ? scan(&s, stream, buffer) : bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", path);
    free(buffer);
    fclose(stream);
    return status;
}

/* A heap of shards, the smallest on top; equal ones by number. */
static bool smaller(const int64_t *sizes, int32_t a, int32_t b) {
    return sizes[a] != sizes[b] ? sizes[a] < sizes[b] : a < b;
}

static void sink(int32_t *heap, int32_t count, const int64_t *sizes) {
    int32_t at = 0;
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && smaller(sizes, heap[child + 1], heap[child])) child++;
        if (!smaller(sizes, heap[child], heap[at])) return;
        int32_t shard = heap[at];
        heap[at] = heap[child];
        heap[child] = shard;
        at = child;
    }
}

/* Every document of one kind to shards first .. first + count; *next is the first document of the other kind. */
static bl_status deal(bl_corpus *corpus, int32_t kind, int32_t first, int32_t count, int64_t *sizes,
                      bl_corpus_document *next, bool *found) {
    int32_t *heap = malloc((size_t) (count > 0 ? count : 1) * sizeof *heap);
    if (!heap) return bl_fail(BL_ERROR_MEMORY, "corpus_deal: no memory for %d shards", count);
    for (int32_t i = 0; i < count; i++)
        heap[i] = first + i;
    bl_status status = BL_OK;
    while (status == BL_OK && *found && next->shard == kind) {
        next->shard = heap[0];
        sizes[heap[0]] += next->bytes;
        corpus->starts[heap[0] + 1]++;
        status = bl_document_sort_add(&corpus->by_shard, next);
        sink(heap, count, sizes);
        bl_corpus_document last = *next;
        if (status == BL_OK) status = bl_document_sort_next(&corpus->by_size, next, found);
        /* Equal texts have equal keys, so they follow each other. */
        if (status == BL_OK && *found && next->key == last.key && next->bytes == last.bytes) corpus->counts.repeated++;
    }
    free(heap);
    return status;
}

/* The documents by shard, one after the other in a file. */
static bl_status write_lists(bl_corpus *corpus) {
    for (int32_t i = 0; i < corpus->shards; i++)
        corpus->starts[i + 1] += corpus->starts[i];
    BL_TRY(bl_document_sort_finish(&corpus->by_shard));
    BL_TRY(bl_spill_open(&corpus->lists, corpus->folder, "list of documents"));
    for (;;) {
        bl_corpus_document document;
        bool found;
        BL_TRY(bl_document_sort_next(&corpus->by_shard, &document, &found));
        if (!found) break;
        BL_TRY(bl_spill_append(&corpus->lists, &document, sizeof document));
    }
    bl_document_sort_clear(&corpus->by_shard);
    return bl_spill_flush(&corpus->lists);
}

BL_API bl_status bl_corpus_deal(bl_corpus *corpus, int32_t training, int32_t test, int64_t *sizes) {
    if (!corpus || !sizes || training < 1 || test < 0 || (test == 0 && corpus->counts.test_documents > 0)) {
        return bl_fail(BL_ERROR_ARGUMENT, "corpus_deal: %d training and %d test shards for %lld test documents",
                       training, test, corpus ? (long long) corpus->counts.test_documents : 0);
    }
    if (corpus->starts) return bl_fail(BL_ERROR_ARGUMENT, "corpus_deal: the documents have already been dealt");
    corpus->shards = training + test;
    corpus->starts = calloc((size_t) corpus->shards + 1, sizeof *corpus->starts);
    if (!corpus->starts) return bl_fail(BL_ERROR_MEMORY, "corpus_deal: no memory for %d shards", corpus->shards);
    memset(sizes, 0, (size_t) corpus->shards * sizeof *sizes);
    BL_TRY(bl_document_sort_finish(&corpus->by_size));
    bl_corpus_document next = {0};
    bool found;
    BL_TRY(bl_document_sort_next(&corpus->by_size, &next, &found));
    BL_TRY(deal(corpus, TRAINING, 0, training, sizes, &next, &found));
    BL_TRY(deal(corpus, TEST, training, test, sizes, &next, &found));
    bl_document_sort_clear(&corpus->by_size);
    return write_lists(corpus);
}

BL_API bl_status bl_corpus_shard(bl_corpus *corpus, int32_t shard, const bl_corpus_document **list, int64_t *count) {
    if (!corpus || !list || !count || !corpus->starts || shard < 0 || shard >= corpus->shards) {
        return bl_fail(BL_ERROR_ARGUMENT, "corpus_shard: an argument is NULL, or %d is not a shard that was dealt",
                       shard);
    }
    int64_t first = corpus->starts[shard], documents = corpus->starts[shard + 1] - first;
    if (documents > corpus->list_capacity) {
        bl_corpus_document *grown = realloc(corpus->list, (size_t) documents * sizeof *grown);
        if (!grown)
            return bl_fail(BL_ERROR_MEMORY, "corpus_shard: no memory for %lld documents", (long long) documents);
        corpus->list = grown;
        corpus->list_capacity = documents;
    }
    if (documents > 0) {
        BL_TRY(bl_spill_read(&corpus->lists, first * (int64_t) sizeof *corpus->list, corpus->list,
                             (size_t) documents * sizeof *corpus->list));
    }
    *list = corpus->list;
    *count = documents;
    return BL_OK;
}
