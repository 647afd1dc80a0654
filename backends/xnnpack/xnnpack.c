/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xnnpack.c: int8 operations by the XNNPACK library, whose rounding is its
 * own.
 *
 * XNNPACK wants signed activations where weights have a scale per channel,
 * and may read some bytes beyond its inputs: they are copied to scratch
 * memory, the top bit flipped (x ^ 0x80 = x - 128) where signed. */
#include "config.h"

#include <string.h>

#include <pthreadpool.h>
#include <xnnpack.h>

#include "int8op/int8op.h"

/* Larger windows for maxima take several passes, which read beyond the
 * output. */
#define ONE_PASS 9
#define TILE 16384 /* bytes a thread copies at once */

struct xnnpack {
  pthreadpool_t pool; /* NULL: one thread */
};

/* One prepared operation. */
struct xnnpack_kernel {
  struct qk_op op;
  struct int8op_geometry g;
  int flip;                /* 0x80 where activations are signed, else 0 */
  size_t in_bytes;         /* of a sample */
  xnn_operator_t operator; /* NULL for reshape */
};

static const char *
status_text (enum xnn_status status)
{
  switch (status) {
  case xnn_status_invalid_parameter:
    return "invalid parameter";
  case xnn_status_unsupported_parameter:
    return "unsupported parameter";
  case xnn_status_unsupported_hardware:
    return "unsupported hardware";
  case xnn_status_out_of_memory:
    return "out of memory";
  default:
    return "unexpected state";
  }
}

static int
fail (const struct qk_op *op, enum xnn_status status)
{
  const int error = status == xnn_status_out_of_memory ? -ENOMEM : -ENOTSUP;

  return qk_error (error, "xnnpack: %s: %s", qk_op_kind_name (op->kind),
                   status_text (status));
}

static int
xnnpack_probe (struct qk_backend_caps *caps)
{
  const enum xnn_status status = xnn_initialize (NULL);

  if (status != xnn_status_success)
    return qk_error (-ENOTSUP,
                     "xnnpack: the library cannot run on this CPU "
                     "(%s); use backend = auto",
                     status_text (status));
  *caps = (struct qk_backend_caps){ .per_channel = true,
                                    .activation_bits = 8,
                                    .exact = false,
                                    .cpu_level = "chosen by XNNPACK" };
  return 0;
}

static int
xnnpack_create (const struct qk_config *cfg, int threads, void **self)
{
  struct qk_backend_caps caps;
  struct xnnpack *x;
  int r = xnnpack_probe (&caps);

  (void) cfg;
  if (r < 0)
    return r;
  x = qk_alloc (sizeof *x);
  if (x == NULL)
    return qk_oom ("xnnpack");
  if (threads > 1) {
    x->pool = pthreadpool_create ((size_t) threads);
    if (x->pool == NULL) {
      qk_free (x);
      return qk_error (-ENOMEM, "xnnpack: cannot start %d threads", threads);
    }
  }
  *self = x;
  return 0;
}

static void
xnnpack_destroy (void *self)
{
  struct xnnpack *x = self;

  if (x == NULL)
    return;
  if (x->pool != NULL)
    pthreadpool_destroy (x->pool);
  qk_free (x);
}

/* ---- operators: created and set up ------------------------------------- */

/* With input and output scale 1, a kernel scale of M requantizes by M. */
static enum xnn_status
create_conv2d (struct xnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const size_t c = (size_t) k->g.c, m = (size_t) k->g.k;
  const size_t groups = (size_t) op->groups;

  k->flip = 0x80;
  return xnn_create_convolution2d_nhwc_qc8 (
    (uint32_t) op->pad_top, (uint32_t) op->pad_right,
    (uint32_t) op->pad_bottom, (uint32_t) op->pad_left,
    (uint32_t) op->kernel_h, (uint32_t) op->kernel_w, (uint32_t) op->stride_h,
    (uint32_t) op->stride_w, (uint32_t) op->dilation_h,
    (uint32_t) op->dilation_w, (uint32_t) op->groups, c / groups, m / groups,
    c, m, (int8_t) (op->in_q[0].zero_point - 128), 1.0f, op->multiplier,
    op->weight, op->bias, (int8_t) (op->out_q.zero_point - 128), 1.0f,
    (int8_t) (op->lo - 128), (int8_t) (op->hi - 128), 0, &k->operator);
}

static enum xnn_status
create_binary (struct xnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const uint8_t za = (uint8_t) op->in_q[0].zero_point;
  const uint8_t zb = (uint8_t) op->in_q[1].zero_point;
  const uint8_t z = (uint8_t) op->out_q.zero_point;
  const uint8_t lo = (uint8_t) op->lo, hi = (uint8_t) op->hi;
  const float sa = op->in_q[0].scale, sb = op->in_q[1].scale;
  const float s = op->out_q.scale;

  switch (op->function) {
  case QK_ADD:
    return xnn_create_add_nd_qu8 (za, sa, zb, sb, z, s, lo, hi, 0,
                                  &k->operator);
  case QK_SUB:
    return xnn_create_subtract_nd_qu8 (za, sa, zb, sb, z, s, lo, hi, 0,
                                       &k->operator);
  case QK_MUL:
    return xnn_create_multiply_nd_qu8 (za, sa, zb, sb, z, s, lo, hi, 0,
                                       &k->operator);
  default:
    return xnn_status_unsupported_parameter;
  }
}

/* Two tensors of one shape. */
static enum xnn_status
setup_binary (const struct xnnpack_kernel *k, size_t all, const void *a,
              const void *b, void *out, pthreadpool_t pool)
{
  return (k->op.function == QK_ADD   ? xnn_setup_add_nd_qu8
          : k->op.function == QK_SUB ? xnn_setup_subtract_nd_qu8
                                     : xnn_setup_multiply_nd_qu8) (
    k->operator, 1, &all, 1, &all, a, b, out, pool);
}

static bool
is_global (const struct xnnpack_kernel *k)
{
  return k->op.kernel_h == k->g.h && k->op.kernel_w == k->g.w && k->g.p == 1
         && k->g.q == 1;
}

/* XNNPACK has neither ceil mode nor counts of padding. */
static bool
is_plain_pool (const struct xnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t reach_h = (int64_t) op->dilation_h * (op->kernel_h - 1);
  const int64_t reach_w = (int64_t) op->dilation_w * (op->kernel_w - 1);
  const int64_t h = k->g.h + op->pad_top + op->pad_bottom - reach_h - 1;
  const int64_t w = k->g.w + op->pad_left + op->pad_right - reach_w - 1;

  return k->g.p == h / op->stride_h + 1 && k->g.q == w / op->stride_w + 1;
}

static enum xnn_status
create_maxpool (struct xnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const size_t c = (size_t) k->g.c;

  if (!is_plain_pool (k) || op->kernel_h * op->kernel_w > ONE_PASS)
    return xnn_status_unsupported_parameter;
  return xnn_create_max_pooling2d_nhwc_u8 (
    (uint32_t) op->pad_top, (uint32_t) op->pad_right,
    (uint32_t) op->pad_bottom, (uint32_t) op->pad_left,
    (uint32_t) op->kernel_h, (uint32_t) op->kernel_w, (uint32_t) op->stride_h,
    (uint32_t) op->stride_w, (uint32_t) op->dilation_h,
    (uint32_t) op->dilation_w, c, c, c, (uint8_t) op->lo, (uint8_t) op->hi, 0,
    &k->operator);
}

static enum xnn_status
create_avgpool (struct xnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const size_t c = (size_t) k->g.c;
  const uint8_t z = (uint8_t) op->in_q[0].zero_point;

  if (!is_plain_pool (k)
      || (op->pad_top | op->pad_left | op->pad_bottom | op->pad_right) != 0)
    return xnn_status_unsupported_parameter;
  if (is_global (k))
    return xnn_create_global_average_pooling_nwc_qu8 (
      c, c, c, z, 1.0f, z, 1.0f, (uint8_t) op->lo, (uint8_t) op->hi, 0,
      &k->operator);
  return xnn_create_average_pooling2d_nhwc_qu8 (
    0, 0, 0, 0, (uint32_t) op->kernel_h, (uint32_t) op->kernel_w,
    (uint32_t) op->stride_h, (uint32_t) op->stride_w, c, c, c, z, 1.0f, z,
    1.0f, (uint8_t) op->lo, (uint8_t) op->hi, 0, &k->operator);
}

static enum xnn_status
create_operator (struct xnnpack_kernel *k)
{
  switch (k->op.kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    if (k->op.out_q.scale == 0)
      return xnn_status_unsupported_parameter;
    return create_conv2d (k);
  case QK_OP_BINARY:
    return create_binary (k);
  case QK_OP_MAXPOOL2D:
    return create_maxpool (k);
  case QK_OP_AVGPOOL2D:
    return create_avgpool (k);
  case QK_OP_RESHAPE:
    return xnn_status_success;
  default:
    return xnn_status_unsupported_parameter;
  }
}

/* Give the operator its buffers for N samples. */
static enum xnn_status
setup (const struct xnnpack_kernel *k, int64_t n, const void *a, const void *b,
       void *out, pthreadpool_t pool)
{
  const size_t count = (size_t) n, h = (size_t) k->g.h, w = (size_t) k->g.w;
  const size_t all = count * (size_t) k->g.k;

  switch (k->op.kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    return xnn_setup_convolution2d_nhwc_qc8 (k->operator, count, h, w, a, out,
                                             pool);
  case QK_OP_BINARY:
    return setup_binary (k, all, a, b, out, pool);
  case QK_OP_MAXPOOL2D:
    return xnn_setup_max_pooling2d_nhwc_u8 (k->operator, count, h, w, a, out,
                                            pool);
  default:
    return is_global (k)
             ? xnn_setup_global_average_pooling_nwc_qu8 (k->operator, count,
                                                         h * w, a, out, pool)
             : xnn_setup_average_pooling2d_nhwc_qu8 (k->operator, count, h, w,
                                                     a, out, pool);
  }
}

/* ---- the backend ------------------------------------------------------- */

static void
xnnpack_release (void *self, void *kernel)
{
  struct xnnpack_kernel *k = kernel;

  (void) self;
  if (k == NULL)
    return;
  if (k->operator!= NULL)
    xnn_delete_operator (k->operator);
  qk_free (k);
}

static size_t
copy_bytes (const struct xnnpack_kernel *k, int64_t n)
{
  return ((size_t) n * k->in_bytes + XNN_EXTRA_BYTES + 63) / 64 * 64;
}

static int
xnnpack_prepare (void *self, const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out, void **kernel, size_t *scratch)
{
  static const uint8_t somewhere[64];
  const struct xnnpack *x = self;
  struct int8op_geometry g;
  struct xnnpack_kernel *k;
  enum xnn_status status;
  int r = int8op_check (op, in, out, &g);

  if (r < 0)
    return r;
  if (op->kind == QK_OP_BINARY && !qk_shape_equal (&in[0], &in[1]))
    return qk_error (-ENOTSUP, "xnnpack: %s: two shapes", op->name);
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("xnnpack");
  qk_op_copy (&k->op, op);
  k->g = g;
  k->in_bytes = (size_t) (g.h * g.w * g.c);
  if (op->kind == QK_OP_LINEAR)
    int8op_as_conv2d (&k->op);
  status = create_operator (k);
  /* for the largest batch, so that run has nothing to allocate */
  if (status == xnn_status_success && k->operator!= NULL)
    status
      = setup (k, g.batch, somewhere, somewhere, (void *) somewhere, x->pool);
  if (status != xnn_status_success) {
    r = fail (op, status);
    xnnpack_release (self, k);
    return r;
  }
  *scratch = copy_bytes (k, g.batch) * (size_t) op->n_in;
  *kernel = k;
  return 0;
}

/* By trying: XNNPACK's limits are its own. */
static int
xnnpack_supports (void *self, const struct qk_op *op,
                  const struct qk_shape *in, const struct qk_shape *out)
{
  void *kernel;
  size_t scratch;
  int r = xnnpack_prepare (self, op, in, out, &kernel, &scratch);

  if (r == 0)
    xnnpack_release (self, kernel);
  return r;
}

struct copy {
  const uint8_t *from;
  uint8_t *to;
  uint8_t flip;
};

static void
copy_tile (void *cookie, size_t first, size_t count)
{
  const struct copy *c = cookie;
  const uint8_t *from = c->from + first;
  uint8_t *to = c->to + first;

  for (size_t i = 0; i < count; i++)
    to[i] = from[i] ^ c->flip;
}

static void
copy (pthreadpool_t pool, const void *from, void *to, size_t count, int flip)
{
  struct copy c = { from, to, (uint8_t) flip };

  pthreadpool_parallelize_1d_tile_1d (pool, copy_tile, &c, count, TILE, 0);
}

static void
xnnpack_run (void *self, void *kernel, int64_t n, const void *const *in,
             void *out, void *scratch)
{
  const struct xnnpack *x = self;
  const struct xnnpack_kernel *k = kernel;
  const size_t out_bytes = (size_t) (n * k->g.p * k->g.q * k->g.k);
  uint8_t *own[2] = { scratch, scratch };

  if (k->operator== NULL) {
    if (in[0] != out)
      memcpy (out, in[0], (size_t) (n * k->g.k));
    return;
  }
  for (int i = 0; i < k->op.n_in; i++) {
    own[i] = (uint8_t *) scratch + (size_t) i * copy_bytes (k, k->g.batch);
    copy (x->pool, in[i], own[i], (size_t) n * k->in_bytes, k->flip);
  }
  setup (k, n, own[0], own[1], out, x->pool);
  xnn_run_operator (k->operator, x->pool);
  if (k->flip != 0)
    copy (x->pool, out, out, out_bytes, k->flip);
}

static const struct qk_backend_class xnnpack = {
  .cls
  = QK_CLASS (struct qk_backend_class, QK_KIND_BACKEND, "xnnpack",
              "XNNPACK's int8 operators; their rounding is their own", NULL),
  .probe = xnnpack_probe,
  .create = xnnpack_create,
  .destroy = xnnpack_destroy,
  .supports = xnnpack_supports,
  .prepare = xnnpack_prepare,
  .release = xnnpack_release,
  .run = xnnpack_run,
};

QK_PLUGIN ("xnnpack", "1.0", "LGPL-2.1-or-later", &xnnpack.cls);
