/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sensitivity.h: what layers cost and lose, in the folder of a tuning. */
#ifndef QK_TUNE_SENSITIVITY_H
#define QK_TUNE_SENSITIVITY_H

#include "analyze/bits.h"
#include "tune/priv.h"

/* The table as sensitivity.json in the output folder has it, where the tuning is
 * resumed and it was measured for the same configuration and OPT; else measured
 * and written there.  *OUT belongs to the caller. */
int qk_sensitivity_get (struct qk_tuner *u, const struct qk_bits_options *opt,
                        struct qk_bits_table **out);

#endif /* QK_TUNE_SENSITIVITY_H */
