/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* averaged.h: copies of the network in training, as it is and with the
 * averages of its weights. */
#ifndef QK_RUN_AVERAGED_H
#define QK_RUN_AVERAGED_H

#include "run/run.h"

/* A copy of the network that RUN trains, its quantizers included.  To be freed
 * with qk_graph_free. */
int qk_run_copied (struct qk_run *run, struct qk_graph **out);

/* The same, which has the averages that its
 * optimizer keeps in place of what they are averages of; quantizers are as
 * training left them. */
int qk_run_averaged (struct qk_run *run, struct qk_graph **out);

/* Estimate the batch-norm statistics of G, a copy of the network that RUN
 * trains, anew as [qat] bn_reestimate says: on the training samples of the
 * coming epoch. */
int qk_run_statistics (struct qk_run *run, struct qk_graph *g);

#endif /* QK_RUN_AVERAGED_H */
