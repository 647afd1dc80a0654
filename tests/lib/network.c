/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c: whole networks for tests and benchmarks. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/model.h>

#include "lib/network.h"

static uint32_t
hash_name (const char *name)
{
  uint32_t h = 0x811c9dc5u;

  for (; *name != 0; name++)
    h = (h ^ (uint8_t) *name) * 0x01000193u;
  return h;
}

/* In [0,1), of 24 bits. */
static float
uniform (uint32_t name, uint32_t index)
{
  uint32_t x = index * 0x9e3779b9u + name;

  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  return (float) (x >> 8) * 0x1p-24f;
}

void
network_between (const char *name, int64_t count, float lo, float hi,
                 float *out)
{
  const uint32_t h = hash_name (name);

  for (int64_t i = 0; i < count; i++)
    out[i] = lo + (hi - lo) * uniform (h, (uint32_t) i);
}

int
network_build (struct qk_context *ctx, const char *model,
               const char *options, int side, int classes,
               struct qk_graph **out)
{
  const struct qk_model_request req = { side, side, 3, classes };
  const struct qk_class *c;
  struct qk_config *cfg;
  struct qk_graph *g = NULL;
  int r;

  if ((r = qk_context_class (ctx, QK_KIND_MODEL, model, &c)) < 0
      || (r = qk_config_parse (c->options, options, model, &cfg)) < 0)
    return r;
  if ((r = qk_graph_new (ctx, 1, &g)) == 0)
    r = ((const struct qk_model_class *) (const void *) c)
          ->build (cfg, &req, g);
  qk_config_free (cfg);
  if (r >= 0)
    r = qk_graph_finish (g);
  if (r < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}

static bool
ends_with (const char *s, const char *end)
{
  const size_t n = strlen (s), m = strlen (end);

  return n >= m && strcmp (s + n - m, end) == 0;
}

static void
bounds (const struct qk_param *p, float *lo, float *hi)
{
  const struct qk_shape *s = &p->value.shape;

  if (ends_with (p->name, "running_var")) {
    *lo = 0.5f;
    *hi = 1.5f;
  } else if (s->ndim > 1) {
    const double fan = (double) (qk_shape_count (s) / s->dims[0]);

    *hi = sqrtf ((float) (6.0 / fan));
    *lo = -*hi;
  } else if (ends_with (p->name, "weight")) {
    *lo = 0.8f;
    *hi = 1.2f;
  } else {
    *lo = -0.1f;
    *hi = 0.1f;
  }
}

/* From PyTorch's order (K,C,R,S), or (N,C,H,W), to ours. */
static void
to_channels_last (const float *from, int64_t n, int64_t c, int64_t pixels,
                  float *to)
{
  for (int64_t k = 0; k < n; k++)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t i = 0; i < c; i++)
        to[(k * pixels + p) * c + i] = from[(k * c + i) * pixels + p];
}

int
network_fill (struct qk_graph *g)
{
  for (int i = 0; i < g->n_params; i++) {
    struct qk_param *p = &g->param[i];
    const int64_t *d = p->value.shape.dims;
    const int64_t n = qk_shape_count (&p->value.shape);
    float *x = qk_alloc ((size_t) n * sizeof *x), lo, hi;

    if (x == NULL)
      return qk_error (-ENOMEM, "network: out of memory");
    bounds (p, &lo, &hi);
    network_between (p->name, n, lo, hi, x);
    if (p->spec.layout == QK_LAYOUT_OIHW)
      to_channels_last (x, d[0], d[3], d[1] * d[2], p->value.data);
    else
      memcpy (p->value.data, x, (size_t) n * sizeof *x);
    qk_free (x);
  }
  return 0;
}

float *
network_pictures (int64_t n, int side)
{
  const int64_t pixels = (int64_t) side * side;
  float *x = qk_alloc ((size_t) (n * 3 * pixels) * sizeof *x);
  float *y = qk_alloc ((size_t) (n * 3 * pixels) * sizeof *y);

  if (x != NULL && y != NULL) {
    network_between ("pictures", n * 3 * pixels, -2.0f, 2.0f, x);
    to_channels_last (x, n, 3, pixels, y);
  }
  qk_free (x);
  return y;
}

/* ---- QAT ----------------------------------------*/

/* The class KIND/NAME with its options; *CFG is the caller's. */
static int
take (struct qk_context *ctx, enum qk_kind kind, const char *name,
      const char *options, const void **cls, struct qk_config **cfg)
{
  const struct qk_class *c;
  int r = qk_context_class (ctx, kind, name, &c);

  if (r < 0)
    return r;
  *cls = c;
  return qk_config_parse (c->options, options, name, cfg);
}

static int
same_for_all (void *cookie, const char *node, struct qk_qconfig *out)
{
  (void) node;
  *out = *(const struct qk_qconfig *) cookie;
  return 0;
}

int
network_prepare (const struct qk_graph *g, int bits, struct qk_graph **out)
{
  struct qk_config *observer = NULL, *fakequant = NULL;
  const void *oc, *fc;
  struct qk_qconfig qc = { .quantize = true };
  struct qk_graph *p = NULL;
  int r;

  if ((r = take (g->ctx, QK_KIND_OBSERVER, "moving_average_minmax", "", &oc,
                 &observer)) < 0
      || (r = take (g->ctx, QK_KIND_FAKEQUANT, "affine", "", &fc,
                    &fakequant)) < 0)
    goto end;
  qc.activation = (struct qk_qsetting){
    .observer = oc, .observer_cfg = observer, .fakequant = fc,
    .fakequant_cfg = fakequant, .bits = bits,
  };
  qc.weight = qc.activation;
  qc.weight.bits = 8;
  qc.weight.per_channel = true;
  if ((r = qk_pass_fuse (g, &p)) < 0
      || (r = qk_pass_prepare (p, same_for_all, &qc, true)) < 0) {
    qk_graph_free (p);
    goto end;
  }
  *out = p;
end:
  qk_config_free (observer);
  qk_config_free (fakequant);
  return r;
}

int
network_sgd (struct qk_graph *g, const char *options,
             struct qk_optimize **out)
{
  struct qk_config *sgd = NULL, *constant = NULL;
  struct qk_optimize_options opt = { .decay_all = true };
  const void *oc, *sc;
  int r;

  if ((r = take (g->ctx, QK_KIND_OPTIMIZER, "sgd", options, &oc, &sgd)) == 0
      && (r = take (g->ctx, QK_KIND_SCHEDULE, "constant", "", &sc, &constant))
           == 0) {
    opt.optimizer = oc;
    opt.optimizer_cfg = sgd;
    opt.schedule = sc;
    opt.schedule_cfg = constant;
    r = qk_optimize_new (g, &opt, out);
  }
  qk_config_free (sgd);
  qk_config_free (constant);
  return r;
}
