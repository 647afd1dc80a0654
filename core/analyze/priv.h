/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* priv.h: between the files of this folder. */
#ifndef QK_ANALYZE_PRIV_H
#define QK_ANALYZE_PRIV_H

#include "analyze/analyze.h"

/* Which quantizers of a prepared graph are at work.  The graph's own marks
 * are kept and come back with qk_switch_clear. */
struct qk_switch {
  struct qk_graph *g;                    /* borrowed */
  struct qk_quantizer **value, **weight; /* by value, by node */
  bool *on_grid;                         /* by value */
};

int qk_switch_init (struct qk_switch *s, struct qk_graph *g);
void qk_switch_clear (struct qk_switch *s); /* accepts zeros */

enum qk_switch_parts { QK_SWITCH_VALUES = 1, QK_SWITCH_WEIGHTS = 2 };

/* Switch PARTS on for VALUE and the node that makes it, or for all of them
 * (QK_SWITCH_ALL), or for all but one.  Executors must be made after. */
#define QK_SWITCH_ALL (-2)
void qk_switch_set (struct qk_switch *s, unsigned parts, int value,
                    bool all_but);

/* Samples kept in memory: n of each input and target. */
struct qk_subset {
  int64_t n, batch;
  void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
};

/* All that is measured with. */
struct qk_analyzer {
  const struct qk_analyze_options *opt;
  struct qk_session session;   /* settings, monitor, objective, calibration */
  struct qk_data *data;        /* validation samples in random order */
  struct qk_graph *g;          /* prepared */
  struct qk_graph *float_g;    /* the parameters of g, not quantized */
  struct qk_graph *original_g; /* QAT: what it began with, may be NULL */
  struct qk_graph *int8_g;
  struct qk_switch sw; /* of g */
  struct qk_subset subset;
  int64_t out_size; /* elements of all outputs for the subset */
  float *float_out, *out;
  double *float_score; /* FLOAT's score by sample; NaN: not seen */
  struct qk_analysis *a;
};

/* Free all but what is borrowed and the analysis; accepts zeros. */
void qk_analyzer_clear (struct qk_analyzer *z);

/* N samples of the subset from FIRST on, as a batch; INPUT and TARGET have
 * room for the pointers. */
void qk_subset_batch (const struct qk_analyzer *z, int64_t first, int64_t n,
                      const void **input, const void **target,
                      struct qk_batch *b);

/* measure.c */
int qk_analyze_networks (struct qk_analyzer *z);
int qk_analyze_subset (struct qk_analyzer *z);
/* G on the subset, against FLOAT. */
int qk_analyze_point (struct qk_analyzer *z, struct qk_graph *g,
                      struct qk_analyze_point *out);

/* values.c, weights.c */
int qk_analyze_values (struct qk_analyzer *z);
int qk_analyze_weights (struct qk_analyzer *z);
int qk_analyze_batchnorm (struct qk_analyzer *z);

/* rank.c */
int qk_analyze_sensitivity (struct qk_analyzer *z);
int qk_analyze_verdict (struct qk_analysis *a);

/* 10 log10 (signal / noise), INFINITY without noise. */
double qk_decibel (double signal, double noise);

#endif /* QK_ANALYZE_PRIV_H */
