/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_int8op.c: the reference backend against numbers worked out by hand
 * and a convolution written another way; what backends refuse, and what
 * fbgemm says of the CPU. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>

#include "kernels/case.h"
#include "lib/ok.h"

static struct qk_context *ctx;

static const struct qk_backend_class *
backend (const char *name)
{
  const struct qk_class *cls;

  if (ctx == NULL)
    ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  if (qk_context_class (ctx, QK_KIND_BACKEND, name, &cls) < 0)
    ck_abort_msg ("%s", qk_error_message ());
  return (const struct qk_backend_class *) cls;
}

/* Run OP on the reference backend. */
static void
run (const struct qk_op *op, const struct qk_shape *in,
     const struct qk_shape *out, const void *const *data, void *y)
{
  const struct qk_backend_class *b = backend ("reference");
  void *self, *kernel;
  size_t scratch;

  ck_assert_int_eq (b->create (NULL, 1, &self), 0);
  if (b->prepare (self, op, in, out, &kernel, &scratch) < 0)
    ck_abort_msg ("%s", qk_error_message ());
  ck_assert_uint_eq (scratch, 0);
  b->run (self, kernel, in[0].dims[0], data, y, NULL);
  b->release (self, kernel);
  b->release (self, NULL);
  b->destroy (self);
  b->destroy (NULL);
}

static struct qk_qparams
grid (float scale, int zero_point)
{
  return (struct qk_qparams){ scale, zero_point, 0, 255 };
}

static struct qk_op
simple (enum qk_op_kind kind, float in_scale, int in_zero, float out_scale,
        int out_zero)
{
  return (struct qk_op){
    .struct_size = sizeof (struct qk_op),
    .kind = kind,
    .name = "op",
    .n_in = 1,
    .in_q = { grid (in_scale, in_zero), grid (in_scale, in_zero) },
    .out_q = grid (out_scale, out_zero),
    .hi = 255,
  };
}

/* Ties go to the even number; ends are clamped; NaN gives the lower end. */
START_TEST (quantize_by_hand)
{
  const float x[]
    = { 0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 1e30f, -INFINITY, NAN, 0 };
  const uint8_t want[] = { 10, 12, 12, 10, 8, 200, 5, 5, 10 };
  const struct qk_shape s = { 2, { 1, 9 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_QUANTIZE, 1, 0, 0.5f, 10);
  uint8_t y[9];

  op.lo = 5, op.hi = 200;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, want, sizeof want);
}
END_TEST

START_TEST (linear_by_hand)
{
  /* z_in 3: a - z = { -3, 1, 7 } */
  const uint8_t x[] = { 0, 4, 10 };
  const int8_t w[] = { 1, 1, 1, -128, 127, 0, 0, 0, 1 };
  const int32_t bias[] = { 0, 0, -2 };
  const float m[] = { 0.5f, 0.125f, 0.5f };
  /* acc 5, 384 + 127, 5; times M 2.5, 63.875, 2.5 */
  const uint8_t want[] = { 102, 164, 102 };
  const float want_f32[] = { 2.5f, 63.875f, 2.5f };
  const struct qk_shape s = { 2, { 1, 3 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_LINEAR, 1, 3, 1, 100);
  uint8_t y[3];
  float f[3];

  op.in_channels = op.out_channels = 3;
  op.weight = w, op.bias = bias, op.multiplier = m;
  run (&op, &s, &s, in, y);
  /* acc of channel 0 is 5: 2.5 is a tie, 2 the even neighbour */
  ck_assert_mem_eq (y, want, sizeof want);
  op.out_q.scale = 0;
  run (&op, &s, &s, in, f);
  for (int i = 0; i < 3; i++)
    ck_assert (f[i] == want_f32[i]);
}
END_TEST

/* 16 bits: sums that leave int32 and float32's integers are made in 64 bits and
 * rounded to float once. */
START_TEST (wide_by_hand)
{
  enum { DEPTH = 512 };
  /* z_in 5; two channels of 512 times (65535 - 5) 127 = 4261022720, which
   * float32 has as 4261022720, and one more in the last place */
  static uint16_t x[DEPTH];
  static int8_t w[2 * DEPTH];
  static const int32_t bias[] = { 0, 1 << 30 };
  const float m[] = { 0x1p-17f, 0x1p-20f };
  const struct qk_shape in = { 2, { 1, DEPTH } }, out = { 2, { 1, 2 } };
  const int64_t sum = (int64_t) DEPTH * 65530 * 127;
  const void *data[] = { x };
  struct qk_op op = simple (QK_OP_LINEAR, 1, 5, 1, 100);
  uint16_t y[2];
  uint8_t y8[2];
  float f[2];

  for (int i = 0; i < DEPTH; i++) {
    x[i] = 65535;
    w[i] = w[DEPTH + i] = 127;
  }
  op.in_q[0].qmax = op.out_q.qmax = op.hi = 65535;
  op.in_channels = DEPTH, op.out_channels = 2;
  op.weight = w, op.bias = bias, op.multiplier = m;
  run (&op, &in, &out, data, y);
  ck_assert_int_eq (y[0], 100 + lrint ((double) (float) sum * 0x1p-17));
  ck_assert_int_eq (
    y[1], 100 + lrint ((double) (float) (sum + (1 << 30)) * 0x1p-20));
  op.out_q.scale = 0;
  run (&op, &in, &out, data, f);
  ck_assert (f[0] == (float) sum * 0x1p-17f);
  op.out_q = grid (1, 100);
  op.hi = 255;
  run (&op, &in, &out, data, y8);
  ck_assert_int_eq (y8[0], 255);
  /* 16 bits to 16 bits through a function of two, and to 8 bits */
  op = simple (QK_OP_BINARY, 0.25f, 1000, 0.5f, 2);
  op.n_in = 2;
  op.in_q[0].qmax = op.in_q[1].qmax = op.out_q.qmax = op.hi = 4095;
  x[0] = 4095, x[1] = 1002;
  run (&op, (const struct qk_shape[]){ { 2, { 1, 1 } }, { 2, { 1, 1 } } },
       &(struct qk_shape){ 2, { 1, 1 } }, (const void *[]){ x, x + 1 }, y);
  /* 3095 / 4 + 2 / 4 = 774.25; 1548.5 halves, to even 1548 */
  ck_assert_int_eq (y[0], 1548 + 2);
}
END_TEST

START_TEST (joins_by_hand)
{
  const uint8_t a[] = { 0, 11, 255 }, b[] = { 10, 12, 255 };
  /* scale 0.5, zero 10: -5 + 0, 0.5 + 1, 122.5 + 122.5; out scale 1, zero 7:
   * 2, 1.5 rounds to 2, 245 */
  const uint8_t sum[] = { 2, 9, 252 };
  /* -5, 0.5 (to 0), 122.5 (to 122) ; 0, 1, 122.5 */
  const uint8_t joined[] = { 2, 7, 129, 7, 8, 129 };
  const struct qk_shape s = { 2, { 1, 3 } }, two[] = { s, s };
  const struct qk_shape wide = { 2, { 1, 6 } };
  const void *in[] = { a, b };
  struct qk_op op = simple (QK_OP_BINARY, 0.5f, 10, 1, 7);
  uint8_t y[6];

  op.n_in = 2;
  run (&op, two, &s, in, y);
  ck_assert_mem_eq (y, sum, sizeof sum);
  op.kind = QK_OP_CONCAT;
  run (&op, two, &wide, in, y);
  ck_assert_mem_eq (y, joined, sizeof joined);
  op.kind = QK_OP_REQUANTIZE;
  op.n_in = 1;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, joined, 3);
}
END_TEST

START_TEST (pools_by_hand)
{
  const uint8_t x[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
  const struct qk_shape s = { 4, { 1, 3, 3, 1 } };
  const struct qk_shape out = { 4, { 1, 2, 2, 1 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_MAXPOOL2D, 1, 2, 1, 2);
  const uint8_t most[] = { 5, 6, 8, 8 };
  /* means of the parts inside: 3 (1 2 4 5), 4.5 (3 6), 7.5 (7 8), 9; minus
   * the zero point 2 rounded to even: 1, 2.5 to 2, 5.5 to 6, 7 */
  const uint8_t mean[] = { 3, 4, 8, 9 };
  /* with padding as zeros: sums 4, 5, 11, 7 of (x - 2), by 4 */
  const uint8_t padded[] = { 3, 3, 5, 4 };
  uint8_t y[4];

  op.kernel_h = op.kernel_w = 2;
  op.stride_h = op.stride_w = 2;
  op.dilation_h = op.dilation_w = 1;
  op.pad_bottom = op.pad_right = 1;
  op.hi = 8;
  run (&op, &s, &out, in, y);
  ck_assert_mem_eq (y, most, sizeof most);
  op.kind = QK_OP_AVGPOOL2D;
  op.hi = 255;
  run (&op, &s, &out, in, y);
  ck_assert_mem_eq (y, mean, sizeof mean);
  op.count_pad = true;
  run (&op, &s, &out, in, y);
  ck_assert_mem_eq (y, padded, sizeof padded);
}
END_TEST

START_TEST (others_by_hand)
{
  const uint8_t x[] = { 0, 10, 255 };
  const uint8_t clamped[] = { 10, 10, 200 };
  const float real[] = { -5, 0, 122.5f };
  const struct qk_shape s = { 2, { 1, 3 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_CLAMP, 0.5f, 10, 0.5f, 10);
  uint8_t y[3];
  float f[3];

  op.lo = 10, op.hi = 200;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, clamped, sizeof clamped);
  op.kind = QK_OP_RESHAPE;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, x, sizeof x);
  op.kind = QK_OP_DEQUANTIZE;
  run (&op, &s, &s, in, f);
  for (int i = 0; i < 3; i++)
    ck_assert (f[i] == real[i]);
}
END_TEST

START_TEST (matmul_by_hand)
{
  /* a - z: { -1, 1 }, { 2, 0 }; b - z: { 1, -1 }, { 2, 0 } */
  const uint8_t a[] = { 0, 2, 3, 1 }, turned_a[] = { 0, 3, 2, 1 };
  const uint8_t b[] = { 11, 9, 12, 10 }, turned_b[] = { 11, 12, 9, 10 };
  /* sums 1, 1, 2, -2 times M = 0.5 * 0.5 * 2 / 1: the first two tie */
  const uint8_t want[] = { 100, 100, 101, 99 };
  const struct qk_shape s = { 3, { 1, 2, 2 } }, both[] = { s, s };
  struct qk_op op = simple (QK_OP_MATMUL, 0.5f, 1, 1, 100);

  op.n_in = 2;
  op.in_q[1] = grid (0.5f, 10);
  op.factor = 2;
  for (int i = 0; i < 4; i++) {
    const void *in[] = { i & 1 ? turned_a : a, i & 2 ? turned_b : b };
    uint8_t y[4];

    op.transpose_a = (i & 1) != 0;
    op.transpose_b = (i & 2) != 0;
    run (&op, both, &s, in, y);
    ck_assert_mem_eq (y, want, sizeof want);
  }
}
END_TEST

START_TEST (softmax_by_hand)
{
  /* e^-500 is nothing: 0, 1/2, 1/2; along the other axis all are alone */
  const uint8_t x[] = { 0, 5, 5 }, half[] = { 0, 128, 128 };
  const uint8_t alone[] = { 255, 255, 255 };
  /* -ln 2 = -0.6931 is -11.09 steps of 1/16; 500 beyond the grid */
  const uint8_t log[] = { 0, 189, 189 };
  const struct qk_shape s = { 3, { 1, 1, 3 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_SOFTMAX, 100, 0, 1.0f / 256, 0);
  uint8_t y[3];

  op.axis = 2;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, half, sizeof half);
  op.axis = 1;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, alone, sizeof alone);
  op.axis = 2;
  op.function = QK_LOG_SOFTMAX;
  op.out_q = grid (0.0625f, 200);
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, log, sizeof log);
}
END_TEST

START_TEST (norm_by_hand)
{
  const uint8_t x[] = { 11, 13, 13, 11 };
  const float gamma[] = { 2, 1 }, beta[] = { 0, 0.5f };
  /* rows { 1, 3 } and { 3, 1 } less 2: -1 1, 1 -1; times gamma plus beta:
   * -2 1.5, 2 -0.5; the same for all of them and for each channel */
  const uint8_t rows[] = { 96, 103, 104, 99 };
  /* by sqrt (5): 0.447 1.342, 1.342 0.447; 0.894 1.842, 2.683 0.947 */
  const uint8_t squares[] = { 102, 104, 105, 102 };
  /* variance 1/16 and eps 15/16: a quarter, -0.5 0.75, 0.5 0.25 */
  const uint8_t less[] = { 99, 102, 101, 100 };
  const struct qk_shape s = { 3, { 1, 2, 2 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_NORM, 0.25f, 10, 0.5f, 100);
  uint8_t y[4];

  op.in_channels = 2;
  op.groups = 1;
  op.centered = true;
  op.eps = 1e-12f;
  op.gamma = gamma;
  op.beta = beta;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, rows, sizeof rows);
  op.per_sample = true;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, rows, sizeof rows);
  op.groups = 2;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, rows, sizeof rows);
  op.per_sample = op.centered = false;
  op.groups = 1;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, squares, sizeof squares);
  op.centered = true;
  op.eps = 0.9375f;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, less, sizeof less);
}
END_TEST

START_TEST (lrn_by_hand)
{
  /* squares around: 5, 5, 4; d = 1 + 3 / 3 of it: 6, 6, 5; 1/6, 2/6, 0 in
   * sixteenths are 2.67, 5.33, 0 */
  const uint8_t x[] = { 8, 9, 7 }, want[] = { 3, 5, 0 };
  const struct qk_shape s = { 2, { 1, 3 } };
  const void *in[] = { x };
  struct qk_op op = simple (QK_OP_LRN, 1, 7, 0.0625f, 0);
  uint8_t y[3];

  op.size = 3;
  op.alpha = 3;
  op.power = op.offset = 1;
  run (&op, &s, &s, in, y);
  ck_assert_mem_eq (y, want, sizeof want);
}
END_TEST

/* The accumulator of one output of a convolution, from the sample copied
 * into a larger one of zeros. */
static int64_t
padded_sum (const struct kernel_case *c, const int32_t *big, int64_t bh,
            int64_t bw, int64_t p, int64_t q, int64_t k)
{
  const struct qk_op *op = &c->op;
  const int64_t ch = op->in_channels, cg = ch / op->groups;
  const int64_t c0 = k / (op->out_channels / op->groups) * cg;
  const int8_t *w = op->weight + k * op->kernel_h * op->kernel_w * cg;
  int64_t sum = op->bias != NULL ? op->bias[k] : 0;

  for (int r = 0; r < op->kernel_h; r++)
    for (int s = 0; s < op->kernel_w; s++)
      for (int64_t i = 0; i < cg; i++) {
        const int64_t y = p * op->stride_h + (int64_t) r * op->dilation_h;
        const int64_t x = q * op->stride_w + (int64_t) s * op->dilation_w;

        HOLDS (y < bh && x < bw, "window outside of the padding");
        sum += (int64_t) *w++ * big[(y * bw + x) * ch + c0 + i];
      }
  return sum;
}

/* Integer I of X, which lies on the grid Q. */
static int32_t
element (const struct qk_qparams *q, const void *x, int64_t i)
{
  return q->qmax > 255 ? ((const uint16_t *) x)[i] : ((const uint8_t *) x)[i];
}

static void
check_conv2d (const struct kernel_case *c)
{
  const struct qk_op *op = &c->op;
  const int64_t h = c->in[0].dims[1], w = c->in[0].dims[2];
  const int64_t ch = op->in_channels;
  const int64_t bh = h + op->pad_top + op->pad_bottom;
  const int64_t bw = w + op->pad_left + op->pad_right;
  int32_t *big = calloc ((size_t) (bh * bw * ch), sizeof *big);
  uint8_t *y = malloc (case_out_bytes (c, c->out.dims[0]));
  struct qk_shape in = c->in[0], out = c->out;
  const void *data[] = { c->data[0].data };
  int64_t at = 0;

  ck_assert (big != NULL && y != NULL);
  in.dims[0] = out.dims[0] = 1;
  for (int64_t i = 0; i < h * w * ch; i++)
    big[((i / ch / w + op->pad_top) * bw + i / ch % w + op->pad_left) * ch
        + i % ch]
      = element (&op->in_q[0], c->data[0].data, i) - op->in_q[0].zero_point;
  run (op, &in, &out, data, y);
  for (int64_t p = 0; p < out.dims[1]; p++)
    for (int64_t q = 0; q < out.dims[2]; q++)
      for (int64_t k = 0; k < out.dims[3]; k++) {
        const int64_t acc = padded_sum (c, big, bh, bw, p, q, k);
        const float r = rintf ((float) acc * op->multiplier[k])
                        + (float) op->out_q.zero_point;
        const float want = r >= (float) op->hi  ? (float) op->hi
                           : r > (float) op->lo ? r
                                                : (float) op->lo;

        HOLDS ((float) element (&op->out_q, y, at) == want,
               "pixel %lld,%lld channel %lld: "
               "%d, expected %g",
               (long long) p, (long long) q, (long long) k,
               (int) element (&op->out_q, y, at), (double) want);
        at++;
      }
  free (big);
  free (y);
}

START_TEST (conv2d_another_way)
{
  for (uint64_t i = 0; i < 40; i++) {
    struct kernel_case c;

    ck_assert_int_eq (case_new (&c, 7, i, QK_OP_CONV2D), 0);
    if (c.op.out_q.scale != 0)
      check_conv2d (&c);
    case_free (&c);
  }
}
END_TEST

/* ---- refusals ---------------------------------------------------------- */

static const int8_t some_weights[4 * 9 * 4];
static const float some_multipliers[4];

static struct qk_op
good_conv2d (struct qk_shape *in, struct qk_shape *out)
{
  struct qk_op op = simple (QK_OP_CONV2D, 0.5f, 10, 1, 7);

  op.name = "features.0";
  op.kernel_h = op.kernel_w = 3;
  op.stride_h = op.stride_w = op.dilation_h = op.dilation_w = 1;
  op.pad_top = op.pad_left = op.pad_bottom = op.pad_right = 1;
  op.groups = 1;
  op.in_channels = op.out_channels = 4;
  op.weight = some_weights;
  op.multiplier = some_multipliers;
  *in = *out = (struct qk_shape){ 4, { 1, 5, 5, 4 } };
  return op;
}

static void
refused_by (const char *name, const struct qk_op *op,
            const struct qk_shape *in, const struct qk_shape *out,
            const char *sentence)
{
  const struct qk_backend_class *b = backend (name);
  void *self, *kernel = NULL;
  size_t scratch;

  ck_assert_int_eq (b->create (NULL, 1, &self), 0);
  ck_assert_int_eq (b->prepare (self, op, in, out, &kernel, &scratch),
                    sentence != NULL ? -EINVAL : 0);
  if (sentence != NULL) {
    ck_assert_str_eq (qk_error_message (), sentence);
    ck_assert_int_eq (b->supports (self, op, in, out), -EINVAL);
  }
  b->release (self, kernel);
  b->destroy (self);
}

static void
refused (const struct qk_op *op, const struct qk_shape *in,
         const struct qk_shape *out, const char *sentence)
{
  refused_by ("reference", op, in, out, sentence);
#if defined(__x86_64__) || defined(__i386__)
  refused_by ("fbgemm", op, in, out, sentence);
#endif
  refused_by ("qnnpack", op, in, out, sentence);
}

#define REFUSED(change, sentence)                                             \
  do {                                                                        \
    struct qk_shape in[2], out;                                               \
    struct qk_op op = good_conv2d (&in[0], &out);                             \
                                                                              \
    change;                                                                   \
    refused (&op, in, &out, sentence);                                        \
  } while (0)

START_TEST (refusals)
{
  REFUSED ((void) 0, NULL);
  REFUSED (op.stride_h = 0, "features.0: vertical stride is 0, expected 1 to "
                            "1048576");
  REFUSED (op.kernel_w = 5000, "features.0: kernel width is 5000, expected 1 "
                               "to 4096");
  REFUSED (op.pad_left = -1, "features.0: left padding is -1, expected 0 to "
                             "1048576");
  REFUSED (op.groups = 3, "features.0: 3 groups do not divide 4 and 4 "
                          "channels");
  REFUSED (op.groups = 0, "features.0: 0 groups do not divide 4 and 4 "
                          "channels");
  REFUSED (op.in_channels = 5, "features.0: weight is for 5 to 4 channels, "
                               "the tensors have 4 and 4");
  REFUSED (op.weight = NULL, "features.0: no weight given");
  REFUSED (out.dims[1] = 6, "features.0: output height is 6, expected 5");
  REFUSED (out.dims[0] = 2, "features.0: input 0 is a batch of 1, output of "
                            "2");
  REFUSED (in[0].dims[2] = 0, "features.0: dimension 2 of the input is 0, "
                              "expected 1 to 1073741824");
  REFUSED (in[0].dims[1] = in[0].dims[2] = 1 << 20,
           "features.0: the input has more than 2^40 elements");
  REFUSED (op.lo = 300, "features.0: output bounds are 300 to 255, expected "
                        "within 0 to 255");
  REFUSED (op.in_q[0].zero_point = 256,
           "features.0: zero point of the input is 256, expected 0 to 255");
  REFUSED (op.out_q.scale = NAN, "features.0: scale of the output is nan, "
                                 "expected a positive finite number");
  REFUSED (op.in_q[0].qmax = 65536, "features.0: range of the input is 0 to "
                                    "65536, expected within 0 to 65535");
  REFUSED (op.kind = QK_OP_TABLE, "features.0: no table given");
  REFUSED (
    (op.kind = QK_OP_BINARY, op.n_in = 2, op.function = 99, in[1] = in[0]),
    "features.0: unknown function 99 of two tensors");
  REFUSED (
    (op.kind = QK_OP_BINARY, op.n_in = 2, in[1] = in[0], in[1].dims[2] = 4),
    "features.0: (1,5,5,4) and (1,5,4,4) cannot be broadcast to one shape");
  REFUSED (
    (op.kind = QK_OP_MATMUL, op.n_in = 2, in[1] = in[0]),
    "features.0: (1,5,5,4) and (1,5,5,4) cannot be multiplied, expected "
    "(N,...,M,K) and (N,...,K,P)");
  REFUSED ((op.kind = QK_OP_MATMUL, op.n_in = 2, in[1] = in[0],
            op.transpose_b = true),
           "features.0: output is (1,5,5,4), expected (1,5,5,5)");
  REFUSED ((op.kind = QK_OP_MATMUL, op.n_in = 2, in[0].dims[3] = 40000,
            in[1] = in[0], op.transpose_b = true, out.dims[3] = 5),
           "features.0: sums of 40000 products could overflow 32 bits, at "
           "most 33025 cannot");
  REFUSED (op.kind = QK_OP_SOFTMAX,
           "features.0: axis 0 of 4 dimensions, expected 1 to 3");
  REFUSED ((op.kind = QK_OP_SOFTMAX, op.function = 2),
           "features.0: unknown kind of softmax, 2");
  REFUSED ((op.kind = QK_OP_NORM, op.in_channels = 5),
           "features.0: 4 channels in 4 dimensions, expected 5 in 2 or more");
  REFUSED ((op.kind = QK_OP_NORM, op.groups = 2),
           "features.0: 2 groups of 4 channels, expected 1 at each place");
  REFUSED ((op.kind = QK_OP_NORM, op.per_sample = true,
            in[0].dims[1] = out.dims[1] = 1 << 20),
           "features.0: statistics of 20971520 elements, at most 8388608 are "
           "exact");
  REFUSED (op.kind = QK_OP_NORM, "features.0: no gamma given");
  REFUSED ((op.kind = QK_OP_LRN, op.size = 4),
           "features.0: sums over 4 channels, expected an odd number of at "
           "most 255");
  REFUSED (op.n_in = 2, "features.0: 2 inputs, expected 1 to 1");
  REFUSED (op.kind = (enum qk_op_kind) 77,
           "features.0: unknown kind of operation, 77");
  REFUSED ((op.kind = QK_OP_MAXPOOL2D, op.out_q = op.in_q[0], op.pad_top = 7,
            out.dims[1] = 11),
           "features.0: pooling window 0 lies outside the sample (height 5, "
           "padding 7 and 1)");
  REFUSED (op.kind = QK_OP_AVGPOOL2D,
           "features.0: the output's scale and zero point are 1 and 7, "
           "expected the input's, 0.5 and 10");
}
END_TEST

/* An op of an older header has no fields beyond its end; one of a newer
 * header is taken as far as this one knows it. */
START_TEST (other_versions)
{
  struct qk_shape in, out;
  struct qk_op op = good_conv2d (&in, &out), copy;

  op.weight_scales = 7;
  op.struct_size = offsetof (struct qk_op, weight_scales);
  qk_op_copy (&copy, &op);
  ck_assert_uint_eq (copy.struct_size, sizeof op);
  ck_assert_int_eq (copy.weight_scales, 0);
  ck_assert_int_eq (copy.groups, 1);
  ck_assert_int_eq (qk_op_check (&op, &in, &out), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "features.0: made for"));
  op.struct_size = sizeof op + 64;
  qk_op_copy (&copy, &op);
  ck_assert_uint_eq (copy.struct_size, sizeof op);
  ck_assert_int_eq (copy.weight_scales, 7);
  op.weight_scales = 0;
  ck_assert_int_eq (qk_op_check (&op, &in, &out), 0);
}
END_TEST

#if defined(__x86_64__) || defined(__i386__)
START_TEST (levels)
{
  static const struct {
    const char *cap;
    int bits;
  } known[] = { { "portable", 8 },
                { "avx2", 7 },
                { "avxvnni", 8 },
                { "avx512", 7 },
                { "avx512vnni", 8 } };
  const struct qk_backend_class *b = backend ("fbgemm");
  struct qk_backend_caps caps;

  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    setenv ("QATKIT_CPU", known[i].cap, 1);
    ck_assert_int_eq (b->probe (&caps), 0);
    ck_assert (caps.exact && caps.per_channel);
    /* a lower level where the CPU lacks this one */
    if (strcmp (caps.cpu_level, known[i].cap) == 0)
      ck_assert_int_eq (caps.activation_bits, known[i].bits);
  }
  setenv ("QATKIT_CPU", "pentium", 1);
  ck_assert_int_eq (b->probe (&caps), -EINVAL);
  ck_assert_str_eq (qk_error_message (),
                    "QATKIT_CPU is \"pentium\", expected portable, avx2, "
                    "avxvnni, avx512 or avx512vnni (x86), neon, dotprod or "
                    "i8mm (ARM)");
  setenv ("QATKIT_CPU", "neon", 1); /* another backend's: no cap here */
  ck_assert_int_eq (b->probe (&caps), 0);
}
END_TEST
#endif

int
main (void)
{
  Suite *s = suite_create ("int8op");
  TCase *tc = tcase_create ("int8op");
  SRunner *runner;
  int failed;

  tcase_add_test (tc, quantize_by_hand);
  tcase_add_test (tc, linear_by_hand);
  tcase_add_test (tc, wide_by_hand);
  tcase_add_test (tc, joins_by_hand);
  tcase_add_test (tc, pools_by_hand);
  tcase_add_test (tc, others_by_hand);
  tcase_add_test (tc, matmul_by_hand);
  tcase_add_test (tc, softmax_by_hand);
  tcase_add_test (tc, norm_by_hand);
  tcase_add_test (tc, lrn_by_hand);
  tcase_add_test (tc, conv2d_another_way);
  tcase_add_test (tc, refusals);
  tcase_add_test (tc, other_versions);
#if defined(__x86_64__) || defined(__i386__)
  tcase_add_test (tc, levels);
#endif
  suite_add_tcase (s, tc);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  qk_context_free (ctx);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
