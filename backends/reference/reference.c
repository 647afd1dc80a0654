/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reference.c: the int8 operations as numeric.h defines them, in portable C;
 * every other backend is tested against this one. */
#include "config.h"

#include "reference.h"

static int
reference_probe (struct qk_backend_caps *caps)
{
  *caps = (struct qk_backend_caps){ .per_channel = true,
                                    .activation_bits = 8,
                                    .exact = true,
                                    .cpu_level = "portable",
                                    .wide = true };
  return 0;
}

struct reference {
  int threads;
};

static int
reference_create (const struct qk_config *cfg, int threads, void **self)
{
  struct reference *r = qk_alloc (sizeof *r);

  (void) cfg;
  if (r == NULL)
    return qk_oom ("reference");
  r->threads = threads > 0 ? threads : 1;
  *self = r;
  return 0;
}

static void
reference_destroy (void *self)
{
  qk_free (self);
}

static int
reference_supports (void *self, const struct qk_op *op,
                    const struct qk_shape *in, const struct qk_shape *out)
{
  struct int8op_geometry g;

  (void) self;
  return int8op_check_all (op, in, out, &g);
}

static int
reference_prepare (void *self, const struct qk_op *op,
                   const struct qk_shape *in, const struct qk_shape *out,
                   void **kernel, size_t *scratch)
{
  const struct reference *ref = self;
  struct int8op_geometry g;
  struct reference_kernel *k;
  int r = int8op_check_all (op, in, out, &g);

  if (r < 0)
    return r;
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("reference");
  qk_op_copy (&k->op, op);
  k->g = g;
  k->threads = ref->threads;
  for (int i = 0; i < op->n_in; i++) {
    k->in[i] = in[i];
    k->channels[i] = int8op_row (op, &in[i]);
  }
  k->out = *out;
  *kernel = k;
  *scratch
    = op->kind == QK_OP_LINEAR_DYNAMIC ? (size_t) (g.batch * g.q * g.c) : 0;
  return 0;
}

static void
reference_release (void *self, void *kernel)
{
  (void) self;
  qk_free (kernel);
}

static void
reference_run (void *self, void *kernel, int64_t n, const void *const *in,
               void *out, void *scratch)
{
  const struct reference_kernel *k = kernel;

  (void) self;
  switch (k->op.kind) {
  case QK_OP_CONV2D:
    reference_conv2d (k, n, in, out);
    break;
  case QK_OP_CONV_TRANSPOSE2D:
    reference_conv_transpose2d (k, n, in, out);
    break;
  case QK_OP_LINEAR:
    reference_linear (k, n, in, out);
    break;
  case QK_OP_BINARY:
    reference_binary (k, n, in, out);
    break;
  case QK_OP_CONCAT:
    reference_concat (k, n, in, out);
    break;
  case QK_OP_MAXPOOL2D:
    reference_maxpool2d (k, n, in, out);
    break;
  case QK_OP_AVGPOOL2D:
    reference_avgpool2d (k, n, in, out);
    break;
  case QK_OP_CLAMP:
    reference_clamp (k, n, in, out);
    break;
  case QK_OP_RESHAPE:
    reference_reshape (k, n, in, out);
    break;
  case QK_OP_QUANTIZE:
    reference_quantize (k, n, in, out);
    break;
  case QK_OP_DEQUANTIZE:
    reference_dequantize (k, n, in, out);
    break;
  case QK_OP_REQUANTIZE:
    reference_requantize (k, n, in, out);
    break;
  case QK_OP_LINEAR_DYNAMIC:
    reference_linear_dynamic (k, n, in, out, scratch);
    break;
  case QK_OP_TABLE:
    reference_table (k, n, in, out);
    break;
  case QK_OP_TRANSPOSE:
    reference_transpose (k, n, in, out);
    break;
  case QK_OP_GATHER:
    reference_gather (k, n, in, out);
    break;
  case QK_OP_RESIZE:
    reference_resize (k, n, in, out);
    break;
  case QK_OP_PRELU:
    reference_prelu (k, n, in, out);
    break;
  case QK_OP_REDUCE:
    reference_reduce (k, n, in, out);
    break;
  case QK_OP_MATMUL:
    reference_matmul (k, n, in, out);
    break;
  case QK_OP_SOFTMAX:
    reference_softmax (k, n, in, out);
    break;
  case QK_OP_NORM:
    reference_norm (k, n, in, out);
    break;
  case QK_OP_LRN:
    reference_lrn (k, n, in, out);
    break;
  }
}

static const struct qk_backend_class reference = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_backend_class, QK_KIND_BACKEND, "reference",
                      "The definition of the int8 arithmetic, in portable C",
                      NULL, 1, QK_FOR_INFERENCE | QK_FOR_FALLBACK, ""),
  .probe = reference_probe,
  .create = reference_create,
  .destroy = reference_destroy,
  .supports = reference_supports,
  .prepare = reference_prepare,
  .release = reference_release,
  .run = reference_run,
  .shared = true,
};

QK_PLUGIN ("reference", "1.0", "LGPL-2.1-or-later", &reference.cls);
