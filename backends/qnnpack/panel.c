/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* panel.c: windows of output pixels to panels in the order that kernels read
 * (kernels.h), one panel a group.  What copying costs counts where there are few
 * channels: neither divisions nor calls for each tap. */
#include "config.h"

#include "qnnpack.h"

#include <string.h>

#define PIECE_BYTES 24576 /* of activations, of a first cache of 32 KB */
#define MOST_ROWS 96

#define PART static inline __attribute__ ((always_inline))

/* What copying needs of a layer: a copy of its own, which the bytes that are
 * written cannot change. */
struct layout {
  int64_t h, w, c, cg, p, q;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_left;
  int64_t groups, mr, cells;
  int64_t pitch;         /* bytes from a cell of a row to the next */
  int64_t panel;         /* bytes from a group's panel to the next */
  int64_t first, inside; /* windows of a row without padding left and right */
  uint64_t flip;
  const uint8_t *pad;
  const struct q8_tap *tap;
};

PART struct layout
layout_of (const struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t reach = (int64_t) (op->kernel_w - 1) * op->dilation_w;
  const int64_t first = (op->pad_left + op->stride_w - 1) / op->stride_w;
  const int64_t last = k->g.w - 1 - reach + op->pad_left; /* in columns */

  return (struct layout){ .first = first,
                          .inside = last < 0 ? 0
                                    : last / op->stride_w + 1 > first
                                      ? last / op->stride_w + 1 - first
                                      : 0,
                          .h = k->g.h,
                          .w = k->g.w,
                          .c = k->g.c,
                          .cg = k->g.c / op->groups,
                          .p = k->g.p,
                          .q = k->g.q,
                          .kernel_h = op->kernel_h,
                          .kernel_w = op->kernel_w,
                          .stride_h = op->stride_h,
                          .stride_w = op->stride_w,
                          .dilation_h = op->dilation_h,
                          .dilation_w = op->dilation_w,
                          .pad_top = op->pad_top,
                          .pad_left = op->pad_left,
                          .groups = op->groups,
                          .mr = k->gemm.mr,
                          .cells = k->cells,
                          .pitch = k->gemm.mr * Q8_CELL,
                          .panel = (int64_t) k->panel,
                          .flip = (uint64_t) k->gemm.flip * 0x101010101010101u,
                          .pad = k->pad,
                          .tap = k->tap };
}

/* An output pixel's window: its sample and where tap (0,0) lies. */
struct pixel {
  const uint8_t *x;
  int64_t row0, col0, at; /* bytes from X */
  int64_t p, q;           /* of the output */
  bool rows_inside;
};

/* Whether a row or column I of N is there, and not in the padding. */
PART bool
is_in (int64_t i, int64_t n)
{
  return (uint64_t) i < (uint64_t) n;
}

/* To pixel Q of its row. */
PART void
look_at (const struct layout *l, int64_t q, struct pixel *p)
{
  p->q = q;
  p->row0 = p->p * l->stride_h - l->pad_top;
  p->col0 = q * l->stride_w - l->pad_left;
  p->at = (p->row0 * l->w + p->col0) * l->c;
  p->rows_inside
    = is_in (p->row0, l->h)
      && is_in (p->row0 + (l->kernel_h - 1) * l->dilation_h, l->h);
}

PART struct pixel
pixel_at (const struct layout *l, const uint8_t *in, int64_t index)
{
  const int64_t image = index / (l->p * l->q);
  struct pixel p
    = { .x = in + image * l->h * l->w * l->c, .p = index / l->q % l->p };

  look_at (l, index % l->q, &p);
  return p;
}

/* On to the next one. */
PART void
step (const struct layout *l, struct pixel *p)
{
  p->col0 += l->stride_w;
  p->at += l->stride_w * l->c;
  if (++p->q < l->q)
    return;
  if (++p->p == l->p) {
    p->p = 0;
    p->x += l->h * l->w * l->c;
  }
  look_at (l, 0, p);
}

/* Whether all taps of a window are there. */
PART bool
is_inside (const struct layout *l, const struct pixel *p)
{
  return p->rows_inside && is_in (p->q - l->first, l->inside);
}

/* ---- windows to panels --------------------------------------------------*/

/* Eight and four bytes. */
PART uint64_t
load8 (const uint8_t *from)
{
  uint64_t x;

  memcpy (&x, from, 8);
  return x;
}

PART uint32_t
load4 (const uint8_t *from)
{
  uint32_t x;

  memcpy (&x, from, 4);
  return x;
}

/* N bytes, which may be few: the last ones overlap those before. */
PART void
copy_run (uint8_t *to, const uint8_t *from, int64_t n)
{
  uint64_t last;

  if (n < 8) {
    for (int64_t i = 0; i < n; i++)
      to[i] = from[i];
    return;
  }
  last = load8 (from + n - 8);
  if (n <= 16)
    memcpy (to, from, 8);
  else
    for (int64_t i = 0; i < n - 8; i += 8)
      memcpy (to + i, from + i, 8);
  memcpy (to + n - 8, &last, 8);
}

/* CELLS cells of a row from FROM to the panel, with the bits of FLIP turned. */
PART void
spread_cells (const struct layout *l, const uint8_t *from, int64_t cells,
              uint8_t *to)
{
  for (; cells > 0; cells--, from += Q8_CELL, to += l->pitch) {
    const uint64_t low = load8 (from) ^ l->flip;
    const uint64_t high = load8 (from + 8) ^ l->flip;

    memcpy (to, &low, 8);
    memcpy (to + 8, &high, 8);
  }
}

/* The window of the group whose first channel is CHANNEL, as one piece of
 * memory. */
PART void
copy_window (const struct layout *l, const struct pixel *p, int64_t channel,
             uint8_t *to)
{
  const uint8_t *x = p->x + channel;
  int64_t row = p->row0;

  for (int64_t r = 0; r < l->kernel_h; r++, row += l->dilation_h) {
    int64_t col = p->col0;

    for (int64_t s = 0; s < l->kernel_w; s++, to += l->cg) {
      copy_run (to,
                is_in (row, l->h) && is_in (col, l->w)
                  ? x + (row * l->w + col) * l->c
                  : l->pad,
                l->cg);
      col += l->dilation_w;
    }
  }
}

/* The window of each group as one piece of memory, and from there. */
PART void
fill_by_window (const struct layout *l, const struct pixel *p, uint8_t *window,
                uint8_t *to)
{
  for (int64_t g = 0; g < l->groups; g++, to += l->panel) {
    copy_window (l, p, g * l->cg, window);
    spread_cells (l, window, l->cells, to);
  }
}

/* The same where rows of a window lie in one piece in the input. */
PART void
fill_by_runs (const struct layout *l, const struct pixel *p, uint8_t *window,
              uint8_t *to)
{
  const int64_t n = l->kernel_w * l->c, next = l->dilation_h * l->w * l->c;

  if (is_inside (l, p)) {
    const uint8_t *from = p->x + p->at;
    uint8_t *at = window;

    for (int64_t r = 0; r < l->kernel_h; r++, from += next, at += n)
      copy_run (at, from, n);
  } else
    copy_window (l, p, 0, window);
  spread_cells (l, window, l->cells, to);
}

/* A tap of all groups, whose bytes are whole cells or lie within one.  TO: their
 * place in the first group's panel. */
PART void
fill_tap (const struct layout *l, const uint8_t *from, uint8_t *to)
{
  if (l->cg == 8)
    for (int64_t g = 0; g < l->groups; g++, from += 8, to += l->panel) {
      const uint64_t x = load8 (from) ^ l->flip;

      memcpy (to, &x, 8);
    }
  else if (l->cg == 4)
    for (int64_t g = 0; g < l->groups; g++, from += 4, to += l->panel) {
      const uint32_t x = load4 (from) ^ (uint32_t) l->flip;

      memcpy (to, &x, 4);
    }
  else
    for (int64_t g = 0; g < l->groups; g++, from += l->cg, to += l->panel)
      spread_cells (l, from, l->cg / Q8_CELL, to);
}

/* Tap by tap. */
PART void
fill_by_taps (const struct layout *l, const struct pixel *p, uint8_t *to)
{
  const int64_t taps = l->kernel_h * l->kernel_w;
  const struct q8_tap *tap = l->tap;

  if (is_inside (l, p)) {
    for (int64_t t = 0; t < taps; t++)
      fill_tap (l, p->x + p->at + tap[t].from, to + tap[t].to);
    return;
  }
  for (int64_t t = 0; t < taps; t++) {
    const int64_t row = p->row0 + t / l->kernel_w * l->dilation_h;
    const int64_t col = p->col0 + t % l->kernel_w * l->dilation_w;

    fill_tap (l,
              is_in (row, l->h) && is_in (col, l->w)
                ? p->x + (row * l->w + col) * l->c
                : l->pad,
              to + tap[t].to);
  }
}

/* ---- pieces of work -----------------------------------------------------*/

/* Windows of one pixel that follow one another as in the output: ROWS of M from
 * FIRST on.  The last cell of a pixel may reach into the next one, which is
 * multiplied by zeros. */
static __attribute__ ((noinline)) void
fill_directly (const struct qnnpack_kernel *k, const uint8_t *in,
               int64_t first, int64_t rows, int64_t m, uint8_t *to)
{
  const struct layout l = layout_of (k);
  const uint8_t *from = in + first * l.c;
  int64_t left = (m - first) * l.c; /* bytes of the input */
  uint8_t *window = to + l.panel;
  int64_t row = 0; /* of the tile */

  for (; rows > 0; rows--, from += l.c, left -= l.c) {
    if (left < l.cells * Q8_CELL)
      spread_cells (&l, memcpy (window, from, (size_t) l.c), l.cells, to);
    else
      spread_cells (&l, from, l.cells, to);
    to += Q8_CELL;
    if (++row == l.mr) {
      row = 0;
      to += l.pitch * (l.cells - 1);
    }
  }
}

/* WAY is a constant. */
PART void
fill_pixels (const struct qnnpack_kernel *k, const uint8_t *in, int64_t first,
             int64_t rows, uint8_t *to, const enum q8_way way)
{
  const struct layout l = layout_of (k);
  struct pixel p = pixel_at (&l, in, first);
  uint8_t *window = to + l.panel * l.groups;
  int64_t row = 0; /* of the tile */

  for (; rows > 0; rows--) {
    uint8_t *at = to + row * Q8_CELL;

    if (way == Q8_BY_TAPS)
      fill_by_taps (&l, &p, at);
    else if (way == Q8_BY_RUNS)
      fill_by_runs (&l, &p, window, at);
    else
      fill_by_window (&l, &p, window, at);
    step (&l, &p);
    if (++row == l.mr) {
      row = 0;
      to += l.pitch * l.cells;
    }
  }
}

/* Functions of their own, each of which keeps what it needs in registers. */
static __attribute__ ((noinline)) void
fill_taps (const struct qnnpack_kernel *k, const uint8_t *in, int64_t first,
           int64_t rows, uint8_t *to)
{
  fill_pixels (k, in, first, rows, to, Q8_BY_TAPS);
}

static __attribute__ ((noinline)) void
fill_runs (const struct qnnpack_kernel *k, const uint8_t *in, int64_t first,
           int64_t rows, uint8_t *to)
{
  fill_pixels (k, in, first, rows, to, Q8_BY_RUNS);
}

static __attribute__ ((noinline)) void
fill_windows (const struct qnnpack_kernel *k, const uint8_t *in, int64_t first,
              int64_t rows, uint8_t *to)
{
  fill_pixels (k, in, first, rows, to, Q8_BY_WINDOWS);
}

void
qnnpack_fill_panels (const struct qnnpack_kernel *k, const uint8_t *in,
                     int64_t first, int64_t rows, int64_t m, uint8_t *to)
{
  switch (k->way) {
  case Q8_DIRECTLY:
    fill_directly (k, in, first, rows, m, to);
    break;
  case Q8_BY_TAPS:
    fill_taps (k, in, first, rows, to);
    break;
  case Q8_BY_RUNS:
    fill_runs (k, in, first, rows, to);
    break;
  case Q8_BY_WINDOWS:
    fill_windows (k, in, first, rows, to);
    break;
  }
}

/* ---- plan ---------------------------------------------------------------*/

static enum q8_way
choose_way (const struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t cg = k->g.c / op->groups;

  if (k->kc == k->g.c && op->stride_h == 1 && op->stride_w == 1
      && k->g.p == k->g.h && k->g.q == k->g.w && op->pad_top == 0
      && op->pad_left == 0)
    return Q8_DIRECTLY;
  if (cg % Q8_CELL == 0 || cg == 8 || cg == 4)
    return Q8_BY_TAPS;
  return op->groups == 1 && op->dilation_w == 1 ? Q8_BY_RUNS : Q8_BY_WINDOWS;
}

int
qnnpack_plan_panels (struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t taps = (int64_t) op->kernel_h * op->kernel_w;
  const int64_t cg = k->g.c / op->groups, mr = k->gemm.mr;
  const int64_t pitch = mr * Q8_CELL;
  int64_t each;

  k->cells = (k->kc + Q8_CELL - 1) / Q8_CELL;
  k->way = choose_way (k);
  each = k->cells * Q8_CELL;
  k->rows = PIECE_BYTES / (each * op->groups);
  k->rows = k->rows < MOST_ROWS ? k->rows / mr * mr : MOST_ROWS / mr * mr;
  if (k->rows < mr)
    k->rows = mr;
  k->panel = (size_t) (k->rows * each);
  k->panels = (k->panel * (size_t) op->groups + (size_t) each + 63) / 64 * 64;
  k->tap = qk_alloc ((size_t) taps * sizeof *k->tap);
  if (k->tap == NULL)
    return qk_oom ("qnnpack");
  for (int64_t t = 0; t < taps; t++) {
    const int64_t row = t / op->kernel_w * op->dilation_h;
    const int64_t col = t % op->kernel_w * op->dilation_w;

    k->tap[t] = (struct q8_tap){ (row * k->g.w + col) * k->g.c,
                                 t * cg / Q8_CELL * pitch + t * cg % Q8_CELL };
  }
  return 0;
}
