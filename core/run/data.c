/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* data.c: the settings' samples and network. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/called.h"
#include "graph/limits.h"
#include "options/option-priv.h"
#include "passes/passes.h"
#include "run/session.h"

static enum qk_last_batch
last_batch (const struct qk_settings *settings)
{
  const char *what = qk_config_string (settings->data, "last_batch");

  return strcmp (what, "drop") == 0    ? QK_LAST_DROP
         : strcmp (what, "merge") == 0 ? QK_LAST_MERGE
                                       : QK_LAST_KEEP;
}

static struct qk_mix_options
mix_options (const struct qk_settings *settings)
{
  return (struct qk_mix_options){
    qk_config_float (settings->data, "mixup"),
    qk_config_float (settings->data, "cutmix"),
    qk_config_float (settings->data, "mix_share"),
  };
}

bool
qk_settings_mixes (const struct qk_settings *settings)
{
  const struct qk_mix_options o = mix_options (settings);

  return qk_mix_wanted (&o);
}

/* What training alone does with the samples. */
static void
training_options (const struct qk_settings *settings,
                  struct qk_batches_options *opt)
{
  opt->last = last_batch (settings);
  opt->mix = mix_options (settings);
  opt->balance
    = strcmp (qk_config_string (settings->data, "sampling"), "balanced") == 0;
}

static int
open_batches (struct qk_settings *settings, enum qk_data_use use,
              struct qk_data *d)
{
  const int workers = (int) qk_config_int (settings->data, "workers");
  const bool val = use == QK_DATA_EVAL || use == QK_DATA_SUBSET;
  struct qk_batches_options opt;
  int r;

  memset (&opt, 0, sizeof opt);
  d->batch = qk_config_int (settings->data, val ? "eval_batch" : "batch");
  opt.ctx = settings->ctx;
  opt.dataset = d->cls;
  opt.self = d->self;
  opt.batch = d->batch;
  /* reading needs no more than that, however many compute */
  opt.threads = workers > 0                          ? workers
                : settings->threads < QK_MAX_READERS ? settings->threads
                                                     : QK_MAX_READERS;
  opt.seed = settings->seed;
  opt.shuffle = use != QK_DATA_EVAL;
  if (use == QK_DATA_TRAIN)
    training_options (settings, &opt);
  if (use != QK_DATA_CALIBRATE) { /* which everyone does alone, and alike */
    opt.part = qk_comm_rank (settings->comm);
    opt.parts = qk_comm_size (settings->comm);
    opt.together = use == QK_DATA_TRAIN && opt.parts > 1;
  }
  opt.max_bad = qk_config_float (settings->data, "max_bad");
  opt.bad = &settings->bad[val];
  if ((r = qk_batches_new (&opt, &d->batches)) < 0)
    return r;
  if (use == QK_DATA_TRAIN)
    d->batch = qk_batches_largest (d->batches);
  return 0;
}

/* What a configuration out of somebody's file may ask for. */
static int
check_limits (const struct qk_settings *settings, const struct qk_data *d,
              bool val)
{
  const char *key = val ? "eval_batch" : "batch";
  const int64_t batch = qk_config_int (settings->data, key);
  int64_t sample = 0;
  int i;

  if (settings->max_params == 0)
    return 0;
  for (i = 0; i < d->info.n_inputs; i++)
    sample += (int64_t) qk_spec_bytes (&d->info.input[i]);
  for (i = 0; i < d->info.n_targets; i++)
    sample += (int64_t) qk_spec_bytes (&d->info.target[i]);
  if (sample > QK_LIMIT_BATCH / batch)
    return qk_error (-EBADMSG,
                     "%s = %lld samples of %lld bytes, a file may "
                     "ask for %lld bytes a batch",
                     key, (long long) batch, (long long) sample,
                     (long long) QK_LIMIT_BATCH);
  if (d->info.count > QK_LIMIT_SAMPLES)
    return qk_error (-EBADMSG,
                     "%lld samples, a model's configuration may ask for %lld",
                     (long long) d->info.count, (long long) QK_LIMIT_SAMPLES);
  return 0;
}

int
qk_data_open (struct qk_settings *settings, enum qk_data_use use,
              struct qk_data **out)
{
  struct qk_data *d = calloc (1, sizeof *d);
  struct qk_dataset_request req;
  int r;

  if (d == NULL)
    return qk_oom ("data");
  memset (&req, 0, sizeof req);
  req.ctx = settings->ctx;
  req.split = use == QK_DATA_EVAL || use == QK_DATA_SUBSET ? "val" : "train";
  req.augment = use == QK_DATA_TRAIN;
  req.seed = settings->seed;
  d->cls = settings->dataset_class;
  if ((r = QK_CALLED (&d->cls->cls, "open",
                      d->cls->open (settings->dataset_cfg, &req, &d->self)))
        < 0
      || (r
          = QK_CALLED (&d->cls->cls, "info", d->cls->info (d->self, &d->info)))
           < 0
      || (r = check_limits (settings, d,
                            use == QK_DATA_EVAL || use == QK_DATA_SUBSET))
           < 0
      || (r = open_batches (settings, use, d)) < 0) {
    qk_data_close (d);
    return qk_error_prefix (
      qk_config_blame (settings->dataset_cfg, "data", r),
      "dataset '%s': ", settings->dataset_class->cls.name);
  }
  *out = d;
  return 0;
}

/* The number in data that means what category C of the model does: by name. */
static int
match_category (const struct qk_tensor_spec *data,
                const struct qk_tensor_spec *model, int64_t c, int32_t *out)
{
  char known[400] = "";
  int64_t i;

  for (i = 0; i < model->categories; i++) {
    const size_t used = strlen (known);

    if (strcmp (model->category[i], data->category[c]) == 0) {
      *out = (int32_t) i;
      return 0;
    }
    if (used < sizeof known - 1)
      snprintf (known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                model->category[i]);
  }
  return qk_error (-EINVAL,
                   "category '%s' of target '%s' is none of the model's: %s",
                   data->category[c], data->name, known);
}

static int
match_target (struct qk_data *d, int t, const struct qk_tensor_spec *model)
{
  const struct qk_tensor_spec *data = &d->info.target[t];
  bool same = data->categories == model->categories;
  int32_t *map;
  int64_t c;
  int r = 0;

  if (data->categories == 0 || model->categories == 0)
    return 0;
  if (data->category == NULL || model->category == NULL)
    return same ? 0
                : qk_error (-EINVAL,
                            "target '%s' has %lld categories, those the model "
                            "was made with %lld",
                            data->name, (long long) data->categories,
                            (long long) model->categories);
  if ((map = calloc ((size_t) data->categories, sizeof *map)) == NULL)
    return qk_oom ("data");
  for (c = 0; r == 0 && c < data->categories; c++) {
    r = match_category (data, model, c, &map[c]);
    same = same && map[c] == c;
  }
  if (r == 0 && !same)
    qk_batches_map (d->batches, t, map);
  else
    free (map);
  return r;
}

int
qk_data_match (struct qk_data *d, const struct qk_tensor_spec *target, int n)
{
  int i, r = 0;

  if (d->info.n_targets != n)
    return 0; /* told by who needs them */
  for (i = 0; r == 0 && i < n; i++)
    r = match_target (d, i, &target[i]);
  if (r == 0)
    d->info.target = target;
  return r;
}

void
qk_data_close (struct qk_data *d)
{
  if (d == NULL)
    return;
  qk_batches_free (d->batches);
  if (d->self != NULL)
    d->cls->close (d->self);
  free (d);
}

int
qk_settings_build (struct qk_settings *settings,
                   const struct qk_dataset_info *info, enum qk_weights_use use,
                   struct qk_graph **out)
{
  const char *weights = qk_config_string (settings->model, "weights");
  struct qk_model_request req;
  struct qk_graph *g;
  int r;

  memset (&req, 0, sizeof req);
  req.n_inputs = info->n_inputs;
  req.n_targets = info->n_targets;
  req.input = info->input;
  req.target = info->target;
  if ((r = qk_graph_new (settings->ctx, settings->seed, &g)) < 0)
    return r;
  g->max_params = settings->max_params;
  r = QK_CALLED (&settings->model_class->cls, "build",
                 settings->model_class->build (settings->model_cfg, &req, g));
  if (r == 0)
    r = qk_graph_finish (g);
  if (r < 0) {
    qk_error_prefix (qk_config_blame (settings->model_cfg, "model", r),
                     "model '%s': ", settings->model_class->cls.name);
    goto end;
  }
  if ((r = qk_limit_work (g)) < 0)
    goto end;
  if (use != QK_WEIGHTS_NONE && *weights != 0
      && (r = qk_settings_start_weights (settings, g, use == QK_WEIGHTS_TRAIN))
           < 0) {
    qk_settings_key_error (r, settings->model, "model", "weights");
    goto end;
  }
  if (!settings->built)
    qk_graph_tell_warnings (g);
  settings->built = true;
  if (!qk_settings_splits (settings)) {
    *out = g;
    return 0;
  }
  r = qk_pass_split (g, out);

end:
  qk_graph_free (g);
  return r;
}

void
qk_settings_exec_options (const struct qk_settings *settings, int64_t batch,
                          bool train, struct qk_exec_options *out)
{
  memset (out, 0, sizeof *out);
  out->batch = batch;
  out->threads = settings->threads;
  out->train = train;
  out->comm = settings->comm;
  out->backend = qk_config_string (settings->qat, "backend");
}
