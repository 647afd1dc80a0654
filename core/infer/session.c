/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.c: packing a model once for many sessions, and running it. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "infer/infer-priv.h"
#include "settings/settings.h"

#define MAX_THREADS 1024
#define MAX_BATCH 65536

/* ---- packing ---------------------------------------------------------------
 */

void
qk_packed_free (struct qk_packed *p)
{
  struct qk_packed *next;

  for (; p != NULL; p = next) {
    next = p->next;
    qk_exec_free (p->ex);
    qk_model_free (p->model);
    free (p->backend);
    free (p);
  }
}

static int
take_options (struct qk_infer *m, const struct qk_infer_options *options,
              struct qk_infer_options *o)
{
  *o = (struct qk_infer_options) QK_INFER_OPTIONS;
  if (options != NULL)
    qk_infer_take_options (o, sizeof *o, options, options->struct_size);
  if (o->threads < 1 || o->threads > MAX_THREADS)
    return qk_error (-EINVAL, "threads = %d, expected 1 to %d", o->threads,
                     MAX_THREADS);
  if (o->batch < 1 || o->batch > MAX_BATCH)
    return qk_error (-EINVAL, "batch = %lld, expected 1 to %d",
                     (long long) o->batch, MAX_BATCH);
  return qk_settings_backend (m->ctx, o->backend == NULL ? "auto" : o->backend,
                              &o->backend);
}

/* The model for the sessions of O. */
static int
pack (struct qk_infer *m, const struct qk_infer_options *o,
      struct qk_packed **out)
{
  const struct qk_exec_options exec = { .batch = o->batch,
                                        .threads = o->threads,
                                        .backend = o->backend,
                                        .packed_only = true };
  struct qk_packed *p = calloc (1, sizeof *p);
  struct qk_graph *g = m->model->graph;
  size_t bytes;
  int r = 0;

  if (p == NULL || (p->backend = strdup (o->backend)) == NULL) {
    free (p);
    return qk_oom ("model");
  }
  p->threads = o->threads;
  p->batch = o->batch;
  if (m->file != NULL) {
    r = qk_model_read (m->ctx, m->file, m->size, &p->model);
    g = r == 0 ? p->model->graph : NULL;
  }
  if (r == 0)
    r = qk_exec_new (g, &exec, &p->ex);
  bytes = r == 0 ? qk_exec_memory (p->ex) : 0;
  if (m->max_memory > 0 && bytes > m->max_memory)
    r = qk_error (-ENOMEM,
                  "a session of %lld samples works in %zu bytes, expected at "
                  "most %llu",
                  (long long) o->batch, bytes,
                  (unsigned long long) m->max_memory);
  if (r < 0)
    qk_packed_free (p);
  else
    *out = p;
  return r;
}

/* The same, or what was packed before and can be shared.  *OWN: it is the
 * caller's alone. */
static int
find_packed (struct qk_infer *m, const struct qk_infer_options *o,
             struct qk_packed **out, bool *own)
{
  struct qk_packed *p;
  int r;

  for (p = m->packed; p != NULL; p = p->next)
    if (p->threads == o->threads && p->batch == o->batch
        && strcmp (p->backend, o->backend) == 0)
      break;
  *own = false;
  *out = p;
  if (p != NULL)
    return 0;
  if ((r = pack (m, o, &p)) < 0)
    return r;
  *own = !qk_exec_is_shared (p->ex);
  if (!*own) {
    p->next = m->packed;
    m->packed = p;
  }
  *out = p;
  return 0;
}

/* ---- sessions --------------------------------------------------------------
 */

int
qk_infer_scratch (struct qk_infer *m, const struct qk_infer_options *options,
                  size_t *bytes)
{
  struct qk_infer_options o;
  struct qk_packed *p;
  bool own;
  int r;

  pthread_mutex_lock (&m->lock);
  if ((r = take_options (m, options, &o)) == 0
      && (r = find_packed (m, &o, &p, &own)) == 0) {
    *bytes = qk_exec_memory (p->ex);
    if (own)
      qk_packed_free (p);
  }
  pthread_mutex_unlock (&m->lock);
  return r;
}

static int
check_scratch (const struct qk_infer_options *o, size_t bytes)
{
  if (o->scratch == NULL)
    return 0;
  if ((uintptr_t) o->scratch % 64 != 0)
    return qk_error (-EINVAL,
                     "the scratch memory is at %p, expected an address that "
                     "64 divides",
                     o->scratch);
  if (o->scratch_size < bytes)
    return qk_error (-EINVAL,
                     "the scratch memory has %zu bytes, expected %zu or more",
                     o->scratch_size, bytes);
  return 0;
}

static int
open_session (struct qk_infer_session *s, const struct qk_infer_options *o)
{
  const struct qk_graph *g = s->m->model->graph;
  int r;

  if ((r = find_packed (s->m, o, &s->packed, &s->own_packed)) < 0
      || (r = check_scratch (o, qk_exec_memory (s->packed->ex))) < 0
      || (r = qk_exec_share (s->packed->ex, o->scratch, &s->ex)) < 0)
    return r;
  s->in = calloc ((size_t) g->n_inputs + 1, sizeof *s->in);
  s->out = calloc ((size_t) g->n_outputs + 1, sizeof *s->out);
  return s->in == NULL || s->out == NULL ? qk_oom ("session") : 0;
}

int
qk_infer_session_new (struct qk_infer *m,
                      const struct qk_infer_options *options,
                      struct qk_infer_session **out)
{
  struct qk_infer_session *s = calloc (1, sizeof *s);
  struct qk_infer_options o;
  int r;

  if (s == NULL)
    return qk_oom ("session");
  s->m = m;
  pthread_mutex_lock (&m->lock);
  if ((r = take_options (m, options, &o)) == 0)
    r = open_session (s, &o);
  pthread_mutex_unlock (&m->lock);
  if (r < 0)
    qk_infer_session_free (s);
  else
    *out = s;
  return r;
}

void
qk_infer_session_free (struct qk_infer_session *s)
{
  if (s == NULL)
    return;
  qk_infer_close_worker (s);
  qk_exec_free (s->ex);
  if (s->own_packed)
    qk_packed_free (s->packed);
  free (s->in);
  free (s->out);
  free (s);
}

const char *
qk_infer_backend (const struct qk_infer_session *s)
{
  return s->packed->backend;
}

/* ---- running ---------------------------------------------------------------
 */

int
qk_infer_check_buffer (const struct qk_infer_tensor *t, const char *what,
                       const struct qk_infer_buffer *b, int64_t n)
{
  const bool bytes = t->spec.dtype == QK_U8, wide = t->spec.dtype == QK_U16;
  const size_t each = (size_t) qk_shape_count (&t->spec.shape);
  const size_t want = each * qk_dtype_size (b->dtype) * (size_t) n;

  if (b->dtype != QK_F32
      && !(bytes && (b->dtype == QK_U8 || b->dtype == QK_I8))
      && !(wide && b->dtype == QK_U16))
    return qk_error (-EINVAL, "%s '%s': dtype %s, expected %s", what,
                     t->spec.name, qk_dtype_name (b->dtype),
                     bytes  ? "u8, i8 or f32"
                     : wide ? "u16 or f32"
                            : "f32, as the network holds no integers there");
  if (b->data == NULL)
    return qk_error (-EINVAL, "%s '%s': no data", what, t->spec.name);
  if (b->size < want)
    return qk_error (-EINVAL,
                     "%s '%s': %zu bytes, expected %zu: %lld sample%s of %zu "
                     "elements, %s",
                     what, t->spec.name, b->size, want, (long long) n,
                     n == 1 ? "" : "s", each, qk_dtype_name (b->dtype));
  return 0;
}

/* The COUNT buffers B of a call, checked, as PORTS. */
static int
take_buffers (const struct qk_infer_tensor *t, const char *what,
              const struct qk_infer_buffer *b, int count, int64_t n,
              struct qk_exec_port *port)
{
  int i, r;

  for (i = 0; i < count; i++) {
    if ((r = qk_infer_check_buffer (&t[i], what, &b[i], n)) < 0)
      return r;
    port[i].dtype = b[i].dtype;
    port[i].data = b[i].data;
  }
  return 0;
}

int
qk_infer_run (struct qk_infer_session *s, const struct qk_infer_buffer *in,
              const struct qk_infer_buffer *out, int64_t n)
{
  const struct qk_infer *m = s->m;
  const struct qk_graph *g = m->model->graph;
  int r;

  if (n < 1 || n > s->packed->batch)
    return qk_error (-EINVAL, "%lld samples, expected 1 to %lld",
                     (long long) n, (long long) s->packed->batch);
  if ((r = take_buffers (m->input, "input", in, g->n_inputs, n, s->in)) < 0
      || (r = take_buffers (m->output, "output", out, g->n_outputs, n, s->out))
           < 0)
    return r;
  return qk_exec_run (s->ex, s->in, s->out, n);
}
