/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: int8 linear layers in plain loops, weights transposed so that the
 * inner loop is over outputs; everything else, and what is smaller than an
 * option says, is left to the reference backend.
 *
 *   [qat]
 *   backend = ./NAME.so
 *
 *   [backend NAME]
 *   min_macs = 1000
 *
 *   qatkit verify FOLDER --backend ./NAME.so */
#include <stdlib.h>
#include <string.h>

#include <qatkit/backend.h>

struct NAME {
  int64_t min_macs;
};

/* One op, packed. */
struct NAME_kernel {
  struct qk_op op; /* its arrays live as long as the model */
  int8_t *weight;  /* (C,K) */
  int64_t rows;    /* of a sample */
};

static const struct qk_option NAME_options[]
  = { { "min_macs", QK_OPT_INT, "0", 0, 1e15, NULL,
        "Operations of fewer multiply-accumulates are left to others" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* Before anything else: what does this machine do best?  -ENOTSUP with a
 * sentence where a CPU or library is missing.  "exact" promises the bytes of
 * numeric.h, which verify holds it to. */
static int
NAME_probe (struct qk_backend_caps *caps)
{
  caps->per_channel = true;
  caps->activation_bits = 8;
  caps->exact = true;
  caps->cpu_level = "portable";
  return 0;
}

/* For each executor of an int8 network; THREADS is how many run may use. */
static int
NAME_create (const struct qk_config *cfg, int threads, void **self)
{
  struct NAME *b = malloc (sizeof *b);

  (void) threads; /* these loops use one */
  if (b == NULL)
    return qk_oom ("NAME");
  b->min_macs = qk_config_int (cfg, "min_macs");
  *self = b;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* For each op: can it run here?  -ENOTSUP with the reason leaves it to the
 * reference backend and is reported.  qk_op_check finds everything that makes
 * no sense, so that what passes cannot reach outside a buffer. */
static int
NAME_supports (void *self, const struct qk_op *op, const struct qk_shape *in,
               const struct qk_shape *out)
{
  const struct NAME *b = self;
  const int r = qk_op_check (op, in, out);

  if (r < 0)
    return r;
  if (op->kind != QK_OP_LINEAR)
    return qk_error (-ENOTSUP, "NAME: no %s", qk_op_kind_name (op->kind));
  if (op->in_channels * op->out_channels < b->min_macs)
    return qk_error (-ENOTSUP,
                     "NAME: %lld multiply-accumulates, fewer than min_macs",
                     (long long) (op->in_channels * op->out_channels));
  return 0;
}

/* Once for each op that is supported: pack it.  *SCRATCH bytes are given to
 * run: here room for the sums of one row. */
static int
NAME_prepare (void *self, const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out, void **kernel, size_t *scratch)
{
  const int64_t c = op->in_channels, n = op->out_channels;
  struct NAME_kernel *k = malloc (sizeof *k);

  (void) self;
  (void) out;
  if (k == NULL || (k->weight = malloc ((size_t) (c * n))) == NULL) {
    free (k);
    return qk_oom ("NAME");
  }
  qk_op_copy (&k->op, op);
  k->rows = qk_shape_count (&in[0]) / in[0].dims[0] / c;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < c; j++)
      k->weight[j * n + i] = op->weight[i * c + j];
  *scratch = (size_t) n * sizeof (int32_t);
  *kernel = k;
  return 0;
}

static void
NAME_release (void *self, void *kernel)
{
  struct NAME_kernel *k = kernel;

  (void) self;
  if (k != NULL)
    free (k->weight);
  free (k);
}

/* Each batch of N samples: x u8 (N,...,C) -> u8 (N,...,K), or f32 where the
 * output has no scale.  It cannot fail. */
static void
NAME_run (void *self, void *kernel, int64_t n, const void *const *in,
          void *out, void *scratch)
{
  const struct NAME_kernel *packed = kernel;
  const struct qk_op *op = &packed->op;
  const int64_t c = op->in_channels, k = op->out_channels;
  const uint8_t *x = in[0];
  int32_t *sum = scratch;

  (void) self;
  for (int64_t s = 0; s < n * packed->rows; s++, x += c) {
    memset (sum, 0, (size_t) k * sizeof *sum);
    for (int64_t j = 0; j < c; j++)
      for (int64_t i = 0; i < k; i++)
        sum[i] += (x[j] - op->in_q[0].zero_point) * packed->weight[j * k + i];
    for (int64_t i = 0; i < k; i++) {
      const int32_t acc = sum[i] + (op->bias != NULL ? op->bias[i] : 0);

      if (op->out_q.scale > 0.0f)
        ((uint8_t *) out)[s * k + i] = (uint8_t) qk_requantize (
          acc, op->multiplier[i], op->out_q.zero_point, op->lo, op->hi);
      else
        ((float *) out)[s * k + i] = (float) acc * op->multiplier[i];
    }
  }
}

/* Optional slots left out: peak and facts, for benchmarks; shared, that run may
 * be called from several threads; run_joined, a convolution and an addition at
 * once. */
static const struct qk_backend_class NAME_class = {
  .cls = QK_CLASS (struct qk_backend_class, QK_KIND_BACKEND, "NAME",
                   "Linear layers in plain loops", NAME_options),
  .probe = NAME_probe,
  .create = NAME_create,
  .destroy = NAME_destroy,
  .supports = NAME_supports,
  .prepare = NAME_prepare,
  .release = NAME_release,
  .run = NAME_run,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
