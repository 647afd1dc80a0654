/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quantizer-priv.h: making, steering and keeping quantizers. */
#ifndef QK_QUANT_QUANTIZER_PRIV_H
#define QK_QUANT_QUANTIZER_PRIV_H

#include "comm/comm.h"
#include "qatkit/context.h"
#include "qatkit/quantizer.h"
#include "quant/state-priv.h"

/* Make a quantizer for what INFO describes (copied).  Classes live as long
 * as the process, configurations are borrowed for the call and may be NULL
 * where the class has no options.  OBS NULL: no observer, FQ NULL: affine
 * grid and straight-through estimator.  CTX gets warnings and must outlive
 * the quantizer.  It starts with observing off and the grid scale 1,
 * zero_point 0.  *OUT belongs to the caller: qk_quantizer_free. */
int qk_quantizer_new (struct qk_context *ctx, const struct qk_quant_info *info,
                      const struct qk_observer_class *obs,
                      const struct qk_config *obs_cfg,
                      const struct qk_fakequant_class *fq,
                      const struct qk_config *fq_cfg,
                      struct qk_quantizer **out);
void qk_quantizer_free (struct qk_quantizer *qz); /* accepts NULL */

/* What it was made for; info->name is the quantizer's name. */
const struct qk_quant_info *qk_quantizer_info (const struct qk_quantizer *qz);

/* Whether its fake-quantizer changes weights before they are rounded. */
bool qk_quantizer_transforms (const struct qk_quantizer *qz);

/* Name of its observer, for messages; "none" without one. */
const char *qk_quantizer_observer_name (const struct qk_quantizer *qz);

/* Go on with the bits, qmin and qmax of INFO: observer and fake-quantizer are
 * made anew with their configurations (as for qk_quantizer_new), take over what
 * the state of the old ones says, and change_bits converts what was learned.
 * Parameters keep their addresses.  Nothing where grids are fixed.  After an
 * error the quantizer can only be freed. */
int qk_quantizer_set_bits (struct qk_quantizer *qz,
                           const struct qk_quant_info *info,
                           const struct qk_config *obs_cfg,
                           const struct qk_config *fq_cfg);

/* Keep the grids Q, one a channel, whatever is seen.  -EDOM where one is none
 * that this quantizer can have. */
int qk_quantizer_fix (struct qk_quantizer *qz, const struct qk_qparams *q);
/* Begin with the grids Q, one a channel: the observer has seen their ends, and a
 * fake-quantizer that learns its grid begins with them, if it has the slot start.
 * Nothing where grids are fixed or weights are transformed before. */
int qk_quantizer_start (struct qk_quantizer *qz, const struct qk_qparams *q);

/* Switched on for training batches and calibration while observers are not
 * frozen, off for evaluation.  Not part of the state: the schedule decides. */
void qk_quantizer_set_observing (struct qk_quantizer *qz, bool on);

/* Values are observed together with the other processes of COMM (borrowed)
 * from now on, weights are the same everywhere anyway; NULL: alone. */
void qk_quantizer_set_comm (struct qk_quantizer *qz, struct qk_comm *comm);

/* With a comm: what backward sees from now on is SHARE of the whole batch. */
void qk_quantizer_set_share (struct qk_quantizer *qz, double share);

/* Whether anything was observed, so that the grid means something. */
bool qk_quantizer_has_range (struct qk_quantizer *qz);

/* As qk_quantizer_observe, but the grids stay as they are until
 * qk_quantizer_refresh: for calibration on a float network, where nobody
 * needs a grid before the end and some observers search long for one. */
int qk_quantizer_collect (struct qk_quantizer *qz, const float *x, size_t n);

/* Renew the grids from the observer's range and the parameters: after
 * collecting, and after an optimizer step if there are parameters.  Warns
 * once when nothing has been observed. */
int qk_quantizer_refresh (struct qk_quantizer *qz);

/* Weights: from now on each channel's scale is FACTOR times, one a channel, what
 * it would be, on top of earlier calls; the state keeps that.  For weights that
 * grow as a whole, so that their integers stay.  Nothing where grids are fixed,
 * or the weights are transformed before.  -EDOM for a factor that is not
 * positive and finite. */
int qk_quantizer_rescale (struct qk_quantizer *qz, const float *factor);

/* How many channels have a scale that qk_quantizer_raise chose. */
int64_t qk_quantizer_raised (const struct qk_quantizer *qz);

/* The range the observer has found, arrays of channels floats.  -ENODATA
 * when there is none. */
int qk_quantizer_range (struct qk_quantizer *qz, float *min, float *max);

/* A learnable parameter of the fake-quantizer, for the optimizer.  All
 * borrowed, they live as long as the quantizer; grad is added to by
 * qk_quantizer_backward and set to 0 by the caller.  After changing value:
 * qk_quantizer_refresh. */
struct qk_quantizer_param {
  const char *name;
  size_t count;
  float *value;
  float *grad;
};

/* Fill OUT (QK_FQ_MAX_PARAMS of them), return how many there are. */
int qk_quantizer_params (struct qk_quantizer *qz,
                         struct qk_quantizer_param *out);

/* Save or load: arrays "observer.…", "fakequant.…", "initialized", "derived" and
 * of weights "factor".  After loading the grids are renewed where those saved had been:
 * a quantizer that has seen nothing keeps its first ones. */
int qk_quantizer_state (struct qk_quantizer *qz, struct qk_state *st);

#endif /* QK_QUANT_QUANTIZER_PRIV_H */
