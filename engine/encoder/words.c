/*
 * words.c - the tokenizer of a folder: vocab.txt, else the tokenizer.json of
 * Hugging Face's tokenizers, of which the vocabulary is read and of its
 * normalizer what BERT's has; tokenizer_config.json has the last word. What is
 * not BERT's is refused by name. The rules are those of
 * lua/bertlua/text/vocabulary_file.lua and weights/vocabulary.lua.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/folder.h"

/* The reference's longest word; and how many ids may lack a token beside as many as there are tokens. */
enum { MOST_CHARACTERS = 200, MOST_TOKENS = 1 << 24, MOST_HOLES = 1000 };
/* A learned cased vocabulary has thousands of pieces with capitals, and a handful of words does not tell the casing. */
enum { TELLING_SIZE = 1000 };
#define CASED_SHARE 0.01

/* How text is cut, as the files say: 1, 0, or -1 where they do not. */
typedef struct rules {
    int lower_case, strip_accents, split_ideographs, clean;
    int32_t most; /* characters of a word; 0: not said */
    char *text;   /* lines of a tokenizer.json's vocabulary; NULL for a vocab.txt */
    size_t bytes;
} rules;

static bl_status out_of_memory(const char *path) {
    return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", path);
}

static bool is_special(const char *token) {
    static const char *const NAMES[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (int i = 0; i < 5; i++)
        if (strcmp(token, NAMES[i]) == 0) return true;
    return false;
}

static bool is_json(const char *path) {
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".json") == 0;
}

/* Refuse a part of the tokenizer of another type than BERT's. */
static bl_status check_part(const char *path, const char *name, const json_t *part, const char *accepted) {
    const char *kind = bl_json_text(part, "type");
    if (kind && strcmp(kind, accepted) == 0) return BL_OK;
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "%s: its %s is %.60s, expected %s: name a vocab.txt for BERT's WordPiece "
                   "instead",
                   path, name, kind ? kind : "none", accepted);
}

/* Take true and false of an object's keys; strict: nothing else may stand there. */
static bl_status take_truths(const char *path, const json_t *object, rules *r, const char *const keys[4], bool strict) {
    int *places[] = {&r->lower_case, &r->strip_accents, &r->split_ideographs, &r->clean};
    char shown[60];
    for (int i = 0; i < 4; i++) {
        const json_t *value = bl_json_get(object, keys[i]);
        if (json_is_boolean(value))
            *places[i] = json_is_true(value);
        else if (value && strict)
            return bl_fail(BL_ERROR_FORMAT, "%s: %s of its normalizer is %s, expected true or false", path, keys[i],
                           bl_json_shown(value, shown, sizeof shown));
    }
    return BL_OK;
}

static bl_status take_normalizer(const char *path, const json_t *normalizer, rules *r) {
    static const char *const KEYS[] = {"lowercase", "strip_accents", "handle_chinese_chars", "clean_text"};
    if (!normalizer) {
        r->lower_case = r->strip_accents = r->split_ideographs = r->clean = 0;
        return BL_OK;
    }
    BL_TRY(check_part(path, "normalizer", normalizer, "BertNormalizer"));
    return take_truths(path, normalizer, r, KEYS, true);
}

static bl_status check_model(const char *path, const json_t *model, rules *r) {
    static const char *const KEYS[][2] = {{"unk_token", "[UNK]"}, {"continuing_subword_prefix", "##"}};
    char shown[60];
    if (!json_is_object(model)) return bl_fail(BL_ERROR_FORMAT, "%s: not a tokenizer.json: it has no model", path);
    /* The oldest files name no type; only WordPiece has a prefix of continuing pieces and no merges. */
    const char *kind = bl_json_text(model, "type");
    if (!kind && !json_object_get(model, "type"))
        kind = json_object_get(model, "merges")                      ? "BPE"
               : json_object_get(model, "continuing_subword_prefix") ? "WordPiece"
                                                                     : NULL;
    if (!kind || strcmp(kind, "WordPiece") != 0)
        return bl_fail(BL_ERROR_UNSUPPORTED, "%s: its model is %.60s, expected WordPiece, which BERT has", path,
                       kind ? kind : "of no known type");
    if (!json_is_object(json_object_get(model, "vocab")))
        return bl_fail(BL_ERROR_FORMAT, "%s: its model has no vocab", path);
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(model, KEYS[i][0]);
        if (value && (!json_is_string(value) || strcmp(json_string_value(value), KEYS[i][1]) != 0))
            return bl_fail(BL_ERROR_UNSUPPORTED, "%s: its %s is %s, expected %s; others are not implemented", path,
                           KEYS[i][0], bl_json_shown(value, shown, sizeof shown), KEYS[i][1]);
    }
    const json_t *most = json_object_get(model, "max_input_chars_per_word");
    double number = most ? json_number_value(most) : 100;
    if (number < 1 || number != floor(number))
        return bl_fail(BL_ERROR_FORMAT, "%s: max_input_chars_per_word is %s, expected a whole number from 1", path,
                       bl_json_shown(most, shown, sizeof shown));
    r->most = number < MOST_CHARACTERS ? (int32_t) number : MOST_CHARACTERS;
    return BL_OK;
}

/* Tokens by their ids, while they are gathered. */
typedef struct lines {
    const char **tokens; /* [capacity] NULL: no token */
    int64_t capacity, count, last;
    size_t bytes;
} lines;

/* Note a token; the first time around (tokens NULL) only the largest id. */
static bl_status put(const char *path, lines *l, const char *token, const json_t *id, bool again) {
    double number = json_is_number(id) ? json_number_value(id) : -1;
    char shown[60];
    if (!token || number < 0 || number != floor(number) || number >= MOST_TOKENS)
        return bl_fail(BL_ERROR_FORMAT, "%s: %.60s has the id %s, expected a whole number below 2^24", path,
                       token ? token : "a token without text", bl_json_shown(id, shown, sizeof shown));
    int64_t at = (int64_t) number;
    if (at > l->last) l->last = at;
    if (!l->tokens) {
        l->count++;
        return BL_OK;
    }
    if (strpbrk(token, "\r\n"))
        return bl_fail(BL_ERROR_FORMAT, "%s: the token of id %lld has a line break", path, (long long) at);
    if (l->tokens[at] && (!again || strcmp(l->tokens[at], token) != 0))
        return bl_fail(BL_ERROR_FORMAT, "%s: %.60s and %.60s have the same id %lld", path, l->tokens[at], token,
                       (long long) at);
    if (!l->tokens[at]) {
        l->count++;
        l->bytes += strlen(token);
    }
    l->tokens[at] = token;
    return BL_OK;
}

static bl_status put_all(const char *path, lines *l, const json_t *vocab, const json_t *added) {
    const char *token;
    json_t *value;
    size_t i;
    l->count = 0;
    json_object_foreach((json_t *) vocab, token, value) {
        BL_TRY(put(path, l, token, value, false));
    }
    json_array_foreach(added, i, value) {
        if (json_is_object(value))
            BL_TRY(put(path, l, bl_json_text(value, "content"), json_object_get(value, "id"), true));
    }
    return BL_OK;
}

/* Gather the tokens of a tokenizer.json; the array is freed by the caller. */
static bl_status gather(const char *path, const json_t *root, lines *l) {
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    *l = (lines){.last = -1};
    BL_TRY(put_all(path, l, vocab, added));
    if (l->last + 1 - l->count <= l->count + MOST_HOLES && l->last >= 0) {
        l->capacity = l->last + 1;
        l->tokens = calloc((size_t) l->capacity, sizeof *l->tokens);
        if (!l->tokens) return out_of_memory(path);
        BL_TRY(put_all(path, l, vocab, added));
    }
    if (l->last + 1 - l->count > l->count + MOST_HOLES)
        return bl_fail(BL_ERROR_FORMAT, "%s: its ids go up to %lld, but it has %lld tokens", path, (long long) l->last,
                       (long long) l->count);
    return l->last < 0 ? bl_fail(BL_ERROR_FORMAT, "%s: its vocab is empty", path) : BL_OK;
}

/* The tokens as a vocab.txt holds them. */
static bl_status join(const char *path, const lines *l, rules *r) {
    char *text = malloc(l->bytes + (size_t) l->capacity + 1), *at = text;
    if (!text) return out_of_memory(path);
    for (int64_t i = 0; i < l->capacity; i++) {
        size_t length = l->tokens[i] ? strlen(l->tokens[i]) : 0;
        if (length > 0) memcpy(at, l->tokens[i], length);
        at += length;
        *at++ = '\n';
    }
    *at = '\0';
    r->text = text;
    r->bytes = (size_t) (at - text);
    return BL_OK;
}

static bl_status note_added(bl_model_folder *folder, const char *path, const json_t *added) {
    bl_remarks names = {0};
    int count = 0;
    size_t i;
    json_t *entry;
    json_array_foreach(added, i, entry) {
        const char *content = bl_json_text(entry, "content");
        if (content && !is_special(content) && count++ < 3) bl_remark(&names, ", ", "%.60s", content);
    }
    if (count == 0) return BL_OK;
    return bl_folder_note(folder,
                          "vocabulary %s: %d added %s (%s%s): bertlua does not look for %s in texts, but cuts "
                          "words with %s as with the others",
                          path, count, count == 1 ? "token" : "tokens", names.text, count > 3 ? ", ..." : "",
                          count == 1 ? "it" : "them", count == 1 ? "it" : "them");
}

static bl_status take_tokenizer_json(bl_model_folder *folder, const char *path, const json_t *root, rules *r) {
    const json_t *model = json_object_get(root, "model");
    lines l = {0};
    BL_TRY(check_model(path, model, r));
    BL_TRY(check_part(path, "pre_tokenizer", json_object_get(root, "pre_tokenizer"), "BertPreTokenizer"));
    BL_TRY(take_normalizer(path, bl_json_get(root, "normalizer"), r));
    bl_status status = gather(path, root, &l);
    if (status == BL_OK) status = join(path, &l, r);
    free(l.tokens);
    BL_TRY(status);
    double most = json_number_value(json_object_get(model, "max_input_chars_per_word"));
    if (most > MOST_CHARACTERS)
        BL_TRY(bl_folder_note(folder,
                              "vocabulary %s: max_input_chars_per_word is %.0f; here words of more than %d "
                              "characters are [UNK]",
                              path, most, (int) MOST_CHARACTERS));
    return note_added(folder, path, json_object_get(root, "added_tokens"));
}

static bl_status read_tokenizer_json(bl_model_folder *folder, const char *path, rules *r) {
    json_t *root;
    BL_TRY(bl_json_read(path, &root));
    if (!root) return bl_fail(BL_ERROR_IO, "%s: no such vocabulary", path);
    bl_status status = json_is_object(root) ? take_tokenizer_json(folder, path, root, r)
                                            : bl_fail(BL_ERROR_FORMAT, "%s: not a JSON object", path);
    json_decref(root);
    return status;
}

/* Classes of transformers that cut text as BERT's does. */
static bool is_like_bert(const char *class) {
    static const char NAMES[] = " BertTokenizer BertTokenizerFast PreTrainedTokenizerFast TokenizersBackend "
                                "DistilBertTokenizer DistilBertTokenizerFast ElectraTokenizer ElectraTokenizerFast "
                                "PreTrainedTokenizer ";
    size_t length = strlen(class);
    for (const char *at = NAMES; length > 0 && (at = strstr(at, class)); at++)
        if (at[-1] == ' ' && at[length] == ' ') return true;
    return false;
}

/* What the tokenizer_config.json beside the vocabulary says, over what is known already. */
static bl_status apply_config(bl_model_folder *folder, const char *home, rules *r) {
    static const char *const KEYS[] = {"do_lower_case", "strip_accents", "tokenize_chinese_chars", "clean_text"};
    json_t *config;
    double most;
    BL_TRY(bl_json_beside(home, "tokenizer_config.json", &config));
    if (!config) return BL_OK;
    bl_status status = take_truths(home, config, r, KEYS, false);
    if (bl_json_number(config, "max_input_chars_per_word", &most) && most >= 1 && most == floor(most))
        r->most = most < MOST_CHARACTERS ? (int32_t) most : MOST_CHARACTERS;
    const char *class = bl_json_text(config, "tokenizer_class");
    if (status == BL_OK && class && !is_like_bert(class))
        status = bl_folder_note(folder,
                                "%s/tokenizer_config.json names the tokenizer %.60s: texts are cut into words "
                                "as BertTokenizer does",
                                home, class);
    json_decref(config);
    return status;
}

/* Tokens that older folders keep beside a vocab.txt are not read; the model may have rows for them. */
static bl_status note_added_file(bl_model_folder *folder, const char *home) {
    json_t *added, *value;
    const char *token;
    int count = 0;
    BL_TRY(bl_json_beside(home, "added_tokens.json", &added));
    json_object_foreach(added, token, value) {
        count += !is_special(token);
    }
    json_decref(added);
    if (count == 0) return BL_OK;
    return bl_folder_note(folder, "%d %s of %s/added_tokens.json %s not used", count, count == 1 ? "token" : "tokens",
                          home, count == 1 ? "is" : "are");
}

static bl_status read_rules(bl_model_folder *folder, const char *path, rules *r) {
    *r = (rules){.lower_case = -1, .strip_accents = -1, .split_ideographs = -1, .clean = -1};
    const char *slash = strrchr(path, '/');
    char *home = slash ? strndup(path, slash > path ? (size_t) (slash - path) : 1) : strdup(".");
    if (!home) return out_of_memory(path);
    bl_status status = is_json(path) ? read_tokenizer_json(folder, path, r) : BL_OK;
    if (status == BL_OK) status = apply_config(folder, home, r);
    if (status == BL_OK && !r->text) status = note_added_file(folder, home);
    free(home);
    return status;
}

static bl_status create(bl_tokenizer **out, const char *path, const rules *r, bool lower_case) {
    bl_tokenizer_options options = {.text = r->text,
                                    .bytes = r->bytes,
                                    .lower_case = lower_case,
                                    .strip_accents = r->strip_accents < 0 ? lower_case : r->strip_accents == 1,
                                    .split_ideographs = r->split_ideographs != 0,
                                    .clean = r->clean != 0,
                                    .max_word_characters = r->most ? r->most : MOST_CHARACTERS};
    return bl_tokenizer_create_with(out, path, &options);
}

/* Casing that the folder records: 1, 0; -1 if it does not. */
static bl_status recorded_casing(const bl_model_folder *folder, const json_t *progress, const rules *r, int *lower) {
    json_t *config;
    *lower = bl_json_truth(progress, "do_lower_case");
    if (*lower >= 0) return BL_OK;
    BL_TRY(bl_json_beside(folder->path, "tokenizer_config.json", &config));
    *lower = bl_json_truth(config, "do_lower_case");
    json_decref(config);
    /* A vocabulary from elsewhere has files of its own. */
    if (*lower < 0) *lower = r->lower_case;
    return BL_OK;
}

/* Programs round the size of a model up to a multiple of 8, and published models have rows that no token belongs to. */
static bool is_rounded(int64_t size, int64_t count) {
    return size == count || size == (count + 7) / 8 * 8;
}

static bl_status check_size(bl_model_folder *folder, const char *path, bool own) {
    int32_t size = folder->size.vocab_size, count = bl_tokenizer_size(folder->tokenizer);
    if (is_rounded(size, count)) return BL_OK;
    if (size < count || !own)
        return bl_fail(BL_ERROR_FORMAT, "%s: its vocabulary has %d tokens, but %s has %d", folder->path, size, path,
                       count);
    return bl_folder_note(folder, "%s has rows for %d words, %d more than %s has tokens: no text has these",
                          folder->path, size, size - count, path);
}

static bl_status note_report(bl_model_folder *folder, const char *path) {
    bl_vocabulary_report report = bl_tokenizer_report(folder->tokenizer);
    if (report.blank > 0)
        BL_TRY(bl_folder_note(folder,
                              "vocabulary %s: %d lines without a token, the first of id %d: other ids stay as "
                              "they are",
                              path, report.blank, report.blank_line - 1));
    if (report.repeated > 0)
        BL_TRY(bl_folder_note(folder,
                              "vocabulary %s: %d tokens come again, the first of id %d, again %d: the last "
                              "one's id is used, as in transformers",
                              path, report.repeated, report.repeated_line - 1, report.repeating_line - 1));
    return BL_OK;
}

/* Bytes of a line without the white space at its end. */
static size_t trimmed(const char *line) {
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r\n\v\f", line[length - 1]))
        length--;
    return length;
}

/* Where a vocab.txt and the tokenizer.json beside it give an id to different tokens: transformers takes the latter. */
static bl_status note_disagreement(bl_model_folder *folder) {
    char *path = bl_path_join(folder->path, "tokenizer.json");
    if (!path) return out_of_memory(folder->path);
    json_t *root = NULL;
    lines l = {0};
    rules unused;
    /* One that is of no use here says nothing of the tokens. */
    bool usable = bl_json_read(path, &root) == BL_OK && json_is_object(root) &&
                  check_model(path, json_object_get(root, "model"), &unused) == BL_OK &&
                  gather(path, root, &l) == BL_OK;
    bl_status status = BL_OK;
    for (int64_t i = 0; usable && i < l.capacity; i++) {
        const char *ours = bl_tokenizer_token(folder->tokenizer, (int32_t) i), *theirs = l.tokens[i];
        if (!ours || !theirs || !theirs[0]) continue;
        size_t length = trimmed(theirs);
        if (strlen(ours) == length && memcmp(ours, theirs, length) == 0) continue;
        status = bl_folder_note(folder,
                                "%s/vocab.txt: tokenizer.json beside it has %.60s with the id %lld, not %.60s: "
                                "vocab.txt is used; name the other file if it is the model's",
                                folder->path, theirs, (long long) i, ours);
        break;
    }
    free(l.tokens);
    json_decref(root);
    free(path);
    return status;
}

static bl_status open_words(bl_model_folder *folder, const char *path, const bl_encoder_options *options,
                            const json_t *progress, rules *r) {
    int lower = options->lower_case;
    BL_TRY(read_rules(folder, path, r));
    if (lower == 0)
        BL_TRY(recorded_casing(folder, progress, r, &lower));
    else
        lower = lower > 0;
    BL_TRY(create(&folder->tokenizer, path, r, lower != 0));
    /* Nothing says it: capitals in the vocabulary do. */
    int32_t size = bl_tokenizer_size(folder->tokenizer);
    if (lower < 0 && size >= TELLING_SIZE &&
        bl_tokenizer_upper_case_pieces(folder->tokenizer) > CASED_SHARE * (double) size) {
        bl_tokenizer_free(folder->tokenizer);
        folder->tokenizer = NULL;
        BL_TRY(create(&folder->tokenizer, path, r, false));
        lower = 0;
    }
    folder->lower_case = lower != 0;
    BL_TRY(note_report(folder, path));
    BL_TRY(check_size(folder, path, !options->vocab_file));
    return r->text || options->vocab_file ? BL_OK : note_disagreement(folder);
}

bl_status bl_words_open(bl_model_folder *folder, const bl_encoder_options *options, const json_t *progress) {
    static const char *const NAMES[] = {"vocab.txt", "tokenizer.json"};
    char *path = options->vocab_file ? strdup(options->vocab_file) : NULL;
    for (int i = 0; i < 2 && !path; i++) {
        path = bl_path_join(folder->path, NAMES[i]);
        if (!path) return out_of_memory(folder->path);
        if (!bl_is_file(path)) {
            free(path);
            path = NULL;
        }
    }
    if (!path && options->vocab_file) return out_of_memory(folder->path);
    if (!path)
        return bl_fail(BL_ERROR_IO, "%s holds neither vocab.txt nor tokenizer.json: name the vocabulary in vocab_file",
                       folder->path);
    rules r = {0};
    bl_status status = bl_is_file(path) ? open_words(folder, path, options, progress, &r)
                                        : bl_fail(BL_ERROR_IO, "%s: no such vocabulary", path);
    free(r.text);
    free(path);
    return status;
}
