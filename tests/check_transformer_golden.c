/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_transformer_golden.c: layers of transformers and normalisations, their
 * outputs and gradients, against numbers from PyTorch. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/layer-harness.h"
#include "lib/ok.h"

struct golden_case {
  const char *layer, *options;
  int n_in, n_params;
  struct qk_shape in[2];
  const float *x[2], *dx[2], *param[2], *dparam[2];
  const float *y, *dy;
};

#include "golden/transformer.h"

#define N_CASES ((int) (sizeof golden_cases / sizeof golden_cases[0]))

static struct qk_context *ctx;

static void
load (const struct qk_tensor *t, const float *data)
{
  memcpy (t->data, data, harness_bytes (t));
}

/* Both sides compute in float, in another order: 2e-5 of the larger of 1 and
 * the number. */
static void
near (const struct golden_case *c, const char *what, const struct qk_tensor *t,
      const float *golden)
{
  const float *x = t->data;

  for (size_t i = 0; i < harness_bytes (t) / sizeof *x; i++) {
    const double g = (double) golden[i];

    ck_assert_msg (fabs ((double) x[i] - g) <= 2e-5 * fmax (1.0, fabs (g)),
                   "%s (%s): %s[%zu] is %.9g, PyTorch has %.9g", c->layer,
                   c->options, what, i, (double) x[i], g);
  }
}

START_TEST (as_pytorch)
{
  const struct golden_case *c = &golden_cases[_i];
  struct harness_spec s = { .layer = c->layer,
                            .options = c->options,
                            .flags = QK_PASS_TRAIN,
                            .threads = 2,
                            .n_in = c->n_in };
  struct harness h;

  for (int i = 0; i < c->n_in; i++)
    s.in[i] = c->in[i];
  OK (harness_new (ctx, &s, &h));
  ck_assert_int_eq (h.n_params, c->n_params);
  for (int i = 0; i < c->n_in; i++)
    load (&h.in[i], c->x[i]);
  for (int i = 0; i < c->n_params; i++)
    load (&h.param[i], c->param[i]);
  load (&h.dout, c->dy);
  OK (harness_forward (&h));
  near (c, "y", &h.out, c->y);
  OK (harness_backward (&h));
  for (int i = 0; i < c->n_in; i++)
    near (c, "dx", &h.din[i], c->dx[i]);
  for (int i = 0; i < c->n_params; i++)
    near (c, "dparam", &h.dparam[i], c->dparam[i]);
  harness_free (&h);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("transformer-golden");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  ctx = qk_context_new ();
  tcase_add_loop_test (t, as_pytorch, 0, N_CASES);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  qk_context_free (ctx);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
