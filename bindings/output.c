/*
 * output.c - what happens to the exit code when standard output cannot be
 * written. A program may end anywhere: after --help, in a recipe, in a user's
 * os.exit(0). Whoever reads the output relies on a code that says whether all
 * of it is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

const char *output_problem(void) {
    if (fflush(stdout) != 0) return strerror(errno);
    if (!ferror(stdout)) return NULL;
    /* The reason of an earlier failure is gone, but mostly lasts. The output has a gap already. */
    if (write(STDOUT_FILENO, "\n", 1) < 0) return strerror(errno);
    return "an earlier line could not be written";
}

/* A failure has been told already, and its code stays. */
static void check(int code, void *unused) {
    (void) unused;
    const char *problem = code == EXIT_SUCCESS ? output_problem() : NULL;
    if (!problem) return;
    char text[160];
    int n = snprintf(text, sizeof text, "bertlua: standard output: %s\n", problem);
    /* If standard error is gone too, the code alone has to say it. */
    ssize_t written = write(STDERR_FILENO, text, n < (int) sizeof text ? (size_t) n : sizeof text - 1);
    (void) written;
    _exit(EXIT_FAILURE);
}

void output_watch(void) {
    /* Registered first, so it runs last. Without memory for it, only the usual end checks. */
    on_exit(check, NULL);
}
