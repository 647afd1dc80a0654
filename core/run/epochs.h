/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* epochs.h: what follows an epoch of training. */
#ifndef QK_RUN_EPOCHS_H
#define QK_RUN_EPOCHS_H

#include "run/run.h"

/* The float network of the best epoch, where early stopping looks for one. */
#define BEST_FLOAT "best-float.safetensors"

/* Whether what qk_run_end_epoch evaluates is the network being trained itself,
 * whose layers serve one executor at a time. */
bool qk_run_evaluates_itself (const struct qk_run *run);

/* After an epoch, which RUN counts already: evaluate, keep what is best, and
 * tell early stopping and the schedule.  Of float training only where something
 * follows from it. */
int qk_run_end_epoch (struct qk_run *run);

/* At the end of float training: the network that it gives, with early stopping
 * that of the best epoch, else that of the last or its average. */
int qk_run_finish_float (struct qk_run *run);

/* Back to the network of the best epoch of QAT, which is what the model file
 * holds. */
int qk_run_load_best (struct qk_run *run);

#endif /* QK_RUN_EPOCHS_H */
