/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.c: tables of metrics, printed and as JSON. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/table.h"
#include "train/tables.h"

#define WIDE 16 /* rows of a matrix that is printed as it is */
#define MOST 20 /* of its numbers otherwise */

/* The table of one metric. */
struct view {
  const struct qk_metric_class *cls;
  void *self;
  const double *sums;
  const struct qk_tensor_spec *ref; /* what its rows are named after */
  int64_t rows;
  int columns;
  const struct qk_score_spec *column;
  bool matrix;
};

/* Whether metric M of O has a table of what T has seen. */
static bool
open_view (const struct qk_objective *o, const struct qk_tally *t, int m,
           struct view *v)
{
  const struct qk_objective_metric *om = &o->metric[m];
  const struct qk_metric_table *table = om->cls->table;

  if (table == NULL || !qk_tally_knows (t, o, m))
    return false;
  memset (v, 0, sizeof *v);
  v->cls = om->cls;
  v->self = om->self;
  v->sums = t->sums + om->at;
  v->ref = om->c.n_ref > 0 ? qk_objective_reference (o, om->c.ref[0]) : NULL;
  v->rows = table->rows (v->self);
  v->column = table->columns (v->self, &v->columns);
  v->matrix = table->taken != NULL && v->rows > 0
              && !isnan (table->taken (v->self, v->sums, 0, 0));
  return v->rows > 0 && v->columns > 0 && v->columns <= QK_METRIC_MAX_COLUMNS;
}

/* What row ROW is called, borrowed or in BUF. */
static const char *
row_name (const struct view *v, int64_t row, char *buf, size_t size)
{
  if (v->ref != NULL && v->ref->category != NULL && row < v->ref->categories)
    return v->ref->category[row];
  snprintf (buf, size, "%lld", (long long) row);
  return buf;
}

bool
qk_tables_any (const struct qk_objective *o)
{
  for (int i = 0; i < o->n_metrics; i++)
    if (o->metric[i].cls->table != NULL)
      return true;
  return false;
}

/* ---- JSON ----------------------------------------------------------------- */

static json_t *
row_to_json (const struct view *v, int64_t row)
{
  double cell[QK_METRIC_MAX_COLUMNS];
  json_t *j = json_object ();
  char buf[24];

  v->cls->table->row (v->self, v->sums, row, cell);
  qk_json_set (&j, "name",
               qk_json_string (row_name (v, row, buf, sizeof buf)));
  for (int c = 0; c < v->columns; c++)
    qk_json_set (&j, v->column[c].name,
                 v->column[c].digits == 0 && !v->column[c].percent
                     && isfinite (cell[c])
                   ? json_integer ((json_int_t) cell[c])
                   : qk_json_real (cell[c]));
  return j;
}

static json_t *
view_to_json (const struct view *v)
{
  json_t *j = json_object (), *rows = json_array (), *matrix = json_array ();

  for (int64_t r = 0; r < v->rows; r++)
    qk_json_append (&rows, row_to_json (v, r));
  for (int64_t r = 0; v->matrix && r < v->rows; r++) {
    json_t *line = json_array ();

    for (int64_t c = 0; c < v->rows; c++)
      qk_json_append (&line, json_integer ((json_int_t) v->cls->table->taken (
                               v->self, v->sums, r, c)));
    qk_json_append (&matrix, line);
  }
  qk_json_set (&j, "metric", qk_json_string (v->cls->cls.name));
  qk_json_set (&j, "rows", rows);
  if (v->matrix)
    qk_json_set (&j, "matrix", matrix);
  else
    json_decref (matrix);
  return j;
}

json_t *
qk_tables_to_json (const struct qk_objective *o, const struct qk_tally *t)
{
  json_t *all = json_array ();
  struct view v;

  for (int i = 0; i < o->n_metrics; i++)
    if (open_view (o, t, i, &v))
      qk_json_append (&all, view_to_json (&v));
  return all;
}

/* ---- for people ----------------------------------------------------------- */

static int
print_rows (const struct view *v, FILE *out)
{
  const char *title[QK_METRIC_MAX_COLUMNS + 1];
  char head[QK_METRIC_MAX_COLUMNS][64], buf[64];
  struct qk_table *t;
  int r;

  title[0] = v->cls->cls.name;
  for (int c = 0; c < v->columns; c++) {
    const struct qk_score_spec *s = &v->column[c];

    snprintf (head[c], sizeof head[c], "%s%s",
              s->title != NULL ? s->title : s->name, s->percent ? " %" : "");
    title[c + 1] = head[c];
  }
  if ((r = qk_table_new (title, v->columns + 1, &t)) < 0)
    return r;
  for (int64_t row = 0; row < v->rows; row++) {
    double cell[QK_METRIC_MAX_COLUMNS];

    v->cls->table->row (v->self, v->sums, row, cell);
    qk_table_cell (t, "%s", row_name (v, row, buf, sizeof buf));
    for (int c = 0; c < v->columns; c++)
      qk_table_cell (t, "%s",
                     qk_score_print (&v->column[c], cell[c], buf, sizeof buf));
  }
  r = qk_table_print (t, out);
  qk_table_free (t);
  return r;
}

/* The matrix as it is: rows are what is meant, columns what was answered. */
static int
print_matrix (const struct view *v, FILE *out)
{
  const char *title[WIDE + 1] = { "meant \\ answered" };
  char name[WIDE][24], buf[24];
  struct qk_table *t;
  int r;

  for (int64_t c = 0; c < v->rows; c++)
    title[c + 1] = row_name (v, c, name[c], sizeof name[c]);
  if ((r = qk_table_new (title, (int) v->rows + 1, &t)) < 0)
    return r;
  for (int64_t row = 0; row < v->rows; row++) {
    qk_table_cell (t, "%s", row_name (v, row, buf, sizeof buf));
    for (int64_t c = 0; c < v->rows; c++)
      qk_table_cell (t, "%.0f",
                     v->cls->table->taken (v->self, v->sums, row, c));
  }
  r = qk_table_print (t, out);
  qk_table_free (t);
  return r;
}

/* A number of the matrix off its diagonal. */
struct mistake {
  int64_t row, other;
  double n;
};

/* Its largest numbers, the largest first, of equal ones the first; returns how
 * many. */
static int
find_mistakes (const struct view *v, struct mistake *out)
{
  int n = 0;

  for (int64_t r = 0; r < v->rows; r++)
    for (int64_t c = 0; c < v->rows; c++) {
      const double x
        = r == c ? 0 : v->cls->table->taken (v->self, v->sums, r, c);
      int at = n < MOST ? n : MOST - 1;

      if (!(x > 0) || (n == MOST && x <= out[MOST - 1].n))
        continue;
      n = at + 1;
      for (; at > 0 && out[at - 1].n < x; at--)
        out[at] = out[at - 1];
      out[at] = (struct mistake){ r, c, x };
    }
  return n;
}

static int
print_mistakes (const struct view *v, FILE *out)
{
  static const char *const title[]
    = { "most often: meant", "answered", "count" };
  struct mistake m[MOST];
  const int n = find_mistakes (v, m);
  struct qk_table *t;
  char buf[24];
  int r;

  if (n == 0)
    return 0;
  if ((r = qk_table_new (title, 3, &t)) < 0)
    return r;
  for (int i = 0; i < n; i++) {
    qk_table_cell (t, "%s", row_name (v, m[i].row, buf, sizeof buf));
    qk_table_cell (t, "%s", row_name (v, m[i].other, buf, sizeof buf));
    qk_table_cell (t, "%.0f", m[i].n);
  }
  r = qk_table_print (t, out);
  qk_table_free (t);
  return r;
}

int
qk_tables_print (const struct qk_objective *o, const struct qk_tally *t,
                 FILE *out)
{
  struct view v;
  int r = 0;

  for (int i = 0; r == 0 && i < o->n_metrics; i++) {
    if (!open_view (o, t, i, &v))
      continue;
    fputc ('\n', out);
    if ((r = print_rows (&v, out)) < 0 || !v.matrix)
      continue;
    fputc ('\n', out);
    r = v.rows <= WIDE ? print_matrix (&v, out) : print_mistakes (&v, out);
  }
  return r;
}
