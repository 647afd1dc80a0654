/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move.c: operators that move bytes, and resize. */
#include "config.h"

#include <stdlib.h>

#include "csource.h"

static int
put_transpose (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  struct axes a = { .tensors = 1 };
  int64_t step[QK_MAX_DIMS] = { 0 };
  int32_t run = 1;
  char in[48], out[48];

  for (int i = op->axes - 1; i >= 0; i--)
    step[i] = i == op->axes - 1 ? 1 : step[i + 1] * op->order[2 * (i + 1)];
  for (int j = 0; j < op->axes; j++)
    axes_add (&a, op->order[2 * op->order[2 * j + 1]],
              step[op->order[2 * j + 1]], 0);
  if (a.n > 0 && a.step[0][a.n - 1] == 1)
    run = a.size[--a.n];
  axes_finish (&a);
  axes_arrays (w, "axes", &a);
  w->needed |= 1ull << KERNEL_TRANSPOSE;
  text_add (&w->steps,
            "    transposed (%d, %s_axessize%d, %s_axesa%d, %d, %lld, %s, "
            "%s);\n",
            a.n, w->name, w->layer, w->name, w->layer, run,
            (long long) axes_count (&a), csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}

/* How many of the N places from P on follow each other. */
static bool
in_a_row (const int32_t *p, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (p[i] < 0 || p[i] != p[0] + i)
      return false;
  return true;
}

/* Of a gather, what is left beside runs of bytes: axes from the last one on,
 * and the places along them in bytes. */
struct gathered {
  int n;
  int32_t size[QK_MAX_DIMS];
  int32_t *place;
  int64_t places, run;
};

static void
gather_axes (const struct qk_op *op, const struct qk_shape *in,
             const struct qk_shape *out, struct gathered *g)
{
  const int32_t *place = op->place + op->places;
  int64_t step = 1;
  bool whole = true; /* so far, all axes are as in the input */

  g->run = 1;
  for (int d = out->ndim - 1; d > 0; d--) {
    const int64_t n = out->dims[d];
    const bool row = whole && in_a_row (place - n, n);
    const int64_t kept = row ? 1 : n;

    place -= n;
    g->run *= row ? n : 1;
    whole = row && n == in->dims[d];
    if (!whole) {
      for (int64_t i = 0; i < kept; i++)
        g->place[g->places++]
          = place[i] < 0 ? -1 : (int32_t) (place[i] * step);
      g->size[g->n++] = (int32_t) kept;
    }
    step *= in->dims[d];
  }
  if (g->n == 0) {
    g->place[g->places++] = 0;
    g->size[g->n++] = 1;
  }
}

static int
put_gather (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  struct gathered g = { 0 };
  int32_t size[QK_MAX_DIMS];
  int64_t count = 1;
  char in[48], out[48];

  g.place = calloc ((size_t) op->places + 1, sizeof *g.place);
  if (g.place == NULL)
    return qk_oom ("csource");
  gather_axes (op, &value_of (w, n->in[0])->shape,
               &value_of (w, n->out)->shape, &g);
  for (int i = 0; i < g.n; i++) {
    size[i] = g.size[g.n - 1 - i];
    count *= size[i];
  }
  array_int32 (w, "size", size, g.n);
  array_int32 (w, "place", g.place, g.places);
  free (g.place);
  w->needed |= 1ull << KERNEL_MOVED;
  text_add (&w->steps,
            "    moved (%d, %s_size%d, %s_place%d, %lld, %d, %lld, %s, %s);\n",
            g.n, w->name, w->layer, w->name, w->layer, (long long) g.run,
            op->fill, (long long) count, csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}

int
csource_move (struct writer *w, const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_TRANSPOSE ? put_transpose (w, n)
                                        : put_gather (w, n);
}

/* N places, UNIT bytes apart, and their shares. */
static int
put_taps (struct writer *w, const char *place, const char *share,
          const int32_t *places, const float *shares, int64_t n, int64_t unit)
{
  int32_t *at = calloc ((size_t) n, sizeof *at);
  uint32_t *bits = calloc ((size_t) n, sizeof *bits);

  if (at != NULL && bits != NULL) {
    for (int64_t i = 0; i < n; i++) {
      at[i] = (int32_t) (places == NULL ? 0 : places[i] * unit);
      bits[i] = bits_of (shares == NULL ? 1.0f : shares[i]);
    }
    array_int32 (w, place, at, n);
    array_bits (w, share, bits, n);
  }
  free (at);
  free (bits);
  return at != NULL && bits != NULL ? 0 : qk_oom ("csource");
}

int
csource_resize (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  const bool image = out->ndim == 4;
  const int64_t c = out->dims[out->ndim - 1], q = out->dims[out->ndim - 2];
  const int64_t p = image ? out->dims[1] : 1;
  const int64_t before = image ? p * op->taps : 0;
  char x[48], y[48];
  int r;

  r = image ? put_taps (w, "placeh", "shareh", op->place, op->share,
                        p * op->taps, in->dims[2] * c)
            : put_taps (w, "placeh", "shareh", NULL, NULL, 1, 0);
  if (r < 0
      || (r = put_taps (w, "placew", "sharew", op->place + before,
                        op->share + before, q * op->taps, c))
           < 0)
    return r;
  text_add (&w->parts,
            "\nstatic const struct resize layer%d = {\n"
            "  %d, %d, %s_placeh%d, %s_placew%d, %s_shareh%d, %s_sharew%d,\n"
            "  %lld, %lld, %lld, %d, %d, %d\n};\n",
            w->layer, image ? op->taps : 1, op->taps, w->name, w->layer,
            w->name, w->layer, w->name, w->layer, w->name, w->layer,
            (long long) p, (long long) q, (long long) c,
            op->in_q[0].zero_point, op->lo, op->hi);
  w->needed |= 1ull << KERNEL_RESIZE;
  text_add (&w->steps, "    resize (&layer%d, %s, %s);\n", w->layer,
            csource_address (w, n->in[0], x), csource_address (w, n->out, y));
  return 0;
}
