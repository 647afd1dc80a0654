/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor.c: passes what happens in a run on to those who follow it. */
#include "config.h"

#include <string.h>

#include "train/monitor.h"

#define MAX_FIELDS 24

bool
qk_monitor_stopped (const struct qk_monitor *m)
{
  return (m->stop != NULL && *m->stop != 0)
         || (m->stop_after > 0 && m->steps >= m->stop_after);
}

int
qk_monitor_event (struct qk_monitor *m, const char *name, ...)
{
  struct qk_field field[MAX_FIELDS];
  struct qk_event ev = { name, 0, field, strcmp (name, "timing") == 0 };
  const char *key;
  va_list args;
  int i, r;

  memset (field, 0, sizeof field);
  va_start (args, name);
  while (ev.n < MAX_FIELDS && (key = va_arg (args, const char *)) != NULL) {
    struct qk_field *f = &field[ev.n++];

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
  va_end (args);
  for (i = 0; i < m->n_reporters; i++)
    if ((r = m->reporter[i]->event (m->reporter_self[i], &ev)) < 0)
      return r;
  return 0;
}

void
qk_monitor_close (struct qk_monitor *m)
{
  int i;

  for (i = 0; i < m->n_reporters; i++)
    m->reporter[i]->destroy (m->reporter_self[i]);
  m->n_reporters = 0;
}
