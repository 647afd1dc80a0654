/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* phases.c: a transposed convolution as ordinary ones. */
#include "config.h"

#include "phases.h"

#include <string.h>

/* One direction of a phase: output p = first + i stride sees, at its taps
 * tap + j step of the window, the inputs i + start + j dilation. */
struct axis {
  int64_t first, out;      /* outputs: from where, how many */
  int tap, step, count;    /* of the window that is given */
  int64_t start, dilation; /* of the input */
  int before, after;       /* taps of weight 0 around them */
  int64_t pad, pad_after;
};

static int
common_divisor (int a, int b)
{
  while (b != 0) {
    const int r = a % b;

    a = b;
    b = r;
  }
  return a;
}

/* Fill A for the outputs FIRST, FIRST + STRIDE, … of OUT; window of KERNEL
 * taps DILATION apart, IN inputs, PAD removed before the output. */
static void
plan_axis (int first, int64_t out, int64_t in, int kernel, int stride,
           int dilation, int pad, struct axis *a)
{
  const int64_t offset = (int64_t) dilation * (kernel - 1) - pad;
  const int d = common_divisor (stride, dilation);
  int64_t reach;

  memset (a, 0, sizeof *a);
  a->first = first;
  a->out = out > first ? (out - first + stride - 1) / stride : 0;
  a->step = stride / d;
  a->dilation = dilation / d;
  while (a->tap < kernel
         && (first + (int64_t) a->tap * dilation - offset) % stride != 0)
    a->tap++;
  if (a->tap < kernel) {
    a->count = (kernel - a->tap + a->step - 1) / a->step;
    a->start = (first + (int64_t) a->tap * dilation - offset) / stride;
  }
  /* a window begins at or before the input's first element, … */
  if (a->start > 0)
    a->before = (int) ((a->start + a->dilation - 1) / a->dilation);
  if (a->count == 0)
    a->after = 1; /* nothing but the bias */
  a->pad = a->before * a->dilation - a->start;
  /* … and the last one ends at or after its last */
  for (;; a->after++) {
    reach = a->dilation * (a->before + a->count + a->after - 1) + 1;
    a->pad_after = a->out - 1 + reach - in - a->pad;
    if (a->pad_after >= 0)
      break;
  }
}

/* The taps of both directions of OP's weight. */
static int
gather_weight (const struct qk_op *op, const struct axis *h,
               const struct axis *w, struct phase *p)
{
  const int rows = h->before + h->count + h->after;
  const int cols = w->before + w->count + w->after;
  const int64_t c = op->in_channels / op->groups;

  p->weight
    = qk_alloc ((size_t) (op->out_channels * rows * cols) * (size_t) c);
  if (p->weight == NULL)
    return qk_oom ("%s", op->name);
  for (int64_t k = 0; k < op->out_channels; k++)
    for (int i = 0; i < h->count; i++)
      for (int j = 0; j < w->count; j++) {
        const int r = h->tap + i * h->step, s = w->tap + j * w->step;
        const int64_t to = (k * rows + h->before + i) * cols + w->before + j;
        const int64_t from = (k * op->kernel_h + r) * op->kernel_w + s;

        memcpy (p->weight + to * c, op->weight + from * c, (size_t) c);
      }
  p->op.weight = p->weight;
  return 0;
}

static int
fill_phase (const struct qk_op *op, const struct qk_shape *in,
            const struct axis *h, const struct axis *w, struct phase *p)
{
  struct qk_op *own = &p->op;

  qk_op_copy (own, op);
  own->kind = QK_OP_CONV2D;
  own->kernel_h = h->before + h->count + h->after;
  own->kernel_w = w->before + w->count + w->after;
  own->stride_h = own->stride_w = 1;
  own->dilation_h = (int) h->dilation;
  own->dilation_w = (int) w->dilation;
  own->pad_top = (int) h->pad;
  own->pad_left = (int) w->pad;
  own->pad_bottom = (int) h->pad_after;
  own->pad_right = (int) w->pad_after;
  p->in = *in;
  p->out
    = (struct qk_shape){ 4,
                         { in->dims[0], h->out, w->out, op->out_channels } };
  p->row = h->first;
  p->col = w->first;
  return gather_weight (op, h, w, p);
}

int
phases_new (const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out, struct phase **list)
{
  struct phase *p
    = qk_alloc ((size_t) op->stride_h * (size_t) op->stride_w * sizeof *p);
  int n = 0;

  if (p == NULL)
    return qk_oom ("%s", op->name);
  for (int i = 0; i < op->stride_h; i++)
    for (int j = 0; j < op->stride_w; j++) {
      struct axis h, w;
      int r;

      plan_axis (i, out->dims[1], in->dims[1], op->kernel_h, op->stride_h,
                 op->dilation_h, op->pad_top, &h);
      plan_axis (j, out->dims[2], in->dims[2], op->kernel_w, op->stride_w,
                 op->dilation_w, op->pad_left, &w);
      if (h.out == 0 || w.out == 0)
        continue;
      if ((r = fill_phase (op, in, &h, &w, &p[n++])) < 0) {
        phases_free (p, n);
        return r;
      }
    }
  *list = p;
  return n;
}

void
phases_free (struct phase *list, int n)
{
  for (int i = 0; list != NULL && i < n; i++)
    qk_free (list[i].weight);
  qk_free (list);
}

int64_t
phases_largest (const struct phase *list, int n)
{
  int64_t most = 0;

  for (int i = 0; i < n; i++) {
    const int64_t size = qk_shape_count (&list[i].out) / list[i].out.dims[0];

    most = size > most ? size : most;
  }
  return most;
}

void
phases_put (const struct phase *p, const struct qk_op *op,
            const struct qk_shape *out, int64_t n, size_t size, int threads,
            const void *from, void *to)
{
  const int64_t rows = p->out.dims[1], cols = p->out.dims[2];
  const size_t pixel = (size_t) op->out_channels * size;

  (void) threads;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * rows; i++) {
    const int64_t line
      = i / rows * out->dims[1] + p->row + i % rows * op->stride_h;
    const char *s = (const char *) from + (size_t) (i * cols) * pixel;
    char *d = (char *) to + (size_t) (line * out->dims[2] + p->col) * pixel;

    for (int64_t j = 0; j < cols; j++, s += pixel)
      memcpy (d + (size_t) (j * op->stride_w) * pixel, s, pixel);
  }
}

/* ---- on a backend ---------------------------------------------------------- */

struct phased {
  void *self;
  const struct qk_backend_class *cls;
  int threads;
  struct qk_op op;
  struct qk_shape out;
  struct phase *list;
  int n;
  void **kernel; /* one a phase, NULL where there is none yet */
  size_t room;   /* for the outputs of a phase */
};

static size_t
element_bytes (const struct qk_op *op)
{
  return op->out_q.scale == 0 ? sizeof (float) : 1;
}

static int
prepare_all (struct phased *p, size_t *scratch)
{
  size_t most = 0;

  for (int i = 0; i < p->n; i++) {
    const struct phase *f = &p->list[i];
    size_t size = 0;
    const int r = p->cls->prepare (p->self, &f->op, &f->in, &f->out,
                                   &p->kernel[i], &size);

    if (r < 0)
      return r;
    most = size > most ? size : most;
  }
  *scratch = p->room + most;
  return 0;
}

int
phased_new (void *self, const struct qk_backend_class *cls, int threads,
            const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out_shape, size_t *scratch,
            struct phased **out)
{
  struct phased *p = qk_alloc (sizeof *p);
  int r;

  if (p == NULL)
    return qk_oom ("%s", op->name);
  p->self = self;
  p->cls = cls;
  p->threads = threads;
  qk_op_copy (&p->op, op);
  p->out = *out_shape;
  if ((r = phases_new (op, in, out_shape, &p->list)) < 0)
    goto error;
  p->n = r;
  p->room = ((size_t) (out_shape->dims[0] * phases_largest (p->list, p->n))
               * element_bytes (op)
             + 63)
            & ~(size_t) 63;
  p->kernel = qk_alloc ((size_t) p->n * sizeof *p->kernel);
  if (p->kernel == NULL) {
    r = qk_oom ("%s", op->name);
    goto error;
  }
  if ((r = prepare_all (p, scratch)) < 0)
    goto error;
  *out = p;
  return 0;

error:
  phased_free (p);
  return r;
}

void
phased_free (struct phased *p)
{
  if (p == NULL)
    return;
  for (int i = 0; p->kernel != NULL && i < p->n; i++)
    if (p->kernel[i] != NULL)
      p->cls->release (p->self, p->kernel[i]);
  qk_free (p->kernel);
  phases_free (p->list, p->n);
  qk_free (p);
}

void
phased_run (const struct phased *p, int64_t n, const void *const *in,
            void *out, void *scratch)
{
  for (int i = 0; i < p->n; i++) {
    p->cls->run (p->self, p->kernel[i], n, in, scratch,
                 (char *) scratch + p->room);
    phases_put (&p->list[i], &p->op, &p->out, n, element_bytes (&p->op),
                p->threads, scratch, out);
  }
}
