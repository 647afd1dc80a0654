/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimizer.h: what the configuration says about training: which parameters
 * move, and how. */
#ifndef QK_RUN_OPTIMIZER_H
#define QK_RUN_OPTIMIZER_H

#include "settings/settings.h"
#include "train/optimize.h"

/* Freeze in G what [train] freeze says, for QAT [qat] freeze. */
int qk_settings_freeze (struct qk_settings *settings, struct qk_graph *g,
                        bool qat);

/* The optimizer of float training, or of QAT, for the parameters of G, whose
 * gradients exist.  Free with qk_optimize_free. */
int qk_settings_optimizer (struct qk_settings *settings, struct qk_graph *g,
                           bool qat, struct qk_optimize **out);

/* Whether that will work on a graph like G, and every pattern is of some
 * use. */
int qk_settings_check_optimizer (struct qk_settings *settings,
                                 struct qk_graph *g, bool qat);

#endif /* QK_RUN_OPTIMIZER_H */
