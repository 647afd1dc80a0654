/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* outputs.h: the outputs of a network for many samples, as arrays in files;
 * the layout of arrays outside. */
#ifndef QK_CLI_OUTPUTS_H
#define QK_CLI_OUTPUTS_H

#include "cli/cli.h"

/* The shape that a sample of our SHAPE has outside, without the batch. */
struct qk_shape qk_cli_outside (const struct qk_shape *shape);

/* One sample of our SHAPE from outside (IN) or to it. */
void qk_cli_turn (const struct qk_shape *shape, const float *from, float *to,
                  bool in);

/* Begins with g and zeros. */
struct qk_cli_outputs {
  const struct qk_graph *g; /* borrowed */
  bool single;              /* arrays have no axis for the samples */
  int64_t samples, room;
  float **data; /* of each output; owned */
};

/* Add the outputs of the N samples that EX ran last.  COOKIE: the outputs, as
 * for qk_subject.take. */
int qk_cli_outputs_add (void *cookie, const struct qk_exec *ex, int64_t n);

/* After the last sample: outputs whose samples follow each other along another
 * axis than the first are brought into that order. */
int qk_cli_outputs_end (struct qk_cli_outputs *o);

/* Output I as an array of a file, after the end; borrowed. */
void qk_cli_outputs_entry (const struct qk_cli_outputs *o, int i,
                           struct qk_format_entry *e);

/* All of them to the file PATH, in the format of its ending. */
int qk_cli_outputs_write (struct qk_cli *cli, const struct qk_cli_outputs *o,
                          const char *path);

void qk_cli_outputs_clear (struct qk_cli_outputs *o);

#endif /* QK_CLI_OUTPUTS_H */
