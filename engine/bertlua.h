/*
 * bertlua.h - the public C API of the engine; the only header that bindings
 * and embedding programs include.
 *
 * engine/X implements api/X.h: core (status, tensors, memory, machine), ops and
 * optim (checks, then dispatch to the kernels of cpu or cuda), comm, text,
 * storage (safetensors, durable files, checksums), data (HDF5 shards, batches)
 * and corpus, with MediaWiki's dumps and markup in wiki. api/text_stream.h is
 * implemented in corpus, api/device.h and api/graph.h in ops.
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
#include "api/encoder.h"
#include "api/encoder_queue.h"
#include "api/file_lock.h"
#include "api/graph.h"
#include "api/ops.h"
#include "api/optim.h"
#include "api/storage.h"
#include "api/text.h"
#include "api/text_stream.h"

#ifdef __cplusplus
}
#endif

#endif
