/*
 * graph.h - a sequence of ops recorded once and replayed as one launch.
 *
 * Part of the public C API (include "bertlua.h"). A replay runs the same
 * kernels on the same addresses with the same scalars: whatever changes from
 * one replay to the next lies in device memory that the ops read.
 */
#ifndef BERTLUA_API_GRAPH_H
#define BERTLUA_API_GRAPH_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * begin: from here on, ops of the context are recorded and do not run. What
 * waits for the device, allocates, or copies ordinary host memory fails until
 * end. Run the same ops eagerly once before: scratch memory and the choice of
 * algorithms are then settled. BL_ERROR_UNSUPPORTED on the CPU: ops run eagerly.
 * end: *out receives the graph; NULL out drops it. It runs nothing either way.
 * launch: queue the whole graph on the compute stream.
 */
typedef struct bl_graph bl_graph;
bl_status bl_graph_begin(bl_context *ctx);
bl_status bl_graph_end(bl_graph **out, bl_context *ctx);
bl_status bl_graph_launch(bl_graph *graph);
void bl_graph_free(bl_graph *graph);

/* CDEF-END */

#endif
