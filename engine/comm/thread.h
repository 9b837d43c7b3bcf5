/*
 * thread.h - threads that leave signals to the program's own: a trainer asks
 * for SIGTERM between steps, and it must come to the thread that trains.
 */
#ifndef BERTLUA_COMM_THREAD_H
#define BERTLUA_COMM_THREAD_H

#include <pthread.h>
#include <signal.h>

/* 0, or an errno value. */
static inline int bl_thread_start(pthread_t *thread, void *(*run)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

#endif
