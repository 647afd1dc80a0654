/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ini.h: INI files, and configurations made from their sections.
 *
 *     ; a comment, as is # at the start of a line
 *     [qat]                     ; a comment after a space and ';'
 *       epochs = 8              ; keys may be indented
 *     note = "quoted; \"so\" "  ; keeps what would be cut off
 *     [qconfig features.17.*]   ; section names may have spaces and dots
 *     weight.bits = 4           ; and keys dots
 *
 * A section that appears twice is one section; a key that appears twice in
 * it is an error.  Typical use:
 *
 *     qk_ini_read ("run.ini", &ini);
 *     qk_ini_override (ini, "qat.epochs=2");          for every -o
 *     qk_ini_take (ini, "qat", qat_table, "", &cfg);  for every table
 *     qk_ini_check_unused (ini);                      nothing may be left
 *
 * All strings handed out are borrowed from the document and live as long as
 * it; an index is valid until the next override or set. */
#ifndef QK_OPTIONS_INI_H
#define QK_OPTIONS_INI_H

#include "qatkit/option.h"

struct qk_ini;

/* ---- making a document ------------------------------------------------ */

/* Read the file PATH.  On success *OUT belongs to the caller: qk_ini_free.
 * Errors name the file and the line; -EBADMSG for a fault in the text. */
int qk_ini_read (const char *path, struct qk_ini **out);

/* The same from the N bytes at TEXT; PATH is the name used in errors. */
int qk_ini_parse (const char *text, size_t n, const char *path,
                  struct qk_ini **out);

void qk_ini_free (struct qk_ini *ini); /* accepts NULL */

/* Set one key as the user's option -o asks, in one of the forms
 *     section.key=value     the section ends at the first dot:
 *                           "qat.epochs=2", "qconfig.weight.bits=4"
 *     section:key=value     the section ends at the last ':' before the '=':
 *                           "qconfig features.17.*:weight.bits=4"
 * The section is made if needed.  The value is taken as it is. */
int qk_ini_override (struct qk_ini *ini, const char *assignment);

/* Set one key, replacing what the file says; WHERE names the origin in
 * errors ("--threads"). */
int qk_ini_set (struct qk_ini *ini, const char *section, const char *key,
                const char *value, const char *where);

/* Take one key away, and its section with the last one. */
void qk_ini_unset (struct qk_ini *ini, const char *section, const char *key);

/* ---- looking at it ---------------------------------------------------- */

/* Sections in the order of the file, those made by overrides last. */
size_t qk_ini_sections (const struct qk_ini *ini);
const char *qk_ini_section (const struct qk_ini *ini, size_t i);

/* Keys of section I, in order. */
struct qk_ini_key {
  const char *key;
  const char *value;
  const char *where; /* "file.ini:12", "-o" */
};
size_t qk_ini_keys (const struct qk_ini *ini, size_t i);
struct qk_ini_key qk_ini_key (const struct qk_ini *ini, size_t i, size_t j);

/* The value of a key, NULL if it is not there.  Does not count as use. */
const char *qk_ini_get (const struct qk_ini *ini, const char *section,
                        const char *key);

/* The whole document as text that reads back the same, overrides included;
 * *OUT belongs to the caller: free. */
int qk_ini_text (const struct qk_ini *ini, char **out);

/* ---- using it --------------------------------------------------------- */

/* Make a configuration for TABLE (NULL: no options) from the keys of SECTION
 * that are PREFIX followed by a name of the table; other keys are left to
 * other tables.  PREFIX is "" or ends in a dot ("activation.observer.").  The
 * keys count as used, and all names of the table as known in this section,
 * for qk_ini_check_unused.  A section that is missing gives the defaults.
 * On success *OUT belongs to the caller: qk_config_free. */
int qk_ini_take (struct qk_ini *ini, const char *section,
                 const struct qk_option *table, const char *prefix,
                 struct qk_config **out);

/* The same from N sections at once, where a later section overrides an
 * earlier one key by key. */
int qk_ini_take_merged (struct qk_ini *ini, const char *const *sections,
                        size_t n, const struct qk_option *table,
                        const char *prefix, struct qk_config **out);

/* The sections that speak about NAME: "BASE" (also where the file has no
 * such section), then each "BASE PATTERN" or "BASE PATTERN, PATTERN" of which
 * a pattern matches, in order.
 * Returns how many (at least 1); *OUT is to be freed (the array only).  For
 * qk_ini_take_merged. */
int qk_ini_match (const struct qk_ini *ini, const char *base, const char *name,
                  const char ***out);

/* Keys of a table that are in order here but of no use to this command: they
 * become known and used without being checked. */
int qk_ini_allow (struct qk_ini *ini, const char *section,
                  const struct qk_option *table, const char *prefix);

/* After all tables had their turn: -EINVAL if a section or key is left that
 * nobody took, with one line for each: place, name, nearest known name. */
int qk_ini_check_unused (const struct qk_ini *ini);

/* What qk_ini_check_unused will say of a key that nobody took: "key 'KEY' in
 * [SECTION] NOTE".  Asked for with the note of the caller, which is copied. */
int qk_ini_note (struct qk_ini *ini, size_t section, size_t key,
                 const char *note);
/* Whether key KEY of section SECTION, by number, is one that nobody took. */
bool qk_ini_is_unused (const struct qk_ini *ini, size_t section, size_t key);

/* Whether NAME matches the shell pattern PATTERN, where '*' also matches
 * dots and slashes. */
bool qk_glob_match (const char *pattern, const char *name);

#endif /* QK_OPTIONS_INI_H */
