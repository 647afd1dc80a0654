/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-export.c: networks as ONNX, TFLite or C, samples as JPEG folders. */
#include "config.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/suffix.h"
#include "cli/cli.h"
#include "model/network.h"
#include "options/ini.h"

/* ---- a network ----------------------------------------------------------------- */

/* The file that the command line names for a network, and the format's name. */
static const char *
file_of (const struct qk_cli *cli)
{
  return cli->onnx != NULL ? cli->onnx : cli->tflite;
}

static const char *
format_of (const struct qk_cli *cli)
{
  return cli->onnx != NULL ? "onnx" : "tflite";
}

/* KEY of the format, which the command line may have given as OPTION. */
static int
set_option (struct qk_ini *options, const char *key, const char *value,
            const char *option)
{
  return value == NULL
           ? 0
           : qk_ini_set (options, QK_NETWORK_OPTIONS, key, value, option);
}

/* G in the form that the command line asks for. */
static int
write_network (const struct qk_cli *cli, const struct qk_graph *g,
               const struct qk_model_info *info)
{
  struct qk_ini *options = NULL;
  char *out = NULL;
  int r;

  if (cli->form == NULL && cli->io == NULL && cli->weights == NULL)
    r = 0;
  else if ((r = qk_ini_parse ("", 0, "the command line", &options)) == 0
           && (r = set_option (options, "form", cli->form, "--form")) == 0
           && (r = set_option (options, "weights", cli->weights, "--weights"))
                == 0)
    r = set_option (options, "io", cli->io, "--io");
  if (r == 0 && (out = qk_cli_follow (file_of (cli))) == NULL)
    r = -ENOENT;
  if (r == 0)
    r = qk_network_write (g, info, out, format_of (cli), options);
  free (out);
  qk_ini_free (options);
  return r;
}

/* Files beside the network: what M computes of samples, as its program gives and
 * gets them. */
static int
write_vectors (const struct qk_cli *cli, struct qk_settings *settings,
               struct qk_model *m, const struct qk_model_info *info)
{
  char options[40], *out = qk_cli_follow (file_of (cli));
  struct qk_vectors vectors = { 0 };
  int r;

  if (out == NULL)
    return -ENOENT;
  snprintf (options, sizeof options, "io=%s",
            cli->io != NULL ? cli->io : "float");
  if ((r = qk_cli_vectors (settings, m, cli->test_vectors, &vectors)) == 0)
    r = qk_network_write_files (m->graph, info, &vectors, dirname (out),
                                format_of (cli), options);
  qk_vectors_clear (m->graph, &vectors);
  free (out);
  return r;
}

/* The int8 network of a model file. */
static int
export_model (struct qk_cli *cli, const char *file)
{
  const bool vectors = cli->test_vectors > 0;
  struct qk_settings *settings = NULL;
  struct qk_model_info info;
  struct qk_model *m;
  int r;

  if (!vectors && cli->n_override > 0)
    return qk_error (-EINVAL, "-o changes nothing of the model '%s'", file);
  r = vectors ? qk_cli_open (cli, file, &settings, &m)
              : qk_model_load (cli->ctx, file, &m);
  if (r < 0)
    return r;
  info.n_targets = m->n_targets;
  info.target = m->target;
  info.config = m->config;
  info.checksum = m->checksum;
  r = write_network (cli, m->graph, &info);
  if (r == 0 && vectors)
    r = write_vectors (cli, settings, m, &info);
  qk_model_free (m);
  qk_settings_free (settings);
  return r;
}

/* The float network of a configuration, with the weights it names. */
static int
export_float (struct qk_cli *cli, const char *file)
{
  struct qk_model_info info;
  struct qk_model *none;
  struct qk_graph *g = NULL;
  struct qk_settings *settings = NULL;
  struct qk_data *d = NULL;
  char *config = NULL;
  int r;

  if ((r = qk_cli_open (cli, file, &settings, &none)) < 0
      || (r = qk_data_open (settings, QK_DATA_EVAL, &d)) < 0
      || (r = qk_cli_float (settings, &d->info, &g)) < 0
      || (r = qk_run_config_text (settings->ini, true, &config)) < 0)
    goto end;
  if (*qk_config_string (settings->model, "weights") == 0 && !g->filled)
    qk_log (cli->ctx, QK_LOG_WARNING,
            "no weights are given ([model] "
            "weights): the network is as it was before any training");
  info.n_targets = d->info.n_targets;
  info.target = d->info.target;
  info.config = config;
  info.checksum = NULL;
  r = write_network (cli, g, &info);
end:
  free (config);
  qk_graph_free (g);
  qk_data_close (d);
  qk_settings_free (settings);
  return r;
}

static int
export_network (struct qk_cli *cli)
{
  const bool onnx = cli->onnx != NULL;
  const char *file;
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one model%s expected with --%s, got %d",
                         onnx ? " or configuration" : "", format_of (cli),
                         cli->n_args);
  if (cli->test_vectors > QK_CLI_MOST_VECTORS)
    return qk_cli_usage (cli, "--test-vectors is %ld, expected 1 to %d",
                         cli->test_vectors, QK_CLI_MOST_VECTORS);
  file = cli->arg[0];
  if (!qk_has_suffix (file, ".ini"))
    r = export_model (cli, file);
  else if (onnx && cli->test_vectors == 0)
    r = export_float (cli, file);
  else
    r = qk_error (-EINVAL, "%s: is a configuration, expected an int8 model",
                  file);
  return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
}

/* ---- samples -------------------------------------------------------------------- */

static int
export_samples (struct qk_cli *cli)
{
  static const enum qk_data_use uses[] = { QK_DATA_CALIBRATE, QK_DATA_EVAL };
  struct qk_data *d[2] = { NULL, NULL };
  struct qk_settings *settings = NULL;
  struct qk_ini *ini;
  int64_t n = 0;
  int i, r;

  if (cli->n_args == 1 && qk_has_suffix (cli->arg[0], ".safetensors"))
    return qk_cli_usage (cli, "a model is exported with --onnx FILE");
  if (cli->n_args != 2)
    return qk_cli_usage (cli, "a configuration and a folder expected, or "
                              "--onnx FILE");
  if (qk_has_suffix (cli->arg[1], ".onnx"))
    return qk_cli_usage (cli,
                         "'%s' is no folder; a network is exported with "
                         "--onnx %s",
                         cli->arg[1], cli->arg[1]);
  if ((r = qk_cli_ini (cli, cli->arg[0], &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &settings)) < 0)
    return qk_cli_fail (cli, r);
  for (i = 0; i < 2 && r >= 0; i++)
    r = qk_data_open (settings, uses[i], &d[i]);
  if (r >= 0)
    r = qk_cli_check_keys (settings, &d[0]->info);
  for (i = 0; i < 2 && r >= 0; i++) {
    r = d[i]->cls->export_files == NULL
          ? qk_error (-ENOTSUP, "dataset '%s' cannot be exported",
                      d[i]->cls->cls.name)
          : d[i]->cls->export_files (d[i]->self, cli->arg[1]);
    n += d[i]->info.count;
  }
  if (r >= 0)
    qk_log (settings->ctx, QK_LOG_INFO,
            "%lld samples written to '%s/train' and '%s/val'", (long long) n,
            cli->arg[1], cli->arg[1]);
  r = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  for (i = 0; i < 2; i++)
    qk_data_close (d[i]);
  qk_settings_free (settings);
  return r;
}

/* What does not go together; NULL: nothing. */
static const char *
contradiction (const struct qk_cli *cli)
{
  if ((cli->c_folder != NULL) + (cli->onnx != NULL) + (cli->tflite != NULL)
      > 1)
    return "--onnx, --tflite and --c are several exports, expected one";
  if (cli->c_folder == NULL
      && (cli->prefix != NULL || cli->split || cli->no_float
          || cli->selftest > 0))
    return "--prefix, --split, --no-float and --selftest go with --c FOLDER";
  if (cli->onnx == NULL && (cli->form != NULL || cli->weights != NULL))
    return "--form and --weights are for --onnx FILE";
  if (cli->onnx == NULL && cli->test_vectors > 0)
    return "--test-vectors is for --onnx FILE";
  if (cli->onnx == NULL && cli->tflite == NULL && cli->io != NULL)
    return "--io is for --onnx FILE and --tflite FILE";
  return NULL;
}

int
qk_cmd_export (struct qk_cli *cli)
{
  const char *wrong = contradiction (cli);

  if (wrong != NULL)
    return qk_cli_usage (cli, "%s", wrong);
  if (cli->c_folder != NULL)
    return qk_cli_export_c (cli);
  return file_of (cli) != NULL ? export_network (cli) : export_samples (cli);
}
