/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: softsign, y = k x / (1 + k |x|), dx = dy k / (1 + k |x|)^2, with an
 * option k.  x of any shape, y of the same.
 *
 * In int8 a function of one number is a table of 256 bytes, which every
 * backend looks up.  A model names the layer in qk_graph_node, its options in
 * the last argument: "steepness=2". */
#include <math.h>
#include <stdlib.h>

#include <qatkit/layer.h>

/* Everything an instance knows.  A network has one for each node. */
struct NAME {
  float k;
};

static const struct qk_option NAME_options[]
  = { { "steepness", QK_OPT_FLOAT, "1", 1e-3, 1e3, NULL,
        "Factor on the input; the slope at 0" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When the network is built.  CFG, borrowed for the call, holds checked values
 * only; what the table cannot say is checked here and refused with
 * qk_error (-EINVAL, …).  *self belongs to the library, which ends with
 * destroy. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *l = malloc (sizeof *l);

  if (l == NULL)
    return qk_oom ("NAME");
  l->k = (float) qk_config_float (cfg, "steepness");
  *self = l;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* After create: are these inputs possible, and which shape has the output?
 * dims[0] is the batch. */
static int
NAME_infer (void *self, const struct qk_shape *in, int n_in,
            struct qk_shape *out)
{
  (void) self;
  if (n_in != 1)
    return qk_error (-EINVAL, "NAME: takes 1 input, got %d", n_in);
  *out = in[0];
  return 0;
}

/* Once for each executor: how much memory a call needs (none here), and what
 * backward reads: in[], but not out, whose memory can then be used again.
 * (optional) */
static int
NAME_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_out = false;
  return 0;
}

static float
NAME_value (const struct NAME *l, float x)
{
  return l->k * x / (1.0f + l->k * fabsf (x));
}

/* Each batch, in training and evaluation.  All tensors are borrowed for the
 * call.  Because "quantized" is not set below, they are f32: the library
 * dequantizes the input and quantizes the output around it. */
static int
NAME_forward (void *self, struct qk_layer_io *io)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const float *x = io->in[0].data;
  float *y = io->out->data;

  for (int64_t i = 0; i < n; i++)
    y[i] = NAME_value (self, x[i]);
  return 0;
}

/* Each training batch, after forward: overwrite din, add to dparam.
 * (optional; without it the layer cannot be trained through) */
static int
NAME_backward (void *self, struct qk_layer_io *io)
{
  const struct NAME *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const float *x = io->in[0].data, *dy = io->dout->data;
  float *dx = io->din[0].data;

  for (int64_t i = 0; dx != NULL && i < n; i++) {
    const float d = 1.0f + l->k * fabsf (x[i]);

    dx[i] = dy[i] * l->k / (d * d);
  }
  return 0;
}

/* When the trained network is converted: the int8 operation.  It must give
 * exactly the bytes that forward and the library's quantization give, which
 * is why it uses qk_dequantize and qk_quantize of numeric.h.  Arrays come from
 * qk_alloc and belong to the library afterwards.
 * (optional; without it the node stays in float) */
static int
NAME_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct qk_qparams *a = &io->in[0].q, *b = &io->out->q;
  const float inv = 1.0f / b->scale;
  uint8_t *table = qk_alloc (256);

  if (table == NULL)
    return qk_oom ("NAME");
  for (int32_t i = 0; i < 256; i++)
    table[i] = (uint8_t) qk_quantize (
      NAME_value (self, qk_dequantize (i, a->scale, a->zero_point)), inv,
      b->zero_point, b->qmin, b->qmax);
  op->kind = QK_OP_TABLE;
  op->table = table;
  op->lo = b->qmin;
  op->hi = b->qmax;
  return 0;
}

static const struct qk_layer_class NAME_class = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "NAME",
                   "Softsign, k x / (1 + k |x|)", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .infer = NAME_infer,
  .setup = NAME_setup,
  .forward = NAME_forward,
  .backward = NAME_backward,
  .lower = NAME_lower,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
