/*
 * text.h - placeholder header comment, written by its owner.
 */
#ifndef BERTLUA_API_TEXT_H
#define BERTLUA_API_TEXT_H

#include "core.h"

/* CDEF-BEGIN */
/* CDEF-END */

#endif
