/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_logits.c: writes what another program needs to check an exported
 * network:
 *
 *   check_logits FILE.ini|MODEL SAMPLES LOGITS [SECTION.KEY=VALUE]...
 *
 * SAMPLES receives the validation samples, float32 (N,C,H,W), LOGITS what
 * the network makes of them, float32 (N,classes).  Prints N C H W and the
 * number right: whose first largest logit is the label's. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* N images X, each like SPEC. */
static int
write_nchw (FILE *out, const float *x, int64_t n,
            const struct qk_tensor_spec *spec)
{
  const int64_t *d = spec->shape.dims;
  const int64_t pixels = d[1] * d[2];
  int64_t i, c, k;

  for (i = 0; i < n; i++)
    for (c = 0; c < d[3]; c++)
      for (k = 0; k < pixels; k++)
        if (fwrite (&x[(i * pixels + k) * d[3] + c], sizeof *x, 1, out) != 1)
          return qk_error (-EIO, "cannot write");
  return 0;
}

static int64_t
first_largest (const float *y, int64_t n)
{
  int64_t best = 0, i;

  for (i = 1; i < n; i++)
    best = y[i] > y[best] ? i : best;
  return best;
}

static int
write_all (struct qk_exec *ex, const struct qk_data *d, FILE *samples,
           FILE *logits)
{
  const struct qk_tensor_spec *image = d->info.input;
  int64_t total = 0, right = 0, i;
  struct qk_batch b;
  int r;

  if ((r = qk_batches_start (d->batches, 0, 0)) < 0)
    return r;
  while ((r = qk_batches_next (d->batches, &b)) > 0) {
    const struct qk_tensor *t;
    const float *y;
    int64_t classes;

    if ((r = write_nchw (samples, b.input[0], b.n, image)) < 0
        || (r = qk_exec_forward (ex, b.input, b.n, 0)) < 0)
      return r;
    t = qk_exec_output (ex, 0);
    y = t->data;
    classes = qk_shape_count (&t->shape) / b.n;
    if (fwrite (y, (size_t) classes * sizeof *y, (size_t) b.n, logits)
        != (size_t) b.n)
      return qk_error (-EIO, "cannot write");
    for (i = 0; i < b.n; i++)
      right += first_largest (y + i * classes, classes)
               == ((const int32_t *) b.target[0])[i];
    total += b.n;
  }
  printf ("%lld %d %d %d %lld\n", (long long) total,
          (int) image->shape.dims[3], (int) image->shape.dims[1],
          (int) image->shape.dims[2], (long long) right);
  return r;
}

static int
run (struct qk_cli *cli, const char *samples, const char *logits)
{
  struct qk_exec_options opt;
  struct qk_model *m = NULL;
  struct qk_graph *g = NULL;
  struct qk_settings *settings = NULL;
  struct qk_data *d = NULL;
  struct qk_exec *ex = NULL;
  FILE *p = fopen (samples, "wb"), *l = fopen (logits, "wb");
  int r;

  if (p == NULL || l == NULL)
    r = qk_error (-errno, "cannot write: %s", strerror (errno));
  else if ((r = qk_cli_open (cli, cli->arg[0], &settings, &m)) == 0
           && (r = qk_data_open (settings, QK_DATA_EVAL, &d)) == 0
           && (m != NULL
               || (r = qk_cli_float (settings, &d->info, &g)) == 0)) {
    qk_settings_exec_options (settings, d->batch, false, &opt);
    if ((r = qk_exec_new (m != NULL ? m->graph : g, &opt, &ex)) == 0)
      r = write_all (ex, d, p, l);
  }
  if (p != NULL && fclose (p) != 0 && r == 0)
    r = qk_error (-EIO, "cannot write");
  if (l != NULL && fclose (l) != 0 && r == 0)
    r = qk_error (-EIO, "cannot write");
  qk_exec_free (ex);
  qk_data_close (d);
  qk_graph_free (g);
  qk_model_free (m);
  qk_settings_free (settings);
  return r;
}

int
main (int argc, char **argv)
{
  struct qk_cli cli;
  int r;

  if (argc < 4) {
    fprintf (stderr, "usage: check_logits NETWORK SAMPLES LOGITS "
                     "[SECTION.KEY=VALUE]...\n");
    return 2;
  }
  memset (&cli, 0, sizeof cli);
  if ((cli.ctx = qk_context_new ()) == NULL)
    return 1;
  cli.arg = argv + 1;
  cli.override = argv + 4;
  cli.n_override = argc - 4;
  if ((r = run (&cli, argv[2], argv[3])) < 0)
    fprintf (stderr, "check_logits: %s\n", qk_error_message ());
  qk_context_free (cli.ctx);
  return r < 0;
}
