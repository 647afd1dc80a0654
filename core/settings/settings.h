/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* settings.h: a whole configuration, checked, with the classes it names loaded. */
#ifndef QK_SETTINGS_SETTINGS_H
#define QK_SETTINGS_SETTINGS_H

#include <qatkit/dataset.h>
#include <qatkit/model.h>
#include <qatkit/optimizer.h>
#include <qatkit/ptq.h>
#include <qatkit/reporter.h>

#include "comm/comm.h"
#include "settings/ini.h"
#include "passes/passes.h"
#include "train/stage.h"

/* An optimizer and a schedule with their options. */
struct qk_settings_optimizer {
  struct qk_config *core, *optimizer_cfg, *schedule_core, *schedule_cfg;
  const struct qk_optimizer_class *optimizer;
  const struct qk_schedule_class *schedule;
};

/* A method of post-training quantization with its options. */
struct qk_settings_method {
  const struct qk_ptq_class *cls;
  struct qk_config *cfg; /* owned */
};

#define QK_SETTINGS_MAX_METHODS 8

struct qk_settings {
  struct qk_context *ctx; /* borrowed */
  struct qk_ini *ini;     /* owned */

  /* the core's options of each section, see tables.c */
  struct qk_config *run, *model, *data, *train, *ptq, *qat;

  const struct qk_model_class *model_class;
  struct qk_config *model_cfg;
  const struct qk_dataset_class *dataset_class;
  struct qk_config *dataset_cfg;
  struct qk_settings_optimizer train_opt, qat_opt;
  const struct qk_backend_class *backend_class;
  struct qk_backend_caps caps;
  struct qk_settings_method method[QK_SETTINGS_MAX_METHODS]; /* in order */
  int n_methods;

  struct qk_comm *comm; /* NULL until qk_settings_join; owned */
  int threads;
  uint64_t seed;
  int64_t max_params;           /* see struct qk_graph; 0: any number */
  struct qk_bad_samples bad[2]; /* of the splits train and val */
  bool has_objective;           /* the sections of losses and metrics are taken */

  /* configurations made for single nodes, kept for qk_settings_free */
  struct qk_config **kept;
  size_t n_kept;
};

/* The backend that NAME means: NAME itself, or for "auto" the default one,
 * as long as CTX.  For names that the user gave; a settings has the real name
 * from the start. */
int qk_settings_backend (struct qk_context *ctx, const char *name,
                         const char **out);

/* Check the configuration INI (which becomes the settings', also on failure) and
 * load the plugins it names.  Sections and keys nobody knows are an error
 * only when qk_settings_check is called. */
int qk_settings_new (struct qk_context *ctx, struct qk_ini *ini,
                     struct qk_settings **out);
void qk_settings_free (struct qk_settings *settings); /* accepts NULL */

/* Join the processes that train together, if the configuration or a launcher
 * says there are others.  Once in a process. */
int qk_settings_join (struct qk_settings *settings);

/* Whether the float graph G can be prepared for PTQ and for QAT, and no
 * section, key or pattern of the configuration is left that nobody knows. */
int qk_settings_check (struct qk_settings *settings, const struct qk_graph *g);

/* The float network for samples as INFO says, weights loaded from
 * [model] weights if that is given and WITH_WEIGHTS is true. */
int qk_settings_build (struct qk_settings *settings,
                       const struct qk_dataset_info *info, bool with_weights,
                       struct qk_graph **out);

/* Fill the parameters of G from PATH, in [model] format. */
int qk_settings_load_weights (struct qk_settings *settings, struct qk_graph *g,
                              const char *path);

/* Fuse and prepare a float graph for QAT, or for PTQ. */
int qk_settings_prepare (struct qk_settings *settings,
                         const struct qk_graph *g, bool ptq,
                         struct qk_graph **out);

/* One split of the dataset, opened and batched. */
struct qk_data {
  const struct qk_dataset_class *cls;
  void *self;
  struct qk_dataset_info info;
  struct qk_batches *batches;
  int64_t batch;
};

enum qk_data_use {
  QK_DATA_TRAIN,     /* train split, augmented, shuffled */
  QK_DATA_CALIBRATE, /* train split, shuffled, prepared as for evaluation */
  QK_DATA_EVAL,      /* val split, in order */
  QK_DATA_SUBSET     /* val split, shuffled: its first samples are a sample */
};

int qk_data_open (struct qk_settings *settings, enum qk_data_use use,
                  struct qk_data **out);
void qk_data_close (struct qk_data *d); /* accepts NULL */

/* What the network G is trained for and measured by on data like INFO.  G and
 * INFO's specs are borrowed and must outlive it.  Free with
 * qk_objective_free. */
int qk_settings_objective (struct qk_settings *settings,
                           const struct qk_graph *g,
                           const struct qk_dataset_info *info,
                           struct qk_objective **out);
/* The same for who needs no objective: that the sections of losses and metrics
 * name plugins and say what these understand. */
int qk_settings_check_objective (struct qk_settings *settings);

/* Executor options for this settings. */
void qk_settings_exec_options (const struct qk_settings *settings,
                               int64_t batch, bool train,
                               struct qk_exec_options *out);

/* The reporters that [run] names, in its order, MAX of them at most; returns
 * how many. */
int qk_settings_reporters (struct qk_settings *settings, int max,
                           const struct qk_reporter_class **out);

#endif /* QK_SETTINGS_SETTINGS_H */
