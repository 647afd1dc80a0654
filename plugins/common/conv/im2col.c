/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* im2col.c: windows as rows of a matrix: a row is the input below one output
 * pixel, (groups, R, S, C/groups).  Input outside the sample is real 0. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "multiversion.h"

/* Where an output pixel looks, fixed for one window line. */
struct line {
  const uint8_t *x8; /* first column of the input line, or */
  const float *x32;
  int64_t w, c, cg; /* columns, channels, channels of a group */
  int64_t depth;    /* R S C/groups: from one group to the next in col */
  int groups, s, dil;
  float z;
};

/* COUNT floats of the input line from element AT. */
static inline void
copy_run (const struct line *l, int64_t at, int64_t count, float *restrict out)
{
  if (l->x8) {
    const uint8_t *restrict x = l->x8 + at;
    const float z = l->z;

    QK_SIMD
    for (int64_t i = 0; i < count; i++)
      out[i] = (float) x[i] - z;
  } else
    memcpy (out, l->x32 + at, (size_t) count * sizeof *out);
}

/* The S columns of one window line that starts at column IW. */
static inline void
window_line (const struct line *l, int64_t iw, float *col)
{
  if (l->groups == 1 && l->dil == 1 && iw >= 0 && iw + l->s <= l->w) {
    copy_run (l, iw * l->c, l->s * l->c, col);
    return;
  }
  for (int b = 0; b < l->s; b++, iw += l->dil)
    for (int g = 0; g < l->groups; g++) {
      float *out = col + g * l->depth + b * l->cg;

      if (iw >= 0 && iw < l->w)
        copy_run (l, iw * l->c + g * l->cg, l->cg, out);
      else
        memset (out, 0, (size_t) l->cg * sizeof *out);
    }
}

QK_LOOP (static, line_to_col,
         (const struct line *l, int64_t q, int64_t stride, int64_t left,
          int64_t row, float *col),
         (l, q, stride, left, row, col))
{
  for (int64_t i = 0; i < q; i++)
    window_line (l, i * stride - left, col + i * row);
}

static void
line_zero (const struct line *l, int64_t q, int64_t row, float *col)
{
  const size_t size = (size_t) (l->s * l->cg) * sizeof *col;

  for (int64_t i = 0; i < q; i++)
    for (int g = 0; g < l->groups; g++)
      memset (col + i * row + g * l->depth, 0, size);
}

void
conv_im2col (const struct conv_run *run, const struct conv_unit *u, float *col)
{
  const struct qk_conv *cv = run->cv;
  const int64_t row = cv->r * cv->s * cv->c, size = cv->w * cv->c;
  const void *x = run->io->in->data;
  struct line l = { .w = cv->w,
                    .c = cv->c,
                    .cg = cv->c / cv->groups,
                    .depth = conv_depth (cv),
                    .groups = cv->groups,
                    .s = cv->s,
                    .dil = cv->dil_w,
                    .z = run->z };

  for (int64_t p = u->p0; p < u->p1; p++, col += cv->q * row)
    for (int a = 0; a < cv->r; a++) {
      const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
      float *out = col + a * cv->s * l.cg;

      if (ih < 0 || ih >= cv->h) {
        line_zero (&l, cv->q, row, out);
        continue;
      }
      if (run->u8_in)
        l.x8 = (const uint8_t *) x + (u->img * cv->h + ih) * size;
      else
        l.x32 = (const float *) x + (u->img * cv->h + ih) * size;
      line_to_col (&l, cv->q, cv->stride_w, cv->pad_left, row, out);
    }
}

/* The same in bytes, for qk_product: the zero point stands for padding, rows
 * are LD apart. */
static void
byte_window (const struct line *l, int64_t iw, uint8_t *col)
{
  if (l->groups == 1 && l->dil == 1 && iw >= 0 && iw + l->s <= l->w) {
    memcpy (col, l->x8 + iw * l->c, (size_t) (l->s * l->c));
    return;
  }
  for (int b = 0; b < l->s; b++, iw += l->dil)
    for (int g = 0; g < l->groups; g++) {
      uint8_t *out = col + g * l->depth + b * l->cg;

      if (iw >= 0 && iw < l->w)
        memcpy (out, l->x8 + iw * l->c + g * l->cg, (size_t) l->cg);
      else
        memset (out, (int) l->z, (size_t) l->cg);
    }
}

void
conv_im2col_bytes (const struct conv_run *run, const struct conv_unit *u,
                   int64_t ld, uint8_t *col)
{
  const struct qk_conv *cv = run->cv;
  const int64_t size = cv->w * cv->c;
  const uint8_t *x = run->io->in->data;
  struct line l = { .w = cv->w,
                    .c = cv->c,
                    .cg = cv->c / cv->groups,
                    .depth = conv_depth (cv),
                    .groups = cv->groups,
                    .s = cv->s,
                    .dil = cv->dil_w,
                    .z = run->z };

  for (int64_t p = u->p0; p < u->p1; p++, col += cv->q * ld)
    for (int a = 0; a < cv->r; a++) {
      const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
      const bool inside = ih >= 0 && ih < cv->h;

      l.x8 = inside ? x + (u->img * cv->h + ih) * size : NULL;
      for (int64_t q = 0; q < cv->q; q++)
        /* a line outside: as if all its columns were */
        byte_window (&l, inside ? q * cv->stride_w - cv->pad_left : l.w,
                     col + q * ld + a * cv->s * l.cg);
    }
}

QK_LOOP (static, add_run,
         (const float *restrict x, int64_t count, float *restrict out),
         (x, count, out))
{
  QK_SIMD
  for (int64_t i = 0; i < count; i++)
    out[i] += x[i];
}

/* Add one row of gradients, window line by window line. */
static void
scatter_pixel (const struct qk_conv *cv, int64_t p, int64_t q,
               const float *dcol, float *dx)
{
  const int64_t cg = cv->c / cv->groups, depth = conv_depth (cv);

  for (int a = 0; a < cv->r; a++) {
    const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
    int64_t iw = q * cv->stride_w - cv->pad_left;

    if (ih < 0 || ih >= cv->h)
      continue;
    if (cv->groups == 1 && cv->dil_w == 1 && iw >= 0 && iw + cv->s <= cv->w) {
      add_run (dcol + a * cv->s * cg, cv->s * cg,
               dx + (ih * cv->w + iw) * cv->c);
      continue;
    }
    for (int b = 0; b < cv->s; b++, iw += cv->dil_w)
      for (int g = 0; iw >= 0 && iw < cv->w && g < cv->groups; g++)
        add_run (dcol + g * depth + (a * cv->s + b) * cg, cg,
                 dx + (ih * cv->w + iw) * cv->c + g * cg);
  }
}

void
conv_block_scatter (const struct conv_run *run, const struct conv_unit *u,
                    const float *dcol, float *dx)
{
  const struct qk_conv *cv = run->cv;
  const int64_t row = cv->r * cv->s * cv->c;

  dx += u->img * cv->h * cv->w * cv->c;
  for (int64_t p = u->p0; p < u->p1; p++)
    for (int64_t q = 0; q < cv->q; q++, dcol += row)
      scatter_pixel (cv, p, q, dcol, dx);
}
