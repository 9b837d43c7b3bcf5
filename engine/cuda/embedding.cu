/*
 * embedding.cu - sum of word, position and type embeddings, layer normalised
 * and dropped out (normalize.cuh), and the scatter-add of its gradient back
 * into the tables (groups.cuh). The sum is recomputed in the backward rather
 * than stored.
 *
 * Bytes per element of bf16 [T,H]: forward 4 (the word row in, y out; position
 * and type rows come from cache). Backward 8 for the rows (dy and the word row
 * in, dz out in f32), 4 for each of the three tables, and 8 for each element of
 * a table row that occurs.
 *
 * An index outside its table cannot be reported from a kernel: its row of y is
 * NaN, and with it the loss, and no table row takes its gradient. Nothing
 * outside a table is read or written.
 */
#include "cuda/carver.h"
#include "cuda/groups.cuh"
#include "cuda/normalize.cuh"

template <typename T> struct Tables {
    const T *word, *position, *type;
    const int32_t *ids, *positions, *types;
    int32_t words, places, kinds; /* rows of each */
    int64_t width;
};

template <typename T>
static Tables<T> tables_open(const bl_tensor *word, const bl_tensor *position, const bl_tensor *type,
                             const bl_tensor *ids, const bl_tensor *positions, const bl_tensor *types) {
    Tables<T> tables;
    tables.word = bl_data<T>(word);
    tables.position = bl_data<T>(position);
    tables.type = bl_data<T>(type);
    tables.ids = bl_data<int32_t>(ids);
    tables.positions = bl_data<int32_t>(positions);
    tables.types = bl_data<int32_t>(types);
    tables.words = static_cast<int32_t>(word->shape[0]);
    tables.places = static_cast<int32_t>(position->shape[0]);
    tables.kinds = static_cast<int32_t>(type->shape[0]);
    tables.width = word->shape[1];
    return tables;
}

/* N elements of a table row; NaN if there is no such row. */
template <int N, typename T>
__device__ __forceinline__ Raw<N, T> fetch_row(const T *table, int32_t rows, int32_t index, int64_t width, int column) {
    if (static_cast<uint32_t>(index) < static_cast<uint32_t>(rows))
        return fetch_elements<N>(table + index * width + column);
    return missing_elements<N, T>();
}

template <int N, typename T> struct Lookup { Raw<N, T> word, position, type; };

template <int N, typename T>
__device__ __forceinline__ Lookup<N, T> fetch_lookup(const Tables<T> &tables, int64_t t, int column) {
    Lookup<N, T> raw;
    raw.word = fetch_row<N>(tables.word, tables.words, tables.ids[t], tables.width, column);
    raw.position = fetch_row<N>(tables.position, tables.places, tables.positions[t], tables.width, column);
    raw.type = fetch_row<N>(tables.type, tables.kinds, tables.types[t], tables.width, column);
    return raw;
}

template <int N, typename T> __device__ __forceinline__ void sum_lookup(const Lookup<N, T> &raw, float (&sum)[N]) {
    float position[N], type[N];
    widen_elements<N, T>(raw.word, sum);
    widen_elements<N, T>(raw.position, position);
    widen_elements<N, T>(raw.type, type);
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i] = sum[i] + position[i] + type[i];
}

template <typename T> struct EmbeddingRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = true;
    template <int N> using Held = Lookup<N, T>;
    T *y;
    Tables<T> tables;
    Dropout dropout;

    __device__ __forceinline__ DropoutStream begin() const {
        return DropoutStream(dropout);
    }

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        return fetch_lookup<N>(tables, t, column);
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &, const Held<N> &raw, int64_t, int,
                                         float (&sum)[N]) const {
        sum_lookup<N, T>(raw, sum);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &drop, int64_t t, int column, const float (&)[N],
                                          float (&out)[N]) const {
        const int64_t at = t * tables.width + column;
        drop_elements<N>(drop, at, out);
        write_elements<N>(y + at, out);
    }
};

template <typename T> struct EmbeddingGradientRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = true, SUMS = false;
    float *dz; /* [T, pitch]; NULL if no table wants it */
    int64_t pitch;
    const T *dy;
    Tables<T> tables;
    Dropout dropout;

    template <int N> struct Held {
        Raw<N, T> dy;
        Lookup<N, T> rows;
    };

    __device__ __forceinline__ DropoutStream begin() const {
        return DropoutStream(dropout);
    }

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        return {fetch_elements<N>(dy + t * tables.width + column), fetch_lookup<N>(tables, t, column)};
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &drop, const Held<N> &raw, int64_t t, int column,
                                         float (&gradient)[N], float (&sum)[N]) const {
        widen_elements<N, T>(raw.dy, gradient);
        drop_elements<N>(drop, t * tables.width + column, gradient);
        sum_lookup<N, T>(raw.rows, sum);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &, int64_t t, int column, float (&out)[N]) const {
        if (!dz) return;
        float *at = dz + t * pitch + column;
        if constexpr (N == 1) {
            *at = out[0];
            /* The sums over rows read and add whole packs. */
            if (column == tables.width - 1)
                for (int64_t i = column + 1; i < pitch; i++)
                    dz[t * pitch + i] = 0.0f;
        } else {
#pragma unroll
            for (int i = 0; i < N; i += 4)
                *reinterpret_cast<float4 *>(at + i) = make_float4(out[i], out[i + 1], out[i + 2], out[i + 3]);
        }
    }
};

bl_status bl_cuda_embedding_forward(bl_context *ctx, bl_tensor *y, bl_tensor *mean, bl_tensor *rstd,
                                    const bl_tensor *word, const bl_tensor *position, const bl_tensor *type,
                                    const bl_tensor *ids, const bl_tensor *positions, const bl_tensor *types,
                                    const bl_tensor *gamma, const bl_tensor *beta, float eps,
                                    const bl_dropout *dropout) {
    const int64_t rows = y->shape[0], width = y->shape[1];
    const float *scale = bl_data<float>(gamma), *shift = bl_data<float>(beta);
    BL_DISPATCH_FLOAT(y->dtype, T, {
        EmbeddingRow<T> row = {bl_data<T>(y), tables_open<T>(word, position, type, ids, positions, types),
                               bl_cuda_dropout(dropout)};
        const bool packed =
            rows_packed<T>(width, row.y, row.tables.word, row.tables.position, row.tables.type, scale, shift);
        return normalize_forward(bl_cuda_of(ctx), row, bl_data<float>(mean), bl_data<float>(rstd), scale, shift, eps,
                                 rows, static_cast<int>(width), packed);
    });
}

/* Memory of a backward; the same calls count and carve. */
struct BackwardScratch {
    float *partial;
    float *dz;
    Groups groups;
};

static void backward_carve(BackwardScratch *s, Carver *carver, const bl_cuda *cuda, int64_t rows, int64_t width,
                           int64_t pitch) {
    const int64_t chunks = group_chunks(rows);
    s->partial = carver->take<float>(normalize_partial_size(cuda, rows, width));
    if (s->groups.count == 0) return;
    s->dz = carver->take<float>(rows * pitch);
    for (int i = 0; i < s->groups.count; i++) {
        Group *group = &s->groups.list[i];
        group->pairs = carver->take<uint64_t>(rows);
        group->spare = carver->take<uint64_t>(rows);
        group->heads = carver->take<float>(chunks * pitch);
        group->tails = carver->take<float>(chunks * pitch);
    }
}

size_t bl_cuda_embedding_backward_bytes(const bl_cuda *cuda, int64_t rows, int64_t width) {
    BackwardScratch s = {};
    s.groups.count = 3; /* words, positions, types */
    Carver carver = {0, 0};
    backward_carve(&s, &carver, cuda, rows, width, (width + 3) / 4 * 4);
    return carver.used;
}

static void groups_add(Groups *groups, bl_tensor *table, const bl_tensor *index) {
    if (!table) return;
    Group *group = &groups->list[groups->count++];
    group->index = bl_data<int32_t>(index);
    group->limit = static_cast<int32_t>(table->shape[0]);
    group->table = bl_data<float>(table);
}

bl_status bl_cuda_embedding_backward(bl_context *ctx, bl_tensor *dword, bl_tensor *dposition, bl_tensor *dtype,
                                     bl_tensor *dgamma, bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *mean,
                                     const bl_tensor *rstd, const bl_tensor *word, const bl_tensor *position,
                                     const bl_tensor *type, const bl_tensor *ids, const bl_tensor *positions,
                                     const bl_tensor *types, const bl_tensor *gamma, const bl_dropout *dropout) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t rows = dy->shape[0], width = dy->shape[1], pitch = (width + 3) / 4 * 4;
    BackwardScratch s = {};
    s.groups.rows = rows;
    groups_add(&s.groups, dword, ids);
    groups_add(&s.groups, dposition, positions);
    groups_add(&s.groups, dtype, types);
    Carver carver = {0, 0};
    backward_carve(&s, &carver, cuda, rows, width, pitch);
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, carver.used, &scratch));
    carver = carver_open(scratch);
    backward_carve(&s, &carver, cuda, rows, width, pitch);

    const float *scale = bl_data<float>(gamma);
    BL_DISPATCH_FLOAT(dy->dtype, T, {
        EmbeddingGradientRow<T> row = {s.dz, pitch, bl_data<T>(dy),
                                       tables_open<T>(word, position, type, ids, positions, types),
                                       bl_cuda_dropout(dropout)};
        const bool packed = rows_packed<T>(width, row.dy, row.tables.word, row.tables.position, row.tables.type, scale);
        BL_TRY(normalize_backward(cuda, row, bl_data<float>(dgamma), bl_data<float>(dbeta),
                                  static_cast<float *>(nullptr), s.partial, bl_data<float>(mean), bl_data<float>(rstd),
                                  scale, rows, static_cast<int>(width), packed));
    });
    BL_TRY(group_rows(cuda, s.groups));
    return add_groups(cuda, s.groups, s.dz, pitch, static_cast<int>(width));
}
