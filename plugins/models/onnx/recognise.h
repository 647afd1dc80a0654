/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise.h: operators that exporters write in pieces. */
#ifndef MODEL_ONNX_RECOGNISE_H
#define MODEL_ONNX_RECOGNISE_H

#include "net.h"

/* Put one node in the place of the last node of each pattern; what is no
 * longer used stays, with no one who reads it.  What masks add before a
 * softmax gets a bound.  -ENOMEM. */
int recognise (struct net *n);

#endif /* MODEL_ONNX_RECOGNISE_H */
