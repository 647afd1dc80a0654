/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ini-priv.h: what an INI document holds. */
#ifndef QK_OPTIONS_INI_PRIV_H
#define QK_OPTIONS_INI_PRIV_H

#include "options/ini.h"

/* More sections and keys than this are refused: a file that is no
 * configuration shall not keep anybody waiting. */
#define QK_INI_MAX_ENTRIES 10000

struct qk_ini_entry {
  char *key;
  char *value;
  char *where;
  char *note; /* for qk_ini_check_unused; NULL: none */
  bool used;
};

struct qk_ini_section {
  char *name;
  char *where;
  struct qk_ini_entry *entry;
  size_t n;
  bool *matched; /* by pattern in its name; NULL: none has matched yet */
};

/* A name some table declared; key NULL: the section itself. */
struct qk_ini_known {
  char *section;
  char *key;
};

struct qk_ini {
  char *path;
  struct qk_ini_section *section;
  size_t n;
  size_t entries; /* sections and keys in all */
  struct qk_ini_known *known;
  size_t n_known;
};

struct qk_ini *qk_ini_new (const char *path); /* NULL: out of memory */

struct qk_ini_section *qk_ini_find_section (const struct qk_ini *ini,
                                            const char *name);
struct qk_ini_entry *qk_ini_find_key (const struct qk_ini_section *section,
                                      const char *key);

/* Find or make a section; *NAME must be tidy.  Errors come without a
 * place. */
int qk_ini_add_section (struct qk_ini *ini, const char *name,
                        const char *where, struct qk_ini_section **out);
/* Append a key that is not there yet. */
int qk_ini_add_key (struct qk_ini *ini, struct qk_ini_section *section,
                    const char *key, const char *value, const char *where);

/* Trim the name and reduce inner space to single spaces, in place; -EINVAL
 * with a sentence if it cannot be a section's or key's name. */
int qk_ini_tidy_section (char *name);
int qk_ini_tidy_key (char *key);

/* Whether a character other than a tab is below space: no part of a text. */
bool qk_ini_has_control (const char *s);

/* Cut space off both ends, in place; returns the start. */
char *qk_ini_trim (char *s);

#endif /* QK_OPTIONS_INI_PRIV_H */
