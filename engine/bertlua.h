/*
 * bertlua.h - the public C API of the engine; the only header that bindings
 * and embedding programs include.
 */
#ifndef BERTLUA_H
#define BERTLUA_H

#ifdef __cplusplus
extern "C" {
#endif

#include "api/comm.h"
#include "api/core.h"
#include "api/corpus.h"
#include "api/data.h"
#include "api/device.h"
#include "api/graph.h"
#include "api/ops.h"
#include "api/optim.h"
#include "api/storage.h"
#include "api/text.h"

#ifdef __cplusplus
}
#endif

#endif
