/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* settings.h: a whole configuration, checked, with the plugins it names
 * loaded. */
#ifndef QK_SETTINGS_SETTINGS_H
#define QK_SETTINGS_SETTINGS_H

#include <qatkit/backend.h>
#include <qatkit/dataset.h>
#include <qatkit/model.h>
#include <qatkit/optimizer.h>
#include <qatkit/ptq.h>
#include <qatkit/reporter.h>

#include "comm/comm.h"
#include "data/batches.h"
#include "options/ini.h"
#include "plugin/loader-priv.h"

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
#define QK_SETTINGS_MAX_REPORTERS 4
#define QK_MOST_PHASES 7 /* 2 to 8 bits */

struct qk_settings {
  struct qk_context *ctx; /* borrowed */
  struct qk_ini *ini;     /* owned */

  /* the core's options of each section, see tables.c */
  struct qk_config *run, *checkpoint, *model, *data, *train, *ptq, *qat, *tune;

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
  /* QAT has a phase for each number of the longest list of bits in [qconfig],
   * 1 where there is none; and the first epoch of each */
  int n_phases;
  int64_t phase_begin[QK_MOST_PHASES];
  bool built;                   /* a network of it, with its warnings */
  int64_t max_params;           /* see struct qk_graph; 0: any number */
  struct qk_bad_samples bad[2]; /* of the splits train and val */

  struct qk_option_source source; /* for what the library opens by itself */

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
 * only when qk_settings_check (run/session.h) is called. */
int qk_settings_new (struct qk_context *ctx, struct qk_ini *ini,
                     struct qk_settings **out);
void qk_settings_free (struct qk_settings *settings); /* accepts NULL */

/* ---- phases.c --------------------------------------------------------------- */

/* Fill n_phases and phase_begin.  -EINVAL for a list that is too long, or more
 * phases than there are epochs. */
int qk_settings_take_phases (struct qk_settings *settings);

/* The phase, from 0, of an epoch of QAT. */
int qk_settings_phase (const struct qk_settings *settings, int64_t epoch);

/* ---- settings.c ------------------------------------------------------------- */

/* Whether SECTION is [qconfig], or that of some nodes. */
bool qk_settings_is_qconfig (const char *section);

/* Of each key that nobody took and that is an option of a plugin which is
 * installed and not in use, say so (qk_ini_note).  -ENOMEM. */
int qk_settings_note_idle (struct qk_settings *settings);

/* Join the processes that train together, if the configuration or a launcher
 * says there are others.  Once in a process. */
int qk_settings_join (struct qk_settings *settings);

/* ERR with a sentence in front of which is put where option KEY of CFG was
 * given, the SECTION and the key. */
int qk_settings_key_error (int err, const struct qk_config *cfg,
                           const char *section, const char *key);

/* The options of CLS, a plugin whose options stand in a section [KIND NAME];
 * *OUT belongs to the caller: qk_config_free. */
int qk_settings_options (struct qk_settings *settings,
                         const struct qk_class *cls, struct qk_config **out);

/* The reporters that [run] names, in its order, MAX of them at most; returns
 * how many. */
int qk_settings_reporters (struct qk_settings *settings, int max,
                           const struct qk_reporter_class **out);

#endif /* QK_SETTINGS_SETTINGS_H */
