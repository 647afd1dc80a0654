/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.h: the tables that metrics have besides their scores, for people and
 * as JSON. */
#ifndef QK_TRAIN_TABLES_H
#define QK_TRAIN_TABLES_H

#include <stdio.h>

#include "base/json.h"
#include "train/objective.h"

/* Whether a metric of O has a table. */
bool qk_tables_any (const struct qk_objective *o);

/* Those of what T has seen, as an array of objects: "metric", "rows" (an object
 * each: "name", then its columns) and "matrix", rows of counts, where the
 * metric has one.  NULL when out of memory. */
json_t *qk_tables_to_json (const struct qk_objective *o,
                           const struct qk_tally *t);

/* Print them; of a matrix that is too wide for a terminal its largest numbers
 * off the diagonal. */
int qk_tables_print (const struct qk_objective *o, const struct qk_tally *t,
                     FILE *out);

#endif /* QK_TRAIN_TABLES_H */
