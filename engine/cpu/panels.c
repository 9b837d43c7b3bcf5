/*
 * panels.c - products with a packed matrix; see panels.h.
 *
 * B is cut into panels as wide as two vectors, and these into pieces of DEPTH
 * words along the summed dimension: a piece stays in the first cache level while
 * the rows of a block of A pass it. Sums of ROWS x 2 vectors are in registers. As
 * B is read once for some hundred rows, its rate is small, but it comes from far:
 * the next piece is fetched while this one is multiplied.
 *
 * A word is an f32, or four neighbours along the summed dimension of u8 and s8,
 * which VNNI multiplies and adds to an s32.
 */
#include "panels.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "matmul.h"
#include "tile.h"

struct bl_panels {
    int64_t n, words; /* words of a column of B */
    int32_t dtype;
    bl_buffer *memory; /* pieces: for each DEPTH words, those of all panels */
};

#if defined(__AVX512F__)
enum { ROWS = 12 };
#else
enum { ROWS = 6 };
#endif

enum {
    LANES = BL_TILE_LANES,
    WIDTH = 2 * LANES, /* of a panel */
    DEPTH = 256,
    BLOCK = 144,  /* rows of A that meet a piece of B while it is near */
    GROUP = 6,    /* most panels of a task */
    TASKS = 4,    /* or more for each thread: none waits for a slower one for long */
    LINE = 64,    /* bytes */
    STRETCH = 4,  /* words between fetches */
    PACKED = 1024 /* columns of B that a task of packing takes, at least */
};

/* Of C: rows need not start on a vector. */
typedef float loose_vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* One piece of B. */
typedef struct piece {
    const bl_word *words; /* [depth, WIDTH] */
    int64_t depth;
    const char *next; /* what to fetch meanwhile */
    int64_t lines;    /* of it, in each STRETCH of each block of rows */
} piece;

/* sum + a * row, of floats or integers. */
BL_TILE_INLINE void add(bl_tile_vector *sum, const bl_word *a, const bl_tile_vector *row, const bool integers) {
#if defined(__AVX512F__)
    if (integers) {
        __m512i word = _mm512_set1_epi32((int32_t) *a), total = (__m512i) *sum;
        /* In assembly, as no level of x86-64 has the instruction: bl_cpu_has_panels asks the CPU. */
        __asm__("vpdpbusd %2, %1, %0" : "+v"(total) : "v"(word), "v"((__m512i) *row));
        *sum = (bl_tile_vector) total;
        return;
    }
#endif
    (void) integers;
    bl_tile_add(sum, a, row, false);
}

/* Row i of a block of A, of which `thirds` has every third: an address of the CPU's is a base and once or twice a row.
 */
BL_TILE_INLINE const bl_word *row_of(const bl_word *const thirds[ROWS / 3], int64_t a_row, const int i) {
    return thirds[i / 3] + i % 3 * a_row;
}

/* Word k of a block of A times a row of a piece of B. */
BL_TILE_INLINE void add_row(bl_tile_vector (*sum)[2], const bl_word *const thirds[ROWS / 3], int64_t a_row,
                            const bl_word *b, const int k, const int rows, const bool integers) {
    const bl_tile_vector row[2] = {*(const bl_tile_vector *) (const void *) (b + k * WIDTH),
                                   *(const bl_tile_vector *) (const void *) (b + k * WIDTH + LANES)};
    _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
        add(&sum[i][0], row_of(thirds, a_row, i) + k, &row[0], integers);
        add(&sum[i][1], row_of(thirds, a_row, i) + k, &row[1], integers);
    }
}

/* rows x WIDTH of C, from `from` at rows of `from_row` words; NULL: from `start`, a row of WIDTH. */
BL_TILE_INLINE void multiply_block(bl_word *c, int64_t c_row, const bl_word *from, int64_t from_row,
                                   const bl_word *start, const bl_word *a, int64_t a_row, piece *p, const int rows,
                                   const bool integers) {
    bl_tile_vector sum[ROWS][2];
    _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
        const bl_word *old = from ? from + i * from_row : start;
        sum[i][0] = *(const loose_vector *) (const void *) old;
        sum[i][1] = *(const loose_vector *) (const void *) (old + LANES);
    }
    const bl_word *b = p->words, *thirds[ROWS / 3];
    _Pragma("GCC unroll 12") for (int i = 0; i < ROWS / 3; i++) thirds[i] = a + (3 * i < rows ? 3 * i : 0) * a_row;
    const char *next = p->next;
    int64_t k = 0;
    for (; k + STRETCH <= p->depth; k += STRETCH) {
        _Pragma("GCC unroll 12") for (int i = 0; i < STRETCH; i++) add_row(sum, thirds, a_row, b, i, rows, integers);
        _Pragma("GCC unroll 12") for (int i = 0; i < ROWS / 3; i++) {
            thirds[i] += STRETCH;
            /* A pointer for each row would be more than there are registers for. */
            __asm__("" : "+r"(thirds[i]));
        }
        b += STRETCH * WIDTH;
        for (int64_t line = 0; line < p->lines; line++, next += LINE)
            __builtin_prefetch(next, 0, 2);
    }
    p->next = next;
    for (; k < p->depth; k++) {
        add_row(sum, thirds, a_row, b, 0, rows, integers);
        _Pragma("GCC unroll 12") for (int i = 0; i < ROWS / 3; i++) thirds[i]++;
        b += WIDTH;
    }
    _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
        *(loose_vector *) (void *) (c + i * c_row) = (loose_vector) sum[i][0];
        *(loose_vector *) (void *) (c + i * c_row + LANES) = (loose_vector) sum[i][1];
    }
}

#define CASE(rows)                                                                                                     \
    case rows:                                                                                                         \
        multiply_block(c, c_row, from, from_row, start, a, a_row, p, rows, integers);                                  \
        break;

BL_TILE_INLINE void multiply_some(bl_word *c, int64_t c_row, const bl_word *from, int64_t from_row,
                                  const bl_word *start, const bl_word *a, int64_t a_row, piece *p, int64_t rows,
                                  const bool integers) {
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if defined(__AVX512F__)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
    }
}

static BL_TILE_WIDE void multiply_floats(bl_word *c, int64_t c_row, const bl_word *from, int64_t from_row,
                                         const bl_word *start, const bl_word *a, int64_t a_row, piece *p,
                                         int64_t rows) {
    multiply_some(c, c_row, from, from_row, start, a, a_row, p, rows, false);
}

#if defined(__AVX512F__)
static BL_TILE_WIDE void multiply_integers(bl_word *c, int64_t c_row, const bl_word *from, int64_t from_row,
                                           const bl_word *start, const bl_word *a, int64_t a_row, piece *p,
                                           int64_t rows) {
    multiply_some(c, c_row, from, from_row, start, a, a_row, p, rows, true);
}
#endif

static int64_t panel_count(const bl_panels *panels) {
    return bl_cpu_ceil_div(panels->n, WIDTH);
}

/* Where words [k, k + depth) of a panel lie. */
static bl_word *piece_at(const bl_panels *panels, int64_t panel, int64_t k, int64_t depth) {
    bl_word *words = bl_buffer_data(panels->memory);
    return words + k * panel_count(panels) * WIDTH + panel * depth * WIDTH;
}

/* Rows [first, first + rows) of C times one piece. */
static void multiply_piece(const bl_panels *panels, const bl_panels_product *p, int64_t first, int64_t rows,
                           int64_t panel, int64_t k, piece *b) {
    int64_t column = panel * WIDTH, columns = panels->n - column < WIDTH ? panels->n - column : WIDTH;
    int64_t blocks = bl_cpu_ceil_div(rows, ROWS), a_row = p->a_row / (int64_t) sizeof(bl_word);
    _Alignas(64) bl_word start[WIDTH] = {0}, narrow[ROWS * WIDTH];
    if (p->bias) memcpy(start, p->bias + column, (size_t) columns * sizeof *start);
    b->lines = bl_cpu_ceil_div(bl_cpu_ceil_div(b->depth * WIDTH * (int64_t) sizeof(bl_word), LINE) * STRETCH,
                               blocks * b->depth);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t begin = first + rows * i / blocks, count = first + rows * (i + 1) / blocks - begin;
        const bl_word *a = (const bl_word *) p->a + begin * a_row + k;
        bl_word *c = (bl_word *) p->c + begin * p->c_row + column, *to = c;
        int64_t c_row = p->c_row;
        if (columns < WIDTH) {
            to = narrow;
            c_row = WIDTH;
            for (int64_t r = 0; k && r < count; r++)
                memcpy(narrow + r * WIDTH, c + r * p->c_row, (size_t) columns * sizeof *c);
        }
#if defined(__AVX512F__)
        if (panels->dtype == BL_I8)
            multiply_integers(to, c_row, k ? to : NULL, c_row, start, a, a_row, b, count);
        else
#endif
            multiply_floats(to, c_row, k ? to : NULL, c_row, start, a, a_row, b, count);
        for (int64_t r = 0; to == narrow && r < count; r++)
            memcpy(c + r * p->c_row, narrow + r * WIDTH, (size_t) columns * sizeof *c);
    }
}

/* Rows [first, first + rows) of C, columns of panels [begin, end). */
static void multiply_group(const bl_panels *panels, const bl_panels_product *p, int64_t first, int64_t rows,
                           int64_t begin, int64_t end) {
    for (int64_t k = 0; k < panels->words; k += DEPTH) {
        int64_t depth = panels->words - k < DEPTH ? panels->words - k : DEPTH;
        for (int64_t panel = begin; panel < end; panel++) {
            piece b = {.words = piece_at(panels, panel, k, depth), .depth = depth};
            /* Behind the last panel of a group lies the first of the next, which this thread often takes. */
            int64_t rest = panels->words - k - depth;
            b.next = panel + 1 < end || rest == 0
                         ? (const char *) (b.words + depth * WIDTH)
                         : (const char *) piece_at(panels, begin, k + depth, rest < DEPTH ? rest : DEPTH);
            multiply_piece(panels, p, first, rows, panel, k, &b);
        }
    }
    int64_t column = begin * WIDTH, last = end * WIDTH < panels->n ? end * WIDTH : panels->n;
    if (p->finish) p->finish(p->data, first, rows, column, last - column);
}

void bl_cpu_panels_multiply(const bl_context *ctx, const bl_panels *panels, const bl_panels_product *p) {
    int64_t count = panel_count(panels), blocks = bl_cpu_ceil_div(p->m, BLOCK);
    int64_t group = count * blocks / ((int64_t) TASKS * ctx->threads);
    group = group < 1 ? 1 : group > GROUP ? GROUP : group;
    int64_t groups = bl_cpu_ceil_div(count, group);
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic) if (p->m * panels->n * panels->words > 1 << 15)
    for (int64_t t = 0; t < groups * blocks; t++) {
        int64_t first = p->m * (t / groups) / blocks, end = p->m * (t / groups + 1) / blocks;
        int64_t begin = t % groups * group;
        multiply_group(panels, p, first, end - first, begin, begin + group < count ? begin + group : count);
    }
}

/* ---- packing ---- */

/* Words [k, k + depth) of rows [first, first + count) of w, a panel of B. */
static void pack_floats(bl_word *to, const bl_word *w, int64_t row, int64_t count, int64_t depth) {
    if (count < WIDTH) memset(to, 0, (size_t) (depth * WIDTH) * sizeof *to);
    /* Lines of w are whole, and what is written of the piece stays near. */
    for (int64_t k = 0; k < depth; k += LINE / (int64_t) sizeof *w) {
        int64_t last = depth - k < LINE / (int64_t) sizeof *w ? depth : k + LINE / (int64_t) sizeof *w;
        for (int64_t j = 0; j < count; j++)
            for (int64_t i = k; i < last; i++)
                to[i * WIDTH + j] = w[j * row + i];
    }
}

static void pack_integers(int8_t *to, const int8_t *w, int64_t row, int64_t count, int64_t bytes, int64_t depth) {
    memset(to, 0, (size_t) (depth * WIDTH) * sizeof(bl_word));
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < bytes; i++)
            to[(i / 4 * WIDTH + j) * 4 + i % 4] = w[j * row + i];
}

static void pack_panel(const bl_panels *panels, const void *w, int64_t k_elements, int64_t panel) {
    int64_t first = panel * WIDTH, count = panels->n - first < WIDTH ? panels->n - first : WIDTH;
    for (int64_t k = 0; k < panels->words; k += DEPTH) {
        int64_t depth = panels->words - k < DEPTH ? panels->words - k : DEPTH;
        bl_word *to = piece_at(panels, panel, k, depth);
        if (panels->dtype == BL_I8) {
            int64_t begin = 4 * k, bytes = k_elements - begin < 4 * depth ? k_elements - begin : 4 * depth;
            pack_integers((int8_t *) to, (const int8_t *) w + first * k_elements + begin, k_elements, count, bytes,
                          depth);
        } else {
            pack_floats(to, (const bl_word *) w + first * k_elements + k, k_elements, count, depth);
        }
    }
}

bl_status bl_cpu_panels_pack(bl_context *ctx, bl_panels **out, const void *w, int64_t n, int64_t k, int32_t dtype) {
    bl_panels *panels = calloc(1, sizeof *panels);
    if (!panels) return bl_fail(BL_ERROR_MEMORY, "pack: out of memory");
    *panels = (bl_panels){.n = n, .words = dtype == BL_I8 ? bl_cpu_ceil_div(k, 4) : k, .dtype = dtype};
    int64_t count = panel_count(panels);
    bl_status status =
        bl_buffer_create(&panels->memory, ctx, (size_t) (count * WIDTH * panels->words) * sizeof(bl_word));
    if (status != BL_OK) {
        free(panels);
        return status;
    }
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic) if (n * k > PACKED)
    for (int64_t panel = 0; panel < count; panel++)
        pack_panel(panels, w, k, panel);
    *out = panels;
    return BL_OK;
}

int64_t bl_cpu_panels_row(const bl_panels *panels) {
    return panels->words * (int64_t) sizeof(bl_word);
}

bool bl_cpu_has_panels(int32_t dtype) {
#if defined(__AVX512F__)
    if (dtype == BL_I8) return bl_cpu_best_is_vnni();
#endif
#if defined(__FMA__)
    return dtype == BL_F32;
#else
    (void) dtype;
    return false;
#endif
}

void bl_cpu_panels_free(bl_panels *panels) {
    if (!panels) return;
    bl_buffer_free(panels->memory);
    free(panels);
}
