/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor.c: passes what happens in a run on to those who follow it. */
#include "config.h"

#include <string.h>

#include "base/called.h"
#include "train/monitor.h"

#define MAX_FIELDS (24 + QK_MAX_SCORES)

bool
qk_monitor_stopped (const struct qk_monitor *m)
{
  return (m->stop != NULL && __atomic_load_n (m->stop, __ATOMIC_RELAXED) != 0)
         || (m->stop_after > 0 && m->steps >= m->stop_after)
         || (m->deadline > 0 && qk_seconds () >= m->deadline);
}

/* The fields that ARGS name, after those EV has. */
static void
add_fields (struct qk_event *ev, struct qk_field *field, va_list args)
{
  const char *key;

  while (ev->n < MAX_FIELDS && (key = va_arg (args, const char *)) != NULL) {
    struct qk_field *f = &field[ev->n++];

    f->key = key + 2;
    switch (key[0]) {
    case 'i':
      f->type = QK_FIELD_INT;
      f->i = va_arg (args, int64_t);
      break;
    case 'f':
      f->type = QK_FIELD_FLOAT;
      f->f = va_arg (args, double);
      break;
    default:
      f->type = QK_FIELD_STRING;
      f->s = va_arg (args, const char *);
      break;
    }
  }
}

static int
send (struct qk_monitor *m, const struct qk_event *ev)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < m->n_reporters; i++)
    r = QK_CALLED (&m->reporter[i]->cls, "event",
                   m->reporter[i]->event (m->reporter_self[i], ev));
  return r;
}

int
qk_monitor_event (struct qk_monitor *m, const char *name, ...)
{
  struct qk_field field[MAX_FIELDS];
  struct qk_event ev = { name, 0, field, strcmp (name, "timing") == 0 };
  va_list args;

  memset (field, 0, sizeof field);
  va_start (args, name);
  add_fields (&ev, field, args);
  va_end (args);
  return send (m, &ev);
}

int
qk_monitor_scores (struct qk_monitor *m, const char *name,
                   const struct qk_objective *o, const struct qk_scores *s,
                   ...)
{
  struct qk_field field[MAX_FIELDS];
  struct qk_event ev = { name, 0, field, false };
  va_list args;
  int i;

  memset (field, 0, sizeof field);
  va_start (args, s);
  add_fields (&ev, field, args);
  va_end (args);
  for (i = 0; i <= o->n_scores && ev.n < MAX_FIELDS; i++) {
    struct qk_field *f = &field[ev.n++];

    f->type = QK_FIELD_FLOAT;
    f->key = i < o->n_scores ? o->score[i].name : "loss";
    f->f = i < o->n_scores ? s->value[i] : s->loss;
  }
  return send (m, &ev);
}

void
qk_monitor_close (struct qk_monitor *m)
{
  int i;

  for (i = 0; i < m->n_reporters; i++)
    m->reporter[i]->destroy (m->reporter_self[i]);
  m->n_reporters = 0;
}
