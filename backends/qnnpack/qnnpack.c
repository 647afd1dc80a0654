/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qnnpack.c: the int8 backend for 64-bit ARM, at the level of the CPU it
 * finds; on other CPUs the same arithmetic in portable C. */
#include "config.h"

#include "qnnpack.h"

#include <string.h>

/* As PyTorch's default qconfig of this name: weights per tensor, all 8 bits
 * of the activations.  Weights per channel run at the same speed. */
static int
qnnpack_probe (struct qk_backend_caps *caps)
{
  enum qk_cpu_level level;
  int r = qk_cpu_best (QK_CPU_ARM, &level);

  if (r < 0)
    return r;
  *caps = (struct qk_backend_caps){ .per_channel = false,
                                    .activation_bits = 8,
                                    .exact = true,
                                    .cpu_level = qk_cpu_level_name (level) };
  return 0;
}

static int
qnnpack_create (const struct qk_config *cfg, int threads, void **self)
{
  enum qk_cpu_level level;
  struct qnnpack *b;
  int r = qk_cpu_best (QK_CPU_ARM, &level);

  (void) cfg;
  if (r < 0)
    return r;
  b = qk_alloc (sizeof *b);
  if (b == NULL)
    return qk_oom ("qnnpack");
  b->threads = threads > 0 ? threads : 1;
  q8_kernels_init (&b->kernels, level);
  *self = b;
  return 0;
}

static void
qnnpack_destroy (void *self)
{
  qk_free (self);
}

static int
qnnpack_supports (void *self, const struct qk_op *op,
                  const struct qk_shape *in, const struct qk_shape *out)
{
  struct int8op_geometry g;

  (void) self;
  return int8op_check (op, in, out, &g);
}

static void
qnnpack_release (void *self, void *kernel)
{
  struct qnnpack_kernel *k = kernel;

  (void) self;
  if (k == NULL)
    return;
  qk_free (k->pad);
  qk_free (k->arrays);
  qk_free (k->block);
  qk_free (k->tap);
  qk_free (k->dw);
  pointwise_free (k->point);
  phased_free (k->phased);
  qk_free (k->norm);
  qk_free (k);
}

static void
run_pointwise (const struct qnnpack_kernel *k, int64_t n,
               const void *const *in, void *out, void *scratch)
{
  (void) scratch;
  pointwise_run (k->point, n, in, out);
}

static void
run_norm (const struct qnnpack_kernel *k, int64_t n, const void *const *in,
          void *out, void *scratch)
{
  normop_run (k->norm, n, in[0], out, scratch);
}

/* What padding shows: long enough for a pixel of all groups. */
static int
prepare_pad (struct qnnpack_kernel *k)
{
  k->pad = qk_alloc ((size_t) k->g.c);
  if (k->pad == NULL)
    return qk_oom ("qnnpack");
  memset (k->pad, k->op.in_q[0].zero_point, (size_t) k->g.c);
  return 0;
}

static const struct qk_backend_class qnnpack;

static void
run_transposed (const struct qnnpack_kernel *k, int64_t n,
                const void *const *in, void *out, void *scratch)
{
  phased_run (k->phased, n, in, out, scratch);
}

static int
prepare_kind (struct qnnpack_kernel *k, const struct qk_shape *in,
              const struct qk_shape *out, size_t *scratch)
{
  struct qk_op *op = &k->op;
  int r;

  if (op->kind == QK_OP_MATMUL) {
    qnnpack_prepare_matmul (k, in, scratch);
    return 0;
  }
  if (normop_knows (op->kind)) {
    k->run = run_norm;
    return normop_new (op, &k->g, in, k->threads, &k->norm, scratch);
  }
  if (op->kind != QK_OP_CONV2D && op->kind != QK_OP_LINEAR) {
    k->run = run_pointwise;
    return pointwise_new (&k->kernels.point, k->threads, op, &k->g, in, out,
                          &k->point);
  }
  if (op->kind == QK_OP_LINEAR)
    int8op_as_conv2d (op);
  r = prepare_pad (k);
  if (r < 0)
    return r;
  if (qnnpack_is_depthwise (k))
    return qnnpack_prepare_depthwise (k, scratch);
  return qnnpack_prepare_weighted (k, in[0].dims[0], scratch);
}

static int
qnnpack_prepare (void *self, const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out, void **kernel, size_t *scratch)
{
  const struct qnnpack *b = self;
  struct int8op_geometry g;
  struct qnnpack_kernel *k;
  int r = int8op_check (op, in, out, &g);

  if (r < 0)
    return r;
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("qnnpack");
  qk_op_copy (&k->op, op);
  k->g = g;
  k->threads = b->threads;
  k->kernels = b->kernels;
  *scratch = 0;
  if (op->kind == QK_OP_CONV_TRANSPOSE2D) {
    k->run = run_transposed;
    r = phased_new (self, &qnnpack, b->threads, &k->op, in, out, scratch,
                    &k->phased);
  } else
    r = prepare_kind (k, in, out, scratch);
  if (r < 0) {
    qnnpack_release (self, k);
    return r;
  }
  *kernel = k;
  return 0;
}

static void
qnnpack_run (void *self, void *kernel, int64_t n, const void *const *in,
             void *out, void *scratch)
{
  const struct qnnpack_kernel *k = kernel;

  (void) self;
  k->run (k, n, in, out, scratch);
}

/* As PyTorch chooses its engine: this one for ARM. */
#if defined(__aarch64__) || defined(__arm__)
#define QNNPACK_RANK 100
#else
#define QNNPACK_RANK 0
#endif

static const struct qk_backend_class qnnpack = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_backend_class, QK_KIND_BACKEND, "qnnpack",
                      "Fast int8 arithmetic on 64-bit ARM: NEON, dot product, "
                      "i8mm; portable C elsewhere",
                      NULL, QNNPACK_RANK, QK_FOR_INFERENCE, ""),
  .probe = qnnpack_probe,
  .create = qnnpack_create,
  .destroy = qnnpack_destroy,
  .supports = qnnpack_supports,
  .prepare = qnnpack_prepare,
  .release = qnnpack_release,
  .run = qnnpack_run,
};

QK_PLUGIN ("qnnpack", "1.0", "LGPL-2.1-or-later", &qnnpack.cls);
