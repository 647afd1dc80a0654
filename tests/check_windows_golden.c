/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_windows_golden.c: layers with a window that differs by direction,
 * against numbers from PyTorch. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden/windows.h"
#include "lib/context.h"
#include "lib/layer-harness.h"

/* Numbers of PyTorch's; N of them. */
struct golden {
  const float *x;
  size_t n;
};

#define GOLDEN(array)                                                         \
  {                                                                           \
    array, sizeof (array) / sizeof (array)[0]                                 \
  }

struct window_case {
  const char *layer, *options;
  struct qk_shape in;
  struct golden x, y, dy, dx;
  int n_params;
  struct golden param[2], dparam[2];
};

#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }
#define WEIGHTED(layer, options, in, name)                                    \
  {                                                                           \
    layer, options, in, GOLDEN (name##_x), GOLDEN (name##_y),                 \
      GOLDEN (name##_dy), GOLDEN (name##_dx), 2,                              \
      { GOLDEN (name##_w), GOLDEN (name##_b) },                               \
    {                                                                         \
      GOLDEN (name##_dw), GOLDEN (name##_db)                                  \
    }                                                                         \
  }
#define POOLING(layer, options, in, name)                                     \
  {                                                                           \
    layer, options, in, GOLDEN (name##_x), GOLDEN (name##_y),                 \
      GOLDEN (name##_dy), GOLDEN (name##_dx), 0, { { NULL, 0 } },             \
    {                                                                         \
      {                                                                       \
        NULL, 0                                                               \
      }                                                                       \
    }                                                                         \
  }

static const struct window_case cases[] = {
  WEIGHTED ("conv2d",
            "out=6 kernel_h=3 kernel_w=2 stride_h=2 stride_w=1 dilation_w=2 "
            "groups=2 padding_left=1 padding_right=2 padding_bottom=3",
            IMAGE (2, 6, 7, 4), conv_uneven),
  WEIGHTED ("conv2d",
            "out=4 kernel_h=1 kernel_w=5 stride=2 padding_left=1 "
            "padding_right=3",
            IMAGE (2, 1, 11, 3), conv_signal),
  WEIGHTED ("conv_transpose2d",
            "out=3 kernel_h=3 kernel_w=4 stride_h=2 stride_w=3 padding_top=1 "
            "padding_bottom=1 output_padding_h=1 output_padding_w=2",
            IMAGE (2, 3, 5, 4), transposed),
  WEIGHTED ("conv_transpose2d",
            "out=6 kernel_h=3 kernel_w=2 stride=2 padding_top=2 "
            "padding_bottom=2 padding_left=1 padding_right=1 groups=2 "
            "dilation_h=2",
            IMAGE (2, 3, 5, 4), transposed_groups),
  WEIGHTED ("conv_transpose2d",
            "out=2 kernel=2 stride=2 padding_top=2 padding_left=1 "
            "padding_bottom=1 padding_right=3",
            IMAGE (2, 3, 5, 4), transposed_cut),
  POOLING ("maxpool2d",
           "kernel_h=3 kernel_w=2 stride_h=1 stride_w=2 dilation_w=2 "
           "padding_top=2 padding_left=1 padding_bottom=1",
           IMAGE (2, 6, 7, 4), max_uneven),
  POOLING ("avgpool2d",
           "kernel_h=2 kernel_w=3 stride_h=2 stride_w=1 padding_top=1 "
           "padding_right=2",
           IMAGE (2, 6, 7, 4), avg_uneven),
  POOLING ("avgpool2d",
           "kernel_h=2 kernel_w=3 stride_h=2 stride_w=1 padding_top=1 "
           "padding_right=2 count_pad=no",
           IMAGE (2, 6, 7, 4), avg_uneven_inside),
  POOLING ("avgpool2d",
           "kernel_h=2 kernel_w=3 stride_h=3 stride_w=2 padding=1 ceil=yes",
           IMAGE (2, 6, 7, 4), avg_ceil),
};

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

static void
load (const struct qk_tensor *t, const struct golden *g)
{
  ck_assert_uint_eq (harness_bytes (t), g->n * sizeof *g->x);
  memcpy (t->data, g->x, g->n * sizeof *g->x);
}

/* Sums of up to 100 products, added in another order. */
static void
near (const struct window_case *c, const char *what, const struct qk_tensor *t,
      const struct golden *g)
{
  const float *x = t->data;

  ck_assert_uint_eq (harness_bytes (t), g->n * sizeof *g->x);
  for (size_t i = 0; i < g->n; i++) {
    const double want = (double) g->x[i];

    ck_assert_msg (fabs ((double) x[i] - want) <= 5e-6 * fmax (1, fabs (want)),
                   "%s (%s): %s[%zu] is %.9g, PyTorch has %.9g", c->layer,
                   c->options, what, i, (double) x[i], want);
  }
}

START_TEST (windows_are_pytorchs)
{
  const struct window_case *c = &cases[_i];
  const struct harness_spec s = { .layer = c->layer,
                                  .options = c->options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { c->in } };
  struct harness h;

  ck_assert_msg (harness_new (ctx, &s, &h) == 0, "%s", qk_error_message ());
  ck_assert_int_eq (h.n_params, c->n_params);
  load (&h.in[0], &c->x);
  load (&h.dout, &c->dy);
  for (int i = 0; i < c->n_params; i++)
    load (&h.param[i], &c->param[i]);
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_int_eq (harness_backward (&h), 0);
  near (c, "y", &h.out, &c->y);
  near (c, "dx", &h.din[0], &c->dx);
  for (int i = 0; i < c->n_params; i++)
    near (c, "dparam", &h.dparam[i], &c->dparam[i]);
  harness_free (&h);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("windows-golden");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_loop_test (t, windows_are_pytorchs, 0, COUNT (cases));
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
