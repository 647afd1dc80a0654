/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-file.c: a file with a network in it where a configuration is
 * expected. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/suffix.h"
#include "cli/cli.h"
#include "plugin/loader-priv.h"
#include "settings/tables.h"

/* The dataset that --data is for, and the size of images where no network asks
 * for one. */
#define IMAGES "imagefolder"
#define SIDE 64

static bool
claims (const struct qk_model_class *m, const char *path)
{
  const char *const *s;

  for (s = m->suffixes; s != NULL && *s != NULL; s++)
    if (qk_has_suffix (path, *s))
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
  if (strchr (path, '.') == NULL || qk_has_suffix (path, ".ini")
      || qk_has_suffix (path, "." QK_FORMAT_DEFAULT)
      || qk_context_list (cli->ctx, QK_KIND_MODEL, &list) < 0)
    return NULL;
  for (i = 0; list[i] != NULL && found == NULL; i++)
    if (qk_context_class (cli->ctx, QK_KIND_MODEL, list[i], &c) == 0
        && claims ((const struct qk_model_class *) (const void *) c, path))
      found = c->name;
  qk_names_free (list);
  return found;
}

/* KEY of [data] is a side, or HEIGHTxWIDTH. */
static int
set_size (struct qk_ini *ini, const char *key, int64_t h, int64_t w)
{
  char text[48];

  if (h == w)
    snprintf (text, sizeof text, "%lld", (long long) h);
  else
    snprintf (text, sizeof text, "%lldx%lld", (long long) h, (long long) w);
  return qk_ini_set (ini, "data", key, text, "--data");
}

static bool
is_folder (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISDIR (st.st_mode);
}

static bool
has_folders (const char *path)
{
  DIR *d = opendir (path);
  const struct dirent *e;
  bool found = false;
  struct stat st;

  while (d != NULL && !found && (e = readdir (d)) != NULL)
    found = e->d_name[0] != '.' && fstatat (dirfd (d), e->d_name, &st, 0) == 0
            && S_ISDIR (st.st_mode);
  if (d != NULL)
    closedir (d);
  return found;
}

/* The images are below PATH, in its folder train or in PATH itself, in class
 * folders or without labels; those for evaluation in val or among them. */
static int
set_folders (struct qk_ini *ini, const char *path)
{
  char *train = NULL, *val = NULL;
  int r = 0;

  if (asprintf (&train, "%s/train", path) < 0)
    train = NULL;
  if (asprintf (&val, "%s/val", path) < 0)
    val = NULL;
  if (train == NULL || val == NULL)
    r = qk_oom ("--data");
  if (r == 0 && !is_folder (train))
    r = qk_ini_set (ini, "data", "train", "", "--data");
  if (r == 0 && !has_folders (is_folder (train) ? train : path))
    r = qk_ini_set (ini, "data", "labels", "no", "--data");
  if (r == 0 && !is_folder (val)
      && qk_ini_get (ini, "data", "val_share") == NULL)
    r = qk_ini_set (ini, "data", "val_share", "0.1", "--data");
  free (train);
  free (val);
  return r;
}

/* The images below PATH, a folder. */
static int
set_images (struct qk_ini *ini, const char *path)
{
  struct stat st;
  int r;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "--data '%s': %s", path, strerror (errno));
  if (!S_ISDIR (st.st_mode))
    return qk_error (-ENOTSUP,
                     "--data '%s' is no folder; write a configuration that "
                     "names a dataset for it",
                     path);
  if ((r = qk_ini_set (ini, "data", "dataset", IMAGES, "--data")) < 0
      || (r = qk_ini_set (ini, "data", "root", path, "--data")) < 0)
    return r;
  return set_folders (ini, path);
}

/* Images of H x W; what is cut away at the sides is an eighth, as for
 * ImageNet. */
static int
set_sizes (struct qk_ini *ini, int64_t h, int64_t w)
{
  const int r = set_size (ini, "resize", h * 8 / 7, w * 8 / 7);

  return r < 0 ? r : set_size (ini, "crop", h, w);
}

/* Which dataset reads PATH, and the keys for it. */
static int
set_data (struct qk_ini *ini, const char *path, const struct qk_graph *g)
{
  const struct qk_shape *in = &g->value[g->input[0]].shape;
  const int64_t h = in->dims[1], w = in->dims[2];
  int r;

  if (g->n_inputs != 1 || in->ndim != 4)
    return qk_error (-ENOTSUP,
                     "--data is a folder of images, which the network's "
                     "inputs are not; write a configuration that names a "
                     "dataset for it");
  if ((r = set_images (ini, path)) < 0 || (r = set_sizes (ini, h, w)) < 0)
    return r;
  return h == w ? 0 : qk_ini_set (ini, "data", "fit", "cover", "--data");
}

/* What it is trained for where its outputs are no scores of the samples'
 * categories. */
static int
set_teacher (struct qk_ini *ini, bool several)
{
  /* It begins near its aim: statistics of small batches, large steps and
   * ranges that move only lead away from it, and outputs, unlike the best of
   * several classes, show what a range wastes on its outliers.  Channels of
   * equal ranges help most networks, and are left out where they do not. */
  static const struct {
    const char *section, *key, *value;
    bool one; /* process alone */
  } keys[] = { { "loss", "name", "distillation", false },
               { "loss", "measure", "mse", false },
               { "metric", "name", "sqnr", false },
               { "ptq", "methods", "equalize", true },
               { "ptq", "equalize.by", "activations", true },
               { "ptq", "equalize.relu6", "skip", true },
               { "ptq", "activation.observer", "mse", false },
               { "qat", "from_ptq", "yes", true },
               { "qat", "freeze_observers_after", "0", false },
               { "qat", "freeze_bn_after", "-1", false },
               { "qconfig", "activation.observer", "mse", false },
               { "optimizer", "name", "adam", false },
               { "optimizer", "lr", "0.0001", false },
               { "schedule", "name", "cosine", false } };
  int r = 0;

  for (size_t i = 0; r == 0 && i < sizeof keys / sizeof *keys; i++)
    if (!several || !keys[i].one)
      r = qk_ini_set (ini, keys[i].section, keys[i].key, keys[i].value,
                      "--data");
  return r;
}

/* How far a configuration for a network goes. */
enum extent {
  ALONE,           /* the network */
  DATA,            /* and the samples */
  TEACHER,         /* and the network as its own teacher */
  PARALLEL_TEACHER /* in each of several processes */
};

static int
make_ini (struct qk_cli *cli, const char *path, const struct qk_graph *g,
          enum extent extent, struct qk_ini **out)
{
  static const char where[] = "the command line";
  int r;

  if ((r = qk_ini_parse ("", 0, path, out)) < 0)
    return r;
  if ((r = qk_ini_set (*out, "model", "arch", qk_cli_network_of (cli, path),
                       where))
        < 0
      || (r = qk_ini_set (*out, "model", "file", path, where)) < 0
      || (extent >= DATA && (r = set_data (*out, cli->data, g)) < 0)
      || (extent >= TEACHER
          && (r = set_teacher (*out, extent == PARALLEL_TEACHER)) < 0)
      || (r = qk_cli_apply_options (cli, *out)) < 0) {
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

/* Whether a launcher has started this process as one of several. */
static bool
is_one_of_several (const struct qk_settings *settings)
{
  const char *name = qk_config_string (settings->run, "comm");
  const struct qk_class *c = NULL;
  const struct qk_comm_class *comm;
  const int r = strcmp (name, "auto") == 0
                  ? qk_context_default (settings->ctx, QK_KIND_COMM, 0, &c)
                  : qk_context_class (settings->ctx, QK_KIND_COMM, name, &c);

  comm = (const struct qk_comm_class *) (const void *) c;
  return r == 0 && comm->probe != NULL && comm->probe ();
}

/* *EXTENT becomes TEACHER, or PARALLEL_TEACHER, where the samples' labels do not fit
 * G. */
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
    *extent = is_one_of_several (settings) ? PARALLEL_TEACHER : TEACHER;
    if (d->info.n_targets == 0)
      qk_log (
        cli->ctx, QK_LOG_INFO,
        "%s: the images in '%s' have no labels; it is trained by its own "
        "float outputs, and compared with them",
        path, cli->data);
    else
      qk_log (cli->ctx, QK_LOG_INFO,
              "%s: its outputs are no scores of the %lld categories in '%s'; "
              "it is trained by its own float outputs, and compared with them",
              path, (long long) d->info.target[0].categories, cli->data);
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

  if (access (path, F_OK) < 0)
    return qk_error (-errno, "cannot find '%s': %s", path, strerror (errno));
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

/* Whether KEY of [data] is one of every dataset. */
static bool
is_of_all (const char *key)
{
  const struct qk_option *o = qk_table_data;

  while (o->name != NULL && strcmp (o->name, key) != 0)
    o++;
  return o->name != NULL && strcmp (key, "dataset") != 0;
}

/* Leave of [data] in INI what does not depend on the dataset. */
static void
drop_dataset (struct qk_ini *ini)
{
  size_t i = 0, j;

  while (i < qk_ini_sections (ini)
         && strcmp (qk_ini_section (ini, i), "data") != 0)
    i++;
  for (j = 0; j < qk_ini_keys (ini, i);) {
    const char *key = qk_ini_key (ini, i, j).key;

    if (is_of_all (key))
      j++;
    else
      qk_ini_unset (ini, "data", key);
  }
}

int
qk_cli_ini_data (struct qk_cli *cli, struct qk_ini *ini, bool story)
{
  const char *dataset = qk_ini_get (ini, "data", "dataset"), *labels;
  int r;

  if (!story && dataset != NULL && strcmp (dataset, IMAGES) != 0)
    return qk_error (-EINVAL,
                     "--data '%s' is for a folder of images, but the "
                     "configuration's dataset is '%s', expected " IMAGES
                     "; set the dataset's own keys with -o",
                     cli->data, dataset);
  if (story)
    drop_dataset (ini);
  if ((r = set_images (ini, cli->data)) < 0 || !story)
    return r;
  labels = qk_ini_get (ini, "data", "labels");
  if (labels != NULL && strcmp (labels, "no") == 0)
    return qk_error (-EINVAL,
                     "--data '%s' has no class folders, from which a network "
                     "would learn; expected FOLDER/CLASS/IMAGE, or a trained "
                     "network, NET.onnx, beside --data",
                     cli->data);
  if ((r = set_sizes (ini, SIDE, SIDE)) < 0
      || (r
          = qk_ini_set (ini, "run", "output", "run-out/own-images", "--data"))
           < 0)
    return r;
  qk_log (cli->ctx, QK_LOG_INFO,
          "no network is named: a narrow MobileNetV2 learns the classes in "
          "'%s', from images of %dx%d%s",
          cli->data, SIDE, SIDE,
          qk_ini_get (ini, "data", "val_share") != NULL
            ? "; a tenth of them is held out"
            : "");
  return 0;
}
