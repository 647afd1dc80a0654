/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-file.c: a file with a network in it where a configuration is
 * expected. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memtext.h"
#include "cli/cli.h"
#include "plugin/loader-priv.h"

static bool
claims (const struct qk_model_class *m, const char *path)
{
  const char *const *s;

  for (s = m->suffixes; s != NULL && *s != NULL; s++)
    if (qk_cli_ends_with (path, *s))
      return true;
  return false;
}

const char *
qk_cli_network_of (struct qk_cli *cli, const char *path)
{
  const struct qk_class *c;
  const char *found = NULL;
  char **list;
  int i;

  /* the commonest arguments need no look at the plugins */
  if (strchr (path, '.') == NULL || qk_cli_ends_with (path, ".ini")
      || qk_cli_ends_with (path, "." QK_FORMAT_DEFAULT)
      || qk_context_list (cli->ctx, QK_KIND_MODEL, &list) < 0)
    return NULL;
  for (i = 0; list[i] != NULL && found == NULL; i++)
    if (qk_context_class (cli->ctx, QK_KIND_MODEL, list[i], &c) == 0
        && claims ((const struct qk_model_class *) (const void *) c, path))
      found = c->name;
  qk_names_free (list);
  return found;
}

/* A value of an INI file in double quotes. */
static void
print_quoted (FILE *f, const char *s)
{
  fputc ('"', f);
  for (; *s != '\0'; s++) {
    if (*s == '"' || *s == '\\')
      fputc ('\\', f);
    fputc (*s, f);
  }
  fputc ('"', f);
}

/* Which dataset reads PATH, and the keys for it. */
static int
print_data (FILE *f, const char *path, const struct qk_graph *g)
{
  const struct qk_shape *in = &g->value[g->input[0]].shape;
  struct stat st;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "--data '%s': %s", path, strerror (errno));
  if (!S_ISDIR (st.st_mode))
    return qk_error (-ENOTSUP,
                     "--data '%s' is no folder; write a configuration that "
                     "names a dataset for it",
                     path);
  if (g->n_inputs != 1 || in->ndim != 4)
    return qk_error (-ENOTSUP,
                     "--data is a folder of images, which the network's "
                     "inputs are not; write a configuration that names a "
                     "dataset for it");
  fprintf (f, "[data]\ndataset = %s\nroot = ", "imagefolder");
  print_quoted (f, path);
  /* what is cut away at the sides is an eighth, as for ImageNet */
  if (in->dims[1] == in->dims[2])
    fprintf (f, "\nresize = %lld\ncrop = %lld\n",
             (long long) (in->dims[1] * 8 / 7), (long long) in->dims[1]);
  else
    fprintf (f, "\nresize = %lldx%lld\nfit = cover\ncrop = %lldx%lld\n",
             (long long) (in->dims[1] * 8 / 7),
             (long long) (in->dims[2] * 8 / 7), (long long) in->dims[1],
             (long long) in->dims[2]);
  return 0;
}

/* What it is trained for where its outputs are no scores of the samples'
 * categories. */
static void
print_teacher (FILE *f)
{
  fprintf (f, "[loss]\nname = %s\nmeasure = mse\n", "distillation");
  fprintf (f, "[metric]\nname = %s\n", "sqnr");
}

/* How far a configuration for a network goes. */
enum extent {
  ALONE,  /* the network */
  DATA,   /* and the samples */
  TEACHER /* and the network as its own teacher */
};

/* The text of a configuration; to be freed. */
static int
write_ini (struct qk_cli *cli, const char *path, const struct qk_graph *g,
           enum extent extent, char **out)
{
  size_t size;
  FILE *f = open_memstream (out, &size);
  int r = 0;

  if (f == NULL)
    return qk_oom ("%s", path);
  fprintf (f, "[model]\narch = %s\nfile = ", qk_cli_network_of (cli, path));
  print_quoted (f, path);
  fprintf (f, "\n");
  if (extent >= DATA)
    r = print_data (f, cli->data, g);
  if (extent == TEACHER)
    print_teacher (f);
  if (!qk_close_text (f, out) && r == 0)
    r = qk_oom ("%s", path);
  return r;
}

static int
make_ini (struct qk_cli *cli, const char *path, const struct qk_graph *g,
          enum extent extent, struct qk_ini **out)
{
  char *text = NULL;
  int r = write_ini (cli, path, g, extent, &text);

  if (r == 0)
    r = qk_ini_parse (text, strlen (text), path, out);
  free (text);
  if (r == 0 && (r = qk_cli_apply_options (cli, *out)) < 0) {
    qk_ini_free (*out);
    *out = NULL;
  }
  return r;
}

int
qk_cli_network (struct qk_cli *cli, const char *path,
                struct qk_settings **settings, struct qk_graph **out)
{
  struct qk_dataset_info none;
  struct qk_ini *ini;
  int r;

  memset (&none, 0, sizeof none);
  if ((r = make_ini (cli, path, NULL, ALONE, &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, settings)) < 0)
    return r;
  return qk_settings_build (*settings, &none, QK_WEIGHTS_ALL, out);
}

/* Whether the only output of G has a score for each category of the samples'
 * only target. */
static bool
scores_categories (const struct qk_graph *g, const struct qk_dataset_info *d)
{
  const struct qk_shape *s = &g->value[g->output[0].value].shape;

  return g->n_outputs == 1 && d->n_targets == 1 && s->ndim == 2
         && d->target[0].categories == s->dims[1];
}

/* *EXTENT becomes TEACHER where the samples' labels do not fit G. */
static int
look_at_samples (struct qk_cli *cli, const char *path,
                 const struct qk_graph *g, enum extent *extent)
{
  struct qk_settings *settings = NULL;
  struct qk_data *d = NULL;
  struct qk_ini *ini;
  int r;

  if ((r = make_ini (cli, path, g, DATA, &ini)) < 0)
    return r;
  if ((r = qk_settings_new (cli->ctx, ini, &settings)) == 0
      && (r = qk_data_open (settings, QK_DATA_EVAL, &d)) == 0
      && !scores_categories (g, &d->info)) {
    *extent = TEACHER;
    qk_log (cli->ctx, QK_LOG_INFO,
            "%s: its outputs are no scores of the %lld categories in '%s'; it "
            "is trained by its own float outputs, and compared with them",
            path,
            d->info.n_targets > 0 ? (long long) d->info.target[0].categories
                                  : 0LL,
            cli->data);
  }
  qk_data_close (d);
  qk_settings_free (settings);
  return r;
}

int
qk_cli_network_ini (struct qk_cli *cli, const char *path, struct qk_ini **out)
{
  struct qk_settings *settings = NULL;
  struct qk_graph *g = NULL;
  enum extent extent = DATA;
  int r;

  if (cli->data == NULL)
    return qk_error (-EINVAL,
                     "%s: a network alone cannot be trained or evaluated; "
                     "name its samples with --data FOLDER",
                     path);
  if ((r = qk_cli_network (cli, path, &settings, &g)) == 0
      && (r = look_at_samples (cli, path, g, &extent)) == 0)
    r = make_ini (cli, path, g, extent, out);
  qk_graph_free (g);
  qk_settings_free (settings);
  return r;
}
