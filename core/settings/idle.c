/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idle.c: keys that are options of plugins which are not in use. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options/option-priv.h"
#include "plugin/loader-priv.h"
#include "settings/settings.h"

/* Keys that begin with PREFIX in sections SECTION (of parts: also [SECTION
 * PATTERN]) are options of the plugin of KIND that key NAME names; a prefix
 * "*." stands for the plugin itself. */
static const struct place {
  const char *section;
  bool parts;
  const char *prefix;
  enum qk_kind kind;
  const char *name;
} places[] = {
  { "model", false, "", QK_KIND_MODEL, "arch" },
  { "data", false, "", QK_KIND_DATASET, "dataset" },
  { "train optimizer", false, "", QK_KIND_OPTIMIZER, "name" },
  { "train schedule", false, "", QK_KIND_SCHEDULE, "name" },
  { "optimizer", false, "", QK_KIND_OPTIMIZER, "name" },
  { "schedule", false, "", QK_KIND_SCHEDULE, "name" },
  { "loss", true, "", QK_KIND_LOSS, "name" },
  { "metric", true, "", QK_KIND_METRIC, "name" },
  { "ptq", false, "activation.observer.", QK_KIND_OBSERVER,
    "activation.observer" },
  { "ptq", false, "weight.observer.", QK_KIND_OBSERVER, "weight.observer" },
  { "ptq", false, "*.", QK_KIND_PTQ, "methods" },
  { "qconfig", true, "activation.observer.", QK_KIND_OBSERVER,
    "activation.observer" },
  { "qconfig", true, "weight.observer.", QK_KIND_OBSERVER, "weight.observer" },
  { "qconfig", true, "activation.fakequant.", QK_KIND_FAKEQUANT,
    "activation.fakequant" },
  { "qconfig", true, "weight.fakequant.", QK_KIND_FAKEQUANT,
    "weight.fakequant" },
};

static bool
is_section (const struct place *p, const char *section)
{
  const size_t n = strlen (p->section);

  return strncmp (section, p->section, n) == 0
         && (section[n] == '\0' || (p->parts && section[n] == ' '));
}

/* The option that KEY is by place P of the plugin CLS; NULL: of none. */
static const char *
option_of (const struct place *p, const char *key, const struct qk_class *cls)
{
  const bool own = strcmp (p->prefix, "*.") == 0;
  const char *prefix = own ? cls->name : p->prefix;
  const size_t n = strlen (prefix);

  if (strncmp (key, prefix, n) != 0 || (own && key[n] != '.'))
    return NULL;
  return qk_option_find (cls->options, key + n + own) ? key + n + own : NULL;
}

/* The names of the installed plugins that have the option which KEY is by
 * place P, with commas between; "" if there are none. */
static int
find_plugins (struct qk_settings *settings, const struct place *p,
              const char *key, char *buf, size_t size)
{
  const struct qk_class *c;
  size_t used = 0;
  char **list;
  int r = qk_context_list (settings->ctx, p->kind, &list);

  buf[0] = '\0';
  if (r < 0)
    return r;
  for (char **name = list; *name != NULL && used < size; name++)
    if (qk_context_class (settings->ctx, p->kind, *name, &c) == 0
        && option_of (p, key, c) != NULL)
      used += (size_t) snprintf (buf + used, size - used, "%s%s",
                                 used > 0 ? ", " : "", c->name);
  qk_names_free (list);
  return 0;
}

static int
note_key (struct qk_settings *settings, size_t section, size_t key)
{
  const struct qk_ini_key k = qk_ini_key (settings->ini, section, key);
  char names[200], note[400];
  int r = 0;

  for (size_t i = 0; r == 0 && i < sizeof places / sizeof *places; i++) {
    const struct place *p = &places[i];

    if (!is_section (p, qk_ini_section (settings->ini, section)))
      continue;
    r = find_plugins (settings, p, k.key, names, sizeof names);
    if (r < 0 || names[0] == '\0')
      continue;
    snprintf (note, sizeof note,
              "is an option of %s plugin %s, which '%s' does not name: name "
              "it there, or leave the key out",
              qk_kind_name (p->kind), names, p->name);
    return qk_ini_note (settings->ini, section, key, note);
  }
  return r;
}

int
qk_settings_note_idle (struct qk_settings *settings)
{
  int r = 0;

  for (size_t i = 0; i < qk_ini_sections (settings->ini); i++)
    for (size_t j = 0; r == 0 && j < qk_ini_keys (settings->ini, i); j++)
      if (qk_ini_is_unused (settings->ini, i, j))
        r = note_key (settings, i, j);
  return r;
}
