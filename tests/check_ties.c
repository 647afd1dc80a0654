/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_ties.c: with the scales that onnx_scales_off_ties finds, integer
 * kernels that compute a sum or a product in another way than numeric.h give
 * the same integers for every pair. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include <qatkit/numeric.h>

#include "ties.h"

static int
clamped (float v, const struct qk_op *op)
{
  const float q = rintf (v);

  return q < (float) op->lo ? op->lo : q > (float) op->hi ? op->hi : (int) q;
}

/* Three ways to compute OP of A and B, which are read with SCALE: by constants
 * folded beforehand, rounded after each operation or fused, and by a division. */
static int
other (int way, const struct qk_op *op, const float *scale, int a, int b)
{
  const int za = op->in_q[0].zero_point, zb = op->in_q[1].zero_point;
  const float s = op->out_q.scale, zero = (float) op->out_q.zero_point;
  float x = scale[0] / s, y = scale[1] / s, fixed;

  if (op->function == QK_MUL) {
    x = scale[0] * scale[1] / s;
    return way == 2 ? clamped ((scale[0] * (float) (a - za))
                                   * (scale[1] * (float) (b - zb)) / s
                                 + zero,
                               op)
                    : clamped (x * (float) ((a - za) * (b - zb)) + zero, op);
  }
  if (op->function == QK_SUB)
    y = -y;
  fixed = zero - (x * (float) za + y * (float) zb);
  if (way == 0) {
    volatile float part = (float) a * x; /* not to be fused */

    part += fixed;
    fixed = (float) b * y;
    return clamped (part + fixed, op);
  }
  if (way == 1)
    return clamped (fmaf ((float) b, y, fmaf ((float) a, x, fixed)), op);
  x = scale[0] * (float) (a - za);
  y = scale[1] * (float) (b - zb);
  return clamped ((op->function == QK_SUB ? x - y : x + y) / s + zero, op);
}

/* Pairs for which one of the other ways gives another integer. */
static int
differences (const struct qk_op *op, const float *scale)
{
  const float inverse = 1.0f / op->out_q.scale;
  int a, b, way, n = 0;

  for (a = op->in_q[0].qmin; a <= op->in_q[0].qmax; a++)
    for (b = op->in_q[1].qmin; b <= op->in_q[1].qmax; b++) {
      const int ours
        = qk_binary_quantized (op->function, a, &op->in_q[0], b, &op->in_q[1],
                               inverse, op->out_q.zero_point, op->lo, op->hi);

      for (way = 0; way < 3; way++)
        if (other (way, op, scale, a, b) != ours) {
          n++;
          break;
        }
    }
  return n;
}

static struct qk_op
binary (int function, int most, float sa, int za, float sb, int zb, float so,
        int zo)
{
  struct qk_op op;

  qk_op_init (&op);
  op.kind = QK_OP_BINARY;
  op.function = function;
  op.in_q[0] = (struct qk_qparams){
    .scale = sa, .zero_point = za, .qmin = 0, .qmax = most
  };
  op.in_q[1] = (struct qk_qparams){
    .scale = sb, .zero_point = zb, .qmin = 0, .qmax = most
  };
  op.out_q = (struct qk_qparams){
    .scale = so, .zero_point = zo, .qmin = 0, .qmax = most
  };
  op.lo = 0;
  op.hi = most;
  return op;
}

/* A number of 24 bits in [0.5, 1.5) out of *SEED. */
static float
draw (uint32_t *seed)
{
  *seed = *seed * 1664525u + 1013904223u;
  return 0.5f + (float) (*seed >> 8) * 0x1p-24f;
}

START_TEST (test_random_grids)
{
  static const int functions[] = { QK_ADD, QK_SUB, QK_MUL };
  uint32_t seed = 1;
  int i, before = 0, moved = 0, stay = 0;

  for (i = 0; i < 300; i++) {
    const int f = functions[i % 3];
    const float sa = 0.1f * draw (&seed), sb = 0.1f * draw (&seed);
    struct qk_op op = binary (f, i % 2 ? 255 : 127, sa, 50 + i % 30, sb,
                              60 - i % 40, 1.0f, 40 + i % 50);
    const float own[2] = { sa, sb };
    float scale[2];

    /* a grid that the results fit */
    op.out_q.scale = (f == QK_MUL ? 128 * sa * sb : sa + sb) * draw (&seed);
    if (onnx_scales_off_ties (&op, scale) == ONNX_TIES_STAY) {
      stay++;
      continue;
    }
    before += differences (&op, own) > 0;
    moved += scale[0] != sa || scale[1] != sb;
    ck_assert_float_le (fabsf (scale[0] / sa - 1), 4e-6f);
    ck_assert_float_le (fabsf (scale[1] / sb - 1), 4e-6f);
    ck_assert_int_eq (differences (&op, scale), 0);
  }
  ck_assert_int_gt (before, 30);
  ck_assert_int_gt (moved, 30);
  ck_assert_int_lt (stay, 60);
}
END_TEST

/* Of mnasnet1_3: (22, 8) and (66, 24), thrice that, are ties, and rounding to
 * even takes one down and the other up. */
START_TEST (test_ties_that_stay)
{
  const struct qk_op op
    = binary (QK_ADD, 127, 0.09912318736314774f, 59, 0.10104265809059143f, 67,
              0.1458073854446411f, 57);
  float scale[2];

  ck_assert_int_eq (onnx_scales_off_ties (&op, scale), ONNX_TIES_STAY);
}
END_TEST

START_TEST (test_nothing_to_do)
{
  struct qk_op op = binary (QK_ADD, 255, 0.1f, 128, 0.1f, 128, 0.1f, 128);
  float scale[2];

  /* whole numbers: no tie anywhere */
  ck_assert_int_eq (onnx_scales_off_ties (&op, scale), ONNX_NO_TIES);
  ck_assert_float_eq (scale[0], 0.1f);
  ck_assert_float_eq (scale[1], 0.1f);
  /* every other number is a tie */
  op.in_q[1].scale = 0.05f;
  ck_assert_int_eq (onnx_scales_off_ties (&op, scale), ONNX_TIES_STAY);
  op.function = QK_MAX;
  ck_assert_int_eq (onnx_scales_off_ties (&op, scale), ONNX_NO_TIES);
  ck_assert_float_eq (scale[1], 0.05f);
}
END_TEST

/* Of regnet_y_8gf: the sigmoid of integer 48 is 70.500004 steps, and the table,
 * made of floats, has 70. */
START_TEST (test_table)
{
  uint8_t table[256];
  struct qk_op op = binary (QK_ADD, 127, 0.02f, 48, 1, 0, 0.0078740157f, 0);
  float scale;
  int q;

  op.kind = QK_OP_TABLE;
  op.table = table;
  op.in_q[0].scale = 0.1f;
  op.in_q[0].zero_point = 36;
  op.out_q.scale = (float) (1 / (1 + exp (-0.1f * 12.0)) / 70.500004);
  for (q = 0; q < 256; q++) {
    const double v = 1 / (1 + exp (-0.1f * (q - 36.0))) / op.out_q.scale;

    table[q] = (uint8_t) (v < 127 ? rint (v - 1e-5) : 127);
  }
  ck_assert_int_eq (table[48], 70);
  scale = onnx_table_scale_off_ties (&op, "sigmoid");
  ck_assert_float_ne (scale, 0.1f);
  ck_assert_float_le (fabsf (scale / 0.1f - 1), 8e-6f);
  for (q = 0; q < 128; q++) {
    const float v
      = 1 / (1 + expf (-scale * (float) (q - 36))) / op.out_q.scale;

    ck_assert_int_eq (v < 127 ? (int) rintf (v) : 127, table[q]);
  }
  ck_assert_float_eq (onnx_table_scale_off_ties (&op, "neg"), 0.1f);
  table[100]++; /* another function's */
  ck_assert_float_eq (onnx_table_scale_off_ties (&op, "sigmoid"), 0.1f);
}
END_TEST

int
main (void)
{
  TCase *t = tcase_create ("scales");
  Suite *s = suite_create ("ties");
  SRunner *r;
  int failed;

  tcase_set_timeout (t, 120);
  tcase_add_test (t, test_random_grids);
  tcase_add_test (t, test_ties_that_stay);
  tcase_add_test (t, test_nothing_to_do);
  tcase_add_test (t, test_table);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
