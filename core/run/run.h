/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.h: the whole story of a settings: float, PTQ, QAT, int8. */
#ifndef QK_RUN_RUN_H
#define QK_RUN_RUN_H

#include "io/checkpoints.h"
#include "run/folder.h"
#include "run/session.h"
#include "run/watch.h"
#include "train/stage.h"

/* Rows of the table at the end. */
enum qk_row { QK_ROW_FLOAT, QK_ROW_PTQ, QK_ROW_QAT, QK_ROW_INT8, QK_ROWS };

const char *qk_row_name (enum qk_row row);

/* Where a run stands; a checkpoint continues from here. */
enum qk_run_stage { QK_RUN_FLOAT, QK_RUN_QAT, QK_RUN_DONE };

/* How qk_run_new treats what is in the folder already. */
enum qk_run_mode {
  QK_RUN_RESUME = 1,    /* continue from the newest checkpoint, if any */
  QK_RUN_OVERWRITE = 2, /* even what an unfinished run has left */
  QK_RUN_LOOK = 4,      /* no checkpoint will be written */
  QK_RUN_TRAINS = 8     /* QK_PART_TRAIN will be done */
};

/* Which parts qk_run_go does. */
enum qk_run_parts {
  QK_PART_TRAIN = 1, /* float training, if [train] epochs > 0 */
  QK_PART_PTQ = 2,
  QK_PART_QAT = 4
};

struct qk_run {
  struct qk_session s;
  char *output;                /* folder; owned, as is all below */
  char *config, *model_config; /* INI text for checkpoints, for models */
  struct qk_folder *folder;    /* taken for us; NULL: another process writes */
  struct qk_checkpoints *checkpoints;

  struct qk_graph *g; /* the network as it is: float, then prepared */
  int phase; /* of the bits it has, where it is prepared; see settings.h */

  struct qk_optimize *o; /* while training */

  int64_t stage; /* enum qk_run_stage */
  struct qk_position pos;
  struct qk_result result[QK_ROWS];
  struct qk_tally evaluated; /* the sums of the network evaluated last */
  struct qk_watch watch[2];  /* of float training and of QAT */
  struct qk_watched watched; /* in the stage that the run is in */
  int best;                  /* the score that chooses the best epoch */
  int64_t best_epoch;        /* of QAT, by the int8 network's; -1: none yet */
  int64_t steps;             /* all training steps made */
  int64_t counted;           /* of the monitor's steps, those among them */
  bool analysis;             /* the network last made has no int8 form */
  bool fresh; /* the folder may hold checkpoints of an earlier run */
};

/* ---- open.c ---------------------------------------------------------------- */

/* Prepare a run: folder, data, network, all checks.  MODE: enum qk_run_mode;
 * an unfinished run in the folder is refused unless it says what to do. */
int qk_run_new (struct qk_settings *settings, struct qk_monitor *m,
                unsigned mode, struct qk_run **out);
void qk_run_free (struct qk_run *run); /* accepts NULL */

/* ---- run.c ----------------------------------------------------------------- */

/* Do PARTS (enum qk_run_parts), from where the run stands.  -EINTR after a
 * stop; a checkpoint was written then. */
int qk_run_go (struct qk_run *run, unsigned parts);

/* Note in the folder that all was done that the run is for. */
int qk_run_finish (struct qk_run *run);

/* Whether this process writes the run's files: the first of several. */
bool qk_run_writes (const struct qk_run *run);
/* After the first process wrote, with result R (0 in the others): all wait
 * for it and learn whether it worked. */
int qk_run_written (struct qk_run *run, int r);

/* Path of a file in the run's folder; to be freed.  NULL: out of memory. */
char *qk_run_path (const struct qk_run *run, const char *file);

/* Save an int8 graph in the run's folder. */
int qk_run_save_model (struct qk_run *run, const struct qk_graph *g,
                       const char *file);

/* ---- tables.c -------------------------------------------------------------- */

/* Write the tables that metrics have of the network evaluated last to FILE in
 * the run's folder; nothing where none has one. */
int qk_run_save_tables (struct qk_run *run, const char *file);

/* ---- samples.c ------------------------------------------------------------- */

/* Whether the samples are those of the other processes and, with RESUME, those
 * that the run in the folder began with, which samples-SPLIT.txt names; with
 * KEEP that is written where it is not there. */
int qk_run_check_samples (struct qk_run *run, bool resume, bool keep);

/* Whether the network is that of the other processes. */
int qk_run_check_network (struct qk_run *run);

/* ---- files.c --------------------------------------------------------------- */

/* Copy FILE of the run's folder to its folder "spare". */
int qk_run_keep_spare (struct qk_run *run, const char *file);
/* Open best.safetensors at PATH, or its spare where it is lost. */
int qk_run_open_best (struct qk_context *ctx, const char *path,
                      struct qk_checkpoint **out);
/* Write those files again that PARTS of a run, now resumed, had written and
 * that are lost. */
void qk_run_repair (struct qk_run *run, unsigned parts);

/* ---- carried.c ------------------------------------------------------------- */

/* The configuration without the run's folder, as checkpoints carry it, and for
 * a MODEL without the paths of its maker's files; for free. */
int qk_run_config_text (const struct qk_ini *ini, bool model, char **out);
/* Whether SECTION is about searching for networks, not about one: files do not
 * carry it. */
bool qk_run_is_search (const char *section);
/* Write the whole configuration to config.ini in the run's folder. */
int qk_run_write_config (struct qk_run *run);
/* Put the paths back into INI, the configuration of the model at path MODEL,
 * that config.ini beside it has. */
int qk_run_find_paths (const char *model, struct qk_ini *ini);

/* ---- checks.c ---------------------------------------------------------------- */

/* Whether float network G can be trained on the last batch of an epoch. */
int qk_run_check_last_batch (const struct qk_run *run,
                             const struct qk_graph *g);

/* ---- state.c ------------------------------------------------------------- */

/* Write the state of the run as the next checkpoint. */
int qk_run_checkpoint (struct qk_run *run);
/* Write it to FILE in the run's folder, with G as the network. */
int qk_run_save_state (struct qk_run *run, struct qk_graph *g,
                       const char *file);
/* Give TO the parameters and quantizers of FROM, which is of the same
 * structure. */
int qk_run_copy_state (struct qk_graph *from, struct qk_graph *to);
/* The stage (enum qk_run_stage) of the run that made a checkpoint. */
int qk_checkpoint_run_stage (const struct qk_checkpoint *c, int64_t *stage);
/* The phase, one of those of SETTINGS, of the bits that its network has. */
int qk_checkpoint_run_phase (const struct qk_checkpoint *c,
                             const struct qk_settings *settings, int *phase);
/* The training steps it had made. */
int qk_checkpoint_run_steps (const struct qk_checkpoint *c, int64_t *steps);
/* Where the checkpoint says the run stands, before the network is made. */
int qk_run_peek (struct qk_run *run, const struct qk_checkpoint *c);
/* Whether the run's configuration is the one the checkpoint was made with,
 * but for keys that change no result; the error names the first other one. */
int qk_run_check_config (const struct qk_run *run,
                         const struct qk_checkpoint *c);
/* Fill network, quantizers, optimizer and position from a checkpoint. */
int qk_run_restore (struct qk_run *run, const struct qk_checkpoint *c);
/* Fill the parameters and quantizers of G only, and where it is not NULL the
 * parameters of TEACHER. */
int qk_restore_network (struct qk_graph *g, struct qk_graph *teacher,
                        const struct qk_checkpoint *c);

#endif /* QK_RUN_RUN_H */
