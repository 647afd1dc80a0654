/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.h: what the weights of each layer cost and lose with how many bits. */
#ifndef QK_ANALYZE_BITS_H
#define QK_ANALYZE_BITS_H

#include "run/session.h"

#define QK_MOST_FORMS 7 /* 2 to 8 bits */

enum qk_cost {
  QK_COST_BYTES,  /* of the int8 network's numbers, packed as in its file */
  QK_COST_BITOPS, /* products by the bits of both factors */
  QK_COST_LATENCY /* seconds of one sample on the backend, measured */
};

/* What says how much a layer loses. */
enum qk_sensitivity {
  QK_SENSITIVITY_NOISE,  /* measured in the outputs, by signal */
  QK_SENSITIVITY_HESSIAN /* mean curvature of the loss in its weights, times the
                            squared change of these: HAWQ-V2, Dong et al. 2020,
                            arXiv:1911.03852 */
};

/* One layer with weights; its forms are those numbers of bits that the
 * configuration lets it have. */
struct qk_bits_layer {
  char *name;
  int64_t macs;
  int n;                   /* forms */
  int bits[QK_MOST_FORMS]; /* of the weights */
  double
    noise[QK_MOST_FORMS]; /* what it loses alone, see enum qk_sensitivity */
  double cost[QK_MOST_FORMS];
};

struct qk_bits_table {
  enum qk_cost kind;
  int n;
  struct qk_bits_layer *layer;
  double rest; /* cost of all that is none of these layers */
};

struct qk_bits_options {
  struct qk_settings *settings;
  struct qk_monitor *m;
  const struct qk_graph *g;       /* the float network */
  struct qk_objective *objective; /* borrowed */
  const int *bits;                /* to be measured, n_bits of them */
  int n_bits;
  enum qk_cost cost;
  enum qk_sensitivity sensitivity;
  int probes;      /* random vectors, for the Hessian */
  int64_t samples; /* of the validation split */
};

/* Measure all of it.  The float network is calibrated once for each number of
 * bits, without methods of [ptq]; then each layer's weights alone are quantized, or
 * only what changes in them is looked at.
 * Shows progress.  *OUT belongs to the caller: qk_bits_free. */
int qk_bits_measure (const struct qk_bits_options *opt,
                     struct qk_bits_table **out);
void qk_bits_free (struct qk_bits_table *t); /* accepts NULL */

#endif /* QK_ANALYZE_BITS_H */
