/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onednn.c: int8 operations by the oneDNN library, whose rounding is its own
 * and which saturates sums of pairs on x86 without VNNI: there it gets what
 * has 7 bits only. */
#include "config.h"

#include "onednn.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_max_threads() 1
#define omp_set_num_threads(n) ((void) (n))
#endif

struct onednn {
  int threads;
  dnnl_engine_t engine;
  dnnl_stream_t stream;
};

static const char *
isa_name (void)
{
  switch (dnnl_get_effective_cpu_isa ()) {
  case dnnl_cpu_isa_sse41:
    return "oneDNN sse41";
  case dnnl_cpu_isa_avx:
    return "oneDNN avx";
  case dnnl_cpu_isa_avx2:
    return "oneDNN avx2";
  case dnnl_cpu_isa_avx2_vnni:
    return "oneDNN avx2-vnni";
  case dnnl_cpu_isa_avx512_core:
    return "oneDNN avx512";
  case dnnl_cpu_isa_avx512_core_vnni:
    return "oneDNN avx512-vnni";
  case dnnl_cpu_isa_avx512_core_bf16:
    return "oneDNN avx512-bf16";
  default:
    return "chosen by oneDNN";
  }
}

/* Below VNNI 8-bit activations saturate, 7-bit ones do not. */
static bool
has_vnni (void)
{
  switch (dnnl_get_effective_cpu_isa ()) {
  case dnnl_cpu_isa_sse41:
  case dnnl_cpu_isa_avx:
  case dnnl_cpu_isa_avx2:
  case dnnl_cpu_isa_avx512_core:
    return false;
  default:
    return true;
  }
}

static int
onednn_probe (struct qk_backend_caps *caps)
{
  if (dnnl_engine_get_count (dnnl_cpu) == 0)
    return qk_error (-ENOTSUP, "onednn: the library was built without a CPU "
                               "engine; use backend = auto");
  *caps = (struct qk_backend_caps){ .per_channel = true,
                                    .activation_bits = has_vnni () ? 8 : 7,
                                    .exact = false,
                                    .cpu_level = isa_name () };
  return 0;
}

static void
onednn_destroy (void *self)
{
  struct onednn *d = self;

  if (d == NULL)
    return;
  dnnl_stream_destroy (d->stream);
  dnnl_engine_destroy (d->engine);
  qk_free (d);
}

static int
onednn_create (const struct qk_config *cfg, int threads, void **self)
{
  struct qk_backend_caps caps;
  struct onednn *d;
  dnnl_status_t s;
  int r = onednn_probe (&caps);

  (void) cfg;
  if (r < 0)
    return r;
  d = qk_alloc (sizeof *d);
  if (d == NULL)
    return qk_oom ("onednn");
  d->threads = threads > 0 ? threads : 1;
  s = dnnl_engine_create (&d->engine, dnnl_cpu, 0);
  if (s == dnnl_success)
    s = dnnl_stream_create (&d->stream, d->engine, dnnl_stream_default_flags);
  if (s != dnnl_success) {
    onednn_destroy (d);
    return qk_error (-ENOMEM, "onednn: cannot create an engine (status %d)",
                     (int) s);
  }
  *self = d;
  return 0;
}

static void
onednn_release (void *self, void *kernel)
{
  struct onednn_kernel *k = kernel;

  (void) self;
  if (k == NULL)
    return;
  dnnl_primitive_destroy (k->primitive);
  dnnl_memory_destroy (k->src[0]);
  dnnl_memory_destroy (k->src[1]);
  dnnl_memory_destroy (k->dst);
  dnnl_memory_destroy (k->weight);
  dnnl_memory_destroy (k->bias);
  dnnl_memory_destroy (k->scratchpad);
  qk_free (k->arrays);
  qk_free (k);
}

static size_t
round64 (size_t size)
{
  return (size + 63) / 64 * 64;
}

static size_t
in_room (const struct onednn_kernel *k)
{
  return round64 ((size_t) k->g.batch * k->in_bytes);
}

static int
onednn_prepare (void *self, const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out, void **kernel, size_t *scratch)
{
  const struct onednn *d = self;
  const int before = omp_get_max_threads ();
  struct int8op_geometry g;
  struct onednn_kernel *k;
  int r = int8op_check (op, in, out, &g);

  if (r < 0)
    return r;
  if (op->kind == QK_OP_BINARY
      && ((op->function != QK_ADD && op->function != QK_SUB)
          || !qk_shape_equal (&in[0], &in[1])))
    return qk_error (-ENOTSUP,
                     "onednn: node '%s': has sums and differences of "
                     "tensors of one shape only",
                     op->name);
  if (op->weight != NULL && op->in_q[0].qmax > 127 && !has_vnni ())
    return qk_error (-ENOTSUP,
                     "onednn: node '%s': activations of 0..%d could "
                     "saturate on this machine, 0..127 cannot",
                     op->name, op->in_q[0].qmax);
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("onednn");
  qk_op_copy (&k->op, op);
  k->g = g;
  if (op->kind == QK_OP_LINEAR)
    int8op_as_conv2d (&k->op);
  k->in_bytes
    = (size_t) (g.h * g.w * g.c) * (op->kind == QK_OP_QUANTIZE ? 4 : 1);
  k->out_bytes = (size_t) (g.p * g.q * g.k)
                 * (op->kind == QK_OP_DEQUANTIZE
                        || (op->weight != NULL && op->out_q.scale == 0)
                      ? 4
                      : 1);
  /* oneDNN plans for as many threads as OpenMP would use here */
  omp_set_num_threads (d->threads);
  r = onednn_build (k, d->engine, d->stream);
  omp_set_num_threads (before);
  if (r < 0) {
    onednn_release (self, k);
    return r;
  }
  *scratch = round64 (k->scratchpad_bytes);
  if (g.batch > 1 && k->primitive != NULL)
    *scratch += (size_t) op->n_in * in_room (k)
                + round64 ((size_t) g.batch * k->out_bytes);
  *kernel = k;
  return 0;
}

/* By trying: oneDNN's limits are its own. */
static int
onednn_supports (void *self, const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out)
{
  void *kernel;
  size_t scratch;
  int r = onednn_prepare (self, op, in, out, &kernel, &scratch);

  if (r == 0)
    onednn_release (self, kernel);
  return r;
}

static void
execute (const struct onednn *d, const struct onednn_kernel *k)
{
  const dnnl_exec_arg_t args[] = {
    { DNNL_ARG_SRC_0, k->src[0] },
    { DNNL_ARG_DST, k->dst },
    { DNNL_ARG_SCRATCHPAD, k->scratchpad },
    { k->src[1] != NULL ? DNNL_ARG_SRC_1 : DNNL_ARG_WEIGHTS,
      k->src[1] != NULL ? k->src[1] : k->weight },
    { DNNL_ARG_BIAS, k->bias },
  };
  const int before = omp_get_max_threads ();

  omp_set_num_threads (d->threads);
  dnnl_primitive_execute (k->primitive, d->stream,
                          k->weight != NULL   ? 5
                          : k->src[1] != NULL ? 4
                                              : 3,
                          args);
  dnnl_stream_wait (d->stream);
  omp_set_num_threads (before);
}

/* A primitive is made for one batch size: a smaller batch is run as a part
 * of a full one in scratch memory. */
static void
onednn_run (void *self, void *kernel, int64_t n, const void *const *in,
            void *out, void *scratch)
{
  const struct onednn *d = self;
  const struct onednn_kernel *k = kernel;
  const size_t bytes = (size_t) n * k->out_bytes;
  const bool part = n < k->g.batch;
  uint8_t *room = (uint8_t *) scratch + round64 (k->scratchpad_bytes);
  void *y = out;

  if (k->primitive == NULL) {
    if (in[0] != out)
      memcpy (out, in[0], bytes);
    return;
  }
  for (int i = 0; i < k->op.n_in; i++) {
    const void *x = in[i];

    if (part) {
      const size_t used = (size_t) n * k->in_bytes;

      memcpy (room, x, used);
      memset (room + used, 0, (size_t) k->g.batch * k->in_bytes - used);
      x = room;
      room += in_room (k);
    }
    dnnl_memory_set_data_handle (k->src[i], (void *) x);
  }
  if (part)
    y = room;
  dnnl_memory_set_data_handle (k->dst, y);
  dnnl_memory_set_data_handle (k->scratchpad, scratch);
  execute (d, k);
  if (part)
    memcpy (out, y, bytes);
}

static const struct qk_backend_class onednn = {
  .cls = QK_CLASS_DEFAULT (struct qk_backend_class, QK_KIND_BACKEND, "onednn",
                           "oneDNN's float products, and its int8 primitives, "
                           "whose rounding is their own",
                           NULL, 1, QK_FOR_FLOAT, ""),
  .probe = onednn_probe,
  .create = onednn_create,
  .destroy = onednn_destroy,
  .supports = onednn_supports,
  .prepare = onednn_prepare,
  .release = onednn_release,
  .run = onednn_run,
  .sgemm = onednn_sgemm,
  .convback_usable = onednn_convback_usable,
  .convback_scratch = onednn_convback_scratch,
  .convback_data = onednn_convback_data,
  .convback_weights = onednn_convback_weights,
};

QK_PLUGIN ("onednn", "1.0", "LGPL-2.1-or-later", &onednn.cls);
