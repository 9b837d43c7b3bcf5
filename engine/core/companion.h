/*
 * companion.h - files that belong to libbertlua.so: the program and the shared
 * objects that it starts or opens when they are needed. They lie beside the
 * library (a build), or in a folder beside it with the version in its name (an
 * installation, which another version may stand next to), wherever that is.
 */
#ifndef BERTLUA_CORE_COMPANION_H
#define BERTLUA_CORE_COMPANION_H

#include "core/internal.h"

/*
 * Where the companion `name` is. Where there is none, BL_OK too, *found false, and the path that it has in a build, for
 * the message. `what` begins messages.
 */
bl_status bl_companion_find(const char *what, const char *name, char *path, size_t bytes, bool *found);

#endif
