/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normlayer.c: layers that normalise by the statistics of their input; see
 * normlayer.h. */
#include "config.h"

#include "normlayer.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "norm/norm.h"
#include "realout/realout.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct normlayer {
  const struct normlayer_kind *kind;
  int64_t groups; /* as asked for */
  bool affine;
  float eps;
  struct norm norm; /* from infer */
  float *plain;     /* a factor of 1 and a summand of 0 for each channel */
  /* from setup */
  int threads;
  struct realout realout;
  size_t statistics; /* in saved or, else, the workspace */
  size_t ws_statistics, ws_hat, ws_thread;
  size_t each; /* bytes of a thread */
};

int
normlayer_create (const struct normlayer_kind *kind,
                  const struct qk_config *cfg, int64_t groups, void **self)
{
  struct normlayer *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("%s", kind->name);
  l->kind = kind;
  l->groups = groups;
  l->affine = qk_config_bool (cfg, "affine");
  l->eps = (float) qk_config_float (cfg, "eps");
  l->threads = 1;
  *self = l;
  return 0;
}

void
normlayer_destroy (void *self)
{
  struct normlayer *l = self;

  if (l != NULL)
    free (l->plain);
  free (l);
}

int
normlayer_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out)
{
  struct normlayer *l = self;
  const char *name = l->kind->name;
  int64_t c, groups;
  char buf[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", name, n_in);
  if (in->ndim < l->kind->least_dims)
    return qk_error (
      -EINVAL, "%s: input is %s, expected %d dimensions or more", name,
      qk_shape_print (in, buf, sizeof buf), l->kind->least_dims);
  c = in->dims[in->ndim - 1];
  groups = l->kind->each_alone ? c : l->groups;
  if (c % groups != 0)
    return qk_error (-EINVAL,
                     "%s: groups = %lld must divide the %lld channels", name,
                     (long long) groups, (long long) c);
  norm_plan (in, l->kind->per_sample, groups, l->kind->centered, l->eps,
             &l->norm);
  if (l->norm.rows * (c / groups) > QK_NORM_COUNT)
    return qk_error (
      -ERANGE, "%s: statistics of %lld elements, at most %lld are exact", name,
      (long long) (l->norm.rows * (c / groups)), (long long) QK_NORM_COUNT);
  free (l->plain);
  if ((l->plain = calloc (2 * (size_t) c, sizeof *l->plain)) == NULL)
    return qk_oom ("%s", name);
  for (int64_t i = 0; i < c; i++)
    l->plain[i] = 1.0f;
  *out = *in;
  return 0;
}

/* Layers that subtract no mean add nothing either. */
static bool
has_bias (const struct normlayer *l)
{
  return l->affine && l->kind->centered;
}

int
normlayer_params (void *self, struct qk_param_spec *out)
{
  const struct normlayer *l = self;
  const struct qk_param_spec each
    = { .shape = { 1, { l->norm.channels } },
        .flags = QK_PARAM_TRAINED | QK_PARAM_NO_DECAY };

  out[0] = out[1] = each;
  out[0].name = "weight";
  out[0].init = QK_INIT_ONE;
  out[1].name = "bias";
  out[1].init = QK_INIT_ZERO;
  return l->affine + has_bias (l);
}

static size_t
take (size_t *total, size_t size)
{
  const size_t at = (*total + 63) & ~(size_t) 63;

  *total = (at + size + 63) & ~(size_t) 63;
  return at;
}

/* What a thread works in. */
struct room {
  void *scratch;       /* of common/norm */
  double *sum, *total; /* 2 C: of dy and of dy h, of a block and of all */
  float *mean, *mean_hat, *factor; /* C: see backward_row */
};

static size_t
room_at (const struct normlayer *l, bool train, void *base, struct room *r)
{
  const size_t c = train ? (size_t) l->norm.channels : 0;
  char *at = base;
  size_t size = 0;

  r->scratch = at + take (&size, norm_scratch (&l->norm));
  r->sum = (double *) (void *) (at + take (&size, 2 * c * sizeof *r->sum));
  r->total = (double *) (void *) (at + take (&size, 2 * c * sizeof *r->total));
  r->mean = (float *) (void *) (at + take (&size, 3 * c * sizeof *r->mean));
  r->mean_hat = r->mean + c;
  r->factor = r->mean + 2 * c;
  return size;
}

int
normlayer_setup (void *self, struct qk_layer_setup *s)
{
  static char nothing[1];
  struct normlayer *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);
  const size_t sets
    = (size_t) (s->in[0].dims[0] * l->norm.blocks * l->norm.groups);
  struct room r;

  realout_setup (&l->realout, s);
  l->threads = s->threads > 1 ? s->threads : 1;
  l->each = room_at (l, s->train, nothing, &r);
  l->statistics
    = take (&s->saved, s->train ? sets * sizeof (struct qk_norm) : 0);
  l->ws_statistics = take (&s->workspace, sets * sizeof (struct qk_norm));
  l->ws_hat = take (&s->workspace, s->train ? n * sizeof (float) : 0);
  l->ws_thread = take (&s->workspace, (size_t) l->threads * l->each);
  s->keep_out = false;
  return 0;
}

static int
threads_of (const struct normlayer *l, const struct qk_layer_io *io)
{
  const int threads = io->threads < l->threads ? io->threads : l->threads;

  return threads > 1 && qk_shape_count (&io->in[0].shape) >= PARALLEL_MIN
           ? threads
           : 1;
}

static struct qk_norm *
statistics_at (const struct normlayer *l, const struct qk_layer_io *io)
{
  return (struct qk_norm *) (void *) ((io->flags & QK_PASS_TRAIN)
                                        ? (char *) io->saved + l->statistics
                                        : (char *) io->workspace
                                            + l->ws_statistics);
}

static void
thread_room (const struct normlayer *l, const struct qk_layer_io *io, int t,
             struct room *r)
{
  room_at (l, (io->flags & QK_PASS_TRAIN) != 0,
           (char *) io->workspace + l->ws_thread + (size_t) t * l->each, r);
}

static const float *
gamma_of (const struct normlayer *l, const struct qk_layer_io *io)
{
  return l->affine ? io->param[0].data : l->plain;
}

static const float *
beta_of (const struct normlayer *l, const struct qk_layer_io *io)
{
  return has_bias (l) ? io->param[1].data : l->plain + l->norm.channels;
}

/* ---- forward ----------------------------------------------------------- */

/* Block I of the input normalised, times GAMMA plus BETA, to Y. */
static void
normalise (const struct normlayer *l, const struct qk_layer_io *io, int64_t i,
           const struct qk_norm *statistics, const float *gamma,
           const float *beta, void *scratch, float *y)
{
  const struct norm *n = &l->norm;
  const struct qk_tensor *in = &io->in[0];
  const int64_t at = i * n->rows * n->channels;

  if (in->dtype == QK_U8)
    norm_bytes_real (n, (const uint8_t *) in->data + at, &in->q, statistics,
                     gamma, beta, scratch, y + at);
  else
    norm_reals (n, (const float *) in->data + at, statistics, gamma, beta,
                scratch, y + at);
}

static void
forward_block (const struct normlayer *l, const struct qk_layer_io *io,
               int64_t i, const struct room *r, float *y)
{
  const struct norm *n = &l->norm;
  const struct qk_tensor *in = &io->in[0];
  struct qk_norm *statistics = statistics_at (l, io) + i * n->groups;
  const int64_t at = i * n->rows * n->channels;

  if (in->dtype == QK_U8)
    norm_of_bytes (n, (const uint8_t *) in->data + at, &in->q, r->scratch,
                   statistics);
  else
    norm_of_reals (n, (const float *) in->data + at, r->scratch, statistics);
  normalise (l, io, i, statistics, gamma_of (l, io), beta_of (l, io),
             r->scratch, y);
}

int
normlayer_forward (void *self, struct qk_layer_io *io)
{
  const struct normlayer *l = self;
  const int64_t blocks = io->in[0].shape.dims[0] * l->norm.blocks;
  const int threads = threads_of (l, io);
  float *y = realout_numbers (&l->realout, io);

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    const int64_t end = blocks * (t + 1) / threads;
    struct room r;

    thread_room (l, io, t, &r);
    for (int64_t i = blocks * t / threads; i < end; i++)
      forward_block (l, io, i, &r, y);
  }
  return realout_finish (&l->realout, l->kind->name, io);
}

/* ---- backward ---------------------------------------------------------- */

QK_LOOP (static, add_products,
         (const float *restrict dy, const float *restrict hat, int64_t n,
          double *restrict sum, double *restrict product),
         (dy, hat, n, sum, product))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    sum[i] += (double) dy[i];
    product[i] += (double) dy[i] * (double) hat[i];
  }
}

/* h and dx may be the same. */
QK_LOOP (static, backward_row,
         (const float *restrict dy, const float *restrict gamma, int64_t n,
          const struct room *r, const float *hat, float *dx),
         (dy, gamma, n, r, hat, dx))
{
  const float *restrict mean = r->mean, *restrict mean_hat = r->mean_hat;
  const float *restrict factor = r->factor;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    dx[i] = factor[i] * (dy[i] * gamma[i] - mean[i] - hat[i] * mean_hat[i]);
}

/* The means of g and g h of each set, from the sums of its channels. */
static void
find_means (const struct normlayer *l, const struct qk_norm *statistics,
            const float *gamma, float scale, const struct room *r)
{
  const int64_t c = l->norm.channels, width = c / l->norm.groups;
  const double count = (double) (l->norm.rows * width);

  for (int64_t g = 0; g < l->norm.groups; g++) {
    double mean = 0, mean_hat = 0;

    for (int64_t i = g * width; i < (g + 1) * width; i++) {
      mean += (double) gamma[i] * r->sum[i];
      mean_hat += (double) gamma[i] * r->sum[c + i];
    }
    for (int64_t i = g * width; i < (g + 1) * width; i++) {
      r->mean[i] = l->norm.centered ? (float) (mean / count) : 0.0f;
      r->mean_hat[i] = (float) (mean_hat / count);
      r->factor[i] = statistics[g].factor / scale;
    }
  }
}

/* Block I: its part of the sums, and its dx.  HAT: room for h of all blocks,
 * which may be dx. */
static void
backward_block (const struct normlayer *l, const struct qk_layer_io *io,
                int64_t i, const struct room *r, const float *dy, float *hat)
{
  const struct norm *n = &l->norm;
  const int64_t c = n->channels, at = i * n->rows * c;
  const struct qk_norm *statistics = statistics_at (l, io) + i * n->groups;
  const struct qk_tensor *in = &io->in[0];
  float *dx = io->din[0].data;

  normalise (l, io, i, statistics, l->plain, l->plain + c, r->scratch, hat);
  memset (r->sum, 0, 2 * (size_t) c * sizeof *r->sum);
  for (int64_t k = at; k < at + n->rows * c; k += c)
    add_products (dy + k, hat + k, c, r->sum, r->sum + c);
  for (int64_t k = 0; k < 2 * c; k++)
    r->total[k] += r->sum[k];
  if (dx == NULL)
    return;
  find_means (l, statistics, gamma_of (l, io),
              in->dtype == QK_U8 ? in->q.scale : 1.0f, r);
  for (int64_t k = at; k < at + n->rows * c; k += c)
    backward_row (dy + k, gamma_of (l, io), c, r, hat + k, dx + k);
}

/* The threads' sums, in their order, to the gradients of the parameters. */
static void
add_gradients (const struct normlayer *l, const struct qk_layer_io *io,
               int threads)
{
  const int64_t c = l->norm.channels;

  for (int t = 0; t < threads; t++) {
    struct room r;

    thread_room (l, io, t, &r);
    for (int64_t i = 0; l->affine && i < c; i++)
      ((float *) io->dparam[0].data)[i] += (float) r.total[c + i];
    for (int64_t i = 0; has_bias (l) && i < c; i++)
      ((float *) io->dparam[1].data)[i] += (float) r.total[i];
  }
}

int
normlayer_backward (void *self, struct qk_layer_io *io)
{
  const struct normlayer *l = self;
  const int64_t blocks = io->in[0].shape.dims[0] * l->norm.blocks;
  const int threads = threads_of (l, io);
  float *hat = io->din[0].data;
  const float *dy;
  int ret;

  if (hat == NULL)
    hat = (float *) (void *) ((char *) io->workspace + l->ws_hat);
  if ((ret = realout_gradient (&l->realout, io, &dy)) < 0)
    return ret;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    const int64_t end = blocks * (t + 1) / threads;
    struct room r;

    thread_room (l, io, t, &r);
    memset (r.total, 0, 2 * (size_t) l->norm.channels * sizeof *r.total);
    for (int64_t i = blocks * t / threads; i < end; i++)
      backward_block (l, io, i, &r, dy, hat);
  }
  add_gradients (l, io, threads);
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

int
normlayer_geometry (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct normlayer *l = self;

  (void) io;
  op->kind = QK_OP_NORM;
  op->per_sample = l->kind->per_sample;
  op->centered = l->kind->centered;
  op->groups = (int) l->norm.groups;
  op->in_channels = l->norm.channels;
  op->eps = l->eps;
  return 0;
}

int
normlayer_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct normlayer *l = self;
  const size_t bytes = (size_t) l->norm.channels * sizeof (float);
  float *gamma = qk_alloc (bytes), *beta = qk_alloc (bytes);

  if (gamma == NULL || beta == NULL) {
    qk_free (gamma);
    qk_free (beta);
    return qk_oom ("%s", l->kind->name);
  }
  memcpy (gamma, gamma_of (l, io), bytes);
  memcpy (beta, beta_of (l, io), bytes);
  normlayer_geometry (self, io, op);
  op->gamma = gamma;
  op->beta = beta;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}
