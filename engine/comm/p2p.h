/*
 * p2p.h - what a message-passing library offers: messages between two ranks
 * that are started and later completed. The plug-in fills in the table;
 * libbertlua knows no MPI symbol. All functions are called by one thread.
 */
#ifndef BERTLUA_COMM_P2P_H
#define BERTLUA_COMM_P2P_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Changes with the table. */
enum { BL_P2P_VERSION = 1 };

/* Functions return NULL, or a message that lives as long as the plug-in. */
typedef struct bl_p2p {
    int32_t version;
    const char *(*describe)(void); /* "Open MPI 4.1.4"; needs no start */
    const char *(*start)(int32_t *rank, int32_t *size);
    const char *(*finish)(void);
    /* At most INT32_MAX bytes; messages between two ranks arrive in the order of the calls. */
    const char *(*send)(const void *data, int64_t bytes, int32_t rank);
    const char *(*receive)(void *data, int64_t bytes, int32_t rank);
    /* Whether all started messages are done; advances them. */
    const char *(*poll)(bool *done);
} bl_p2p;

/* Symbol in the plug-in. */
#define BL_P2P_SYMBOL "bl_mpi_p2p"

#endif
