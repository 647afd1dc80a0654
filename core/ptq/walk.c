/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* walk.c: what the float and the quantized network compute for calibration
 * samples, held for one block of nodes at a time. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "ptq/walk-priv.h"
#include "quant/quantizer-priv.h"

/* The last node that takes each value; -1: none. */
static int
find_readers (struct qk_ptq_walk *w)
{
  const struct qk_graph *g = w->p->quantized;
  int i, j, v;

  w->reader = malloc (((size_t) g->n_values + 1) * sizeof *w->reader);
  if (w->reader == NULL)
    return qk_oom ("the calibration samples");
  for (v = 0; v < g->n_values; v++)
    w->reader[v] = -1;
  for (i = 0; i < g->n_nodes; i++)
    for (j = 0; j < g->node[i].n_in; j++)
      w->reader[g->node[i].in[j]] = i;
  return 0;
}

/* Whether V comes from before node AT and is taken from there on. */
static bool
crosses (const struct qk_ptq_walk *w, int v, int at)
{
  const struct qk_value *value = &w->p->quantized->value[v];

  return value->constant == NULL && value->producer < at && w->reader[v] >= at;
}

int
qk_ptq_walk_width (const struct qk_ptq_walk *w, int node)
{
  int v, n = 0;

  for (v = 0; v < w->p->quantized->n_values; v++)
    n += crosses (w, v, node);
  return n;
}

bool
qk_walk_takes (const struct qk_ptq_walk *w, int v)
{
  const struct qk_graph *g = w->p->quantized;
  int i, j;

  if (g->value[v].constant != NULL || g->value[v].producer >= w->first)
    return false;
  for (i = w->first; i < w->last; i++)
    for (j = 0; j < g->node[i].n_in; j++)
      if (g->node[i].in[j] == v)
        return true;
  return false;
}

bool
qk_walk_gives (const struct qk_ptq_walk *w, int v)
{
  const struct qk_graph *g = w->p->quantized;
  const int producer = g->value[v].producer;

  return producer >= w->first && producer < w->last
         && (qk_graph_is_output (g, v) || crosses (w, v, w->last));
}

/* ---- what is held --------------------------------------------------------- */

static void
let_go (struct qk_held *h, int64_t batches)
{
  int64_t i;

  for (i = 0; h->data != NULL && !h->borrowed && i < batches; i++)
    qk_free (h->data[i]);
  free (h->data);
  memset (h, 0, sizeof *h);
}

static int
hold_pointers (const struct qk_ptq_walk *w, struct qk_held *h)
{
  h->data = calloc ((size_t) w->batches, sizeof *h->data);
  return h->data != NULL ? 0 : qk_oom ("the calibration samples");
}

/* Keep T, batch B of value V. */
static int
hold (const struct qk_ptq_walk *w, struct qk_held *h, int64_t b,
      const struct qk_tensor *t)
{
  const size_t bytes
    = (size_t) qk_shape_count (&t->shape) * qk_dtype_size (t->dtype);
  int r;

  if (h->data == NULL && (r = hold_pointers (w, h)) < 0)
    return r;
  if (h->data[b] == NULL && (h->data[b] = qk_alloc (bytes)) == NULL)
    return qk_oom ("the calibration samples");
  memcpy (h->data[b], t->data, bytes);
  h->t = *t;
  h->t.data = NULL;
  return 0;
}

/* Input I of both networks: samples in float, or put on a grid. */
static int
hold_input (struct qk_ptq_walk *w, int i, const struct qk_graph *g,
            struct qk_held *h)
{
  const int v = g->input[i];
  struct qk_quantizer *qz = g->value[v].qz;
  int64_t b;
  int r = 0;

  h->t.dtype = qk_value_dtype (g, v);
  h->t.shape = g->value[v].shape;
  if ((r = hold_pointers (w, h)) < 0)
    return r;
  h->borrowed = !g->value[v].on_grid;
  if (!h->borrowed)
    h->t.q = *qk_quantizer_qparams (qz);
  for (b = 0; r == 0 && b < w->batches; b++) {
    const struct qk_ptq_kept *k = &w->p->kept[b];
    const size_t n = (size_t) (k->n * qk_shape_count (&g->value[v].shape));

    if (h->borrowed)
      h->data[b] = k->input[i];
    else if ((h->data[b] = qk_alloc (n * qk_dtype_size (h->t.dtype))) == NULL)
      r = qk_oom ("the calibration samples");
    else if (h->t.dtype == QK_F32) /* of more than 8 bits */
      r = qk_quantizer_forward_f32 (qz, k->input[i], n, h->data[b]);
    else
      r = qk_quantizer_forward_u8 (qz, k->input[i], n, h->data[b]);
  }
  return r;
}

const void *
qk_held_sample (const struct qk_ptq_walk *w, const struct qk_held *h,
                int64_t sample)
{
  struct qk_shape one = h->t.shape;
  int64_t b = 0;

  one.dims[0] = 1;
  while (sample >= w->p->kept[b].n)
    sample -= w->p->kept[b++].n;
  return (const char *) h->data[b]
         + (size_t) (sample * qk_shape_count (&one))
             * qk_dtype_size (h->t.dtype);
}

void
qk_held_read (const struct qk_held *h, const void *from, size_t n, float *x)
{
  const uint8_t *q = from;

  if (h->t.dtype == QK_F32)
    memcpy (x, from, n * sizeof *x);
  else
    for (size_t i = 0; i < n; i++)
      x[i] = qk_dequantize (q[i], h->t.q.scale, h->t.q.zero_point);
}

/* ---- the walk -------------------------------------------------------------- */

/* Batches until there are SAMPLES of them. */
static int
take_samples (struct qk_ptq_walk *w, int64_t samples)
{
  struct qk_ptq *p = w->p;
  int64_t b;
  int r;

  for (b = 0; w->samples < samples && b < p->limit; b++) {
    if ((r = qk_ptq_keep (p, b + 1)) < 0)
      return r;
    if (b == p->n_kept)
      break;
    w->samples += p->kept[b].n;
    w->batches++;
  }
  if (w->samples > samples)
    w->samples = samples;
  return w->samples > 0 ? 0 : qk_error (-ENODATA, "no calibration samples");
}

int
qk_ptq_walk_new (struct qk_ptq *p, int64_t samples, struct qk_ptq_walk **out)
{
  struct qk_ptq_walk *w;
  int i, r;

  if (p->quantized == NULL)
    return qk_error (-EINVAL, "there is a walk after calibration only");
  if ((w = calloc (1, sizeof *w)) == NULL)
    return qk_oom ("the calibration samples");
  w->p = p;
  w->real = calloc ((size_t) p->real->n_values + 1, sizeof *w->real);
  w->quantized = calloc ((size_t) p->real->n_values + 1, sizeof *w->quantized);
  r = w->real == NULL || w->quantized == NULL
        ? qk_oom ("the calibration samples")
        : 0;
  if (r == 0 && (r = find_readers (w)) == 0 && (r = qk_ptq_open (p)) == 0)
    r = take_samples (w, samples);
  for (i = 0; r == 0 && i < p->real->n_inputs; i++) {
    r = hold_input (w, i, p->real, &w->real[p->real->input[i]]);
    if (r == 0)
      r = hold_input (w, i, p->quantized,
                      &w->quantized[p->quantized->input[i]]);
  }
  if (r < 0) {
    qk_ptq_walk_free (w);
    return r;
  }
  w->ran = true;
  *out = w;
  return 0;
}

void
qk_ptq_walk_free (struct qk_ptq_walk *w)
{
  int v;

  if (w == NULL)
    return;
  for (v = 0; w->real != NULL && v < w->p->real->n_values; v++)
    let_go (&w->real[v], w->batches);
  for (v = 0; w->quantized != NULL && v < w->p->real->n_values; v++)
    let_go (&w->quantized[v], w->batches);
  free (w->real);
  free (w->quantized);
  free (w->reader);
  free (w);
}

int64_t
qk_ptq_walk_samples (const struct qk_ptq_walk *w)
{
  return w->samples;
}

/* Run the block's nodes on batch B in EX, of one of the two networks. */
static int
run_batch (struct qk_ptq_walk *w, struct qk_exec *ex, struct qk_held *held,
           int64_t b)
{
  const int n_values = w->p->real->n_values;
  struct qk_exec_given *given = calloc ((size_t) n_values, sizeof *given);
  int v, n = 0, r;

  if (given == NULL)
    return qk_oom ("the calibration samples");
  for (v = 0; v < n_values; v++)
    if (qk_walk_takes (w, v)) {
      given[n].value = v;
      given[n].t = held[v].t;
      given[n].t.shape.dims[0] = w->p->kept[b].n;
      given[n++].t.data = held[v].data[b];
    }
  r = qk_exec_forward_part (ex, given, n, w->first, w->last, w->p->kept[b].n);
  free (given);
  for (v = 0; r == 0 && v < n_values; v++)
    if (qk_walk_gives (w, v))
      r = hold (w, &held[v], b, qk_exec_value (ex, v));
  return r;
}

static int
run_block (struct qk_ptq_walk *w, struct qk_exec *ex, struct qk_held *held)
{
  int64_t b;
  int r = 0;

  for (b = 0; r == 0 && b < w->batches; b++) {
    r = run_batch (w, ex, held, b);
    if (r == 0 && qk_monitor_stopped (w->p->m))
      r = qk_error (-EINTR, "stopped");
  }
  return r;
}

int
qk_ptq_walk_next (struct qk_ptq_walk *w, int last)
{
  const struct qk_graph *g = w->p->quantized;
  int v;

  if (!w->ran || last <= w->last || last > g->n_nodes)
    return qk_error (-EINVAL, "no block ends at node %d, behind node %d", last,
                     w->last);
  w->first = w->last;
  w->last = last;
  w->ran = false;
  for (v = 0; v < g->n_values; v++)
    if (!crosses (w, v, w->first)) {
      let_go (&w->real[v], w->batches);
      let_go (&w->quantized[v], w->batches);
    }
  return run_block (w, w->p->real_ex, w->real);
}

/* The sum over the block's samples and positions, of output V. */
static int
distance (const struct qk_ptq_walk *w, int v, double *mean)
{
  const struct qk_held *real = &w->real[v], *quantized = &w->quantized[v];
  const struct qk_shape *s = &w->p->real->value[v].shape;
  const size_t n = (size_t) qk_shape_count (s);
  const int64_t positions = qk_shape_count (s) / s->dims[s->ndim - 1];
  float *x = qk_alloc (2 * n * sizeof *x), *y = x + n;
  double sum = 0.0;

  if (x == NULL)
    return qk_oom ("the calibration samples");
  for (int64_t i = 0; i < w->samples; i++) {
    qk_held_read (real, qk_held_sample (w, real, i), n, x);
    qk_held_read (quantized, qk_held_sample (w, quantized, i), n, y);
    for (size_t j = 0; j < n; j++) {
      const double d = (double) y[j] - (double) x[j];

      sum += d * d;
    }
  }
  qk_free (x);
  *mean = sum / (double) (positions * w->samples);
  return 0;
}

int
qk_ptq_walk_run (struct qk_ptq_walk *w, double *error)
{
  int v, r = run_block (w, w->p->quantized_ex, w->quantized);

  *error = 0.0;
  for (v = 0; r == 0 && v < w->p->real->n_values; v++)
    if (qk_walk_gives (w, v)) {
      double mean = 0.0;

      if ((r = distance (w, v, &mean)) == 0)
        *error += mean;
    }
  w->ran = r == 0;
  return r;
}
