/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench.h: what the files of the bench command share. */
#ifndef QK_CLI_BENCH_H
#define QK_CLI_BENCH_H

#include "bench/infer.h"
#include "cli/cli.h"
#include "model/modelfile.h"

#define QK_BENCH_FLOAT "float" /* in place of a backend */
#define QK_BENCH_LIST 16       /* longest list of an option */

struct qk_bench_list {
  int n;
  long value[QK_BENCH_LIST];
};

/* The command line. */
struct qk_bench_settings {
  struct qk_cli *cli;
  struct qk_bench_list threads, batch;
  double seconds;
  long runs, size, classes; /* 0: not given; classes has a default */
  int n_names;
  const char *name[QK_BENCH_LIST];
  char *names; /* owned, what name points into */
};

/* The network that is measured. */
struct qk_bench_subject {
  struct qk_model *model;       /* owned; NULL unless from a file */
  struct qk_settings *settings; /* owned; may be NULL */
  struct qk_graph *int8;        /* the model's, or owned */
  struct qk_graph *float_g;     /* owned; NULL if not needed */
  double load;                  /* seconds that opening the file took */
};

bool qk_bench_is_ini (const char *name);
bool qk_bench_is_file (const char *name);

/* The configuration: of the file named, or for a model plugin, with the
 * options applied; random samples where asked for. */
int qk_bench_ini (const struct qk_bench_settings *s, struct qk_ini **out);

/* ---- bench-report.c: table and JSON --------------------------------- */

/* One line of the table: a case that ran, or the sentence why not. */
struct qk_bench_row {
  const char *name;
  int threads;
  long batch;
  struct qk_bench_case *c; /* NULL: it cannot run */
  char *error;
};

struct qk_bench_report;

/* Begin; the JSON file is made now, so that a wrong name is told first. */
int qk_bench_report_new (const struct qk_bench_settings *s,
                         const struct qk_bench_subject *b,
                         struct qk_bench_report **out);
int qk_bench_report_row (struct qk_bench_report *p,
                         const struct qk_bench_row *row);
/* Print the table, end the JSON.  *FAILED: a row could not run. */
int qk_bench_report_end (struct qk_bench_report *p, bool *failed);
void qk_bench_report_free (struct qk_bench_report *p); /* accepts NULL */

/* bench --train; returns the exit status. */
int qk_bench_train_command (struct qk_bench_settings *s);

/* Where --json says: a new file, stdout for "-", NULL without it. */
int qk_bench_json_open (struct qk_cli *cli, FILE **out);
int qk_bench_json_close (struct qk_cli *cli, FILE *out, int r);

#endif /* QK_CLI_BENCH_H */
