/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* analyze.h: where a quantized network loses accuracy, layer by layer. */
#ifndef QK_ANALYZE_ANALYZE_H
#define QK_ANALYZE_ANALYZE_H

#include "run/session.h"

#define QK_ANALYZE_BINS 80   /* of a histogram */
#define QK_ANALYZE_SHOWN 256 /* channels of a weight kept for drawing */

/* The networks whose accuracy is compared; all but ORIGINAL have the same
 * parameters. */
enum qk_analyze_net {
  QK_NET_ORIGINAL,    /* the float network that QAT began with */
  QK_NET_FLOAT,       /* nothing quantized: what the others are held against */
  QK_NET_WEIGHTS,     /* weights quantized alone */
  QK_NET_ACTIVATIONS, /* values quantized alone */
  QK_NET_BOTH,        /* fake-quantized */
  QK_NET_INT8,        /* on the backend */
  QK_NETS
};

const char *qk_analyze_net_name (enum qk_analyze_net net);

/* A network on the subset of samples, against FLOAT. */
struct qk_analyze_point {
  bool valid;
  double sqnr;  /* of the outputs, dB; INFINITY: equal */
  double loss;  /* mean */
  double score; /* the one that networks are judged by */
};

struct qk_analyze_network {
  bool valid;
  struct qk_scores scores; /* on the samples of the validation split */
  int64_t lost, won; /* samples with a worse, and a better score than FLOAT */
  double squares;    /* sum over samples of the squared difference */
  struct qk_analyze_point subset;
  struct json_t *tables; /* of the metrics, train/tables.h; owned */
};

/* One node (or the network's input) that has a quantizer. */
struct qk_analyze_layer {
  int value, node;   /* node -1: an input or constant */
  char *name, *kind; /* kind: the layer plugin */
  bool int8;
  int64_t macs;

  /* its output; SQNR in dB against the float network's, INFINITY: equal */
  bool has_value; /* it carries a quantizer of its own */
  int value_bits;
  struct qk_qparams grid;
  double sqnr_fake, sqnr_int8;
  double sqnr_own; /* of the grid alone, put on the float values */
  double clip;     /* fraction of the float values outside the grid */
  double min, max; /* of the float values */
  double grid_min, grid_max;
  int64_t bins[QK_ANALYZE_BINS]; /* from min to max */

  /* its weight, batch-norm folded in */
  bool has_weight, per_channel;
  int weight_bits;
  int64_t channels;
  double weight_sqnr; /* dB */
  double range_ratio; /* widest channel by the narrowest that is not 0 */
  double spare_bits;  /* by how many bits a range common to all channels is
                          too wide for the middle one */
  int64_t raised;     /* channels with a larger scale, for their bias */
  int64_t vanished;   /* channels of which most weights become 0 beside a few
                          large ones */
  int shown;          /* channels below, widest first */
  float channel_min[QK_ANALYZE_SHOWN], channel_max[QK_ANALYZE_SHOWN];
  float channel_grid[QK_ANALYZE_SHOWN]; /* largest number on its grid */
  double quartile[5]; /* of the channels' largest |w|: min … max */

  /* its batch-norm, against ORIGINAL */
  bool has_bn;
  double bn_mean; /* rms over channels of (mean - mean0) / sqrt (var0 + eps) */
  double bn_var;  /* rms over channels of ln (var / var0) */

  struct qk_analyze_point alone; /* this layer quantized, nothing else */
  struct qk_analyze_point rest;  /* all but this one */
  double share; /* of the noise in the outputs, by "alone"; 0..1 */
};

enum qk_analyze_limit {
  QK_LIMIT_NOTHING,
  QK_LIMIT_WEIGHTS,
  QK_LIMIT_ACTIVATIONS,
  QK_LIMIT_BOTH,
  QK_LIMIT_TRAINING /* the float numbers themselves are worse */
};

const char *qk_analyze_limit_name (enum qk_analyze_limit limit);

struct qk_analysis {
  bool qat;      /* of a checkpoint, else of post-training quantization */
  char *subject; /* the file or folder */
  const char *model, *dataset, *backend; /* borrowed from the settings */
  char *config;                          /* INI text */
  int64_t freeze_bn_after, freeze_observers_after; /* epochs of QAT */
  int64_t subset;         /* samples for everything but the accuracies */
  int score;              /* number of the score that networks are judged by */
  const char *score_name; /* borrowed from objective */
  struct qk_score_spec score_spec;
  int n_scores;
  const struct qk_score *scores;  /* all; borrowed from objective */
  struct qk_objective *objective; /* owned */
  struct qk_analyze_network net[QK_NETS];
  int n;
  struct qk_analyze_layer *layer; /* worst first */

  enum qk_analyze_limit limit;
  char *verdict; /* a sentence or two */
  char **advice; /* what to do, most useful first */
  int n_advice;
};

struct qk_analyze_options {
  struct qk_settings *settings;
  struct qk_monitor *m;
  const char *subject;    /* file or folder, for messages */
  const char *checkpoint; /* NULL: the settings' float weights, after PTQ */
  const char *weights;    /* QAT: the float weights it began with; NULL: those
                             of [model] if given, else none */
  int64_t samples;        /* of the subset, > 0 */
  int64_t batches;        /* of the accuracies; 0: all samples */
};

/* Measure all of it; takes minutes, shows progress.  Free with
 * qk_analysis_free, before the settings. */
int qk_analyze (const struct qk_analyze_options *opt,
                struct qk_analysis **out);
void qk_analysis_free (struct qk_analysis *a); /* accepts NULL */

/* The same as one line of JSON; *OUT belongs to the caller: free.  LOG, if not
 * NULL, is a log.jsonl whose events are added. */
int qk_analysis_json (const struct qk_analysis *a, const char *log,
                      char **out);

#endif /* QK_ANALYZE_ANALYZE_H */
