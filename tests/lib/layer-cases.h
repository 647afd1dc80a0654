/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-cases.h: shapes and options every layer is tested with.  A layer
 * without a case fails the tests: whoever adds a layer adds cases here. */
#ifndef QATKIT_TESTS_LAYER_CASES_H
#define QATKIT_TESTS_LAYER_CASES_H

#include "lib/layer-harness.h"

/* How the inputs are chosen. */
enum case_values {
  VALUES_UNIFORM = 0,  /* in -2..2 */
  VALUES_POSITIVE = 2, /* in 0.5..3 */
  VALUES_SPREAD = 1    /* odd multiples of 0.1 up to +-7, all different where
                         there are few enough of them, the second input
                         multiples of 0.4: no sum is near 0 or 6, no two
                         numbers are near each other */
};

struct layer_case {
  const char *layer, *options, *absorb;
  unsigned flags; /* besides QK_PASS_TRAIN */
  enum case_values values;
  /* Share of derivatives that may lie on a kink (of an absorbed clamp, whose
   * input the test cannot choose) and are then not compared. */
  double kinks;
  int n_in;
  struct qk_shape in[3];
};

extern const struct layer_case layer_cases[];
extern const int n_layer_cases;

/* The harness's words for a case with N samples (0: as in the table). */
struct harness_spec layer_case_spec (const struct layer_case *c, int64_t n,
                                     int threads);

/* Give inputs, parameters and dout the values the case asks for. */
void layer_case_fill (const struct layer_case *c, struct harness *h,
                      uint64_t seed);

/* The parameters alone. */
void layer_case_fill_params (struct harness *h, struct qk_rng *rng);

#endif /* QATKIT_TESTS_LAYER_CASES_H */
