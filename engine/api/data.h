/*
 * data.h - placeholder header comment, written by its owner.
 */
#ifndef BERTLUA_API_DATA_H
#define BERTLUA_API_DATA_H

#include "core.h"

/* CDEF-BEGIN */
/* CDEF-END */

#endif
