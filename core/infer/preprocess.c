/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preprocess.c: samples in memory to inputs, by the dataset that a model was
 * made with and the options that its file carries. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "base/called.h"
#include "base/memtext.h"
#include "infer/infer-priv.h"
#include "options/ini.h"
#include "settings/tables.h"

/* ---- what the file says ----------------------------------------------------
 */

/* The class of the dataset that INI names. */
static int
find_class (struct qk_infer *m, const struct qk_ini *ini,
            const struct qk_dataset_class **out)
{
  const char *name = qk_ini_get (ini, "data", "dataset");
  const struct qk_class *c;
  int r;

  if (name == NULL)
    return qk_error (-ENOENT, "preprocessing: the model does not say which "
                              "dataset it was made with");
  if ((r = qk_context_class (m->ctx, QK_KIND_DATASET, name, &c)) < 0)
    return qk_error_prefix (r, "preprocessing: ");
  *out = (const struct qk_dataset_class *) (const void *) c;
  return 0;
}

/* Names of files are of the machine that the model was made on, and somebody
 * else's to choose. */
static void
drop_paths (struct qk_ini *ini, const struct qk_option *row)
{
  for (; row != NULL && row->name != NULL; row++)
    if (row->type == QK_OPT_PATH)
      qk_ini_unset (ini, "data", row->name);
}

static int
read_ini (struct qk_infer *m, struct qk_ini **ini,
          const struct qk_dataset_class **cls)
{
  const char *text = m->model->config;
  int r = qk_ini_parse (text, strlen (text), "the model's configuration", ini);

  if (r < 0)
    return r;
  if ((r = find_class (m, *ini, cls)) < 0) {
    qk_ini_free (*ini);
    return r;
  }
  drop_paths (*ini, (*cls)->cls.options);
  return 0;
}

/* Its options as text. */
static int
tell (struct qk_infer *m)
{
  const struct qk_dataset_class *cls;
  const struct qk_option *row;
  struct qk_ini *ini;
  size_t size;
  FILE *f;
  int r;

  if ((r = read_ini (m, &ini, &cls)) < 0)
    return r;
  if ((f = open_memstream (&m->preprocessing, &size)) == NULL)
    r = qk_oom ("preprocessing");
  else {
    fprintf (f, "dataset = %s\n", cls->cls.name);
    for (row = cls->cls.options; row != NULL && row->name != NULL; row++) {
      const char *value = qk_ini_get (ini, "data", row->name);

      if (row->type != QK_OPT_PATH)
        fprintf (f, "%s = %s\n", row->name, value ? value : row->def);
    }
    if (!qk_close_text (f, &m->preprocessing))
      r = qk_oom ("preprocessing");
  }
  qk_ini_free (ini);
  return r;
}

int
qk_infer_preprocessing (struct qk_infer *m, const char **text)
{
  int r = 0;

  pthread_mutex_lock (&m->lock);
  if (m->preprocessing == NULL)
    r = tell (m);
  if (r == 0)
    *text = m->preprocessing;
  pthread_mutex_unlock (&m->lock);
  return r;
}

/* ---- the dataset -----------------------------------------------------------
 */

/* What it delivers must be what the network takes. */
static int
check_inputs (struct qk_infer *m, void *self)
{
  const struct qk_graph *g = m->model->graph;
  struct qk_dataset_info info;
  char a[160], b[160];
  int i, r;

  memset (&info, 0, sizeof info);
  if ((r = m->dataset->info (self, &info)) < 0)
    return r;
  if (info.n_inputs != g->n_inputs)
    return qk_error (
      -EINVAL, "preprocessing: the dataset has %d inputs, the network %d",
      info.n_inputs, g->n_inputs);
  for (i = 0; i < g->n_inputs; i++)
    if (!qk_shape_equal (&info.input[i].shape, &m->input[i].spec.shape))
      return qk_error (-EINVAL,
                       "preprocessing: the dataset's input is %s, the network "
                       "takes '%s' %s",
                       qk_spec_print (&info.input[i], a, sizeof a),
                       m->input[i].spec.name,
                       qk_shape_print (&m->input[i].spec.shape, b, sizeof b));
  return 0;
}

static int
open_dataset (struct qk_infer *m)
{
  const struct qk_dataset_request req = { .ctx = m->ctx };
  struct qk_config *core = NULL, *cfg = NULL;
  struct qk_ini *ini;
  void *self = NULL;
  int r;

  if ((r = read_ini (m, &ini, &m->dataset)) < 0)
    return r;
  if (m->dataset->read_array == NULL)
    r = qk_error (-ENOTSUP,
                  "preprocessing: dataset '%s' takes samples from files only",
                  m->dataset->cls.name);
  else if ((r = qk_ini_take (ini, "data", qk_table_data, "", &core)) == 0
           && (r
               = qk_ini_take (ini, "data", m->dataset->cls.options, "", &cfg))
                == 0) {
    r = QK_CALLED (&m->dataset->cls, "open",
                   m->dataset->open (cfg, &req, &self));
    if (r == 0 && (r = check_inputs (m, self)) < 0)
      m->dataset->close (self);
  }
  qk_config_free (core);
  qk_config_free (cfg);
  qk_ini_free (ini);
  if (r == 0)
    m->dataset_self = self;
  m->prepared = r == 0;
  return r;
}

void
qk_infer_close_dataset (struct qk_infer *m)
{
  if (m->prepared)
    m->dataset->close (m->dataset_self);
}

static int
open_worker (struct qk_infer_session *s)
{
  struct qk_infer *m = s->m;
  const int n = m->model->graph->n_inputs;
  int i, r = 0;

  pthread_mutex_lock (&m->lock);
  if (!m->prepared)
    r = open_dataset (m);
  pthread_mutex_unlock (&m->lock);
  if (r < 0)
    return r;
  if ((s->plain = calloc ((size_t) n + 1, sizeof *s->plain)) == NULL)
    return qk_oom ("preprocessing");
  for (i = 0; i < n; i++) {
    const int64_t count = qk_shape_count (&m->input[i].spec.shape);

    if ((s->plain[i] = qk_alloc ((size_t) count * sizeof (float))) == NULL)
      r = qk_oom ("preprocessing");
  }
  if (r == 0 && m->dataset->worker_new != NULL)
    r = QK_CALLED (&m->dataset->cls, "worker_new",
                   m->dataset->worker_new (m->dataset_self, &s->worker));
  if (r < 0)
    qk_infer_close_worker (s);
  return r;
}

void
qk_infer_close_worker (struct qk_infer_session *s)
{
  int i;

  if (s->plain == NULL)
    return;
  if (s->worker != NULL && s->m->dataset->worker_free != NULL)
    s->m->dataset->worker_free (s->worker);
  for (i = 0; i < s->m->model->graph->n_inputs; i++)
    qk_free (s->plain[i]);
  free (s->plain);
  s->worker = NULL;
  s->plain = NULL;
}

/* The float input X as OUT wants it. */
static void
give_input (const struct qk_infer_tensor *t, const float *x,
            const struct qk_infer_buffer *out)
{
  const int64_t count = qk_shape_count (&t->spec.shape);
  const uint8_t turn = out->dtype == QK_I8 ? 0x80 : 0;
  const float inv = 1.0f / t->q.scale;
  uint8_t *to = out->data;
  int64_t i;

  if (out->dtype == QK_F32)
    memcpy (out->data, x, (size_t) count * sizeof *x);
  else
    for (i = 0; i < count; i++)
      to[i] = (uint8_t) qk_quantize (x[i], inv, t->q.zero_point, t->q.qmin,
                                     t->q.qmax)
              ^ turn;
}

int
qk_infer_preprocess (struct qk_infer_session *s,
                     const struct qk_sample_array *sample,
                     const struct qk_infer_buffer *in)
{
  const struct qk_infer *m = s->m;
  const int n = m->model->graph->n_inputs;
  int i, r;

  if (s->plain == NULL && (r = open_worker (s)) < 0)
    return r;
  for (i = 0; i < n; i++)
    if ((r = qk_infer_check_buffer (&m->input[i], "input", &in[i], 1)) < 0)
      return r;
  r = QK_CALLED (
    &m->dataset->cls, "read_array",
    m->dataset->read_array (m->dataset_self, s->worker, sample, s->plain));
  for (i = 0; r == 0 && i < n; i++)
    give_input (&m->input[i], s->plain[i], &in[i]);
  return r;
}
