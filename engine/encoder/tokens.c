/*
 * tokens.c - the label of each word, read at its first piece (arXiv 1810.04805,
 * section 5.3). A sentence that is longer than the model's texts is read in
 * windows that overlap by half; a word counts in the one that sees most of what
 * stands around it. The rules are those of lua/bertlua/data/tagged.lua.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/encoder.h"

/* Windows computed at a time: their scores are held. */
enum { AT_ONCE = 32 };

/* Pieces [from, to], of one sentence. */
typedef struct window {
    int64_t from, to;
} window;

/* Sentences one behind the other. */
typedef struct text {
    bl_ids pieces;
    int64_t *words; /* [pieces] the word that begins here, else -1 */
    int64_t capacity;
    window *windows;
    int64_t window_count, window_capacity;
    int64_t *chosen; /* [words] window in which a word is read */
    int64_t *firsts; /* [words] its first piece */
    int64_t cut;     /* words that lost pieces */
} text;

static bl_status out_of_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "tokens: out of memory");
}

static bl_status add_pieces(text *s, int64_t word, const int32_t *pieces, int64_t count) {
    int64_t begin = s->pieces.count, need = begin + count;
    BL_TRY(bl_ids_append(&s->pieces, "tokens", pieces, count));
    if (need > s->capacity) {
        int64_t capacity = need + need / 2 + 256;
        int64_t *grown = realloc(s->words, (size_t) capacity * sizeof *grown);
        if (!grown) return out_of_memory();
        s->words = grown;
        s->capacity = capacity;
    }
    s->firsts[word] = begin;
    s->words[begin] = word;
    for (int64_t i = begin + 1; i < need; i++)
        s->words[i] = -1;
    return BL_OK;
}

/* Pieces of words [begin, end), of each at most `room`. */
static bl_status take_words(text *s, const bl_encoder *encoder, const char *const *words, int64_t begin, int64_t end,
                            int64_t room) {
    const bl_tokenizer *tokenizer = encoder->folder.tokenizer;
    bl_special_ids special = bl_tokenizer_special(tokenizer);
    bl_encoding *encoding = s->pieces.encoding;
    for (int64_t w = begin; w < end; w++) {
        BL_TRY(bl_text_check("tokens", "word", w, words[w]));
        BL_TRY(bl_tokenizer_encode(tokenizer, encoding, words[w], strlen(words[w]), false));
        int64_t count = encoding->count;
        if (count > room && encoder->options.refuse_long)
            return bl_fail(BL_ERROR_FORMAT,
                           "tokens: words[%lld] has %lld pieces, expected at most %lld: shorten it, or do not set "
                           "refuse_long",
                           (long long) w, (long long) count, (long long) room);
        if (count > room) {
            count = room;
            s->cut++;
        }
        /* Every word is read, even one of characters that the tokenizer drops. */
        if (count == 0)
            BL_TRY(add_pieces(s, w, &special.unk, 1));
        else
            BL_TRY(add_pieces(s, w, encoding->ids, count));
    }
    return BL_OK;
}

/* Cut the pieces of the last sentence, which begins at `from`, into windows that begin at words. */
static bl_status cut_windows(text *s, int64_t from, int64_t room, int64_t stride) {
    int64_t count = s->pieces.count;
    for (;;) {
        if (s->window_count == s->window_capacity) {
            int64_t capacity = 2 * s->window_capacity + 8;
            window *grown = realloc(s->windows, (size_t) capacity * sizeof *grown);
            if (!grown) return out_of_memory();
            s->windows = grown;
            s->window_capacity = capacity;
        }
        int64_t to = count < from + room ? count - 1 : from + room - 1;
        s->windows[s->window_count++] = (window){from, to};
        if (to == count - 1) return BL_OK;
        /* Back to a word's first piece, but never to where this window began. */
        int64_t next = from + stride;
        while (next > from + 1 && s->words[next] < 0)
            next--;
        if (s->words[next] < 0) {
            next = from + stride;
            while (s->words[next] < 0)
                next++;
        }
        from = next;
    }
}

/*
 * The window of each word [begin, end) of the last sentence, whose windows begin with number `low`: the pieces on its
 * nearer side count, fewer than none are those of a word that is cut.
 */
static void choose_windows(text *s, int64_t begin, int64_t end, int64_t low) {
    for (int64_t w = begin; w < end; w++) {
        int64_t first = s->firsts[w], last = (w + 1 < end ? s->firsts[w + 1] : s->pieces.count) - 1, most = INT64_MIN;
        while (s->windows[low].to < first)
            low++;
        for (int64_t i = low; i < s->window_count && s->windows[i].from <= first; i++) {
            int64_t left = first - s->windows[i].from, right = s->windows[i].to - last;
            int64_t context = left < right ? left : right;
            if (first > s->windows[i].to || context <= most) continue;
            most = context;
            s->chosen[w] = i;
        }
    }
}

/* The likeliest label of a row of scores, the first of equals. */
static int32_t best_of(const float *scores, int32_t labels, float *probability) {
    int32_t top = 0;
    double sum = 0;
    for (int32_t c = 1; c < labels; c++)
        if (scores[c] > scores[top]) top = c;
    for (int32_t c = 0; c < labels; c++)
        sum += exp((double) scores[c] - scores[top]);
    *probability = (float) (1 / sum);
    return top;
}

/* Windows [begin, end): computed, and their words read from `word` on. */
static bl_status read_windows(bl_encoder *encoder, const text *s, bl_ids *ids, int64_t begin, int64_t end,
                              const bl_encoder_info *info, float *out, int32_t *labels, float *scores) {
    bl_special_ids special = bl_tokenizer_special(encoder->folder.tokenizer);
    bl_ids_clear(ids);
    for (int64_t i = begin; i < end; i++) {
        int64_t length = s->windows[i].to - s->windows[i].from + 1;
        BL_TRY(bl_ids_append(ids, "tokens", &special.cls, 1));
        BL_TRY(bl_ids_append(ids, "tokens", s->pieces.ids + s->windows[i].from, length));
        BL_TRY(bl_ids_append(ids, "tokens", &special.sep, 1));
        BL_TRY(bl_ids_close(ids, "tokens", length + 2));
    }
    bl_sequences sequences = bl_ids_sequences(ids);
    BL_TRY(bl_encoder_compute(encoder, BL_HEAD_TAGS, &sequences, out));
    for (int64_t i = begin; i < end; i++) {
        for (int64_t piece = s->windows[i].from; piece <= s->windows[i].to; piece++) {
            int64_t word = s->words[piece];
            if (word < 0 || s->chosen[word] != i) continue;
            int64_t row = ids->offsets[i - begin] + 1 + piece - s->windows[i].from;
            labels[word] = best_of(out + row * info->labels, info->labels, &scores[word]);
        }
    }
    return BL_OK;
}

/* Sentences as pieces, and their windows. */
static bl_status take_sentences(text *s, const bl_encoder *encoder, const char *const *words, const int64_t *offsets,
                                int64_t sentences, int32_t stride) {
    int64_t limit = encoder->folder.max_length, room = limit - 2, step = stride > 0 ? stride : limit / 2;
    s->chosen = calloc((size_t) offsets[sentences], sizeof *s->chosen);
    s->firsts = calloc((size_t) offsets[sentences], sizeof *s->firsts);
    if (!s->chosen || !s->firsts) return out_of_memory();
    for (int64_t i = 0; i < sentences; i++) {
        if (offsets[i] == offsets[i + 1]) continue;
        int64_t first_piece = s->pieces.count, first_window = s->window_count;
        BL_TRY(take_words(s, encoder, words, offsets[i], offsets[i + 1], room));
        BL_TRY(cut_windows(s, first_piece, room, step < room ? step : room));
        choose_windows(s, offsets[i], offsets[i + 1], first_window);
    }
    return BL_OK;
}

static bl_status tag(bl_encoder *encoder, text *s, bl_ids *ids, const bl_encoder_info *info, int32_t *labels,
                     float *scores) {
    int64_t most = s->window_count < AT_ONCE ? s->window_count : AT_ONCE, longest = 0;
    for (int64_t i = 0; i < s->window_count; i++) {
        int64_t length = s->windows[i].to - s->windows[i].from + 3;
        longest = length > longest ? length : longest;
    }
    float *out = malloc((size_t) (most * longest * info->labels) * sizeof *out);
    bl_status status = out ? BL_OK : out_of_memory();
    for (int64_t begin = 0; status == BL_OK && begin < s->window_count; begin += most) {
        int64_t end = begin + most < s->window_count ? begin + most : s->window_count;
        status = read_windows(encoder, s, ids, begin, end, info, out, labels, scores);
    }
    free(out);
    return status;
}

static bl_status check_sentences(const int64_t *offsets, int64_t sentences, int32_t stride) {
    if (stride < 0) return bl_fail(BL_ERROR_ARGUMENT, "tokens: stride is %d, expected 0 or more", (int) stride);
    for (int64_t i = 0; i < sentences; i++)
        if (offsets[0] != 0 || offsets[i + 1] < offsets[i])
            return bl_fail(BL_ERROR_ARGUMENT, "tokens: offsets[%lld] is %lld, expected 0, then ascending numbers",
                           (long long) (offsets[0] ? 0 : i + 1), (long long) offsets[offsets[0] ? 0 : i + 1]);
    return BL_OK;
}

BL_API bl_status bl_encoder_tag(bl_encoder *encoder, const char *const *words, const int64_t *offsets,
                                int64_t sentences, int32_t stride, int32_t *labels, float *scores, int64_t *cut) {
    if (!encoder || sentences < 0 || (sentences > 0 && (!words || !offsets || !labels || !scores)))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "tokens: encoder, words, offsets, labels or scores is NULL, or their number is negative");
    bl_encoder_info info;
    BL_TRY(bl_encoder_describe(encoder, &info));
    if (!info.tags) return bl_encoder_lacks(&info, "tokens", "token-classification");
    BL_TRY(check_sentences(offsets, sentences, stride));
    if (cut) *cut = 0;
    if (sentences == 0 || offsets[sentences] == 0) return BL_OK;
    text s = {0};
    bl_ids ids = {0};
    bl_status status = bl_ids_create(&s.pieces);
    if (status == BL_OK) status = bl_ids_create(&ids);
    if (status == BL_OK) status = take_sentences(&s, encoder, words, offsets, sentences, stride);
    if (status == BL_OK) status = tag(encoder, &s, &ids, &info, labels, scores);
    if (status == BL_OK && cut) *cut = s.cut;
    bl_ids_free(&ids);
    bl_ids_free(&s.pieces);
    free(s.words);
    free(s.windows);
    free(s.chosen);
    free(s.firsts);
    return status;
}

BL_API bl_status bl_encoder_tokens(bl_encoder *encoder, const char *const *words, int64_t n, int32_t *labels,
                                   float *scores) {
    if (!encoder || n < 0 || (n > 0 && (!words || !labels || !scores)))
        return bl_fail(BL_ERROR_ARGUMENT, "tokens: encoder, words, labels or scores is NULL, or n is negative");
    const int64_t offsets[2] = {0, n};
    return bl_encoder_tag(encoder, words, offsets, 1, 0, labels, scores, NULL);
}
