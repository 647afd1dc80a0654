/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_models.c: the model plugins build the published networks. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/model.h>

#include "graph/graph-priv.h"
#include "lib/context.h"
#include "lib/effort.h"

/* SIZE x SIZE images of CHANNELS channels and, if CLASSES > 0, a label. */
struct data {
  struct qk_tensor_spec image, label;
  struct qk_model_request req;
};

static const struct qk_model_request *
images (struct data *d, int size, int channels, int classes)
{
  memset (d, 0, sizeof *d);
  d->image.name = "image";
  d->image.dtype = QK_F32;
  d->image.shape = (struct qk_shape){ 4, { 1, size, size, channels } };
  d->label.name = "label";
  d->label.dtype = QK_I32;
  d->label.shape = (struct qk_shape){ 1, { 1 } };
  d->label.categories = classes;
  d->req = (struct qk_model_request){ 1, classes > 0, &d->image, &d->label };
  return &d->req;
}

static int
build (const char *model, const char *options,
       const struct qk_model_request *req, struct qk_graph **g)
{
  const struct qk_class *c;
  struct qk_config *cfg;
  int err = qk_context_class (ctx, QK_KIND_MODEL, model, &c);

  *g = NULL;
  if (err < 0)
    return err;
  if ((err = qk_config_parse (c->options, options, model, &cfg)) < 0)
    return err;
  if ((err = qk_graph_new (ctx, 1, g)) == 0)
    err = ((const struct qk_model_class *) (const void *) c)
            ->build (cfg, req, *g);
  qk_config_free (cfg);
  return err < 0 ? err : qk_graph_finish (*g);
}

static struct qk_graph *
must_build (const char *model, const char *options, int size, int classes)
{
  struct qk_graph *g;
  struct data d;

  ck_assert_msg (build (model, options, images (&d, size, 3, classes), &g)
                   >= 0,
                 "%s %s: %s", model, options, qk_error_message ());
  return g;
}

/* ---- as in torchvision ------------------------------------------------*/

/* "64,3,7,7", axes as PyTorch has them, from our shape. */
static void
print_theirs (const struct qk_param *p, char *buf, size_t size)
{
  const int64_t *d = p->spec.shape.dims;

  if (p->spec.layout == QK_LAYOUT_OIHW)
    snprintf (buf, size, "%lld,%lld,%lld,%lld", (long long) d[0],
              (long long) d[3], (long long) d[1], (long long) d[2]);
  else if (p->spec.shape.ndim == 2)
    snprintf (buf, size, "%lld,%lld", (long long) d[0], (long long) d[1]);
  else
    snprintf (buf, size, "%lld", (long long) d[0]);
}

static void
check_network (const char *model)
{
  struct qk_graph *g = must_build (model, "", 224, 1000);
  char path[1024], name[128], shape[64], ours[100];
  const char *top = getenv ("abs_top_srcdir");
  long long macs;
  int n = 0;
  FILE *f;

  snprintf (path, sizeof path, "%s/tests/golden/%s.txt",
            top != NULL ? top : ".", model);
  f = fopen (path, "r");
  ck_assert_msg (f != NULL, "cannot open %s", path);
  ck_assert_int_eq (fscanf (f, "macs %lld", &macs), 1);
  ck_assert_msg (qk_graph_macs (g) == macs,
                 "%s multiplies %lld times, torchvision %lld", model,
                 (long long) qk_graph_macs (g), macs);
  while (fscanf (f, "%127s %63s", name, shape) == 2) {
    const struct qk_param *p = qk_graph_find_param (g, name);

    ck_assert_msg (p != NULL, "%s has no parameter %s", model, name);
    print_theirs (p, ours, sizeof ours);
    ck_assert_msg (strcmp (ours, shape) == 0,
                   "%s: %s is %s, torchvision has %s", model, name, ours,
                   shape);
    n++;
  }
  fclose (f);
  ck_assert_int_gt (n, 50);
  ck_assert_msg (g->n_params == n, "%s has %d parameters, torchvision %d",
                 model, g->n_params, n);
  qk_graph_free (g);
}

START_TEST (networks_are_torchvisions)
{
  check_network ("mobilenet_v2");
  check_network ("resnet18");
  if (effort (1, 0)) {
    check_network ("resnet34");
    check_network ("resnet50");
  }
}
END_TEST

/* ---- options ---------------------------------------------------------*/

static void
value_is (const struct qk_graph *g, const char *node, int64_t side,
          int64_t channels)
{
  const int n = qk_graph_find_node (g, node);
  const struct qk_shape *s;

  ck_assert_msg (n >= 0, "no node %s", node);
  s = &g->value[g->node[n].out].shape;
  ck_assert_msg (s->dims[1] == side && s->dims[s->ndim - 1] == channels,
                 "%s is %lld wide with %lld channels, expected %lld and %lld",
                 node, (long long) s->dims[1],
                 (long long) s->dims[s->ndim - 1], (long long) side,
                 (long long) channels);
}

START_TEST (small_samples_keep_their_size_longer)
{
  struct qk_graph *g = must_build ("mobilenet_v2", "", 32, 10);

  value_is (g, "features.0.2", 32, 32);
  value_is (g, "features.18.2", 4, 1280);
  qk_graph_free (g);
  g = must_build ("mobilenet_v2", "input=large", 32, 10);
  value_is (g, "features.18.2", 1, 1280);
  qk_graph_free (g);
  g = must_build ("mobilenet_v2", "input=small", 96, 10);
  value_is (g, "features.18.2", 12, 1280);
  qk_graph_free (g);
  g = must_build ("mobilenet_v2", "", 160, 10);
  value_is (g, "features.18.2", 5, 1280);
  qk_graph_free (g);

  g = must_build ("resnet18", "", 32, 10);
  value_is (g, "layer4.1.relu", 4, 512);
  ck_assert_int_eq (qk_graph_find_node (g, "maxpool"), -1);
  qk_graph_free (g);
  g = must_build ("resnet50", "channels=8", 160, 10);
  value_is (g, "maxpool", 40, 8);
  value_is (g, "layer4.2.relu", 5, 256);
  qk_graph_free (g);

  g = must_build ("cnn", "channels=8 depth=5", 32, 10);
  value_is (g, "relu5", 8, 32);
  qk_graph_free (g);
}
END_TEST

START_TEST (width_rounds_as_published)
{
  struct qk_graph *g = must_build ("mobilenet_v2", "width=0.35", 224, 10);

  /* 32 x 0.35 = 11.2 would be 8, which is more than a tenth less */
  value_is (g, "features.0.2", 112, 16);
  value_is (g, "features.17.conv.3", 7, 112);
  value_is (g, "features.18.2", 7, 1280);
  qk_graph_free (g);
  g = must_build ("mobilenet_v2", "width=1.4", 224, 10);
  value_is (g, "features.18.2", 7, 1792);
  qk_graph_free (g);
}
END_TEST

/* Every residual of MobileNetV2 is there: 10 of 17 blocks. */
START_TEST (residuals)
{
  struct qk_graph *g = must_build ("mobilenet_v2", "", 224, 10);
  int adds = 0;

  for (int i = 0; i < g->n_nodes; i++)
    adds += strcmp (g->node[i].layer_name, "add") == 0;
  ck_assert_int_eq (adds, 10);
  ck_assert_int_ge (qk_graph_find_node (g, "features.3.add"), 0);
  ck_assert_int_eq (qk_graph_find_node (g, "features.2.add"), -1);
  qk_graph_free (g);
}
END_TEST

/* The classifier's first weights: normal, 0.01, as torchvision's. */
START_TEST (classifier_starts_small)
{
  struct qk_graph *g = must_build ("mobilenet_v2", "", 32, 10);
  const struct qk_param *p = qk_graph_find_param (g, "classifier.1.weight");
  const int64_t n = qk_shape_count (&p->value.shape);
  double sum = 0, squares = 0;

  for (int64_t i = 0; i < n; i++) {
    const double v = (double) ((float *) p->value.data)[i];

    sum += v;
    squares += v * v;
  }
  ck_assert (fabs (sum / (double) n) < 0.0005);
  ck_assert (fabs (sqrt (squares / (double) n) - 0.01) < 0.0005);
  qk_graph_free (g);
}
END_TEST

/* The network's only output is (1,…,CLASSES). */
static void
gives_classes (const struct qk_graph *g, int classes)
{
  const struct qk_shape *s;

  ck_assert_int_eq (g->n_outputs, 1);
  s = &g->value[g->output[0].value].shape;
  ck_assert_int_ge (s->ndim, 2);
  ck_assert_int_eq (s->dims[s->ndim - 1], classes);
}

/* Whether CLS has an option called NAME. */
static bool
has_option (const struct qk_class *cls, const char *name)
{
  for (const struct qk_option *o = cls->options; o != NULL && o->name != NULL;
       o++)
    if (strcmp (o->name, name) == 0)
      return true;
  return false;
}

/* A model that is not for classes of images refuses data it is not for, and
 * says its name. */
static void
refuses_vectors (const char *name)
{
  struct qk_graph *g;
  struct data d;

  images (&d, 32, 3, 0);
  d.image.shape.ndim = 2;
  ck_assert_msg (build (name, "", &d.req, &g) == -EINVAL
                   && strstr (qk_error_message (), name) != NULL,
                 "%s of vectors: %s", name, qk_error_message ());
  qk_graph_free (g);
}

/* All models, whatever is installed, that have the option classes: an output
 * (1,…,classes), the option wins over the data's number, and no number of
 * classes is an error, as are data without one image. */
START_TEST (every_model_builds)
{
  char **names;
  int n = 0;

  ck_assert_int_ge (qk_context_list (ctx, QK_KIND_MODEL, &names), 0);
  for (; names[n] != NULL; n++) {
    struct data d;
    /* most of the time goes into random weights */
    const char *width = effort (1, 0) || strncmp (names[n], "resnet", 6) != 0
                          ? ""
                          : "channels=8";
    const struct qk_class *c;
    struct qk_graph *g;
    char three[64];

    ck_assert_int_eq (qk_context_class (ctx, QK_KIND_MODEL, names[n], &c), 0);
    if (!has_option (c, "classes")) {
      refuses_vectors (names[n]);
      continue;
    }
    g = must_build (names[n], width, 32, 7);
    gives_classes (g, 7);
    qk_graph_free (g);
    snprintf (three, sizeof three, "%s classes=3", width);
    g = must_build (names[n], three, 64, 7);
    gives_classes (g, 3);
    qk_graph_free (g);
    ck_assert_msg (build (names[n], width, images (&d, 28, 1, 10), &g) >= 0,
                   "%s: %s", names[n], qk_error_message ());
    qk_graph_free (g);
    ck_assert_msg (build (names[n], "", images (&d, 32, 3, 0), &g) == -EINVAL
                     && strstr (qk_error_message (), "classes") != NULL,
                   "%s without classes: %s", names[n], qk_error_message ());
    qk_graph_free (g);
    images (&d, 32, 3, 10);
    d.image.shape.ndim = 2;
    ck_assert_msg (build (names[n], "", &d.req, &g) == -EINVAL
                     && strstr (qk_error_message (), "image") != NULL,
                   "%s of vectors: %s", names[n], qk_error_message ());
    qk_graph_free (g);
    d.req.n_inputs = 2;
    ck_assert_msg (build (names[n], "", &d.req, &g) == -EINVAL
                     && strstr (qk_error_message (), "2 inputs") != NULL,
                   "%s of two inputs: %s", names[n], qk_error_message ());
    qk_graph_free (g);
  }
  ck_assert_int_ge (n, 5);
  qk_names_free (names);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("models");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 120);
  tcase_add_test (t, networks_are_torchvisions);
  tcase_add_test (t, small_samples_keep_their_size_longer);
  tcase_add_test (t, width_rounds_as_published);
  tcase_add_test (t, residuals);
  tcase_add_test (t, classifier_starts_small);
  tcase_add_test (t, every_model_builds);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
