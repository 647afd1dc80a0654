/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx.c: a network out of an ONNX file, with its weights.
 *
 * fold.c computes what is known beforehand, recognise.c puts together what
 * exporters take apart, layout.c makes the graph. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/model.h>

#include "fold.h"
#include "imagesize/imagesize.h"
#include "lay.h"
#include "qlinear.h"
#include "recognise.h"

#define MOST_SIDE (1 << 16)

/* How the axes of the inputs stand to those of the data. */
enum layout {
  IMAGES, /* axis 0 is the batch; with four axes, channels are axis 1 */
  PLAIN,  /* axis 0 is the batch; the others as in the data */
  ALONE   /* the file knows no batch: it is an axis of ours more; with three
             axes, channels are axis 0 */
};

/* What an open batch counts as while shapes are computed: a number that the
 * file's own dimensions hardly contain, so that a Reshape's numbers say where
 * the batch is.  Files traced with a batch of 1 may have that 1 in constants. */
enum { OPEN_BATCH = 29 };

/* ---- inputs -------------------------------------------------------------------------- */

/* Dimensions that the file states for VALUE, 0 where it leaves one open. */
static int
stated (const struct net *n, int value, struct qk_shape *out)
{
  const Onnx__GraphProto *g = n->file->model->graph;
  const char *name = n->value[value].name;
  const Onnx__TypeProto *t = NULL;
  const Onnx__TensorShapeProto *s;
  size_t i;

  for (i = 0; i < g->n_input; i++)
    if (g->input[i]->name != NULL && strcmp (g->input[i]->name, name) == 0)
      t = g->input[i]->type;
  if (t == NULL || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
      || (s = t->tensor_type->shape) == NULL)
    return qk_error (-ENOTSUP,
                     "%s: input '%.200s' has no shape, expected a tensor's",
                     n->file->path, name);
  if (!onnx_type_is_real ((int) t->tensor_type->elem_type))
    return qk_error (
      -ENOTSUP, "%s: input '%.200s' is of type %s, expected real numbers",
      n->file->path, name, onnx_type_name ((int) t->tensor_type->elem_type));
  memset (out, 0, sizeof *out);
  if (s->n_dim > QK_MAX_DIMS)
    return qk_error (-ENOTSUP, "%s: input '%.200s' has %zu axes, at most %d",
                     n->file->path, name, s->n_dim, QK_MAX_DIMS);
  for (i = 0; i < s->n_dim; i++) {
    const Onnx__TensorShapeProto__Dimension *d = s->dim[i];

    out->dims[out->ndim++]
      = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
            && d->dim_value > 0
          ? d->dim_value
          : 0;
  }
  return 0;
}

/* The order of the file's axes in our tensor of HOW, -1 for none. */
static void
order_of (int ndim, enum layout how, int *order)
{
  static const int image[] = { 0, 2, 3, 1 }, single[] = { 1, 2, 0 };
  int i;

  for (i = 0; i < ndim; i++)
    order[i] = ndim == 4 && how == IMAGES  ? image[i]
               : ndim == 3 && how == ALONE ? single[i]
                                           : i;
}

/* Whether our shape S can be what the file states as F, seen as HOW. */
static bool
fits (const struct qk_shape *s, const struct qk_shape *f, enum layout how)
{
  const int skip = how == ALONE;
  int order[QK_MAX_DIMS], i;

  if (s->ndim != f->ndim + skip)
    return false;
  order_of (f->ndim, how, order);
  for (i = skip ? 0 : 1; i < f->ndim; i++)
    if (f->dims[order[i]] != 0 && f->dims[order[i]] != s->dims[i + skip])
      return false;
  return true;
}

/* Whether axis I of the file's, in our order, is the width of an image. */
static bool
is_width (int ndim, enum layout how, int i)
{
  return (ndim == 4 && how == IMAGES && i == 2)
         || (ndim == 3 && how == ALONE && i == 1);
}

/* Our shape of what the file states as F; SIDE, height and width, stands for
 * open axes. */
static int
own_shape (const struct net *n, int value, const struct qk_shape *f,
           enum layout how, const int64_t side[2], struct qk_shape *out)
{
  int order[QK_MAX_DIMS], i;

  if (f->ndim + (how == ALONE) > QK_MAX_DIMS || (f->ndim == 0 && how != ALONE))
    return qk_error (-ENOTSUP, "%s: input '%.200s' has %d axes", n->file->path,
                     n->value[value].name, f->ndim);
  order_of (f->ndim, how, order);
  out->ndim = 0;
  out->dims[out->ndim++] = 1;
  for (i = how == ALONE ? 0 : 1; i < f->ndim; i++) {
    const int64_t given = side[is_width (f->ndim, how, i)];
    const int64_t d = f->dims[order[i]];

    if (d == 0 && given == 0)
      return qk_error (-EINVAL,
                       "%s: input '%.200s' leaves axis %d open; give the "
                       "data, or the size in [model] side",
                       n->file->path, n->value[value].name, order[i]);
    out->dims[out->ndim++] = d > 0 ? d : given;
  }
  return 0;
}

/* The input of N called NAME, -1 if there is none. */
static int
input_named (const struct net *n, const char *name)
{
  for (int i = 0; i < n->n_inputs; i++)
    if (strcmp (n->value[n->input[i]].name, name) == 0)
      return i;
  return -1;
}

static bool
data_have (const struct qk_model_request *req, const char *name)
{
  for (int k = 0; k < req->n_inputs; k++)
    if (strcmp (req->input[k].name, name) == 0)
      return true;
  return false;
}

/* The file's input that the data's input K is, which the graph has in the
 * order of the data: by name, and those whose names only one of them has in
 * their order.  -1: there is none. */
static int
input_for (const struct net *n, const struct qk_model_request *req, int k)
{
  int i = input_named (n, req->input[k].name), j, left = 0;

  if (i >= 0)
    return i;
  for (j = 0; j < k; j++)
    left += input_named (n, req->input[j].name) < 0;
  for (i = 0; i < n->n_inputs; i++)
    if (!data_have (req, n->value[n->input[i]].name) && left-- == 0)
      return i;
  return -1;
}

/* Declare input I of the file in the graph, in the shape of SPEC, the data's;
 * NULL: there are no data. */
static int
add_input (struct lay *l, int i, const struct qk_tensor_spec *spec,
           enum layout how, const int64_t side[2])
{
  const int value = l->n->input[i];
  struct net_value *v = &l->n->value[value];
  struct qk_tensor_spec own = { .name = v->name, .dtype = QK_F32 };
  int order[QK_MAX_DIMS], k, id, r;
  struct qk_shape f;

  if ((r = stated (l->n, value, &f)) < 0)
    return r;
  if (spec == NULL)
    r = own_shape (l->n, value, &f, how, side, &own.shape);
  else if (fits (&spec->shape, &f, how))
    own.shape = spec->shape;
  else {
    char a[120], b[120];

    r = qk_error (-EINVAL,
                  "%s: input '%.200s' is %s (0: open), which the data's %s "
                  "do not fit",
                  l->n->file->path, v->name, qk_shape_print (&f, a, sizeof a),
                  qk_spec_print (spec, b, sizeof b));
  }
  if (r < 0)
    return r;
  if ((id = qk_graph_input (l->g, &own)) < 0)
    return qk_error_prefix (id, "%s: ", l->n->file->path);
  order_of (f.ndim, how, order);
  view_plain (&v->view, id, f.ndim);
  for (k = 0; k < f.ndim; k++)
    v->view.axis[order[k]].of[0] = k + (how == ALONE);
  return 0;
}

/* Declare all inputs, in the order of the data where there are some. */
static int
add_inputs (struct lay *l, const struct qk_model_request *req, enum layout how,
            const int64_t side[2])
{
  const int n = req->n_inputs > 0 ? req->n_inputs : l->n->n_inputs;
  int i, k, r = 0;

  if (n != l->n->n_inputs)
    return qk_error (-EINVAL, "%s: has %d inputs, the data %d",
                     l->n->file->path, l->n->n_inputs, n);
  for (k = 0; k < n && r == 0; k++) {
    i = req->n_inputs > 0 ? input_for (l->n, req, k) : k;
    r = add_input (l, i, req->n_inputs > 0 ? &req->input[k] : NULL, how, side);
  }
  return r;
}

/* What the batch axis has for size in the file, OPEN where it is left open;
 * all inputs alike. */
static int
find_batch (struct lay *l, enum layout how, int64_t open)
{
  struct qk_shape f;
  int i, r;

  l->n->batch = 1;
  if (how == ALONE)
    return 0;
  for (i = 0; i < l->n->n_inputs; i++) {
    if ((r = stated (l->n, l->n->input[i], &f)) < 0)
      return r;
    if (f.ndim == 0)
      return qk_error (-ENOTSUP, "%s: input '%.200s' is one number",
                       l->n->file->path, l->n->value[l->n->input[i]].name);
    if (i > 0 && (f.dims[0] > 0 ? f.dims[0] : open) != l->n->batch)
      return qk_error (-ENOTSUP,
                       "%s: input '%.200s' has a batch of %lld, the first "
                       "one of %lld",
                       l->n->file->path, l->n->value[l->n->input[i]].name,
                       (long long) f.dims[0], (long long) l->n->batch);
    l->n->batch = f.dims[0] > 0 ? f.dims[0] : open;
  }
  return 0;
}

/* ---- the graph ----------------------------------------------------------------------------- */

static int
fold_all (struct net *n)
{
  int i, r;

  for (i = 0; i < n->n_nodes; i++)
    if ((r = fold_node (n, &n->node[i], NULL, NULL)) < 0)
      return r;
  return 0;
}

/* Build the whole graph, the inputs being as HOW says and an open batch
 * counting as OPEN. */
static int
build_as (struct onnxfile *file, const struct qk_model_request *req,
          const struct qk_config *cfg, const int64_t side[2], enum layout how,
          int64_t open, struct qk_graph *g)
{
  const char *grids = qk_config_string (cfg, "grids");
  struct lay l;
  int r;

  memset (&l, 0, sizeof l);
  l.g = g;
  l.grids = *grids == 'k'   ? GRIDS_KEEP
            : *grids == 't' ? GRIDS_TRAIN
                            : GRIDS_IGNORE;
  if ((r = net_new (file, qk_config_string (cfg, "outputs"), &l.n)) < 0)
    return r;
  if ((r = fold_all (l.n)) < 0 || (r = qlinear (l.n)) < 0)
    goto end;
  if ((r = recognise (l.n)) < 0 || (r = find_batch (&l, how, open)) < 0)
    goto end;
  if ((r = add_inputs (&l, req, how, side)) == 0)
    r = lay_out (&l);
end:
  net_free (l.n);
  return r;
}

/* A batch is likelier than none; of several failures the sentence of the
 * second attempt, which is about the numbers that the file shows, is the best
 * one. */
static int
onnx_build (const struct qk_config *cfg, const struct qk_model_request *req,
            struct qk_graph *g)
{
  static const struct {
    enum layout how;
    int64_t open;
  } attempt[] = { { IMAGES, OPEN_BATCH }, { IMAGES, 1 }, { ALONE, 1 } };
  const char *path = qk_config_string (cfg, "file");
  struct onnxfile *file;
  char *sentence = NULL;
  int64_t side[2];
  int i, r, first = 0;

  if ((r = image_size_read ("onnx", cfg, "side", 0, MOST_SIDE, side, NULL)) < 0
      || (r = onnxfile_open (path, &file)) < 0)
    return r;
  for (i = 0; i < 3; i++) {
    r = build_as (file, req, cfg, side, attempt[i].how, attempt[i].open, g);
    if (r != -ENOTSUP && r != -EINVAL)
      break;
    if (i < 2) {
      free (sentence);
      first = r;
      if ((sentence = strdup (qk_error_message ())) == NULL)
        break;
      qk_graph_clear (g);
    }
  }
  if (i > 0 && r < 0 && sentence != NULL)
    r = qk_error (first, "%s", sentence);
  free (sentence);
  onnxfile_close (file);
  return r;
}

static const char *
onnx_note (int i)
{
  const struct net_op *op = lay_operator (i);

  return op != NULL ? op->text : NULL;
}

static const char *const suffixes[] = { ".onnx", NULL };

static const char *const grids[] = { "keep", "train", "ignore", NULL };

static const struct qk_option options[]
  = { { "file", QK_OPT_PATH, NULL, 0, 0, NULL, "The ONNX file" },
      { "side", QK_OPT_STRING, "0", 0, 0, NULL,
        "Height and width, where the file leaves them open and there are no "
        "data" },
      { "outputs", QK_OPT_STRING, "", 0, 0, NULL,
        "Tensors, or nodes that make them, where the network ends; none: the "
        "outputs of the file" },
      { "grids", QK_OPT_CHOICE, "keep", 0, 0, grids,
        "What becomes of the grids of a file that is quantized: they stay, "
        "quantization begins with them and goes on, or the float network "
        "alone is read" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_model_class onnx = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "onnx",
                   "A network, with its weights, from an ONNX file", options),
  .build = onnx_build,
  .suffixes = suffixes,
  .note = onnx_note,
};

QK_PLUGIN ("onnx", PACKAGE_VERSION, "LGPL-2.1-or-later", &onnx.cls);
