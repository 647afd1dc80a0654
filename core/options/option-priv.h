/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* option-priv.h: making checked configurations from keys and values. */
#ifndef QK_OPTIONS_OPTION_PRIV_H
#define QK_OPTIONS_OPTION_PRIV_H

#include "qatkit/option.h"

/* One key with its value, all borrowed. */
struct qk_config_item {
  const char *key;
  const char *value;
  const char *where;   /* "file.ini:12" */
  const char *section; /* "[qat] "; NULL: that of the origin */
};

/* How errors speak of a configuration. */
struct qk_config_origin {
  const char *where;   /* of what is missing: "file.ini" */
  const char *section; /* "[qat] " or "" */
  const char *prefix;  /* put before the table's names: "observer." or "" */
};

/* Make a configuration from N items whose keys lack the prefix.  Keys must
 * be in the table and occur once.  A NULL table has no options.  On success
 * *OUT belongs to the caller: qk_config_free. */
int qk_config_new (const struct qk_option *table,
                   const struct qk_config_item *items, size_t n,
                   const struct qk_config_origin *origin,
                   struct qk_config **out);

/* The row NAME of a table, NULL if there is none or the table is NULL. */
const struct qk_option *qk_option_find (const struct qk_option *table,
                                        const char *name);

/* Check a table itself: names, types, choices, and defaults that satisfy
 * their own rows.  For the loader of plugins. */
int qk_option_check_table (const struct qk_option *table);

/* What a row accepts, "an integer in 1..8", into BUF; returns BUF.  For
 * errors and help. */
const char *qk_option_expects (const struct qk_option *row, char *buf,
                               size_t size);

/* ERR, an error of the component that has CFG from SECTION.  Where its
 * sentence speaks of the value of a text that the user gave, or of a path that
 * cannot be opened, and not of its key, the key and where it was given are put
 * in front. */
int qk_config_blame (const struct qk_config *cfg, const char *section,
                     int err);

/* Decode the text in double quotes that starts at *S (at the quote) into
 * OUT, at most as long as the text; \" and \\ stand for " and \.  *S moves
 * behind the closing quote.  -EINVAL, without a sentence, if there is
 * none. */
int qk_unquote (const char **s, char *out);

#endif /* QK_OPTIONS_OPTION_PRIV_H */
