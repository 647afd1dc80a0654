/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* journal.h: the trials of a tuning on disk, a line of JSON each. */
#ifndef QK_TUNE_JOURNAL_H
#define QK_TUNE_JOURNAL_H

#include "tune/tune.h"

struct qk_journal;

/* Open the journal PATH for a configuration with the text CONFIG and the scores
 * of O, which must outlive it.  With RESUME its trials are remembered (-EINVAL
 * when it was made with another configuration), else it starts empty.  What
 * power loss has left of it is used: a line that was cut off is left out, one
 * that is no trial named and passed over. */
int qk_journal_open (struct qk_context *ctx, const char *path,
                     const char *config, const struct qk_objective *o,
                     bool resume, struct qk_journal **out);
void qk_journal_close (struct qk_journal *j); /* accepts NULL */

/* Fill in T's results if a trial with its settings is remembered. */
bool qk_journal_find (const struct qk_journal *j, struct qk_trial *t);
/* Add T, safe on disk when this returns. */
int qk_journal_add (struct qk_journal *j, const struct qk_trial *t);

#endif /* QK_TUNE_JOURNAL_H */
