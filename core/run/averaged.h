/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* averaged.h: the network in training with the averages of its weights. */
#ifndef QK_RUN_AVERAGED_H
#define QK_RUN_AVERAGED_H

#include "run/run.h"

/* A copy of the network that RUN trains, which has the averages that its
 * optimizer keeps in place of what they are averages of; quantizers are as
 * training left them.  To be freed with qk_graph_free. */
int qk_run_averaged (struct qk_run *run, struct qk_graph **out);

#endif /* QK_RUN_AVERAGED_H */
