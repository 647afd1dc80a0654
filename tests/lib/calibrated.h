/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* calibrated.h: a small network as methods of post-training quantization see it,
 * before and after calibration, for tests with Check. */
#ifndef TESTS_LIB_CALIBRATED_H
#define TESTS_LIB_CALIBRATED_H

#include "lib/network.h"
#include "ptq/ptq-priv.h"

#define CALIBRATED_BATCH 16 /* samples */
#define CALIBRATED_BATCHES 3

struct calibrated {
  struct qk_context *ctx;
  struct qk_graph *g; /* float */
  struct qk_ptq p;
  struct qk_monitor monitor;
};

/* With network_small, 8 x 8 colour samples and 5 logits. */
void calibrated_open (struct calibrated *c);
/* Another network in its place, which C takes over, with one input of those
 * samples. */
void calibrated_take (struct calibrated *c, struct qk_graph *g);
void calibrated_close (struct calibrated *c);

/* The fused float network becomes the one at hand. */
void calibrated_begin (struct calibrated *c);
/* Prepare it and calibrate, as qk_stage_calibrate does. */
void calibrated_quantize (struct calibrated *c,
                          const struct network_quant *how);
/* Back to before calibration. */
void calibrated_forget (struct calibrated *c);

/* Run a method's slot before or AFTER calibration. */
void calibrated_method (struct calibrated *c, const char *name,
                        const char *options, bool after);

/* What OF gives for all calibration samples, one after the other. */
void calibrated_logits (const struct calibrated *c, struct qk_graph *of,
                        float *out);
/* The node of this name. */
int calibrated_node (const struct calibrated *c, const char *name);
/* Check that the integer network has the quantized one's bytes. */
void calibrated_convert (const struct calibrated *c);

#endif /* TESTS_LIB_CALIBRATED_H */
