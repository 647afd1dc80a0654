/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* patches.c: windows of the input of convolutions. */
#include "config.h"

#include <string.h>

#include "patches/patches.h"

/* Sizes of a call; the pixels of a linear layer are its rows. */
struct sizes {
  int64_t h, w, c, p, q, r, s, groups, per_group;
};

static int64_t
outputs (int64_t in, int kernel, int stride, int before, int after, int dil)
{
  return (in + before + after - ((int64_t) dil * (kernel - 1) + 1)) / stride
         + 1;
}

static struct sizes
sizes_of (const struct qk_op *op, const struct qk_tensor *x)
{
  struct sizes z = { 1, 1, op->in_channels, 1, 1, 1, 1, 1, op->in_channels };

  if (op->kind != QK_OP_CONV2D) {
    z.w = z.q = qk_shape_count (&x->shape) / x->shape.dims[0] / z.c;
    return z;
  }
  z.h = x->shape.dims[1];
  z.w = x->shape.dims[2];
  z.r = op->kernel_h;
  z.s = op->kernel_w;
  z.p = outputs (z.h, op->kernel_h, op->stride_h, op->pad_top, op->pad_bottom,
                 op->dilation_h);
  z.q = outputs (z.w, op->kernel_w, op->stride_w, op->pad_left, op->pad_right,
                 op->dilation_w);
  z.groups = op->groups;
  z.per_group = z.c / z.groups;
  return z;
}

int64_t
patches_count (const struct qk_op *op, const struct qk_tensor *x)
{
  const struct sizes z = sizes_of (op, x);

  return z.p * z.q;
}

int64_t
patches_size (const struct qk_op *op)
{
  return op->kind == QK_OP_CONV2D
           ? (int64_t) op->kernel_h * op->kernel_w * op->in_channels
           : op->in_channels;
}

/* The pixel under tap (R,S) of output (P,Q); NULL outside the sample. */
static const float *
pixel (const struct qk_op *op, const struct sizes *z,
       const struct qk_tensor *x, int64_t sample, int64_t p, int64_t q,
       int64_t r, int64_t s)
{
  int64_t row = p, col = q;

  if (op->kind == QK_OP_CONV2D) {
    row = p * op->stride_h + r * op->dilation_h - op->pad_top;
    col = q * op->stride_w + s * op->dilation_w - op->pad_left;
  }
  if (row < 0 || row >= z->h || col < 0 || col >= z->w)
    return NULL;
  return (const float *) x->data + ((sample * z->h + row) * z->w + col) * z->c;
}

void
patches_copy (const struct qk_op *op, const struct qk_tensor *x,
              int64_t sample, int64_t pos, float *out)
{
  const struct sizes z = sizes_of (op, x);
  const size_t bytes = (size_t) z.per_group * sizeof *out;

  for (int64_t g = 0; g < z.groups; g++)
    for (int64_t r = 0; r < z.r; r++)
      for (int64_t s = 0; s < z.s; s++, out += z.per_group) {
        const float *in
          = pixel (op, &z, x, sample, pos / z.q, pos % z.q, r, s);

        if (in != NULL)
          memcpy (out, in + g * z.per_group, bytes);
        else
          memset (out, 0, bytes);
      }
}

int64_t
patches_sum (const struct qk_op *op, const struct qk_tensor *x, double *sum)
{
  const struct sizes z = sizes_of (op, x);
  const int64_t n = x->shape.dims[0];

  for (int64_t r = 0; r < z.r; r++)
    for (int64_t s = 0; s < z.s; s++)
      for (int64_t i = 0; i < n * z.p * z.q; i++) {
        const int64_t pos = i % (z.p * z.q);
        const float *in
          = pixel (op, &z, x, i / (z.p * z.q), pos / z.q, pos % z.q, r, s);

        for (int64_t c = 0; in != NULL && c < z.c; c++)
          sum[((c / z.per_group * z.r + r) * z.s + s) * z.per_group
              + c % z.per_group]
            += (double) in[c];
      }
  return n * z.p * z.q;
}
