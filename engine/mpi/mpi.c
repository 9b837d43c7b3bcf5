/*
 * mpi.c - the plug-in libbertlua-mpi.so: messages over MPI. The only file that
 * sees MPI; linked without libbertlua. A process has one MPI, so the state is
 * static; one thread calls everything but describe.
 */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "comm/p2p.h"

enum { TAG = 0x626c };

static MPI_Request *requests;
static int request_count;
static int request_capacity;
static char problem[MPI_MAX_ERROR_STRING + 1];

static const char *explain(int code) {
    int length = 0;
    if (code == MPI_SUCCESS) return NULL;
    if (MPI_Error_string(code, problem, &length) != MPI_SUCCESS) return "an MPI error without a message";
    problem[length] = '\0';
    return problem;
}

/* The first line, up to a comma: "Open MPI v4.1.4"; MPICH puts "Version:" and blanks between: "MPICH 4.2.1". */
static const char *describe(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    static const char label[] = " Version:";
    int length = 0;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "MPI of an unknown version";
    text[strcspn(text, ",\n")] = '\0';
    char *version = strstr(text, label);
    if (version) {
        const char *number = version + sizeof label - 1;
        number += strspn(number, " \t");
        memmove(version + 1, number, strlen(number) + 1);
    }
    return text;
}

static const char *start(int32_t *rank, int32_t *size) {
    int provided = MPI_THREAD_SINGLE, done = 0, r = 0, n = 0;
    const char *failure = explain(MPI_Finalized(&done));
    if (failure) return failure;
    if (done) return "it was already shut down; a process can open it only once";
    failure = explain(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided));
    if (failure) return failure;
    if (provided < MPI_THREAD_FUNNELED) return "it does not support threads";
    failure = explain(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    if (!failure) failure = explain(MPI_Comm_rank(MPI_COMM_WORLD, &r));
    if (!failure) failure = explain(MPI_Comm_size(MPI_COMM_WORLD, &n));
    *rank = r;
    *size = n;
    return failure;
}

static const char *finish(void) {
    free(requests);
    requests = NULL;
    request_count = request_capacity = 0;
    return explain(MPI_Finalize());
}

static MPI_Request *new_request(void) {
    if (request_count == request_capacity) {
        int capacity = request_capacity ? 2 * request_capacity : 64;
        MPI_Request *grown = realloc(requests, (size_t) capacity * sizeof *grown);
        if (!grown) return NULL;
        requests = grown;
        request_capacity = capacity;
    }
    return &requests[request_count];
}

static const char *post_send(const void *data, int64_t bytes, int32_t rank) {
    MPI_Request *request = new_request();
    if (!request) return "out of memory";
    const char *failure = explain(MPI_Isend(data, (int) bytes, MPI_BYTE, rank, TAG, MPI_COMM_WORLD, request));
    if (!failure) request_count++;
    return failure;
}

static const char *post_receive(void *data, int64_t bytes, int32_t rank) {
    MPI_Request *request = new_request();
    if (!request) return "out of memory";
    const char *failure = explain(MPI_Irecv(data, (int) bytes, MPI_BYTE, rank, TAG, MPI_COMM_WORLD, request));
    if (!failure) request_count++;
    return failure;
}

static const char *poll_all(bool *done) {
    int all = 0;
    const char *failure = explain(MPI_Testall(request_count, requests, &all, MPI_STATUSES_IGNORE));
    *done = all != 0;
    if (*done) request_count = 0;
    return failure;
}

__attribute__((visibility("default"))) const bl_p2p bl_mpi_p2p = {
    BL_P2P_VERSION, describe, start, finish, post_send, post_receive, poll_all,
};
