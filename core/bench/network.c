/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c: a network to measure, made from a configuration alone. */
#include "config.h"

#include <string.h>

#include "bench/infer.h"
#include "run/session.h"

/* Let batch-norm statistics follow random weights, as training would. */
static int
settle (struct qk_settings *settings, struct qk_graph *g, struct qk_data *d,
        int batches, struct qk_monitor *m)
{
  struct qk_exec_options opt;
  struct qk_batch batch;
  struct qk_exec *ex = NULL;
  int r;

  qk_settings_exec_options (settings, d->batch, true, &opt);
  if ((r = qk_exec_new (g, &opt, &ex)) < 0
      || (r = qk_batches_start (d->batches, 0, 0)) < 0)
    goto end;
  while (batches-- > 0 && (r = qk_batches_next (d->batches, &batch)) > 0) {
    r = qk_exec_forward (ex, batch.input, batch.n,
                         QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
    if (r == 0 && qk_monitor_stopped (m))
      r = qk_error (-EINTR, "stopped");
    if (r < 0)
      break;
  }
end:
  qk_exec_free (ex);
  return r < 0 ? r : 0;
}

int
qk_bench_network (struct qk_settings *settings, int batches,
                  struct qk_monitor *m, struct qk_graph **float_g,
                  struct qk_graph **int8)
{
  struct qk_graph *built = NULL, *g = NULL;
  struct qk_session s;
  bool analysis;
  int r;

  memset (&s, 0, sizeof s);
  s.settings = settings;
  s.m = m;
  if ((r = qk_data_open (settings, QK_DATA_CALIBRATE, &s.calibrate)) < 0
      || (r = qk_settings_build (settings, &s.calibrate->info, QK_WEIGHTS_ALL,
                                 &built))
           < 0
      || (r = qk_settings_check (settings, built, &s.calibrate->info)) < 0
      || (r = qk_pass_fuse (built, &g)) < 0)
    goto end;
  if (!built->filled && *qk_config_string (settings->model, "weights") == 0
      && (r = settle (settings, g, s.calibrate, batches, m)) < 0)
    goto end;
  if ((r = qk_session_ptq (&s, g, int8, &analysis)) < 0)
    goto end;
  *float_g = g;
  g = NULL;
end:
  qk_graph_free (g);
  qk_graph_free (built);
  qk_session_clear (&s);
  return r;
}
