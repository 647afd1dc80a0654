/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checkpoints-priv.h: between the folder and the files in it. */
#ifndef QATKIT_CHECKPOINTS_PRIV_H
#define QATKIT_CHECKPOINTS_PRIV_H

#include "io/checkpoints.h"

int qk_checkpoint_open_number (struct qk_context *ctx, const char *path,
                               int64_t number, struct qk_checkpoint **out);

#endif /* QATKIT_CHECKPOINTS_PRIV_H */
