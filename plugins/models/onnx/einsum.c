/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* einsum.c: Einsum of two factors as a product of matrices.
 *
 * Each axis of the factors a and b has a letter.  Letters in a, b and the
 * result count the matrices; those in a and b alone are summed over; the others
 * are rows (of a) or columns (of b).  The axes are put into that order, rows,
 * columns and what is summed over merged to one axis each, and afterwards apart
 * again: changes of views, but for what the product itself wants.
 * https://numpy.org/doc/stable/reference/generated/numpy.einsum.html */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

#define MOST QK_MAX_DIMS

/* Letters of the axes; a "..." becomes digits. */
struct term {
  int n;
  char letter[MOST];
};

struct equation {
  struct term in[2], out;
};

/* One factor, its axes in the order of the product. */
struct factor {
  struct view v; /* ndim also of a constant */
  const struct onnx_const *c;
  int constant; /* value; -1: computed from the data */
};

/* ---- the equation ------------------------------------------------------------- */

static int
find (const struct term *t, char letter)
{
  int i;

  for (i = 0; i < t->n; i++)
    if (t->letter[i] == letter)
      return i;
  return -1;
}

/* A term of the text at *S, which has NDIM axes (-1: as many as there are);
 * false where it is none. */
static bool
read_term (const char **s, int ndim, int hidden, struct term *t)
{
  const char *p = *s;

  t->n = 0;
  for (; *p != '\0' && *p != ',' && !(p[0] == '-' && p[1] == '>'); p++) {
    int k;

    if (*p == ' ')
      continue;
    if (strncmp (p, "...", 3) == 0) {
      if (t->n + hidden > MOST)
        return false;
      for (k = 0; k < hidden; k++)
        t->letter[t->n++] = (char) ('0' + k);
      p += 2;
      continue;
    }
    if (!isalpha ((unsigned char) *p) || t->n == MOST || find (t, *p) >= 0)
      return false;
    t->letter[t->n++] = *p;
  }
  *s = p;
  return ndim < 0 || t->n == ndim;
}

/* How many axes "..." stands for in a term of NDIM axes; 0: it has none. */
static int
hidden_axes (const char *s, int ndim)
{
  int letters = 0;
  bool dots = false;

  for (; *s != '\0' && *s != ',' && *s != '-'; s++) {
    letters += isalpha ((unsigned char) *s) != 0;
    dots = dots || *s == '.';
  }
  return dots && ndim > letters ? ndim - letters : 0;
}

/* The result that is not said: letters that occur once, in their order. */
static void
implied (struct equation *e)
{
  int letter;

  e->out.n = 0;
  for (letter = '0'; letter <= 'z'; letter++) {
    const bool a = find (&e->in[0], (char) letter) >= 0;
    const bool b = find (&e->in[1], (char) letter) >= 0;

    if ((a != b || (a && letter <= '9')) && e->out.n < MOST)
      e->out.letter[e->out.n++] = (char) letter;
  }
}

static bool
read_equation (const char *s, int a, int b, struct equation *e)
{
  const int hidden = hidden_axes (s, a);

  if (!read_term (&s, a, hidden, &e->in[0]) || *s++ != ',')
    return false;
  if (hidden_axes (s, b) != hidden || !read_term (&s, b, hidden, &e->in[1]))
    return false;
  if (*s == '\0') {
    implied (e);
    return true;
  }
  s += 2;
  return read_term (&s, -1, hidden, &e->out) && *s == '\0';
}

/* ---- factors --------------------------------------------------------------------- */

static int64_t
size_of (const struct lay *l, const struct factor *f, int axis)
{
  return f->c != NULL ? f->c->shape.dims[axis] : view_size (l, &f->v, axis);
}

/* Constant C with its axes in ORDER and of SHAPE then. */
static int
permuted (struct lay *l, int value, const struct onnx_const *c,
          const int *order, const struct qk_shape *shape, int *out)
{
  int64_t step[MOST], size[MOST], i, k = 1;
  struct onnx_const *to;
  int j, r;

  if ((r = onnx_const_new (c->real, &c->shape, &to)) < 0)
    return r;
  for (j = c->shape.ndim - 1; j >= 0; j--) {
    step[j] = k;
    k *= c->shape.dims[j];
  }
  for (j = 0; j < c->shape.ndim; j++)
    size[j] = c->shape.dims[order[j]];
  for (i = 0; i < c->n; i++) {
    int64_t at = i, from = 0;

    for (j = c->shape.ndim - 1; j >= 0; j--) {
      from += at % size[j] * step[order[j]];
      at /= size[j];
    }
    if (c->real)
      to->f[i] = c->f[from];
    else
      to->i[i] = c->i[from];
  }
  to->shape = *shape;
  *out = net_add_constant (l->n, value, to);
  return 0;
}

/* F, whose axes T names, with those of the first NDIM letters of ORDER in that
 * order and of SHAPE, which merges some of them. */
static int
arrange (struct lay *l, struct net_node *nd, struct factor *f,
         const struct term *t, const struct term *order,
         const struct qk_shape *shape)
{
  struct view v = f->v;
  int to[MOST], i;

  for (i = 0; i < order->n; i++) {
    to[i] = find (t, order->letter[i]);
    v.axis[i] = f->v.axis[to[i]];
  }
  if (f->c != NULL) {
    const int r = permuted (l, f->constant, f->c, to, shape, &f->constant);

    f->v.ndim = shape->ndim;
    return r;
  }
  return view_reshape (l, nd, &v, shape, &f->v);
}

/* The letters of T that are in A as IN_A says and in B as IN_B says, appended
 * to ORDER; the product of their sizes in F. */
static int64_t
collect (const struct lay *l, const struct factor *f, const struct term *t,
         const struct term *a, bool in_a, const struct term *b, bool in_b,
         const struct term *list, struct term *order)
{
  int64_t n = 1;
  int i;

  for (i = 0; i < list->n; i++) {
    const char c = list->letter[i];

    if (find (t, c) < 0 || (find (a, c) >= 0) != in_a
        || (find (b, c) >= 0) != in_b)
      continue;
    order->letter[order->n++] = c;
    n *= size_of (l, f, find (t, c));
  }
  return n;
}

/* ---- the product ------------------------------------------------------------------- */

/* The result V, its axes called ORDER after SHAPE, in the order OUT. */
static int
give (struct lay *l, struct net_node *nd, struct view *v,
      const struct qk_shape *shape, const struct term *order,
      const struct term *out)
{
  struct view apart, result;
  int i, r;

  if ((r = view_reshape (l, nd, v, shape, &apart)) < 0)
    return r;
  result = apart;
  for (i = 0; i < out->n; i++)
    result.axis[i] = apart.axis[find (order, out->letter[i])];
  lay_output (l, nd, 0, &result);
  return 0;
}

/* How the axes of both factors and of the result lie for the product. */
struct plan {
  struct term order[2];     /* of the factors' axes */
  struct qk_shape shape[2]; /* of the factors, merged */
  struct term result;       /* the axes of the product, apart again */
  struct qk_shape last;
  int batch; /* axes that count the matrices */
};

/* Append those of the axes that factor K has after the first ones, and that the
 * result has too, to the result's. */
static void
add_to_result (const struct lay *l, const struct equation *e,
               const struct factor *f, int k, struct plan *p)
{
  int i;

  for (i = p->batch; i < p->order[k].n; i++) {
    const char c = p->order[k].letter[i];

    if (find (&e->out, c) < 0 || p->result.n == MOST)
      continue;
    p->result.letter[p->result.n++] = c;
    p->last.dims[p->last.ndim++] = size_of (l, &f[k], find (&e->in[k], c));
  }
}

/* The axes that count the matrices. */
static int
plan_batch (struct lay *l, struct net_node *nd, const struct equation *e,
            const struct factor *f, struct plan *p)
{
  const struct term *a = &e->in[0], *b = &e->in[1];
  int i;

  collect (l, &f[0], a, a, true, b, true, &e->out, &p->order[0]);
  p->order[1] = p->result = p->order[0];
  p->last.ndim = p->batch = p->order[0].n;
  for (i = 0; i < p->batch; i++) {
    const char c = p->order[0].letter[i];
    const int64_t n = size_of (l, &f[0], find (a, c));

    p->shape[0].dims[i] = p->shape[1].dims[i] = p->last.dims[i] = n;
    if (size_of (l, &f[1], find (b, c)) != n)
      return net_error (l->n, nd, -ENOTSUP, "axis '%c' has two sizes", c);
  }
  return 0;
}

/* Rows, columns and what is summed over. */
static int
plan_matrices (struct lay *l, struct net_node *nd, const struct equation *e,
               const struct factor *f, struct plan *p)
{
  const struct term *a = &e->in[0], *b = &e->in[1], *out = &e->out;
  const int64_t m
    = collect (l, &f[0], a, a, true, b, false, out, &p->order[0]);
  const int64_t k
    = collect (l, &f[0], a, b, true, out, false, a, &p->order[0]);
  int at = p->batch;

  if (collect (l, &f[1], b, a, true, out, false, a, &p->order[1]) != k)
    return net_error (l->n, nd, -ENOTSUP, "what is summed over has two sizes");
  p->shape[1].dims[at] = k;
  p->shape[1].dims[at + 1]
    = collect (l, &f[1], b, a, false, b, true, out, &p->order[1]);
  p->shape[1].ndim = at + 2;
  if (p->order[0].n != a->n || p->order[1].n != b->n)
    return net_error (l->n, nd, -ENOTSUP,
                      "an axis of one factor alone is summed over");
  add_to_result (l, e, f, 0, p);
  if (at == 0 && f[1].c != NULL) { /* a matrix: rows stay as they are */
    p->shape[0] = p->last;
    at = p->last.ndim;
  } else
    p->shape[0].dims[at++] = m;
  p->shape[0].dims[at] = k;
  p->shape[0].ndim = at + 1;
  add_to_result (l, e, f, 1, p);
  return p->result.n == out->n
           ? 0
           : net_error (l->n, nd, -EBADMSG,
                        "the result has axes that no factor has");
}

/* F[0] by F[1], a constant if one is. */
static int
multiply (struct lay *l, struct net_node *nd, const struct equation *e,
          struct factor *f)
{
  struct plan p;
  struct view v;
  int i, r;

  memset (&p, 0, sizeof p);
  for (i = 0; i < 2; i++)
    if (e->in[i].n > MOST - 2 || e->in[0].n + e->in[1].n > 2 * MOST - 2)
      return net_error (l->n, nd, -ENOTSUP, "a factor has %d axes",
                        e->in[i].n);
  if ((r = plan_batch (l, nd, e, f, &p)) < 0
      || (r = plan_matrices (l, nd, e, f, &p)) < 0)
    return r;
  for (i = 0; i < 2; i++)
    if ((r = arrange (l, nd, &f[i], &e->in[i], &p.order[i], &p.shape[i])) < 0)
      return r;
  if (p.batch == 0 && f[1].c != NULL) {
    v = f[0].v;
    r = lay_by_matrix (l, nd, &v, f[1].constant, -1);
  } else
    r = lay_product (l, nd, (struct view[]){ f[0].v, f[1].v },
                     (const int[]){ f[0].constant, f[1].constant }, &v);
  return r < 0 ? r : give (l, nd, &v, &p.last, &p.result, &e->out);
}

int
lay_einsum (struct lay *l, struct net_node *nd)
{
  char text[NET_WORD];
  const char *s = net_attr_string (nd, "equation", "", text);
  struct equation e;
  struct factor f[2];
  int i, r = 0;

  if (nd->n_in != 2)
    return net_error (l->n, nd, -ENOTSUP, "%d factors, expected 2", nd->n_in);
  for (i = 0; i < 2; i++) {
    if (nd->in[i] < 0 || (r = net_known (l->n, nd->in[i], &f[i].c)) < 0)
      return nd->in[i] < 0
               ? net_error (l->n, nd, -EBADMSG, "factor %d is missing", i)
               : r;
    f[i].constant = f[i].c != NULL ? nd->in[i] : -1;
    if (f[i].c != NULL)
      f[i].v.ndim = f[i].c->shape.ndim;
    else if ((r = lay_input (l, nd, i, &f[i].v)) < 0)
      return r;
  }
  if (!read_equation (s, f[0].v.ndim, f[1].v.ndim, &e))
    return net_error (l->n, nd, -ENOTSUP,
                      "equation '%s' is none of two factors of %d and %d "
                      "axes, with each letter once in a term",
                      s, f[0].v.ndim, f[1].v.ndim);
  if (f[0].c != NULL) { /* a product is the same the other way round */
    const struct factor first = f[0];
    const struct term term = e.in[0];

    f[0] = f[1];
    f[1] = first;
    e.in[0] = e.in[1];
    e.in[1] = term;
  }
  return multiply (l, nd, &e, f);
}
