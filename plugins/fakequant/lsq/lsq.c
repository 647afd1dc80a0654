/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lsq.c: learned step size (Esser et al. 2020, arXiv:1902.08153), and with an
 * offset LSQ+ (Bhalgat et al. 2020, arXiv:2004.09576).
 *
 * The scale s of each channel is a parameter.  With v = x / s, r = rne (v):
 *   ds += g dy (qmin - zp)  where r + zp < qmin
 *         g dy (qmax - zp)  where r + zp > qmax
 *         g dy (r - v)      elsewhere,     g = 1 / sqrt (n qp)
 *   dx  = dy                where qmin <= r + zp <= qmax, else 0
 * n elements a channel in the whole batch, qp = max (qmax - zp, zp - qmin)
 * (the paper's Q_P, as zp is qmin or 0 there); g = 1 with gradient = plain.
 * At first s = 2 mean |x| / sqrt (qp), or with start = mse the one of the least
 * squared error; the zero_point of activations comes from the range of the first
 * batch and stays.
 *
 * With an offset b, a parameter too, the grid of activations is s q + b, its
 * zero_point the nearest integer to -b / s, and
 *   ds += g dy qmin  below,  g dy qmax  above,  g dy (r - v)  elsewhere
 *   db += g dy       below and above
 *
 * Where the bits change in training, the range becomes f times what it was,
 *   s' = f s (qmax - qmin) / (qmax' - qmin'),  b' = f b,
 * with f = 1 after start = mse.  A first scale from the mean is no scale of the
 * range: with 8 bits it covers 23 mean |x|, with 3 bits 3.5, and in a range for 8
 * bits weights of 3 bits would all be 0.  There s' = s sqrt (qp / qp'), as if it
 * had begun with these bits.
 *
 * With ewgs = d the gradient is scaled element by element (Lee et al. 2021,
 * arXiv:2104.00903), towards the nearest integer or away from it:
 *   dx  = dy (1 + d sign (dy) (v - r))  where qmin <= r + zp <= qmax, else 0 */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/cpu.h>
#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

#ifdef _OPENMP
#define SIMD _Pragma ("omp simd")
#else
#define SIMD
#endif

/* Steps are kept above this, PyTorch's smallest scale. */
#define LSQ_EPS 1.1920928955078125e-07f

/* The search for the scale of the least error: so many fractions of the largest,
 * on so many elements of a channel, evenly spread. */
#define LSQ_TRIED 64
#define LSQ_LOOKED 32768

/* Elements of a block, and lanes of a sum. */
#define LSQ_BLOCK 4096
#define LSQ_LANES 16

struct lsq {
  size_t channels;
  bool symmetric;
  int32_t qmin, qmax;
  int32_t zero_point; /* without an offset */
  bool mse, plain, offset;
  float ewgs;
};

static const char *const starts[] = { "mean", "mse", NULL };
static const char *const gradients[] = { "scaled", "plain", NULL };

static const struct qk_option lsq_options[] = {
  { "start", QK_OPT_CHOICE, "mean", 0, 0, starts,
    "The first scale: from the mean size of the elements, or the one with the "
    "least squared error" },
  { "offset", QK_OPT_BOOL, "no", 0, 0, NULL,
    "Whether the zero point of activations is learned too (LSQ+)" },
  { "gradient", QK_OPT_CHOICE, "scaled", 0, 0, gradients,
    "Gradient of scale and offset: times 1 / sqrt (elements qmax), or as it "
    "is" },
  { "ewgs", QK_OPT_FLOAT, "0", 0, 10, NULL,
    "Part of the distance to the nearest integer by which gradients of "
    "elements are scaled (EWGS); 0 = straight through" },
  { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL }
};

static int
lsq_create (const struct qk_config *cfg, const struct qk_quant_info *info,
            void **self)
{
  struct lsq *l = qk_alloc (sizeof *l);

  if (l == NULL)
    return qk_oom ("lsq");
  l->channels = (size_t) info->channels;
  l->symmetric = info->symmetric;
  l->qmin = info->qmin;
  l->qmax = info->qmax;
  l->zero_point = info->qmin > 0 ? info->qmin : 0;
  l->mse = strcmp (qk_config_string (cfg, "start"), "mse") == 0;
  l->plain = strcmp (qk_config_string (cfg, "gradient"), "plain") == 0;
  l->offset = qk_config_bool (cfg, "offset") && !info->symmetric;
  l->ewgs = (float) qk_config_float (cfg, "ewgs");
  *self = l;
  return 0;
}

static void
lsq_destroy (void *self)
{
  qk_free (self);
}

static int
lsq_params (void *self, struct qk_fq_param *out)
{
  const struct lsq *l = self;

  out[0].name = "scale";
  out[0].count = l->channels;
  out[0].initial = 1.0f;
  if (!l->offset)
    return 1;
  out[1].name = "offset";
  out[1].count = 1;
  out[1].initial = 0.0f;
  return 2;
}

static double
lsq_qp (const struct lsq *l, int32_t zero_point)
{
  const int32_t above = l->qmax - zero_point;
  const int32_t below = zero_point - l->qmin;

  return above > below || l->symmetric ? above : below;
}

/* ---- the first batch --------------------------------------------------------*/

/* Of the elements, and of 0. */
struct range {
  float min, max;
};

static struct range
lsq_range (const float *x, size_t n)
{
  struct range r = { 0.0f, 0.0f };

  for (size_t i = 0; i < n; i++) {
    r.min = x[i] < r.min ? x[i] : r.min;
    r.max = x[i] > r.max ? x[i] : r.max;
  }
  return r;
}

/* The grid of PyTorch's formula for F times the range R. */
static int
lsq_grid_of_range (const struct lsq *l, struct range r, float f,
                   struct qk_qparams *q)
{
  *q = (struct qk_qparams){ 1.0f, 0, l->qmin, l->qmax };
  return qk_calculate_qparams (f * r.min, f * r.max, l->symmetric, q);
}

static double
lsq_error (const float *x, size_t n, size_t step, const struct qk_qparams *q)
{
  const float inv = 1.0f / q->scale;
  double sum = 0.0;

  for (size_t i = 0; i < n; i += step) {
    const int32_t k = qk_quantize (x[i], inv, q->zero_point, q->qmin, q->qmax);
    const double d
      = (double) (x[i] - qk_dequantize (k, q->scale, q->zero_point));

    sum += d * d;
  }
  return sum;
}

/* The grid of the least squared error, of fractions of the whole range. */
static int
lsq_best_grid (const struct lsq *l, const float *x, size_t n,
               struct qk_qparams *best)
{
  const struct range range = lsq_range (x, n);
  const size_t step = n / LSQ_LOOKED + 1;
  double least = INFINITY;
  int r = 0;

  for (int i = LSQ_TRIED; r == 0 && i > 0; i--) {
    struct qk_qparams q;
    double e;

    r = lsq_grid_of_range (l, range, (float) i / LSQ_TRIED, &q);
    if (r == 0 && (e = lsq_error (x, n, step, &q)) < least) {
      least = e;
      *best = q;
    }
  }
  return r;
}

static float
lsq_mean_scale (const struct lsq *l, const float *x, size_t n)
{
  double sum = 0.0;

  for (size_t i = 0; i < n; i++)
    sum += fabs ((double) x[i]);
  return (float) (2.0 * sum / (double) n / sqrt (lsq_qp (l, l->zero_point)));
}

static int
lsq_init (void *self, struct qk_fq_params *p, const float *x, size_t n)
{
  struct lsq *l = self;
  const size_t block = n / l->channels;
  struct qk_qparams q = { 1.0f, 0, l->qmin, l->qmax };
  int r = lsq_grid_of_range (l, lsq_range (x, n), 1.0f, &q);

  if (r < 0)
    return r;
  l->zero_point = q.zero_point;
  for (size_t c = 0; c < l->channels; c++) {
    const float *y = x + c * block;

    if (!l->mse) {
      p->value[0][c] = lsq_mean_scale (l, y, block);
      continue;
    }
    if ((r = lsq_best_grid (l, y, block, &q)) < 0)
      return r;
    p->value[0][c] = q.scale;
    l->zero_point = q.zero_point;
  }
  if (l->offset)
    p->value[1][0] = -(float) l->zero_point * p->value[0][0];
  return 0;
}

static int
lsq_start (void *self, struct qk_fq_params *p, const struct qk_qparams *q)
{
  struct lsq *l = self;

  if (l->mse) /* asked for: a search of its own */
    return 1;
  for (size_t c = 0; c < l->channels; c++)
    p->value[0][c] = q[c].scale;
  l->zero_point = q[0].zero_point;
  if (l->offset)
    p->value[1][0] = -(float) l->zero_point * p->value[0][0];
  return 0;
}

/* ---- the grid, and gradients ------------------------------------------------*/

static int
lsq_qparams (void *self, const struct qk_fq_params *p, const float *min,
             const float *max, struct qk_qparams *out)
{
  const struct lsq *l = self;

  (void) min;
  (void) max;
  if (l->offset && !isfinite (p->value[1][0]))
    return qk_error (-EDOM, "the learned offset is %g",
                     (double) p->value[1][0]);
  for (size_t c = 0; c < l->channels; c++) {
    const float s = p->value[0][c];

    /* NaN passes, so that the library refuses it */
    out[c].scale = s < LSQ_EPS ? LSQ_EPS : s;
    out[c].zero_point = l->offset
                          ? qk_quantize (-p->value[1][0], 1.0f / out[c].scale,
                                         0, l->qmin, l->qmax)
                          : l->zero_point;
  }
  return 0;
}

/* What is the same for all elements of a channel. */
struct pass {
  float inv, lo, hi;
  float below, above; /* by the scale, where the element is clipped */
  float ewgs;
};

/* dx of an element from G, by its quantized value; adds to the sums. */
static inline __attribute__ ((always_inline)) float
lsq_element (const struct pass *p, float x, float g, float *scale,
             float *offset)
{
  const float v = x * p->inv, r = qk_rne (v);
  const bool inside = (r >= p->lo) & (r <= p->hi);
  const float out = r < p->lo ? p->below : p->above;
  const float apart = g < 0.0f ? r - v : v - r;

  *scale += g * (inside ? r - v : out);
  *offset += inside ? 0.0f : g;
  return inside ? g * (1.0f + p->ewgs * apart) : 0.0f;
}

/* The sums over N <= LSQ_BLOCK elements, in lanes, so that every CPU level adds
 * in the same order: by the scale and by the offset.  dx may be dy. */
QK_LOOP (static, lsq_block,
         (const float *x, const float *dy, size_t n, const struct pass *pass,
          float *dx, double *by_scale, double *by_offset),
         (x, dy, n, pass, dx, by_scale, by_offset))
{
  const struct pass p = *pass;
  float scale[LSQ_LANES] = { 0 }, offset[LSQ_LANES] = { 0 };
  size_t i = 0;

  for (; i + LSQ_LANES <= n; i += LSQ_LANES) {
    SIMD for (size_t j = 0; j < LSQ_LANES; j++) dx[i + j]
      = lsq_element (&p, x[i + j], dy[i + j], &scale[j], &offset[j]);
  }
  for (size_t j = 0; i < n; i++, j++)
    dx[i] = lsq_element (&p, x[i], dy[i], &scale[j], &offset[j]);
  *by_scale = *by_offset = 0.0;
  for (int j = 0; j < LSQ_LANES; j++) {
    *by_scale += (double) scale[j];
    *by_offset += (double) offset[j];
  }
}

/* One channel of N elements; the sums of lsq_block are added to SUM. */
static int
lsq_channel (const float *x, const float *dy, size_t n, const struct pass *p,
             float *dx, double sum[2])
{
  const size_t blocks = (n + LSQ_BLOCK - 1) / LSQ_BLOCK;
  double few[2], *all = few;

  if (blocks > 1 && (all = qk_alloc (2 * blocks * sizeof *all)) == NULL)
    return qk_oom ("lsq");
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (size_t b = 0; b < blocks; b++) {
    const size_t at = b * LSQ_BLOCK;

    lsq_block (x + at, dy + at, n - at < LSQ_BLOCK ? n - at : LSQ_BLOCK, p,
               dx + at, &all[2 * b], &all[2 * b + 1]);
  }
  for (size_t b = 0; b < blocks; b++) {
    sum[0] += all[2 * b];
    sum[1] += all[2 * b + 1];
  }
  if (all != few)
    qk_free (all);
  return 0;
}

static int
lsq_backward (void *self, const struct qk_fq_params *p,
              const struct qk_qparams *q, const float *x, const float *dy,
              float *dx, size_t n)
{
  const struct lsq *l = self;
  const size_t block = n / l->channels;
  const size_t whole = p->whole / l->channels;
  const int32_t zero_point = l->offset ? l->qmin : l->zero_point;
  const double g
    = l->plain ? 1.0 : 1.0 / sqrt ((double) whole * lsq_qp (l, zero_point));
  int r = 0;

  for (size_t c = 0; r == 0 && c < l->channels; c++) {
    const float lo = (float) (q[c].qmin - q[c].zero_point);
    const float hi = (float) (q[c].qmax - q[c].zero_point);
    const struct pass pass = { .inv = 1.0f / q[c].scale,
                               .lo = lo,
                               .hi = hi,
                               .below = l->offset ? (float) q[c].qmin : lo,
                               .above = l->offset ? (float) q[c].qmax : hi,
                               .ewgs = l->ewgs };
    double sum[2] = { 0.0, 0.0 };

    r = lsq_channel (x + c * block, dy + c * block, block, &pass,
                     dx + c * block, sum);
    if (r < 0)
      break;
    p->grad[0][c] += (float) (g * sum[0]);
    if (l->offset)
      p->grad[1][0] += (float) (g * sum[1]);
  }
  return r;
}

/* How the range of the grid changes with the bits: not at all, or as that of a
 * first scale from the mean does, which falls with the root of QP. */
static double
lsq_range_factor (const struct lsq *l, const struct lsq *old)
{
  const double steps = l->qmax - l->qmin, before = old->qmax - old->qmin;

  return l->mse
           ? 1.0
           : sqrt (lsq_qp (old, old->zero_point) / lsq_qp (l, l->zero_point))
               * steps / before;
}

static int
lsq_change_bits (void *self, struct qk_fq_params *p,
                 const struct qk_quant_info *info)
{
  struct lsq *l = self, old = *l;
  struct qk_qparams q = { 1.0f, 0, l->qmin, l->qmax };
  double factor;
  int r;

  old.qmin = info->qmin;
  old.qmax = info->qmax;
  /* the zero_point of the same range; the scale does not matter to it */
  r = qk_calculate_qparams ((float) (old.qmin - old.zero_point),
                            (float) (old.qmax - old.zero_point), l->symmetric,
                            &q);
  if (r < 0)
    return r;
  l->zero_point = q.zero_point;
  factor = lsq_range_factor (l, &old);
  for (size_t c = 0; c < l->channels; c++)
    p->value[0][c] = (float) ((double) p->value[0][c] * factor
                              * (old.qmax - old.qmin) / (l->qmax - l->qmin));
  if (l->offset)
    p->value[1][0] = (float) ((double) p->value[1][0] * factor);
  return 0;
}

static int
lsq_state (void *self, struct qk_state *st)
{
  struct lsq *l = self;

  return qk_state_add (st, "zero_point", QK_I32, &l->zero_point, 1);
}

static const struct qk_fakequant_class lsq = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "lsq",
                   "Learned step size", lsq_options),
  .create = lsq_create,
  .destroy = lsq_destroy,
  .params = lsq_params,
  .init = lsq_init,
  .start = lsq_start,
  .qparams = lsq_qparams,
  .backward = lsq_backward,
  .state = lsq_state,
  .change_bits = lsq_change_bits,
};

QK_PLUGIN ("lsq", "1.0", "LGPL-2.1-or-later", &lsq.cls);
