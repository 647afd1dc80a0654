/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norms.c: softmax, normalisation and local response normalisation. */
#include "config.h"

#include <stdlib.h>

#include "csource.h"

static uint64_t
wide_bits (double x)
{
  uint64_t bits;

  memcpy (&bits, &x, sizeof bits);
  return bits;
}

int
csource_softmax (struct writer *w, const struct qk_network_node *n)
{
  static const struct {
    enum kernel kernel;
    const char *name;
  } functions[QK_SOFTMAXES][2]
    = { { { KERNEL_SOFTMAX, "softmax" },
          { KERNEL_SOFTMAX_REAL, "softmax_real" } },
        { { KERNEL_LOG_SOFTMAX, "log_softmax" },
          { KERNEL_LOG_SOFTMAX_REAL, "log_softmax_real" } } };
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &value_of (w, n->in[0])->shape;
  const bool real = op->out_q.scale == 0;
  int32_t term[256];
  int64_t step = 1;
  char in[48], out[48];

  for (int d = op->axis + 1; d < s->ndim; d++)
    step *= s->dims[d];
  for (int d = 0; d < 256; d++)
    term[d] = qk_softmax_term (d, op->in_q[0].scale);
  array_int32 (w, "term", term, 256);
  w->needed |= 1ull << functions[op->function][real].kernel;
  text_add (&w->steps,
            "    %s (%s_term%d, %lld, %lld, %lld, 0x%x, 0x%x, %d, %d, %d,\n"
            "             %s, %s);\n",
            functions[op->function][real].name, w->name, w->layer,
            (long long) qk_shape_count (s), (long long) s->dims[op->axis],
            (long long) step, bits_of (op->in_q[0].scale),
            real ? 0 : bits_of (1.0f / op->out_q.scale), op->out_q.zero_point,
            op->lo, op->hi, csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}

static int
put_reals (struct writer *w, const char *kind, const float *x, int64_t n)
{
  uint32_t *bits = malloc ((size_t) n * sizeof *bits);

  if (bits == NULL)
    return qk_oom ("csource");
  for (int64_t i = 0; i < n; i++)
    bits[i] = bits_of (x[i]);
  array_bits (w, kind, bits, n);
  free (bits);
  return 0;
}

int
csource_norm (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &value_of (w, n->in[0])->shape;
  const int64_t c = s->dims[s->ndim - 1];
  const int64_t rows = qk_shape_count (s) / c;
  char in[48], out[48];
  int r;

  if ((r = put_reals (w, "gamma", op->gamma, c)) < 0
      || (r = put_reals (w, "beta", op->beta, c)) < 0)
    return r;
  text_add (&w->parts,
            "\nstatic const struct norm layer%d = {\n"
            "  %lld, %lld, %lld, %d, %d, %d,\n"
            "  ((uint64_t) 0x%xu << 32) | 0x%xu, ((uint64_t) 0x%xu << 32) | "
            "0x%xu,\n"
            "  %s_gamma%d, %s_beta%d, 0x%x, %d, %d, %d\n};\n",
            w->layer, (long long) (op->per_sample ? 1 : rows),
            (long long) (op->per_sample ? rows : 1), (long long) c, op->groups,
            op->centered, op->in_q[0].zero_point,
            (unsigned) (wide_bits ((double) op->in_q[0].scale) >> 32),
            (unsigned) wide_bits ((double) op->in_q[0].scale),
            (unsigned) (wide_bits ((double) op->eps) >> 32),
            (unsigned) wide_bits ((double) op->eps), w->name, w->layer,
            w->name, w->layer, bits_of (1.0f / op->out_q.scale),
            op->out_q.zero_point, op->lo, op->hi);
  w->needed |= 1ull << KERNEL_NORM;
  text_add (&w->steps, "    norm (&layer%d, %s, %s);\n", w->layer,
            csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}

int
csource_lrn (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &value_of (w, n->in[0])->shape;
  const int64_t c = s->dims[s->ndim - 1];
  const float scale = op->in_q[0].scale;
  char in[48], out[48];

  text_add (&w->parts,
            "\nstatic const struct lrn layer%d = {\n"
            "  %lld, %lld, %d, %d, 0x%x, 0x%x,\n"
            "  0x%x, 0x%x, 0x%x, 0x%x, %d, %d, %d\n};\n",
            w->layer, (long long) (qk_shape_count (s) / c), (long long) c,
            op->size, op->in_q[0].zero_point, bits_of (scale),
            bits_of (scale * scale), bits_of (op->alpha / (float) op->size),
            bits_of (op->power), bits_of (op->offset),
            bits_of (1.0f / op->out_q.scale), op->out_q.zero_point, op->lo,
            op->hi);
  w->needed |= 1ull << KERNEL_LRN;
  text_add (&w->steps, "    lrn (&layer%d, %s, %s);\n", w->layer,
            csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}
