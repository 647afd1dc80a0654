/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-harness.c: buffers with guards around one layer. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/layer-harness.h"

#define GUARD 64
#define GUARD_BYTE 0xa5

/* ---- guarded memory: size, guard, data, guard -------------------------*/

static void *
guarded_alloc (size_t size)
{
  unsigned char *p = qk_alloc (size + 3 * GUARD);

  if (p == NULL)
    return NULL;
  memcpy (p, &size, sizeof size);
  memset (p + GUARD, GUARD_BYTE, GUARD);
  memset (p + 2 * GUARD + size, GUARD_BYTE, GUARD);
  return p + 2 * GUARD;
}

static void
guarded_free (void *data)
{
  if (data != NULL)
    qk_free ((unsigned char *) data - 2 * GUARD);
}

static int
guarded_check (const void *data, const char *what)
{
  const unsigned char *p = data;
  size_t size;

  if (data == NULL)
    return 0;
  memcpy (&size, p - 2 * GUARD, sizeof size);
  for (int i = 0; i < GUARD; i++)
    if (p[i - GUARD] != GUARD_BYTE || p[size + (size_t) i] != GUARD_BYTE)
      return qk_error (-EFAULT, "a byte outside %s was written", what);
  return 0;
}

size_t
harness_bytes (const struct qk_tensor *t)
{
  return (size_t) qk_shape_count (&t->shape) * qk_dtype_size (t->dtype);
}

int
harness_tensor (struct qk_tensor *t, enum qk_dtype dtype,
                const struct qk_shape *shape)
{
  memset (t, 0, sizeof *t);
  t->dtype = dtype;
  t->shape = *shape;
  t->data = guarded_alloc (harness_bytes (t));
  return t->data != NULL ? 0 : qk_oom ("harness");
}

void
harness_tensor_free (struct qk_tensor *t)
{
  guarded_free (t->data);
  t->data = NULL;
}

int
harness_tensor_check (const struct qk_tensor *t, const char *what)
{
  return guarded_check (t->data, what);
}

void
harness_tensor_scribble (const struct qk_tensor *t)
{
  if (t->data != NULL)
    memset (t->data, 0xff, harness_bytes (t));
}

void
harness_fill (const struct qk_tensor *t, struct qk_rng *rng, float lo,
              float hi)
{
  const int64_t n = qk_shape_count (&t->shape);

  for (int64_t i = 0; i < n; i++) {
    const double u = qk_rng_double (rng);

    if (t->dtype == QK_F32)
      ((float *) t->data)[i] = lo + (hi - lo) * (float) u;
    else if (t->dtype == QK_U8)
      ((uint8_t *) t->data)[i]
        = (uint8_t) ((int) lo + (int) (u * (double) (hi - lo + 1)));
    else
      ((int32_t *) t->data)[i]
        = (int32_t) lo + (int32_t) (u * (double) (hi - lo + 1));
  }
}

/* ---- making -----------------------------------------------------------*/

static int
make_layer (struct qk_context *ctx, const char *name, const char *options,
            const struct qk_layer_class **out, void **self)
{
  const struct qk_class *c;
  struct qk_config *cfg;
  int err = qk_context_class (ctx, QK_KIND_LAYER, name, &c);

  if (err < 0)
    return err;
  err
    = qk_config_parse (c->options, options != NULL ? options : "", name, &cfg);
  if (err < 0)
    return err;
  *out = (const struct qk_layer_class *) (const void *) c;
  err = (*out)->create (cfg, self);
  qk_config_free (cfg);
  return err;
}

static void
describe (const struct qk_layer_class *cls, void *self,
          struct qk_layer_traits *out)
{
  memset (out, 0, sizeof *out);
  if (cls->describe != NULL)
    cls->describe (self, out);
}

/* Let the layer take over NAME; its parameters follow the layer's own. */
static int
absorb (struct qk_context *ctx, struct harness *h, const char *name,
        const struct qk_shape *out)
{
  const struct qk_layer_class *cls;
  struct qk_layer_traits traits;
  struct qk_shape same;
  void *self;
  int err = make_layer (ctx, name, NULL, &cls, &self);

  if (err < 0)
    return err;
  err = cls->infer (self, out, 1, &same);
  if (err == 0 && cls->params != NULL)
    h->n_params += cls->params (self, h->spec + h->n_params);
  describe (cls, self, &traits);
  if (err == 0)
    err
      = h->cls->absorb == NULL ? -ENOTSUP : h->cls->absorb (h->self, &traits);
  cls->destroy (self);
  return err;
}

static int
absorb_list (struct qk_context *ctx, struct harness *h, const char *list,
             const struct qk_shape *out)
{
  char buf[128], *save = NULL;
  int err = 0;

  snprintf (buf, sizeof buf, "%s", list != NULL ? list : "");
  for (char *s = strtok_r (buf, " ", &save); s != NULL && err == 0;
       s = strtok_r (NULL, " ", &save))
    err = absorb (ctx, h, s, out);
  return err;
}

static int
make_params (struct harness *h, struct qk_rng *rng)
{
  for (int i = 0; i < h->n_params; i++) {
    const struct qk_param_spec *s = &h->spec[i];
    const float hi = s->init == QK_INIT_ONE    ? 1.0f
                     : s->init == QK_INIT_ZERO ? 0.0f
                                               : 0.3f;
    const float lo = s->init == QK_INIT_ONE ? 1.0f : -hi;

    if (harness_tensor (&h->param[i], QK_F32, &s->shape) < 0)
      return -ENOMEM;
    harness_fill (&h->param[i], rng, lo, hi);
    h->dparam[i] = h->param[i];
    h->dparam[i].data = NULL;
    if ((s->flags & QK_PARAM_TRAINED) != 0
        && harness_tensor (&h->dparam[i], QK_F32, &s->shape) < 0)
      return -ENOMEM;
  }
  return 0;
}

static int
make_tensors (const struct harness_spec *spec, struct harness *h,
              const struct qk_shape *out)
{
  const bool train = (spec->flags & QK_PASS_TRAIN) != 0;

  for (int i = 0; i < spec->n_in; i++) {
    const enum qk_dtype t
      = spec->dtype[i] != QK_NONE ? spec->dtype[i] : QK_F32;

    if (harness_tensor (&h->in[i], t, &spec->in[i]) < 0)
      return -ENOMEM;
    if (t == QK_U8)
      h->in[i].q = spec->q;
    h->din[i].dtype = QK_F32;
    h->din[i].shape = spec->in[i];
    if (train && t != QK_I32
        && harness_tensor (&h->din[i], QK_F32, &spec->in[i]) < 0)
      return -ENOMEM;
  }
  if (harness_tensor (&h->out, h->in[0].dtype == QK_U8 ? QK_U8 : QK_F32, out)
        < 0
      || harness_tensor (&h->dout, QK_F32, out) < 0)
    return -ENOMEM;
  return 0;
}

static void
bind (const struct harness_spec *spec, struct harness *h)
{
  h->io = (struct qk_layer_io){ .flags = spec->flags,
                                .threads = spec->threads,
                                .n_in = spec->n_in,
                                .in = h->in,
                                .out = &h->out,
                                .n_params = h->n_params,
                                .param = h->param,
                                .dout = &h->dout,
                                .din = h->din,
                                .dparam = h->dparam,
                                .rng = &h->rng };
}

/* Ask the layer for its memory, with a batch one larger than the calls'. */
static int
set_up (const struct harness_spec *spec, struct harness *h,
        const struct qk_shape *in, const struct qk_shape *out)
{
  int err = 0;

  h->setup = (struct qk_layer_setup){
    .in = in,
    .out = out,
    .n_in = spec->n_in,
    .threads = spec->threads,
    .train = (spec->flags & QK_PASS_TRAIN) != 0,
    .quantized_in = spec->dtype[0] == QK_U8,
    .quantized_out = spec->dtype[0] == QK_U8,
    .keep_in = true,
    .keep_out = true,
  };
  if (h->cls->setup != NULL)
    err = h->cls->setup (h->self, &h->setup);
  h->setup.in = h->setup.out = NULL;
  if (err < 0)
    return err;
  if (h->setup.saved > 0
      && (h->io.saved = guarded_alloc (h->setup.saved)) == NULL)
    return qk_oom ("harness");
  if (h->setup.prepared > 0
      && (h->io.prepared = guarded_alloc (h->setup.prepared)) == NULL)
    return qk_oom ("harness");
  if (h->setup.workspace > 0
      && (h->io.workspace = guarded_alloc (h->setup.workspace)) == NULL)
    return qk_oom ("harness");
  return 0;
}

int
harness_new (struct qk_context *ctx, const struct harness_spec *spec,
             struct harness *h)
{
  struct qk_shape big[QK_OP_MAX_INPUTS], big_out, out;
  struct qk_rng rng;
  int err;

  memset (h, 0, sizeof *h);
  h->seed = 1;
  qk_rng_seed (&rng, 1, 1);
  err = make_layer (ctx, spec->layer, spec->options, &h->cls, &h->self);
  if (err < 0)
    return err;
  for (int i = 0; i < spec->n_in; i++) {
    big[i] = spec->in[i];
    big[i].dims[0]++;
  }
  if ((err = h->cls->infer (h->self, spec->in, spec->n_in, &out)) < 0
      || (err = h->cls->infer (h->self, big, spec->n_in, &big_out)) < 0)
    return err;
  if (h->cls->params != NULL)
    h->n_params = h->cls->params (h->self, h->spec);
  if ((err = absorb_list (ctx, h, spec->absorb, &out)) < 0)
    return err;
  describe (h->cls, h->self, &h->traits);
  if ((err = make_params (h, &rng)) < 0
      || (err = make_tensors (spec, h, &out)) < 0)
    return err;
  bind (spec, h);
  return set_up (spec, h, big, &big_out);
}

void
harness_free (struct harness *h)
{
  for (int i = 0; i < QK_OP_MAX_INPUTS; i++) {
    harness_tensor_free (&h->in[i]);
    harness_tensor_free (&h->din[i]);
  }
  for (int i = 0; i < QK_LAYER_MAX_PARAMS; i++) {
    harness_tensor_free (&h->param[i]);
    harness_tensor_free (&h->dparam[i]);
  }
  harness_tensor_free (&h->out);
  harness_tensor_free (&h->dout);
  guarded_free (h->io.saved);
  guarded_free (h->io.prepared);
  guarded_free (h->io.workspace);
  if (h->cls != NULL)
    h->cls->destroy (h->self);
  memset (h, 0, sizeof *h);
}

/* ---- running ----------------------------------------------------------*/

static int
check_guards (const struct harness *h)
{
  int err = 0;

  for (int i = 0; i < h->io.n_in && err == 0; i++)
    if ((err = guarded_check (h->in[i].data, "an input")) == 0)
      err = guarded_check (h->din[i].data, "an input's gradient");
  for (int i = 0; i < h->n_params && err == 0; i++)
    if ((err = guarded_check (h->param[i].data, h->spec[i].name)) == 0)
      err = guarded_check (h->dparam[i].data, h->spec[i].name);
  if (err == 0)
    err = guarded_check (h->out.data, "the output");
  if (err == 0)
    err = guarded_check (h->dout.data, "the output's gradient");
  if (err == 0)
    err = guarded_check (h->io.saved, "saved");
  if (err == 0)
    err = guarded_check (h->io.prepared, "prepared");
  return err == 0 ? guarded_check (h->io.workspace, "the workspace") : err;
}

/* All ones is NaN in float, 255 in a byte, -1 in an integer. */
static void
scribble (void *data, size_t size)
{
  if (data != NULL)
    memset (data, 0xff, size);
}

int
harness_forward (struct harness *h)
{
  int err;

  scribble (h->out.data, harness_bytes (&h->out));
  scribble (h->io.saved, h->setup.saved);
  scribble (h->io.prepared, h->setup.prepared);
  scribble (h->io.workspace, h->setup.workspace);
  qk_rng_seed (&h->rng, h->seed, 0);
  err = h->cls->forward (h->self, &h->io);
  return err < 0 ? err : check_guards (h);
}

/* Copy a tensor's content away and scribble over it; NULL if it is kept. */
static void *
take_away (const struct qk_tensor *t, bool keep)
{
  const size_t size = harness_bytes (t);
  void *copy = keep ? NULL : malloc (size > 0 ? size : 1);

  if (copy != NULL) {
    memcpy (copy, t->data, size);
    scribble (t->data, size);
  }
  return copy;
}

static void
give_back (const struct qk_tensor *t, void *copy)
{
  if (copy != NULL)
    memcpy (t->data, copy, harness_bytes (t));
  free (copy);
}

int
harness_backward (struct harness *h)
{
  void *in[QK_OP_MAX_INPUTS], *out;
  int err;

  if (h->cls->backward == NULL)
    return qk_error (-ENOTSUP, "no backward");
  for (int i = 0; i < h->io.n_in; i++) {
    in[i] = take_away (&h->in[i], h->setup.keep_in);
    scribble (h->din[i].data,
              h->din[i].data != NULL ? harness_bytes (&h->din[i]) : 0);
  }
  out = take_away (&h->out, h->setup.keep_out);
  scribble (h->io.workspace, h->setup.workspace);
  err = h->cls->backward (h->self, &h->io);
  for (int i = 0; i < h->io.n_in; i++)
    give_back (&h->in[i], in[i]);
  give_back (&h->out, out);
  return err < 0 ? err : check_guards (h);
}
