/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inline.h: functions in ONNX files. */
#ifndef QATKIT_COMMON_ONNXFILE_INLINE_H
#define QATKIT_COMMON_ONNXFILE_INLINE_H

#include "onnxfile.h"

/* Put the nodes of F's functions in the place of those that call them.
 * -EBADMSG where a function calls itself or they become too many. */
int onnxfile_inline (struct onnxfile *f);

#endif /* QATKIT_COMMON_ONNXFILE_INLINE_H */
