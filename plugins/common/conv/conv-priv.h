/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv-priv.h: shared by the files of the convolution library only. */
#ifndef QATKIT_COMMON_CONV_PRIV_H
#define QATKIT_COMMON_CONV_PRIV_H

#include <qatkit/numeric.h>

#include "conv/conv.h"
#include "conv/rows.h"

/* Partial sums below this are exact in float32; one product of a uint8
 * difference and an int8 is at most 255 * 128, so CONV_WIDE_CHUNK of them
 * always stay below. */
#define CONV_EXACT_LIMIT 16777216.0
enum { CONV_WIDE_CHUNK = 512 };

/* Below this number of weights it does not pay to wake threads. */
enum { CONV_PARALLEL_MIN = 2048 };

/* Facts of a forward pass that backward needs; at the start of saved. */
struct conv_saved {
  bool batch;             /* batch statistics were used */
  bool folded;            /* the weight was multiplied by k = gamma / sigma */
  bool i32_acc;           /* acc is int32 instead of float */
  float s_in, z;          /* grid of the input; 1, 0 for a float one */
  double rows;            /* of the whole batch, in all processes */
  struct qk_qparams grid; /* of the output; scale 0: float */
};

/* What becomes of the weight, from parameters alone. */
struct conv_weight {
  float *k, *sigma, *sw; /* K: gamma / sigma; scale of the weight */
  double *sum, *size;    /* K: of the integers and their absolute values */
  int8_t *wq;            /* (K, R S C/groups), the integers */
  void *pack; /* the same for qk_product, group by group; NULL: not wanted */
  float *wf;  /* depthwise: (R S, C), the weight or its integers */
};

/* Per-channel numbers.  The first group is kept for backward. */
struct conv_channels {
  float *a, *b;              /* PERIOD: y = acc * a + b */
  double *c, *mean, *invstd; /* K: y1 = acc * c, batch statistics */
};

struct conv_scratch_channels {
  int32_t *bias;       /* PERIOD: on the accumulator's grid */
  float *m;            /* PERIOD: multiplier, or s_in * s_w */
  float *a1, *a2, *a3; /* PERIOD: see qk_rows_grad */
  float *real_bias;    /* K: bias with batch-norm folded in */
  double *sg, *sgu;    /* K: sums over the batch; one more after them */
  float *min, *max;    /* K */
};

/* What one thread works in. */
struct conv_thread {
  float *col;          /* rows of input, expanded; or bytes */
  float *blk, *tmp;    /* rows of output */
  double *sum, *sq;    /* PERIOD */
  float *min, *max;    /* PERIOD */
  float *dw, *dwi;     /* gradient of the weight; the same of one sample */
  float *wf;           /* the weight, where it is not run->wf */
  float *ring, *dring; /* lines of padded input and its gradient */
  int64_t *tags;       /* which line is in which place, for both rings */
};

enum conv_kind {
  CONV_DIRECT,  /* 1x1, stride 1: the input is the matrix */
  CONV_GENERAL, /* blocks of lines through im2col */
  CONV_DEPTHWISE
};

/* One call. */
struct conv_run {
  const struct qk_conv *cv;
  const struct qk_layer_io *io;
  enum conv_kind kind;
  int threads;
  int64_t n, m;      /* samples, output rows (pixels) */
  int64_t row_block; /* CONV_DIRECT */
  int64_t units;
  bool u8_in, u8_out;
  /* F32 on a grid of more than 8 bits.  Such an input is one of real numbers,
   * but where forward is exact: see wide.c. */
  bool wide_in, wide_out;
  bool grid_out; /* u8_out or wide_out */
  bool again;    /* see struct qk_conv_plan */
  bool exact;    /* forward has the bytes of the int8 network */
  float z, s_in;
  const float *wf; /* (K, R S C/groups); depthwise: (R S, C); NULL: every
                       thread makes its own, see conv_own_weight */
  struct conv_weight weight;
  const float *wt; /* transposed, per group; NULL: not made */
  struct conv_saved *saved;
  struct conv_channels ch;
  struct conv_scratch_channels sc;
  void *acc; /* (M,K) float or int32; NULL: not kept, see q8 and again */
};

/* A piece of the output: rows row0 .. row0 + rows, which for lines are
 * p0 .. p1 of sample img. */
struct conv_unit {
  int64_t row0, rows, img, p0, p1;
};

/* conv.c */
enum conv_kind conv_kind (const struct qk_conv *cv);
int64_t conv_depth (const struct qk_conv *cv); /* R S C/groups */

/* plan.c */
size_t conv_pack_size (const struct qk_conv *cv); /* of a group's weights */
/* Bytes of a conv_weight's arrays, and where they lie. */
size_t conv_weight_size (const struct qk_conv *cv, bool quantized,
                         bool packed);
void conv_weight_at (const struct qk_conv *cv, bool quantized, bool packed,
                     void *base, struct conv_weight *w);
struct qk_convback;
/* What gradients over whole tensors work on, for a batch of N. */
void conv_back_shape (const struct qk_conv *cv, int64_t n,
                      struct qk_convback *cb);
int conv_run_begin (const struct qk_conv *cv, const struct qk_layer_io *io,
                    struct conv_run *run);
void conv_thread_at (const struct conv_run *run, int t,
                     struct conv_thread *th);
void conv_unit_at (const struct conv_run *run, int64_t i, struct conv_unit *u);
/* The threads' sums, in their order, into sc.sg and sc.sgu. */
void conv_collect_sums (struct conv_run *run);
/* Repeat the first K numbers of X to the length PERIOD. */
void conv_repeat (float *x, int64_t k, int64_t period);

/* fold.c */
/* gamma / sqrt (var + eps) of the stored statistics; 1 without batch-norm. */
void conv_norm_factors (const struct qk_conv *cv,
                        const struct qk_tensor *param, float *k, float *sigma);
/* Whether that takes no more than one pass for the range and one for the
 * integers: no WK, no threads of the quantizer's own. */
bool conv_weight_simple (struct qk_quantizer *weight_qz);
/* Raise the scales of the weight where the bias, with K folded in, would not
 * fit into int32 for an input on IN_Q; NULL: as the weight alone wants them.
 * SCRATCH: K.  Whether that changed a scale. */
bool conv_fit_scale (const struct qk_conv *cv, const struct qk_tensor *param,
                     struct qk_quantizer *weight_qz,
                     const struct qk_qparams *in_q, const float *k,
                     float *scratch);
/* The one place where a weight gets its integers; OBSERVE: its quantizer sees
 * it first; IN_Q as in conv_fit_scale.  WK: room for the weight in floats. */
int conv_fold_weight (const struct qk_conv *cv, const struct qk_tensor *param,
                      struct qk_quantizer *weight_qz,
                      const struct qk_qparams *in_q, bool observe, int threads,
                      float *wk, struct conv_weight *w);
/* The one place where a bias gets its integers, for an input on IN_Q; NULL: a
 * float one, REAL only.  BATCH: batch statistics swallow the bias.  Refuses sums
 * that may leave int32; *I32: they may leave what float32 holds exactly. */
int conv_fold_bias (const struct qk_conv *cv, const struct qk_tensor *param,
                    const struct qk_qparams *in_q, bool batch,
                    const struct conv_weight *w, float *real, int32_t *bias,
                    bool *i32);

/* wide.c */
/* Bytes of workspace for an input of more than 8 bits. */
size_t conv_wide_size (const struct qk_conv *cv);
/* What forward gives for one, byte for byte that of the int8 network, once the
 * weight has its integers; RUN is exact. */
int conv_wide_forward (struct conv_run *run);

/* forward.c */
/* Take the grid of the output's quantizer, and the multipliers for an input of
 * scale S_IN. */
void conv_set_grid (struct conv_run *run, float s_in);

/* weights.c */
/* W for a quantized weight, observed first with OBSERVE; IN_Q and WK as in
 * conv_fold_weight. */
int conv_make_weight (const struct qk_conv *cv, const struct qk_layer_io *io,
                      const struct qk_qparams *in_q, bool observe, int threads,
                      float *wk, struct conv_weight *w);
/* w->wf from the integers, or from WEIGHT. */
void conv_place_depthwise (const struct qk_conv *cv, const float *weight,
                           const struct conv_weight *w);
/* run->wf from the weight's integers or, NULL, the parameter itself; with
 * FORWARD what the products of forward want instead. */
void conv_place_weight (struct conv_run *run, const int8_t *w8, bool forward);
/* The weight for the products of one thread of backward.  Widening it again
 * costs less than fetching what another core has just written. */
const float *conv_own_weight (const struct conv_run *run,
                              const struct conv_thread *th);

/* ---- strategies ---------------------------------------------------------*/

/* One way of making accumulators. */
struct conv_forward {
  const char *name;
  /* Whether it is right for CV; QUANTIZED: input and weight are.  The plan's
   * kernels, threads and batch are known. */
  bool (*usable) (const struct qk_conv *cv, bool quantized);
  /* Before the first block of a thread.  (optional) */
  void (*begin) (const struct conv_run *run, const struct conv_thread *th);
  /* acc of a unit, float or (i32_acc) int32. */
  void (*block) (const struct conv_run *run, const struct conv_thread *th,
                 const struct conv_unit *u, float *acc);
};

struct conv_backward {
  struct conv_run run;
  struct qk_conv_mask mask;
  const float *dout;
  float *dx;         /* NULL: not wanted */
  bool sums_in_pass; /* sums are taken together with d */
};

/* One way of making the gradients by input and weight. */
struct conv_back {
  const char *name;
  bool (*usable) (const struct qk_conv *cv, bool quantized);
  bool whole;   /* d of the whole batch is made first, see conv_whole_d */
  bool one_dw;  /* all threads make one gradient of the weight */
  bool expands; /* it wants the input of the whole batch as floats, at ws_x */
  /* Bytes that pass works in at ws_back.  (optional) */
  size_t (*scratch) (const struct qk_conv *cv);
  /* All of dx, if it is wanted, and dw' (see backward.c): in DW (K, R S
   * C/groups) or, of each thread, in th->dw; one_dw tells which. */
  int (*pass) (const struct conv_backward *bw, float *dw);
};

extern const struct conv_forward conv_forward_depthwise, conv_forward_integer,
  conv_forward_matrix, conv_forward_reference;
extern const struct conv_back conv_back_depthwise, conv_back_winograd,
  conv_back_grouped, conv_back_whole, conv_back_matrix, conv_back_reference;

/* strategy.c */
/* Fill pl->forward and pl->back.  -ENOTSUP if those that CV asks for are not
 * right for it. */
int conv_choose (const struct qk_conv *cv, bool quantized,
                 struct qk_conv_plan *pl);

static inline bool
conv_in_bytes (const struct qk_conv_plan *pl)
{
  return pl->forward == &conv_forward_integer;
}

/* backward.c */
/* d of rows to D; d of a unit, in th->blk. */
void conv_rows_grad (const struct conv_backward *bw,
                     const struct conv_thread *th, int64_t row0, int64_t rows,
                     float *d);
const float *conv_unit_grad (const struct conv_backward *bw,
                             const struct conv_thread *th,
                             const struct conv_unit *u);

/* whole.c */
/* d of the whole batch, by all threads; where it lies. */
const float *conv_whole_d (const struct conv_backward *bw);

/* im2col.c */
void conv_im2col (const struct conv_run *run, const struct conv_unit *u,
                  float *col);
/* The same in bytes, for qk_product: the zero point stands for padding, rows
 * are LD apart. */
void conv_im2col_bytes (const struct conv_run *run, const struct conv_unit *u,
                        int64_t ld, uint8_t *col);

/* integer.c */
void conv_integer_block (const struct conv_run *run,
                         const struct conv_thread *th,
                         const struct conv_unit *u, bool to_float, float *acc);

/* blocks.c, matrix.c, im2col.c, depthwise.c */
/* acc of a unit, float or (i32_acc) int32. */
void conv_block (const struct conv_run *run, const struct conv_thread *th,
                 const struct conv_unit *u, float *acc);
/* acc of rows as float, kept or computed again: in TMP where it is not kept
 * as float. */
const float *conv_acc_rows (const struct conv_run *run,
                            const struct conv_thread *th, int64_t row0,
                            int64_t rows, float *tmp);
/* The expanded input of a unit as rows of *ld floats. */
const float *conv_block_input (const struct conv_run *run,
                               const struct conv_thread *th,
                               const struct conv_unit *u, int64_t *ld);
/* Add rows of gradients to the sample they were taken from. */
void conv_block_scatter (const struct conv_run *run, const struct conv_unit *u,
                         const float *dcol, float *dx);
/* Bring the lines below output line P of sample IMG into the ring. */
void conv_ring_fill (const struct conv_run *run, const struct conv_thread *th,
                     int64_t img, int64_t p, const float **row);
void conv_ring_reset (const struct conv_run *run,
                      const struct conv_thread *th);
int64_t conv_ring_width (const struct qk_conv *cv); /* padded columns */
int conv_ring_span (const struct qk_conv *cv);      /* lines */

#endif /* QATKIT_COMMON_CONV_PRIV_H */
