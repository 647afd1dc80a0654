/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli.h: what the subcommands of the program share. */
#ifndef QK_CLI_CLI_H
#define QK_CLI_CLI_H

#include <stdio.h>

#include <qatkit/context.h>

#include "run/run.h"
#include "model/modelfile.h"

#define QK_EXIT_OK 0
#define QK_EXIT_FAILURE 1
#define QK_EXIT_USAGE 2
#define QK_EXIT_INTERRUPTED 130

struct qk_vectors;

/* The options of a command line, and who follows the work. */
struct qk_cli {
  struct qk_context *ctx;
  struct qk_monitor monitor;
  const char *command;
  bool quiet, json, resume, overwrite, verbose;
  bool tables;          /* --per-class */
  const char *backend;  /* --backend */
  const char *format;   /* --format */
  const char *model;    /* --model */
  const char *output;   /* --output */
  const char *onnx;     /* --onnx */
  const char *tflite;   /* --tflite */
  const char *form;     /* --form */
  const char *io;       /* --io */
  const char *weights;  /* --weights */
  const char *c_folder; /* --c */
  const char *prefix;   /* --prefix */
  bool split, no_float; /* --split, --no-float */
  long selftest;        /* --selftest */
  long test_vectors;    /* --test-vectors */
  const char *threads;  /* --threads */
  long limit;           /* --batches */
  struct {
    bool train, layers;
    const char *backends, *threads, *batches; /* lists */
    const char *seconds, *runs, *size, *classes, *mode;
  } bench;
  long samples;             /* --samples */
  const char *goal;         /* --goal */
  long trials;              /* --trials */
  const char *minimize;     /* --minimize */
  const char *json_file;    /* --json FILE */
  const char *html;         /* --html */
  const char *data;         /* --data */
  const char *save_outputs; /* --save-outputs */
  char **input;             /* --input */
  int n_input;
  char **override; /* -o */
  int n_override;
  char **arg; /* what is left */
  int n_args;
};

struct qk_command {
  const char *name;
  const char *arguments;
  const char *summary;
  const char *help;    /* further lines */
  const char *options; /* letters of the options it takes, see main.c */
  int (*run) (struct qk_cli *cli);
  bool shared; /* several processes share the work */
};

/* Print the sentence recorded last; returns the exit status for R. */
int qk_cli_fail (struct qk_cli *cli, int r);

/* Print a sentence about wrong usage; returns QK_EXIT_USAGE. */
int qk_cli_usage (struct qk_cli *cli, const char *fmt, ...) QK_PRINTF (2, 3);

/* Read NAME (found in the configuration folders when it has no '/'), apply
 * the overrides.  NAME NULL: the default story. */
int qk_cli_ini (struct qk_cli *cli, const char *name, struct qk_ini **out);

/* Put what the command line says into INI. */
int qk_cli_apply_options (struct qk_cli *cli, struct qk_ini *ini);

/* The same from the text a checkpoint or model carries.  Paths of plugins in
 * it are refused from then on, unless the command line has them too. */
int qk_cli_ini_text (struct qk_cli *cli, const char *text, const char *path,
                     struct qk_ini **out);

/* Bytes that the parameters of a network built as PATH says may take: an int8
 * model or checkpoint has at least a byte for each. */
int64_t qk_cli_max_params (const char *path);

/* What FILE names: an int8 model with the settings it carries, or (*model NULL)
 * the settings of a configuration.  Both belong to the caller. */
int qk_cli_open (struct qk_cli *cli, const char *file,
                 struct qk_settings **settings, struct qk_model **model);

/* The float network of a settings, as its model builds it, with its weights; every
 * key of the configuration is checked. */
int qk_cli_float (struct qk_settings *settings,
                  const struct qk_dataset_info *info, struct qk_graph **out);

/* Check the keys that -o gave to the configuration of a model. */
int qk_cli_check_keys (struct qk_settings *settings,
                       const struct qk_dataset_info *info);

/* The prepared network of checkpoint C: fills settings, eval, g and m of RUN,
 * which is zeroed before; to be freed, also after a failure, with
 * qk_cli_close_run. */
int qk_cli_restore (struct qk_cli *cli, const struct qk_checkpoint *c,
                    struct qk_run *run);
void qk_cli_close_run (struct qk_run *run);

/* Join the other processes, if there are any, for work that they share: all
 * must have the same command and settings, and only the first one talks. */
int qk_cli_join (struct qk_cli *cli, struct qk_settings *settings);
/* Leave the settings.  After an error R the other processes cannot go on. */
void qk_cli_leave (struct qk_cli *cli, struct qk_settings *settings, int r);

/* Whether this is the first process, which does alone what is not shared. */
int qk_cli_is_first (struct qk_cli *cli, bool *first);

/* PATH, which the user typed, with the symbolic link at its end followed: what
 * the library writes replaces files and follows none.  To be freed; NULL with
 * an error recorded. */
char *qk_cli_follow (const char *path);

/* Whether PATH is a file that a model plugin reads networks from: the
 * plugin's name, borrowed from CTX, else NULL. */
const char *qk_cli_network_of (struct qk_cli *cli, const char *path);

/* The configuration for such a file by itself, with the options applied; with
 * --data also that of the samples and of what it is trained for. */
int qk_cli_network_ini (struct qk_cli *cli, const char *path,
                        struct qk_ini **out);

/* Put the folder of images that --data names into INI, a configuration; STORY:
 * the one that is taken where none is named. */
int qk_cli_ini_data (struct qk_cli *cli, struct qk_ini *ini, bool story);

/* The float network of such a file, whatever the data, and its settings; both
 * belong to the caller. */
int qk_cli_network (struct qk_cli *cli, const char *path,
                    struct qk_settings **settings, struct qk_graph **out);

/* predict with arrays, not samples of a dataset, going in and coming out:
 * whether the command line asks for it, and doing it. */
bool qk_cli_wants_arrays (struct qk_cli *cli);
int qk_cli_predict_arrays (struct qk_cli *cli);

/* The table of results on stdout, or JSON. */
int qk_cli_print_results (struct qk_cli *cli, const struct qk_run *run);

int qk_cmd_run (struct qk_cli *cli);
int qk_cmd_train (struct qk_cli *cli);
int qk_cmd_ptq (struct qk_cli *cli);
int qk_cmd_qat (struct qk_cli *cli);
int qk_cmd_compare (struct qk_cli *cli);
int qk_cmd_eval (struct qk_cli *cli);
int qk_cmd_predict (struct qk_cli *cli);
int qk_cmd_verify (struct qk_cli *cli);
int qk_cmd_bench (struct qk_cli *cli);
int qk_cmd_analyze (struct qk_cli *cli);
int qk_cmd_tune (struct qk_cli *cli);
int qk_cmd_inspect (struct qk_cli *cli);
int qk_cmd_plugins (struct qk_cli *cli);
int qk_cmd_export (struct qk_cli *cli);
/* export --c, in export-c.c */
int qk_cli_export_c (struct qk_cli *cli);
/* What M computes of the first N samples (or as many as there are) of the
 * validation set of SETTINGS, which it was made with; *OUT is to be cleared, also
 * on failure.  In export-vectors.c. */
int qk_cli_vectors (struct qk_settings *settings, struct qk_model *m, long n,
                    struct qk_vectors *out);
#define QK_CLI_MOST_VECTORS 1000
int qk_cmd_convert (struct qk_cli *cli);

#endif /* QK_CLI_CLI_H */
