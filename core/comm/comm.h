/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* comm.h: joining the other processes, and what only the library asks of
 * them. */
#ifndef QK_COMM_COMM_H
#define QK_COMM_COMM_H

#include <qatkit/comm.h>
#include <qatkit/context.h>

/* Join through the class CLS, whose options are CFG (borrowed for the call).
 * *OUT belongs to the caller: qk_comm_close. */
int qk_comm_open (const struct qk_comm_class *cls, const struct qk_config *cfg,
                  struct qk_comm **out);
void qk_comm_close (struct qk_comm *c); /* accepts NULL */

/* X (N floats) of all processes in the order of their ranks.  *ALL is to be
 * freed with qk_free. */
int qk_comm_gather (struct qk_comm *c, const float *x, size_t n, float **all,
                    size_t *total);

/* Sum COUNT floats over all processes, in place, while this one goes on;
 * small arrays travel together.  All are complete after qk_comm_sum_end. */
int qk_comm_sum_begin (struct qk_comm *c, float *data, size_t count);
int qk_comm_sum_end (struct qk_comm *c);

/* -EPROTO when DATA is not the same in all processes; WHAT names it, and the
 * error the first process that has others. */
int qk_comm_check_same (struct qk_comm *c, const char *what, const void *data,
                        size_t bytes);

/* The same for lines of text; the error says what the first difference is. */
int qk_comm_check_text (struct qk_comm *c, const char *what, const char *text,
                        size_t size);

/* End the other processes because this one has failed. */
void qk_comm_abort (struct qk_comm *c);

#endif /* QK_COMM_COMM_H */
