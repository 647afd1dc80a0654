/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fbgemm.c: the int8 backend for x86, at the level of the CPU it finds. */
#include "config.h"

#include "fbgemm.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define IS_X86 1
#else
#define IS_X86 0
#endif

/* Without VNNI, 7-bit activations never need the exact detour. */
static int
fbgemm_probe (struct qk_backend_caps *caps)
{
  enum qk_cpu_level level;
  struct qk_kernels kernels;
  int r;

  if (!IS_X86)
    return qk_error (-ENOTSUP, "fbgemm: this CPU is not an x86; use "
                               "backend = auto");
  r = qk_cpu_best (QK_CPU_X86, &level);
  if (r < 0)
    return r;
  qk_kernels_init (&kernels, level);
  *caps = (struct qk_backend_caps){
    .per_channel = true,
    .activation_bits = kernels.saturates ? 7 : 8,
    .exact = true,
    .cpu_level = qk_cpu_level_name (level),
    .wide = true,
  };
  return 0;
}

static int
fbgemm_create (const struct qk_config *cfg, int threads, void **self)
{
  struct qk_backend_caps caps;
  enum qk_cpu_level level;
  struct fbgemm *f;
  int r = fbgemm_probe (&caps);

  (void) cfg;
  if (r == 0)
    r = qk_cpu_best (QK_CPU_X86, &level);
  if (r < 0)
    return r;
  f = qk_alloc (sizeof *f);
  if (f == NULL)
    return qk_oom ("fbgemm");
  f->threads = threads > 0 ? threads : 1;
  qk_kernels_init (&f->kernels, level);
  f->pointwise = fbgemm_pointwise_kernels (level);
  *self = f;
  return 0;
}

static void
fbgemm_destroy (void *self)
{
  qk_free (self);
}

static int
check (const struct qk_op *op, const struct qk_shape *in,
       const struct qk_shape *out, struct int8op_geometry *g)
{
  return fbgemm_suits_wide (op) ? int8op_check_all (op, in, out, g)
                                : int8op_check (op, in, out, g);
}

static int
fbgemm_supports (void *self, const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out)
{
  struct int8op_geometry g;

  (void) self;
  return check (op, in, out, &g);
}

static void
fbgemm_release (void *self, void *kernel)
{
  struct fbgemm *f = self;
  struct fbgemm_kernel *k = kernel;

  if (k == NULL)
    return;
  if (f->last == k)
    f->last = NULL;
  for (int i = 0; k->product != NULL && i < k->op.groups; i++)
    fbgemm_unpack (&k->product[i]);
  if (k->halves != NULL && k->halves != k->product) {
    fbgemm_unpack (k->halves);
    qk_free (k->halves);
  }
  qk_free (k->product);
  fbgemm_release_winograd (k->winograd);
  fbgemm_release_grouped (k->grouped);
  qk_free (k->dw);
  qk_free (k->dw_arrays);
  qk_free (k->pad);
  qk_free (k->row_kind);
  pointwise_free (k->point);
  phased_free (k->phased);
  qk_free (k->norm);
  qk_free (k->matmul);
  qk_free (k->wide16);
  qk_free (k);
}

/* Depthwise with a multiplier M so large that products may pass 2^31 is left
 * to the general path. */
static bool
is_depthwise (const struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;

  return op->kind == QK_OP_CONV2D && op->groups == k->g.c && k->g.k == k->g.c
         && k->g.c > 1 && op->out_q.scale != 0
         && fbgemm_fits_int32 (op, (int64_t) op->kernel_h * op->kernel_w);
}

static void
run_pointwise (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
               void *out, void *scratch)
{
  (void) scratch;
  pointwise_run (k->point, n, in, out);
}

static void
run_norm (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
          void *out, void *scratch)
{
  normop_run (k->norm, n, in[0], out, scratch);
}

static int
prepare_norm (struct fbgemm_kernel *k, const struct qk_shape *in,
              size_t *scratch)
{
  k->run = run_norm;
  return normop_new (&k->op, &k->g, in, k->threads, &k->norm, scratch);
}

static void
run_matmul (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
            void *out, void *scratch)
{
  matmulop_run (k->matmul, n, in, out, scratch);
}

static int
prepare_matmul (struct fbgemm_kernel *k, const struct qk_shape *in,
                size_t *scratch)
{
  k->run = run_matmul;
  return matmulop_new (&k->kernels, &k->op, in, k->threads, &k->matmul,
                       scratch);
}

static int
prepare_pointwise (struct fbgemm_kernel *k, const struct qk_shape *in,
                   const struct qk_shape *out)
{
  k->run = run_pointwise;
  return pointwise_new (k->pointwise, k->threads, &k->op, &k->g, in, out,
                        &k->point);
}

static const struct qk_backend_class fbgemm;

static void
run_transposed (const struct fbgemm_kernel *k, int64_t n,
                const void *const *in, void *out, void *scratch)
{
  phased_run (k->phased, n, in, out, scratch);
}

static int
prepare_transposed (struct fbgemm *f, struct fbgemm_kernel *k,
                    const struct qk_shape *in, const struct qk_shape *out,
                    size_t *scratch)
{
  k->run = run_transposed;
  return phased_new (f, &fbgemm, f->threads, &k->op, in, out, scratch,
                     &k->phased);
}

/* Operations run in the order in which they are prepared: K's weights are the
 * ones to be asked for during the last block of the product before. */
static void
follow_last (struct fbgemm *f, struct fbgemm_kernel *k)
{
  if (k->product == NULL)
    return;
  if (f->last != NULL) {
    const struct fbgemm_product *p = &f->last->product[f->last->op.groups - 1];

    p->block[p->blocks - 1].next = k->product[0].block[0].weight;
  }
  f->last = k;
}

static int
fbgemm_prepare (void *self, const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out, void **kernel, size_t *scratch)
{
  struct fbgemm *f = self;
  struct int8op_geometry g;
  struct fbgemm_kernel *k;
  int r = check (op, in, out, &g);

  if (r < 0)
    return r;
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("fbgemm");
  qk_op_copy (&k->op, op);
  k->g = g;
  k->threads = f->threads;
  k->kernels = f->kernels;
  k->pointwise = f->pointwise;
  *scratch = 0;
  if (fbgemm_suits_wide (op))
    r = fbgemm_prepare_wide (k, scratch);
  else if (is_depthwise (k))
    r = fbgemm_prepare_depthwise (k, scratch);
  else if (fbgemm_suits_grouped (k))
    r = fbgemm_prepare_grouped (k, scratch);
  else if (fbgemm_suits_winograd (k))
    r = fbgemm_prepare_winograd (k, scratch);
  else if (op->kind == QK_OP_CONV2D || op->kind == QK_OP_LINEAR)
    r = fbgemm_prepare_weighted (k, scratch);
  else if (op->kind == QK_OP_CONV_TRANSPOSE2D)
    r = prepare_transposed (f, k, in, out, scratch);
  else if (op->kind == QK_OP_MATMUL)
    r = prepare_matmul (k, in, scratch);
  else if (normop_knows (op->kind))
    r = prepare_norm (k, in, scratch);
  else
    r = prepare_pointwise (k, in, out);
  if (r < 0) {
    fbgemm_release (self, k);
    return r;
  }
  follow_last (f, k);
  *kernel = k;
  return 0;
}

static void
fbgemm_run (void *self, void *kernel, int64_t n, const void *const *in,
            void *out, void *scratch)
{
  const struct fbgemm_kernel *k = kernel;

  (void) self;
  k->run (k, n, in, out, scratch);
}

static void
fbgemm_run_both (void *self, void *first, void *second, int64_t n,
                 const void *in, void *middle, const void *const *term,
                 void *out, void *scratch)
{
  const struct fbgemm_kernel *k = first, *add = second;

  (void) self;
  if (k->joins)
    fbgemm_run_joined (k, add->point, n, in, middle, term, out, scratch);
  else {
    k->run (k, n, &in, middle, scratch);
    add->run (add, n, term, out, scratch);
  }
}

/* Whether windows are transformed, whether weights are packed, and how they
 * fared where products are summed in int16. */
static int
fbgemm_facts (void *self, const void *kernel, char *text, size_t size)
{
  const struct fbgemm_kernel *k = kernel;
  int64_t pairs = k->dw_pairs, unsafe = k->dw_unsafe;
  int64_t moved = 2 * k->dw_halved;
  int64_t runs = 0, extras = 0, steps = 0;

  (void) self;
  text[0] = '\0';
  if (k->winograd != NULL)
    snprintf (text, size, "winograd=4x4");
  if (k->halves != NULL)
    snprintf (text, size, "packed=4");
  if (!k->kernels.saturates || k->halves != NULL
      || (k->product == NULL && k->dw == NULL))
    return 0;
  for (int i = 0; k->product != NULL && i < k->op.groups; i++) {
    const struct fbgemm_product *p = &k->product[i];

    pairs += p->pairs;
    unsafe += p->unsafe;
    moved += p->moved;
    runs += p->runs;
    extras += p->extras;
    steps += p->steps * p->blocks;
  }
  snprintf (text, size, "safe=%.4f moved=%.4f",
            1.0 - (double) unsafe / (double) pairs,
            (double) moved / (double) (2 * pairs));
  if (k->product != NULL)
    snprintf (text + strlen (text), size - strlen (text),
              " chain=%.2f extra=%.3f", (double) steps / (double) runs,
              (double) extras / (double) steps);
  return 0;
}

/* As PyTorch chooses its engine: this one for x86. */
#if defined(__x86_64__) || defined(__i386__)
#define FBGEMM_RANK 100
#else
#define FBGEMM_RANK 0
#endif

static const struct qk_backend_class fbgemm = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_backend_class, QK_KIND_BACKEND, "fbgemm",
                      "Fast int8 arithmetic on x86: AVX2, AVX-VNNI, AVX-512, "
                      "AVX-512 VNNI",
                      NULL, FBGEMM_RANK, QK_FOR_INFERENCE, ""),
  .probe = fbgemm_probe,
  .create = fbgemm_create,
  .destroy = fbgemm_destroy,
  .supports = fbgemm_supports,
  .prepare = fbgemm_prepare,
  .release = fbgemm_release,
  .run = fbgemm_run,
  .peak = fbgemm_peak,
  .shared = true,
  .facts = fbgemm_facts,
  .run_joined = fbgemm_run_both,
};

QK_PLUGIN ("fbgemm", "1.0", "LGPL-2.1-or-later", &fbgemm.cls);
