/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_onnx_suite.c: the models of single operators and small networks that
 * ONNX itself is tested with (Debian: libonnx-testdata).  Each gives the
 * outputs that come with it, or is refused with a sentence.
 *
 * Many of them have as an input of the network what is a constant in real
 * ones, weights and axes; those inputs are made constants first.
 *
 *   QATKIT_ONNX_SUITE=FOLDER   another place
 *   QATKIT_ONNX_VERBOSE=1      a line for each model */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <qatkit/model.h>

#include "exec/exec.h"
#include "graph/graph-priv.h"
#include "onnxfile/onnxfile.h"

#define DEFAULT "/usr/share/libonnx-testdata/data"
#define LEAST 475 /* models that must give their outputs */
#define RTOL 1e-3
#define ATOL 1e-5
#define MAX_TENSORS 16

static struct qk_context *ctx;
static const struct qk_model_class *cls;

/* A model with one set of inputs and outputs. */
struct sample {
  char *model; /* path */
  struct onnxfile *file;
  int n_in, n_out;
  Onnx__TensorProto *in[MAX_TENSORS], *out[MAX_TENSORS];
  struct onnx_const *given[MAX_TENSORS], *expected[MAX_TENSORS];
};

/* ---- files ------------------------------------------------------------------ */

static void *
read_all (const char *path, size_t *size)
{
  FILE *f = fopen (path, "rb");
  struct stat st;
  void *data;

  if (f == NULL)
    return NULL;
  fstat (fileno (f), &st);
  *size = (size_t) st.st_size;
  data = malloc (*size + 1);
  if (fread (data, 1, *size, f) != *size) {
    free (data);
    data = NULL;
  }
  fclose (f);
  return data;
}

/* The tensors KIND_0.pb, KIND_1.pb, … of the folder; how many. */
static int
read_tensors (const struct sample *s, const char *folder, const char *kind,
              Onnx__TensorProto **proto, struct onnx_const **value)
{
  int i;

  for (i = 0; i < MAX_TENSORS; i++) {
    char path[1000];
    size_t size;
    void *data;

    snprintf (path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, kind,
              i);
    if ((data = read_all (path, &size)) == NULL)
      break;
    proto[i] = onnx__tensor_proto__unpack (NULL, size, data);
    free (data);
    if (proto[i] == NULL || onnx_const_read (s->file, proto[i], &value[i]) < 0)
      return -1;
  }
  return i;
}

static void
sample_clear (struct sample *s)
{
  int i;

  for (i = 0; i < MAX_TENSORS; i++) {
    if (s->in[i] != NULL)
      onnx__tensor_proto__free_unpacked (s->in[i], NULL);
    if (s->out[i] != NULL)
      onnx__tensor_proto__free_unpacked (s->out[i], NULL);
    onnx_const_free (s->given[i]);
    onnx_const_free (s->expected[i]);
  }
  onnxfile_close (s->file);
  free (s->model);
}

/* Write the model with the inputs of CONSTANT among its initializers. */
static void
write_with_constants (struct sample *s, const bool *constant, const char *path)
{
  Onnx__GraphProto *g = s->file->model->graph;
  const size_t before = g->n_initializer;
  Onnx__TensorProto **old = g->initializer;
  Onnx__TensorProto **all = calloc (before + MAX_TENSORS, sizeof *all);
  char *names[MAX_TENSORS] = { NULL };
  unsigned char *bytes;
  size_t size;
  FILE *f;
  int i;

  if (before > 0)
    memcpy (all, old, before * sizeof *all);
  for (i = 0; i < s->n_in; i++)
    if (constant[i]) {
      names[i] = s->in[i]->name;
      s->in[i]->name = g->input[i]->name;
      all[g->n_initializer++] = s->in[i];
    }
  g->initializer = all;
  size = onnx__model_proto__get_packed_size (s->file->model);
  bytes = malloc (size + 1);
  onnx__model_proto__pack (s->file->model, bytes);
  f = fopen (path, "wb");
  ck_assert_uint_eq (fwrite (bytes, 1, size, f), size);
  fclose (f);
  free (bytes);
  for (i = 0; i < s->n_in; i++)
    if (constant[i])
      s->in[i]->name = names[i];
  g->initializer = old;
  g->n_initializer = before;
  free (all);
}

/* ---- layout: outside four axes are (N,C,H,W) ----------------------------------- */

static void
turn (const struct qk_shape *shape, const float *from, float *to, bool in)
{
  const int64_t n = qk_shape_count (shape);
  const int64_t c = shape->ndim == 4 ? shape->dims[3] : 1, m = n / c;
  int64_t i, k;

  for (i = 0; i < m; i++)
    for (k = 0; k < c; k++)
      if (in)
        to[i * c + k] = from[k * m + i];
      else
        to[k * m + i] = from[i * c + k];
}

/* ---- one model -------------------------------------------------------------------- */

enum result { PASSED, REFUSED, WRONG };

static int
build (const char *path, struct qk_graph **g)
{
  struct qk_model_request req = { 0 };
  struct qk_config *cfg;
  char options[700];
  int r;

  snprintf (options, sizeof options, "file=\"%s\"", path);
  r = qk_config_parse (cls->cls.options, options, "test", &cfg);
  ck_assert_int_ge (r, 0);
  r = qk_graph_new (ctx, 1, g);
  if (r == 0)
    r = cls->build (cfg, &req, *g);
  qk_config_free (cfg);
  return r < 0 ? r : qk_graph_finish (*g);
}

static bool
near (double a, double b)
{
  if (isnan (b) || isinf (b))
    return isnan (b) ? isnan (a) : a == b;
  return fabs (a - b) <= ATOL + RTOL * fabs (b);
}

/* Whether output I of the last call is what is expected. */
static bool
compare (const struct sample *s, const struct qk_graph *g,
         const struct qk_exec *ex, int i)
{
  const struct qk_tensor *t = qk_exec_output (ex, i);
  const int64_t n = t->shape.dims[0];
  const int64_t one = qk_shape_count (&t->shape) / n;
  struct qk_shape shape = t->shape;
  float *out = malloc (sizeof *out * (size_t) (one * n + 1));
  const struct onnx_const *e = s->expected[i];
  bool good = e->n == one * n;
  int64_t front = 1, j, k;
  float *sample;

  shape.dims[0] = 1;
  for (k = 0; k < g->output[i].batch_axis;
       k++) /* 0 or of four axes: C, H, W */
    front *= shape.dims[shape.ndim == 4 ? 1 + (k + 2) % 3 : 1 + k];
  sample = malloc (sizeof *sample * (size_t) (one + 1));
  for (k = 0; k < n; k++) {
    turn (&shape, (const float *) t->data + k * one, sample, false);
    for (j = 0; j < front; j++)
      memcpy (out + (j * n + k) * (one / front), sample + j * (one / front),
              sizeof *out * (size_t) (one / front));
  }
  free (sample);
  for (k = 0; good && k < e->n; k++)
    good
      = near ((double) out[k], e->real ? (double) e->f[k] : (double) e->i[k]);
  free (out);
  return good;
}

/* Samples of C, if it can be some of our SHAPE; 0. */
static int64_t
samples_of (const struct onnx_const *c, const struct qk_shape *shape)
{
  const int64_t one = qk_shape_count (shape);

  return c->n % one == 0 ? c->n / one : 0;
}

static enum result
run (const struct sample *s, struct qk_graph *g, const bool *constant)
{
  const void *input[MAX_TENSORS];
  float *data[MAX_TENSORS] = { NULL };
  struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct qk_exec *ex = NULL;
  enum result result = WRONG;
  int i, k = 0;
  int64_t n = 1, j;

  for (i = 0; i < s->n_in && k < g->n_inputs; i++) {
    const struct qk_shape *shape;

    if (constant[i])
      continue;
    shape = &g->value[g->input[k]].shape;
    n = samples_of (s->given[i], shape);
    if (n < 1 || !s->given[i]->real)
      goto end;
    data[k] = malloc (sizeof (float) * (size_t) (s->given[i]->n + 1));
    for (j = 0; j < n; j++)
      turn (shape, s->given[i]->f + j * qk_shape_count (shape),
            data[k] + j * qk_shape_count (shape), true);
    input[k] = data[k];
    k++;
  }
  opt.batch = n;
  if (k != g->n_inputs || g->n_outputs > s->n_out
      || qk_exec_new (g, &opt, &ex) < 0
      || qk_exec_forward (ex, input, n, 0) < 0)
    goto end;
  result = PASSED;
  for (i = 0; i < g->n_outputs; i++)
    if (!compare (s, g, ex, i))
      result = WRONG;
end:
  qk_exec_free (ex);
  for (i = 0; i < MAX_TENSORS; i++)
    free (data[i]);
  return result;
}

/* With the inputs of CONSTANT as constants. */
static enum result
attempt (struct sample *s, const bool *constant, char *sentence, size_t size)
{
  struct qk_graph *g = NULL;
  enum result result = REFUSED;
  char path[] = "onnx-suite-XXXXXX.onnx";
  const int fd = mkstemps (path, 5);

  ck_assert_int_ge (fd, 0);
  close (fd);
  write_with_constants (s, constant, path);
  if (build (path, &g) >= 0)
    result = run (s, g, constant);
  else
    snprintf (sentence, size, "%s", qk_error_message ());
  qk_graph_free (g);
  unlink (path);
  return result;
}

/* First all real inputs are data, then the first of them alone. */
static enum result
try_model (const char *folder, char *sentence, size_t size)
{
  bool constant[MAX_TENSORS] = { false };
  enum result result = REFUSED;
  struct sample s;
  bool seen = false;
  int i;

  memset (&s, 0, sizeof s);
  if (asprintf (&s.model, "%s/model.onnx", folder) < 0)
    abort ();
  if (onnxfile_open (s.model, &s.file) < 0) {
    snprintf (sentence, size, "%s", qk_error_message ());
    sample_clear (&s);
    return REFUSED;
  }
  s.n_in = read_tensors (&s, folder, "input", s.in, s.given);
  s.n_out = read_tensors (&s, folder, "output", s.out, s.expected);
  if (s.n_in < 0 || s.n_out < 1
      || (size_t) s.n_in > s.file->model->graph->n_input) {
    snprintf (sentence, size, "its data are no tensors of numbers");
    sample_clear (&s);
    return REFUSED;
  }
  for (i = 0; i < s.n_in; i++)
    constant[i] = !s.given[i]->real;
  result = attempt (&s, constant, sentence, size);
  for (i = 0; i < s.n_in && result == REFUSED; i++) {
    constant[i] = constant[i] || seen;
    seen = seen || !constant[i];
  }
  if (result == REFUSED)
    result = attempt (&s, constant, sentence, size);
  sample_clear (&s);
  return result;
}

/* ---- all of them ---------------------------------------------------------------------- */

static int
is_model (const struct dirent *e)
{
  return e->d_name[0] != '.';
}

struct tally {
  int passed, refused, wrong, silent;
};

static void
try_folder (const char *folder, struct tally *t)
{
  struct dirent **list;
  const bool verbose = getenv ("QATKIT_ONNX_VERBOSE") != NULL;
  int i, n = scandir (folder, &list, is_model, alphasort);

  for (i = 0; i < n; i++) {
    char path[700], sentence[700] = "";
    enum result r;
    struct stat st;

    snprintf (path, sizeof path, "%s/%s/model.onnx", folder, list[i]->d_name);
    if (stat (path, &st) == 0) {
      path[strlen (path) - strlen ("/model.onnx")] = '\0';
      r = try_model (path, sentence, sizeof sentence);
      t->passed += r == PASSED;
      t->refused += r == REFUSED;
      t->wrong += r == WRONG;
      t->silent += r == REFUSED && sentence[0] == '\0';
      if (verbose || r == WRONG)
        printf ("%s %s %s\n",
                r == PASSED    ? "passed"
                : r == REFUSED ? "refused"
                               : "WRONG",
                list[i]->d_name, sentence);
    }
    free (list[i]);
  }
  if (n >= 0)
    free (list);
}

START_TEST (every_model_right_or_refused)
{
  static const char *const groups[]
    = { "node", "simple", "pytorch-converted", "pytorch-operator", "real" };
  const char *top = getenv ("QATKIT_ONNX_SUITE");
  const struct qk_class *c;
  struct tally t = { 0, 0, 0, 0 };
  size_t i;

  ctx = qk_context_new ();
  ck_assert_int_ge (qk_context_class (ctx, QK_KIND_MODEL, "onnx", &c), 0);
  cls = (const struct qk_model_class *) (const void *) c;
  for (i = 0; i < sizeof groups / sizeof *groups; i++) {
    char path[400];

    snprintf (path, sizeof path, "%s/%s", top != NULL ? top : DEFAULT,
              groups[i]);
    try_folder (path, &t);
  }
  qk_context_free (ctx);
  printf ("%d models give their outputs, %d are refused, %d are wrong\n",
          t.passed, t.refused, t.wrong);
  ck_assert_int_eq (t.wrong, 0);
  ck_assert_int_eq (t.silent, 0);
  ck_assert_int_ge (t.passed, LEAST);
}
END_TEST

int
main (void)
{
  const char *top = getenv ("QATKIT_ONNX_SUITE");
  Suite *s = suite_create ("onnx suite");
  TCase *tc = tcase_create ("models");
  SRunner *sr;
  int failed;

  if (access (top != NULL ? top : DEFAULT, R_OK) < 0) {
    printf ("no models at %s (Debian: libonnx-testdata)\n",
            top != NULL ? top : DEFAULT);
    return 77;
  }
  tcase_add_test (tc, every_model_right_or_refused);
  tcase_set_timeout (tc, 600);
  suite_add_tcase (s, tc);
  sr = srunner_create (s);
  srunner_run_all (sr, CK_NORMAL);
  failed = srunner_ntests_failed (sr);
  srunner_free (sr);
  return failed != 0;
}
