/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blocks.c: the accumulators of one block of output rows.
 *
 * 1x1: the rows of the input are the matrix.  General: im2col, a row is the
 * input below one output pixel, (groups, R, S, C/groups).  Depthwise: a ring
 * of padded, expanded input lines.  Input outside the sample is real 0. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/gemm.h"
#include "int8gemm/product.h"
#include "multiversion.h"

/* ---- im2col ------------------------------------------------------------*/

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

static void
im2col (const struct conv_run *run, const struct conv_unit *u, float *col)
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

static void
byte_im2col (const struct conv_run *run, const struct conv_unit *u, int64_t ld,
             uint8_t *col)
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

/* ---- the ring of padded lines ------------------------------------------*/

void
conv_ring_reset (const struct conv_run *run, const struct conv_thread *th)
{
  const int span = conv_ring_span (run->cv);
  const size_t line
    = (size_t) (conv_ring_width (run->cv) * run->cv->c) * sizeof (float);

  /* the padding stays 0 from here on, and so does the extra line */
  memset (th->ring, 0, line * (size_t) (span + 1));
  for (int i = 0; i < span; i++)
    th->tags[i] = -1;
}

void
conv_ring_fill (const struct conv_run *run, const struct conv_thread *th,
                int64_t img, int64_t p, const float **row)
{
  const struct qk_conv *cv = run->cv;
  const int span = conv_ring_span (cv);
  const int64_t line = conv_ring_width (cv) * cv->c, size = cv->w * cv->c;

  for (int a = 0; a < cv->r; a++) {
    const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
    const int64_t id = img * cv->h + ih;
    float *out;

    if (ih < 0 || ih >= cv->h) {
      row[a] = th->ring + span * line;
      continue;
    }
    out = th->ring + ih % span * line;
    row[a] = out;
    if (th->tags[ih % span] == id)
      continue;
    th->tags[ih % span] = id;
    out += cv->pad_left * cv->c;
    if (run->u8_in)
      qk_rows_expand ((const uint8_t *) run->io->in->data + id * size,
                      (size_t) size, run->z, out);
    else
      memcpy (out, (const float *) run->io->in->data + id * size,
              (size_t) size * sizeof *out);
  }
}

/* ---- blocks ------------------------------------------------------------*/

const float *
conv_block_input (const struct conv_run *run, const struct conv_thread *th,
                  const struct conv_unit *u, int64_t *ld)
{
  const struct qk_conv *cv = run->cv;

  *ld = cv->r * cv->s * cv->c;
  if (run->kind == CONV_GENERAL)
    im2col (run, u, th->col);
  else if (run->u8_in)
    qk_rows_expand ((const uint8_t *) run->io->in->data + u->row0 * cv->c,
                    (size_t) (u->rows * cv->c), run->z, th->col);
  else
    return (const float *) run->io->in->data + u->row0 * cv->c;
  return th->col;
}

/* out = columns k0 .. k1 of the input's rows times the weight, all groups. */
static void
multiply (const struct conv_run *run, const float *a, int64_t ld, int64_t rows,
          int64_t k0, int64_t k1, float *out)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;

  for (int g = 0; g < cv->groups; g++) {
    const float *x = a + g * depth + k0;

    if (run->wt)
      qk_sgemm (false, false, rows, kg, k1 - k0, x, ld,
                run->wt + (g * depth + k0) * kg, kg, 0.0f, out + g * kg,
                cv->k);
    else
      qk_sgemm (false, true, rows, kg, k1 - k0, x, ld,
                run->wf + g * kg * depth + k0, depth, 0.0f, out + g * kg,
                cv->k);
  }
}

static void
depthwise_block (const struct conv_run *run, const struct conv_thread *th,
                 const struct conv_unit *u, float *acc)
{
  const struct qk_conv *cv = run->cv;
  const float *row[CONV_WIDE_CHUNK];

  for (int64_t p = u->p0; p < u->p1; p++, acc += cv->q * cv->c) {
    conv_ring_fill (run, th, u->img, p, row);
    qk_rows_depthwise (row, run->wf, cv->r, cv->s, cv->c, cv->q, cv->stride_w,
                       cv->dil_w, acc);
  }
}

/* The input of a unit as rows of *ld bytes. */
static const uint8_t *
byte_input (const struct conv_run *run, const struct conv_thread *th,
            const struct conv_unit *u, int64_t *ld)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = cv->r * cv->s * cv->c;
  uint8_t *col = (uint8_t *) (void *) th->col;
  const uint8_t *x;

  *ld = qk_product_depth (depth);
  if (run->kind == CONV_GENERAL) {
    byte_im2col (run, u, *ld, col);
    return col;
  }
  x = (const uint8_t *) run->io->in->data + u->row0 * depth;
  if (*ld == depth)
    return x;
  for (int64_t i = 0; i < u->rows; i++)
    memcpy (col + i * *ld, x + i * depth, (size_t) depth);
  return col;
}

static void
byte_block (const struct conv_run *run, const struct conv_thread *th,
            const struct conv_unit *u, bool to_float, float *acc)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;
  const size_t size = conv_pack_size (cv);
  int64_t ld;
  const uint8_t *a = byte_input (run, th, u, &ld);

  for (int g = 0; g < cv->groups; g++)
    qk_product (&cv->plan.kernels, u->rows, kg, depth, a + g * depth, ld,
                (const char *) run->weight.pack + (size_t) g * size, to_float,
                acc + g * kg, cv->k);
}

const float *
conv_acc_rows (const struct conv_run *run, const struct conv_thread *th,
               int64_t row0, int64_t rows, float *tmp)
{
  const struct conv_unit u = { .row0 = row0, .rows = rows };
  const int64_t k = run->cv->k;

  if (run->again)
    byte_block (run, th, &u, true, tmp);
  else if (!run->saved->wide)
    return (const float *) run->acc + row0 * k;
  else
    qk_rows_to_float ((const int32_t *) run->acc + row0 * k,
                      (size_t) (rows * k), tmp);
  return tmp;
}

void
conv_block (const struct conv_run *run, const struct conv_thread *th,
            const struct conv_unit *u, float *acc)
{
  const int64_t depth = conv_depth (run->cv);
  const size_t n = (size_t) (u->rows * run->cv->k);
  const float *a;
  int64_t ld;

  if (run->kind == CONV_DEPTHWISE) {
    depthwise_block (run, th, u, acc);
    return;
  }
  if (run->q8) {
    byte_block (run, th, u, !run->saved->wide, acc);
    return;
  }
  a = conv_block_input (run, th, u, &ld);
  if (!run->saved->wide) {
    multiply (run, a, ld, u->rows, 0, depth, acc);
    return;
  }
  memset (acc, 0, n * sizeof *acc);
  for (int64_t k0 = 0; k0 < depth; k0 += CONV_WIDE_CHUNK) {
    const int64_t k1
      = k0 + CONV_WIDE_CHUNK < depth ? k0 + CONV_WIDE_CHUNK : depth;

    multiply (run, a, ld, u->rows, k0, k1, th->tmp);
    qk_rows_add_i32 (th->tmp, n, (int32_t *) (void *) acc);
  }
}
