/*
 * storage.h - placeholder header comment, written by its owner.
 */
#ifndef BERTLUA_API_STORAGE_H
#define BERTLUA_API_STORAGE_H

#include "core.h"

/* CDEF-BEGIN */
/* CDEF-END */

#endif
