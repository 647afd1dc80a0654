/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qlinear.h: operators that compute on integers. */
#ifndef MODEL_ONNX_QLINEAR_H
#define MODEL_ONNX_QLINEAR_H

#include "net.h"

/* Put in the place of QLinearConv and its like the operators on reals that they
 * stand for, with weights and biases as reals and y_scale and y_zero set.
 * -ENOTSUP, naming the node, where one cannot be read so. */
int qlinear (struct net *n);

#endif /* MODEL_ONNX_QLINEAR_H */
