/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* modelfile.h: int8 networks in files.
 *
 * A model file is a tensor file: for every int8 convolution and linear node
 * the arrays NAME.weight (i8), NAME.bias (i32; f32 for linear_dynamic) and
 * NAME.multiplier (f32), for
 * every node left in float its parameters (f32), and in the metadata
 *   "qatkit.model"    the format's version, "1.0", with packed weights "1.1",
 *                     with values of more than 8 bits "1.2"
 *   "qatkit.graph"    the graph as JSON
 *   "qatkit.targets"  what the data had as targets, as JSON: names, shapes
 *                     and categories, for who reads the outputs
 *   "qatkit.config"   the configuration it was made with, as INI text
 *   "qatkit.checksum" CRC-32 of all of the above and the arrays, see
 *                     io/checksum.h; older files have none
 * Weights that fit 2 to 7 bits are packed (base/bits.h): NAME.weight.i4 and
 * the like are bytes (u8) of one dimension; with them the multipliers are left
 * out that follow from the scales.
 * Numbers in the JSON have 17 digits, so that scales read back exactly. */
#ifndef QK_MODEL_MODELFILE_H
#define QK_MODEL_MODELFILE_H

#include "graph/graph-priv.h"
#include "io/tensorfile.h"

#define QK_MODEL_MAJOR 1
#define QK_MODEL_MINOR 2

struct qk_model_info {
  int n_targets; /* of the data it was made for */
  const struct qk_tensor_spec *target;
  const char *config;   /* INI text */
  const char *checksum; /* of the file it comes from; NULL: of none */
};

/* Write the INT8 graph G atomically. */
int qk_model_save (const struct qk_graph *g, const struct qk_model_info *info,
                   const char *path);

struct qk_model {
  struct qk_graph *graph;        /* INT8 */
  struct qk_tensor_spec *target; /* n_targets of them; owned */
  int n_targets;
  char *config;
  char checksum[16]; /* in hexadecimal; "" where the file has none */
};

/* Read a model; the file is not trusted.  Free with qk_model_free. */
int qk_model_load (struct qk_context *ctx, const char *path,
                   struct qk_model **out);
/* The same of an open file of SIZE bytes. */
int qk_model_read (struct qk_context *ctx, const struct qk_tensorfile *f,
                   int64_t size, struct qk_model **out);
void qk_model_free (struct qk_model *m); /* accepts NULL */

#endif /* QK_MODEL_MODELFILE_H */
