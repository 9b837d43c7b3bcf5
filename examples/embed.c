/*
 * embed.c - vectors of texts, from C. To build it against an installed bertlua:
 *
 *     cc -std=c11 embed.c -o embed $(pkg-config --cflags --libs bertlua) \
 *         -Wl,-rpath,$(pkg-config --variable=libdir bertlua)
 *
 *     ./embed MODEL "a text" "another"   how alike they are: the cosine of their vectors
 *     ./embed MODEL < texts.txt          a JSON line for each line of standard input
 * MODEL is a folder that bertlua or transformers wrote; see docs/embedding_in_programs.md.
 */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <bertlua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *message) {
    fprintf(stderr, "embed: %s\n", message);
    return EXIT_FAILURE;
}

/* One text at a time; bl_encoder_embed takes any number, which is faster. */
static int embed_lines(bl_encoder *encoder, int32_t size, float *vector) {
    char *line = NULL;
    size_t room = 0;
    int result = EXIT_SUCCESS;
    for (ssize_t length; result == EXIT_SUCCESS && (length = getline(&line, &room, stdin)) >= 0;) {
        if (length > 0 && line[length - 1] == '\n') line[--length] = '\0';
        if (strlen(line) < (size_t) length) {
            result = fail("a line holds a NUL byte, where the text would end: remove it (tr -d '\\0')");
            break;
        }
        const char *text = line;
        if (bl_encoder_embed(encoder, &text, 1, BL_POOL_MODEL, vector) != BL_OK) result = fail(bl_last_error());
        for (int32_t k = 0; result == EXIT_SUCCESS && k < size; k++)
            printf("%s%.9g%s", k == 0 ? "{\"embedding\":[" : ",", vector[k], k == size - 1 ? "]}\n" : "");
    }
    free(line);
    if (ferror(stdin)) return fail("cannot read standard input");
    return fflush(stdout) == 0 && !ferror(stdout) ? result : fail("cannot write standard output");
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) return fail("usage: embed MODEL [TEXT TEXT]");
    bl_encoder *encoder = NULL;
    bl_encoder_info info = {.hidden_size = 0};
    bl_encoder_options options = {.threads = 1}; /* a text at a time is too little for more */
    if (bl_encoder_open(&encoder, argv[1], &options) != BL_OK) return fail(bl_last_error());
    int result = bl_encoder_describe(encoder, &info) == BL_OK ? EXIT_SUCCESS : fail(bl_last_error());
    float *vectors = malloc(2 * sizeof *vectors * (size_t) info.hidden_size);
    if (!vectors) result = fail("out of memory");
    if (result == EXIT_SUCCESS && argc == 2) result = embed_lines(encoder, info.hidden_size, vectors);
    if (result == EXIT_SUCCESS && argc == 4) {
        const char *texts[2] = {argv[2], argv[3]};
        const float *a = vectors, *b = vectors + info.hidden_size;
        double cosine = 0; /* of vectors of length 1: the sum of products */
        if (bl_encoder_embed(encoder, texts, 2, BL_POOL_MODEL | BL_POOL_NORMALIZED, vectors) != BL_OK)
            result = fail(bl_last_error());
        for (int32_t k = 0; k < info.hidden_size; k++)
            cosine += (double) a[k] * b[k];
        if (result == EXIT_SUCCESS) printf("%.6f\n", cosine);
    }
    free(vectors);
    bl_encoder_free(encoder);
    return result;
}
