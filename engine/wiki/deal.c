/*
 * deal.c - documents of text files, and their division into shards of equal
 * size: longest processing time first (Graham 1969), which leaves the shards
 * about one small document apart.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "io/file.h"

enum { READ_BYTES = 1 << 20 };

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

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
    if (corpus->count == corpus->capacity) {
        int64_t capacity = corpus->capacity ? corpus->capacity * 2 : 1024;
        bl_corpus_document *list = realloc(corpus->list, (size_t) capacity * sizeof *list);
        if (!list) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for %lld documents", s->path, (long long) capacity);
        corpus->list = list;
        corpus->capacity = capacity;
    }
    corpus->list[corpus->count++] = (bl_corpus_document){
        .begin = s->begin, .bytes = s->end - s->begin, .hash = s->kept, .file = s->file, .shard = -1};
    s->begin = -1;
    return BL_OK;
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

BL_API void bl_corpus_free(bl_corpus *corpus) {
    if (!corpus) return;
    free(corpus->list);
    *corpus = (bl_corpus){0};
}

/* Spread the bits of x (the finalizer of MurmurHash3, Appleby). */
static uint64_t spread(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

BL_API bool bl_corpus_is_test(uint64_t hash, double test_share) {
    return (double) (spread(hash) >> 11) * 0x1p-53 < test_share;
}

typedef struct ranked {
    int64_t bytes;
    int64_t size_class;
    uint64_t key; /* drawn from the seed */
    int64_t document;
} ranked;

/* bytes cut to its three leading bits: documents of about one size come in an order drawn from the seed. */
static int64_t size_class(int64_t bytes) {
    int shift = 0;
    while (bytes >> shift > 7)
        shift++;
    return bytes >> shift << shift;
}

static int compare_ranked(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->size_class != y->size_class) return x->size_class > y->size_class ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->document < y->document ? -1 : 1;
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

/* Deal the documents of one kind to shards first .. first + count. */
static bl_status deal(bl_corpus *corpus, ranked *order, int64_t documents, int32_t first, int32_t count,
                      int64_t *sizes) {
    if (count == 0) return BL_OK;
    int32_t *heap = malloc((size_t) count * sizeof *heap);
    if (!heap) return bl_fail(BL_ERROR_MEMORY, "corpus_deal: no memory for %d shards", count);
    for (int32_t i = 0; i < count; i++)
        heap[i] = first + i;
    qsort(order, (size_t) documents, sizeof *order, compare_ranked);
    for (int64_t i = 0; i < documents; i++) {
        corpus->list[order[i].document].shard = heap[0];
        sizes[heap[0]] += order[i].bytes;
        sink(heap, count, sizes);
    }
    free(heap);
    return BL_OK;
}

BL_API bl_status bl_corpus_deal(bl_corpus *corpus, int32_t training, int32_t test, double test_share, uint64_t seed,
                                int64_t *sizes) {
    if (!corpus || !sizes || training < 1 || test < 0 || !(test_share >= 0) || test_share >= 1) {
        return bl_fail(BL_ERROR_ARGUMENT, "corpus_deal: %d training and %d test shards, test_share %g", training, test,
                       test_share);
    }
    ranked *order = malloc(((size_t) corpus->count + 1) * sizeof *order);
    if (!order) {
        return bl_fail(BL_ERROR_MEMORY, "corpus_deal: no memory to order %lld documents", (long long) corpus->count);
    }
    memset(sizes, 0, (size_t) (training + test) * sizeof *sizes);
    bl_status status = BL_OK;
    for (int kind = 0; kind < 2 && status == BL_OK; kind++) {
        int64_t documents = 0;
        for (int64_t i = 0; i < corpus->count; i++) {
            const bl_corpus_document *d = &corpus->list[i];
            bool is_test = test > 0 && bl_corpus_is_test(d->hash, test_share);
            if (is_test != (kind == 1)) continue;
            order[documents++] =
                (ranked){d->bytes, size_class(d->bytes), spread(d->hash ^ spread(seed + 0x9e3779b97f4a7c15ull)), i};
        }
        status = deal(corpus, order, documents, kind == 1 ? training : 0, kind == 1 ? test : training, sizes);
    }
    free(order);
    return status;
}

BL_API int32_t bl_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

BL_API void bl_memory_peak(int64_t *own, int64_t *child) {
    struct rusage usage;
    /* Linux counts in KiB. */
    *own = getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t) usage.ru_maxrss * 1024 : 0;
    *child = getrusage(RUSAGE_CHILDREN, &usage) == 0 ? (int64_t) usage.ru_maxrss * 1024 : 0;
}
