/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* option.h: what a component can be told, declared as a table. */
#ifndef QATKIT_OPTION_H
#define QATKIT_OPTION_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qk_option_type {
  QK_OPT_INT = 1,    /* decimal integer, min <= v <= max */
  QK_OPT_FLOAT = 2,  /* decimal floating point, min <= v <= max, finite */
  QK_OPT_BOOL = 3,   /* yes/no, true/false, on/off, 1/0 */
  QK_OPT_STRING = 4, /* any text */
  QK_OPT_CHOICE = 5, /* one of choices */
  QK_OPT_PATH = 6,   /* a file or folder name; "~/" is expanded */
  QK_OPT_FLOATS = 7  /* comma separated floats, each min <= v <= max */
};

/* One row; a table ends with a row whose name is NULL.  With min == max the
 * range is not checked.  def is the default as text; NULL makes the option
 * required, "" for STRING and PATH means "not given". */
struct qk_option {
  const char *name;
  enum qk_option_type type;
  const char *def;
  double min, max;
  const char *const *choices; /* NULL-terminated, for QK_OPT_CHOICE */
  const char *help;           /* one sentence, unit included */
};

/* Checked values for one table.  Opaque; made by the library and borrowed by
 * the component for the duration of create: copy what you keep. */
struct qk_config;

/* Getters for options the table declares; asking for a name or type it does
 * not declare is a bug of the component and reads as 0, "" or NULL. */
QK_PUBLIC int64_t qk_config_int (const struct qk_config *cfg,
                                 const char *name);
QK_PUBLIC double qk_config_float (const struct qk_config *cfg,
                                  const char *name);
QK_PUBLIC bool qk_config_bool (const struct qk_config *cfg, const char *name);
/* STRING, CHOICE and PATH.  Borrowed, lives as long as cfg. */
QK_PUBLIC const char *qk_config_string (const struct qk_config *cfg,
                                        const char *name);
/* FLOATS: copies at most MAX values to OUT, returns how many there are. */
QK_PUBLIC int qk_config_floats (const struct qk_config *cfg, const char *name,
                                float *out, int max);
/* Whether the user gave the option (rather than the default standing). */
QK_PUBLIC bool qk_config_given (const struct qk_config *cfg, const char *name);
/* Where the value was given, "file.ini:12", "-o", "default". Borrowed. */
QK_PUBLIC const char *qk_config_where (const struct qk_config *cfg,
                                       const char *name);

/* Make a configuration from "key=value key=value" (values without spaces, or
 * in double quotes).  WHERE names the origin in errors.  On success *OUT
 * belongs to the caller: qk_config_free.  Errors: -EINVAL for an unknown
 * key (the nearest known one is named), a bad or out-of-range value, a
 * missing required option. */
QK_PUBLIC int qk_config_parse (const struct qk_option *table, const char *text,
                               const char *where, struct qk_config **out);
QK_PUBLIC void qk_config_free (struct qk_config *cfg);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_OPTION_H */
