/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c: whole networks for tests and benchmarks. */
#include "config.h"

#include <math.h>
#include <stdio.h>
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

struct qk_tensor_spec
network_image (int side)
{
  const struct qk_tensor_spec spec = { .name = "image",
                                       .dtype = QK_F32,
                                       .shape = { 4, { 1, side, side, 3 } } };

  return spec;
}

int
network_build (struct qk_context *ctx, const char *model, const char *options,
               int side, int classes, struct qk_graph **out)
{
  const struct qk_tensor_spec image = network_image (side);
  const struct qk_tensor_spec label = { .name = "label",
                                        .dtype = QK_I32,
                                        .shape = { 1, { 1 } },
                                        .categories = classes };
  const struct qk_model_request req = { 1, 1, &image, &label };
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
      return qk_oom ("network");
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
network_samples (int64_t n, int side)
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

struct same {
  struct qk_qconfig qc;
  int wide_every;
};

/* The same for all, but for bits beyond 8, which the names choose. */
static int
same_for_all (void *cookie, const char *node, struct qk_qconfig *out)
{
  const struct same *same = cookie;
  int sum = 0;

  *out = same->qc;
  for (; *node != '\0'; node++)
    sum += *node;
  if (same->wide_every > 1 && sum % same->wide_every != 0)
    out->activation.bits = 8;
  return 0;
}

static int
take_setting (struct qk_context *ctx, const char *observer,
              const char *observer_options, const char *fakequant,
              const char *fakequant_options, struct qk_qsetting *s)
{
  struct qk_config *oc = NULL, *fc = NULL;
  const void *o, *f = NULL;
  int r;

  r = take (ctx, QK_KIND_OBSERVER,
            observer ? observer : "moving_average_minmax",
            observer_options ? observer_options : "", &o, &oc);
  if (r == 0)
    r = take (ctx, QK_KIND_FAKEQUANT, fakequant ? fakequant : "affine",
              fakequant_options ? fakequant_options : "", &f, &fc);
  if (r < 0) {
    qk_config_free (oc);
    return r;
  }
  s->observer = o;
  s->observer_cfg = oc;
  s->fakequant = f;
  s->fakequant_cfg = fc;
  return 0;
}

static void
drop_setting (struct qk_qsetting *s)
{
  qk_config_free ((struct qk_config *) s->observer_cfg);
  qk_config_free ((struct qk_config *) s->fakequant_cfg);
}

int
network_prepare_as (const struct qk_graph *g, const struct network_quant *how,
                    struct qk_graph **out)
{
  struct same same
    = { { .quantize = true, .mode = how->mode }, how->wide_every };
  struct qk_qconfig *const qc = &same.qc;
  struct qk_graph *p = NULL;
  int r;

  r = take_setting (g->ctx, how->value_observer, how->value_observer_options,
                    how->value_fakequant, how->value_fakequant_options,
                    &qc->activation);
  if (r == 0)
    r = take_setting (g->ctx, how->weight_observer,
                      how->weight_observer_options, how->weight_fakequant,
                      how->weight_fakequant_options, &qc->weight);
  qc->activation.bits = how->value_bits ? how->value_bits : 8;
  qc->weight.bits = how->weight_bits ? how->weight_bits : 8;
  qc->activation.symmetric = how->symmetric;
  qc->weight.per_channel = how->per_channel;
  if (r == 0 && (r = qk_pass_fuse (g, &p)) == 0)
    r = qk_pass_prepare (p, same_for_all, &same, how->quantize_outputs);
  drop_setting (&qc->activation);
  drop_setting (&qc->weight);
  if (r < 0) {
    qk_graph_free (p);
    return r;
  }
  *out = p;
  return 0;
}

int
network_prepare (const struct qk_graph *g, int bits, struct qk_graph **out)
{
  const struct network_quant how
    = { .value_bits = bits, .per_channel = true, .quantize_outputs = true };

  return network_prepare_as (g, &how, out);
}

/* ---- at work ----------------------------------------*/

int
network_forward (struct qk_exec *ex, const float *x, int64_t n, unsigned flags,
                 const float **y)
{
  const void *const input[] = { x };
  const int r = qk_exec_forward (ex, input, n, flags);

  if (r == 0)
    *y = qk_exec_output (ex, 0)->data;
  return r;
}

int
network_loss (struct qk_context *ctx, const char *name, const char *options,
              struct qk_exec_loss *out)
{
  static const int first[] = { 0 };
  struct qk_config *cfg;
  const void *c;
  int r;

  memset (out, 0, sizeof *out);
  if ((r = take (ctx, QK_KIND_LOSS, name, options, &c, &cfg)) < 0)
    return r;
  out->name = name;
  out->cls = c;
  out->weight = 1;
  out->n_out = out->n_ref = 1;
  out->out = out->ref = first;
  r = out->cls->create != NULL ? out->cls->create (cfg, &out->self) : 0;
  qk_config_free (cfg);
  return r;
}

void
network_loss_free (struct qk_exec_loss *l)
{
  if (l->cls != NULL && l->cls->destroy != NULL)
    l->cls->destroy (l->self);
  memset (l, 0, sizeof *l);
}

int
network_backward (struct qk_exec *ex, const int32_t *labels, float *loss)
{
  const struct qk_tensor ref
    = { .dtype = QK_I32,
        .shape = { 1, { qk_exec_output (ex, 0)->shape.dims[0] } },
        .data = (void *) (uintptr_t) labels };
  double sum = 0;
  const int r = qk_exec_backward (ex, &ref, &sum);

  *loss = (float) sum;
  return r;
}

int64_t
network_differing (struct qk_graph *a, struct qk_graph *b, const float *x,
                   int64_t n)
{
  const struct qk_exec_options opt
    = { .batch = n, .threads = 2, .keep_values = true };
  struct qk_graph *const g[2] = { a, b };
  struct qk_exec *ex[2] = { NULL, NULL };
  const float *y;
  int64_t differing = 0;
  int r = 0;

  for (int k = 0; k < 2 && r == 0; k++) {
    if (g[k]->stage == QK_STAGE_PREPARED)
      qk_graph_set_observing (g[k], false, false);
    r = qk_exec_new (g[k], &opt, &ex[k]);
    if (r == 0)
      r = network_forward (ex[k], x, n, 0, &y);
  }
  if (r == 0 && a->n_values != b->n_values)
    r = qk_error (-EINVAL, "%d and %d values", a->n_values, b->n_values);
  for (int i = 0; r == 0 && i < a->n_values; i++) {
    const struct qk_tensor *s = qk_exec_value (ex[0], i);
    const struct qk_tensor *t = qk_exec_value (ex[1], i);
    int64_t bytes;

    if ((s->dtype != t->dtype && t->dtype != QK_U16)
        || !qk_shape_equal (&s->shape, &t->shape))
      r = qk_error (-EINVAL, "value %d differs in shape or type", i);
    if (r == 0)
      differing += qk_values_differing (s, t, &bytes);
  }
  qk_exec_free (ex[0]);
  qk_exec_free (ex[1]);
  return r < 0 ? -1 : differing;
}

static int
conv_bn (struct qk_graph *g, const char *name, int in, const char *clamp,
         const char *options)
{
  char text[32];
  int v = qk_graph_node (g, name, "conv2d", &in, 1, "%s bias=no", options);

  snprintf (text, sizeof text, "%s.bn", name);
  v = qk_graph_node (g, text, "batchnorm2d", &v, 1, "%s", "");
  snprintf (text, sizeof text, "%s.clamp", name);
  return clamp ? qk_graph_node (g, text, clamp, &v, 1, "%s", "") : v;
}

int
network_small (struct qk_context *ctx, struct qk_graph **out)
{
  const struct qk_tensor_spec image = network_image (8);
  struct qk_graph *g;
  int v, both[2], r;

  if ((r = qk_graph_new (ctx, 1, &g)) < 0)
    return r;
  v = qk_graph_input (g, &image);
  v = both[0] = conv_bn (g, "stem", v, "relu", "out=8 kernel=3 padding=1");
  v = conv_bn (g, "expand", v, "relu6", "out=16 kernel=1");
  v = conv_bn (g, "depthwise", v, "relu",
               "out=16 kernel=3 padding=1 groups=16");
  both[1] = conv_bn (g, "project", v, NULL, "out=8 kernel=1");
  v = qk_graph_node (g, "add", "add", both, 2, "%s", "");
  v = conv_bn (g, "head", v, "relu", "out=12 kernel=3 stride=2");
  v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=5");
  if ((r = qk_graph_output (g, "logits", v)) < 0
      || (r = qk_graph_finish (g)) < 0 || (r = network_fill (g)) < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}

int
network_sgd (struct qk_graph *g, const char *options, struct qk_optimize **out)
{
  struct qk_config *sgd = NULL, *constant = NULL;
  struct qk_optimize_group all = { .decay_all = true };
  struct qk_optimize_options opt = { .n_groups = 1, .group = &all };
  const void *oc, *sc;
  int r;

  if ((r = take (g->ctx, QK_KIND_OPTIMIZER, "sgd", options, &oc, &sgd)) == 0
      && (r = take (g->ctx, QK_KIND_SCHEDULE, "constant", "", &sc, &constant))
           == 0) {
    opt.optimizer = oc;
    all.cfg = sgd;
    opt.schedule = sc;
    opt.schedule_cfg = constant;
    r = qk_optimize_new (g, &opt, out);
  }
  qk_config_free (sgd);
  qk_config_free (constant);
  return r;
}
