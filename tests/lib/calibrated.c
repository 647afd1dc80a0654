/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* calibrated.c: a small network as methods of post-training quantization see
 * it. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/calibrated.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"

#define BATCH CALIBRATED_BATCH
#define BATCHES CALIBRATED_BATCHES

void
calibrated_open (struct calibrated *c)
{
  const size_t n = (size_t) BATCH * 8 * 8 * 3;
  float *all = network_samples (BATCH * BATCHES, 8);

  memset (c, 0, sizeof *c);
  c->ctx = qk_context_new ();
  ck_assert_ptr_nonnull (c->ctx);
  ck_assert_ptr_nonnull (all);
  OK (network_small (c->ctx, &c->g));
  c->p.batch = BATCH;
  c->p.threads = 2;
  c->p.seed = 1;
  c->p.m = &c->monitor;
  c->p.limit = c->p.n_kept = BATCHES;
  c->p.kept = calloc (BATCHES, sizeof *c->p.kept);
  ck_assert_ptr_nonnull (c->p.kept);
  for (int i = 0; i < BATCHES; i++) {
    c->p.kept[i].n = BATCH;
    c->p.kept[i].input[0] = qk_alloc (n * sizeof (float));
    ck_assert_ptr_nonnull (c->p.kept[i].input[0]);
    memcpy (c->p.kept[i].input[0], all + (size_t) i * n, n * sizeof (float));
  }
  qk_free (all);
}

void
calibrated_take (struct calibrated *c, struct qk_graph *g)
{
  qk_graph_free (c->g);
  c->g = g;
}

void
calibrated_close (struct calibrated *c)
{
  qk_ptq_end (&c->p);
  qk_graph_free (c->p.quantized);
  qk_graph_free (c->g);
  qk_context_free (c->ctx);
}

void
calibrated_begin (struct calibrated *c)
{
  struct qk_graph *fused;

  OK (qk_pass_fuse (c->g, &fused));
  OK (qk_ptq_begin (&c->p, fused));
  qk_graph_free (fused);
}

static int
see (void *cookie, int value, const struct qk_tensor *t)
{
  struct qk_graph *q = cookie;
  struct qk_quantizer *qz = q->value[value].qz;

  return qz == NULL ? 0
                    : qk_quantizer_collect (
                      qz, t->data, (size_t) qk_shape_count (&t->shape));
}

void
calibrated_quantize (struct calibrated *c, const struct network_quant *how)
{
  const struct qk_exec_options opt = { .batch = BATCH, .threads = 2 };
  struct qk_graph **q = &c->p.quantized;
  struct qk_quantizer *qz;
  struct qk_exec *ex;
  const float *y;

  OK (network_prepare_as (c->p.real, how, q));
  OK (qk_exec_new (c->p.real, &opt, &ex));
  qk_graph_set_observing (*q, true, false);
  qk_exec_set_hook (ex, see, *q);
  for (int i = 0; i < BATCHES; i++)
    OK (network_forward (ex, c->p.kept[i].input[0], BATCH, 0, &y));
  qk_exec_free (ex);
  for (int i = 0; i < (*q)->n_values; i++)
    if ((*q)->value[i].qz != NULL)
      OK (qk_quantizer_refresh ((*q)->value[i].qz));
  qk_graph_set_observing (*q, false, true);
  OK (qk_exec_new (*q, &opt, &ex));
  OK (network_forward (ex, c->p.kept[0].input[0], 1, 0, &y));
  qk_exec_free (ex);
  qk_graph_set_observing (*q, false, false);
  for (int i = 0; (qz = qk_graph_next_quantizer (*q, &i)) != NULL;)
    ck_assert (qk_quantizer_has_range (qz));
}

void
calibrated_forget (struct calibrated *c)
{
  qk_exec_free (c->p.quantized_ex);
  qk_exec_free (c->p.real_ex); /* the next may have other threads */
  c->p.quantized_ex = c->p.real_ex = NULL;
  qk_graph_free (c->p.quantized);
  c->p.quantized = NULL;
}

void
calibrated_method (struct calibrated *c, const char *name, const char *options,
                   bool after)
{
  const struct qk_class *cls;
  const struct qk_ptq_class *m;
  struct qk_config *cfg;
  void *self;

  OK (qk_context_class (c->ctx, QK_KIND_PTQ, name, &cls));
  OK (qk_config_parse (cls->options, options, name, &cfg));
  m = (const struct qk_ptq_class *) (const void *) cls;
  OK (m->create (cfg, &self));
  qk_config_free (cfg);
  OK (after ? m->after (self, &c->p) : m->before (self, &c->p));
  m->destroy (self);
}

void
calibrated_logits (const struct calibrated *c, struct qk_graph *of, float *out)
{
  const struct qk_exec_options opt = { .batch = BATCH, .threads = 2 };
  struct qk_exec *ex;
  const float *y;

  OK (qk_exec_new (of, &opt, &ex));
  for (int i = 0; i < BATCHES; i++) {
    const int64_t n = BATCH * 5;

    OK (network_forward (ex, c->p.kept[i].input[0], BATCH, 0, &y));
    memcpy (out + i * n, y, (size_t) n * sizeof *y);
  }
  qk_exec_free (ex);
}

int
calibrated_node (const struct calibrated *c, const char *name)
{
  struct qk_ptq_node info;

  for (int i = 0; i < qk_ptq_count (&c->p); i++) {
    qk_ptq_node (&c->p, i, &info);
    if (strcmp (info.name, name) == 0)
      return i;
  }
  ck_abort_msg ("no node %s", name);
  return -1;
}

void
calibrated_convert (const struct calibrated *c)
{
  struct qk_graph *int8;

  OK (qk_pass_convert (c->p.quantized, &int8));
  for (int i = 0; i < BATCHES; i++)
    ck_assert_int_eq (
      network_differing (c->p.quantized, int8, c->p.kept[i].input[0], BATCH),
      0);
  qk_graph_free (int8);
}
