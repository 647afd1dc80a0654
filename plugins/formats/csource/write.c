/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write.c: the files of a network: NAME.h, NAME.c, where asked for
 * NAME_weights.c, and with test vectors NAME_test.c. */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "csource.h"

int
csource_refuse (const struct qk_network_node *n, const char *why)
{
  const char *name = qk_op_kind_name (n->op->kind);

  return qk_error (-ENOTSUP,
                   "node '%s': no C source can be made of %s '%s'%s%s",
                   n->name, n->quantized ? "operator" : "float layer",
                   n->quantized && name != NULL ? name : n->layer,
                   why != NULL ? " " : "", why != NULL ? why : "");
}

const char *
csource_upper (const char *name, char text[32])
{
  size_t i;

  for (i = 0; name[i] != 0 && i < 31; i++)
    text[i] = (char) toupper ((unsigned char) name[i]);
  text[i] = 0;
  return text;
}

const char *
csource_address (const struct writer *w, int v, char text[48])
{
  const struct spot *s = &w->plan.spot[v];

  if (s->where == IN_ARENA)
    snprintf (text, 48, "arena + %lld",
              (long long) w->plan.buffer[s->index].offset);
  else if (s->where == IN_CONSTANT)
    snprintf (text, 48, "%.20s_constant%d", w->name, v);
  else
    snprintf (text, 48, "%s[%d]", s->where == IN_INPUT ? "in" : "out",
              s->index);
  return text;
}

/* ---- layers ------------------------------------------------------------------ */

static int
check_node (const struct writer *w, const struct qk_network_node *n)
{
  if (!n->quantized)
    return csource_refuse (n, NULL);
  for (int i = 0; i < n->n_in; i++)
    if (value_of (w, n->in[i])->q.scale == 0 && n->op->kind != QK_OP_QUANTIZE
        && n->op->kind != QK_OP_RESHAPE)
      return csource_refuse (n, "of an input in float");
  for (int i = 0; i < n->n_in; i++)
    if (csource_bytes (w->net, n->in[i]) > INT32_MAX / 8)
      return csource_refuse (n, "of so many elements");
  if (csource_bytes (w->net, n->out) > INT32_MAX / 8)
    return csource_refuse (n, "of so many elements");
  return 0;
}

static int
put_node (struct writer *w, const struct qk_network_node *n)
{
  switch (n->op->kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
  case QK_OP_CONV_TRANSPOSE2D:
    return csource_weighted (w, n);
  case QK_OP_BINARY:
    return csource_binary (w, n);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return csource_pool (w, n);
  case QK_OP_CLAMP:
  case QK_OP_RESHAPE:
  case QK_OP_QUANTIZE:
  case QK_OP_DEQUANTIZE:
  case QK_OP_REQUANTIZE:
  case QK_OP_TABLE:
  case QK_OP_PRELU:
  case QK_OP_CONCAT:
    return csource_each (w, n);
  case QK_OP_TRANSPOSE:
  case QK_OP_GATHER:
    return csource_move (w, n);
  case QK_OP_RESIZE:
    return csource_resize (w, n);
  case QK_OP_REDUCE:
    return csource_reduce (w, n);
  case QK_OP_MATMUL:
    return csource_matmul (w, n);
  case QK_OP_SOFTMAX:
    return csource_softmax (w, n);
  case QK_OP_NORM:
    return csource_norm (w, n);
  case QK_OP_LRN:
    return csource_lrn (w, n);
  default:
    return csource_refuse (n, NULL);
  }
}

static int64_t
macs_of (const struct writer *w, const struct qk_network_node *n)
{
  struct qk_shape in[QK_OP_MAX_INPUTS];

  for (int i = 0; i < n->n_in; i++)
    in[i] = value_of (w, n->in[i])->shape;
  return qk_op_macs (n->op, in, &value_of (w, n->out)->shape);
}

/* A name for a comment: without what could end it. */
static const char *
plain (const char *name, char text[64])
{
  size_t i;

  for (i = 0; name[i] != 0 && i < 63; i++)
    text[i] = (char) (isalnum ((unsigned char) name[i])
                          || strchr ("._-", name[i]) != NULL
                        ? name[i]
                        : '_');
  text[i] = 0;
  return text;
}

static int
put_layer (struct writer *w, int i)
{
  const struct qk_network_node *n = w->net->node[i];
  char text[64];
  int r;

  w->layer = i + 1;
  w->flash = 0;
  text_add (&w->steps, "  case %d: /* %s: %s */\n", w->layer,
            plain (n->name, text), qk_op_kind_name (n->op->kind));
  if ((r = put_node (w, n)) < 0)
    return r;
  text_add (&w->steps, "    return %s;\n", csource_address (w, n->out, text));
  w->layer_flash[i] = w->flash;
  w->total_flash += w->flash;
  w->total_macs += macs_of (w, n);
  return 0;
}

static int
put_constants (struct writer *w)
{
  for (int v = 0; v < w->net->n_values; v++) {
    const struct qk_network_value *c = value_of (w, v);

    if (c->constant == NULL)
      continue;
    if (c->q.scale == 0)
      return qk_error (-ENOTSUP,
                       "constant '%s': C source of one in float "
                       "cannot be made",
                       c->name);
    w->layer = v;
    array_uint8 (w, "constant", c->constant, count_of (w, v));
  }
  w->total_flash = w->flash;
  return 0;
}

static int
put_all (struct writer *w)
{
  int r = 0;

  for (int i = 0; r == 0 && i < w->net->n_nodes; i++)
    r = check_node (w, w->net->node[i]);
  if (r < 0 || (r = plan_make (w->net, &w->plan)) < 0
      || (r = put_constants (w)) < 0)
    return r;
  for (int i = 0; i < w->net->n_nodes; i++)
    if ((r = put_layer (w, i)) < 0)
      return r;
  return 0;
}

/* ---- texts ------------------------------------------------------------------------ */

static void
put_licence (struct text *t)
{
  text_add (
    t,
    " *\n"
    " * SPDX-License-Identifier: 0BSD\n"
    " * Permission to use, copy, modify, and/or distribute this file for\n"
    " * any purpose with or without fee is hereby granted.  It is provided\n"
    " * \"as is\", without any warranty.\n");
}

static void
put_layer_list (const struct writer *w, struct text *t)
{
  const struct qk_network *net = w->net;
  char name[64], shape[120];

  text_add (t,
            " *\n"
            " * Flash: %" PRId64 " bytes of constants.  RAM: %" PRId64
            " bytes of arena, besides inputs\n"
            " * and outputs.  %" PRId64 " multiply-accumulates.\n"
            " *\n"
            " * layer                            operator          output"
            "              MACs     flash   arena\n",
            w->total_flash, w->plan.arena, w->total_macs);
  for (int i = 0; i < net->n_nodes; i++) {
    const struct qk_network_node *n = net->node[i];

    text_add (
      t, " * %4d %-27s %-17s %-17s %8" PRId64 " %8" PRId64 " %7" PRId64 "\n",
      i + 1, plain (n->name, name), qk_op_kind_name (n->op->kind),
      qk_shape_print (&value_of (w, n->out)->shape, shape, sizeof shape),
      macs_of (w, n), w->layer_flash[i], plan_live (&w->plan, i));
  }
}

static void
put_end (struct text *t, const struct writer *w, const char *what, int i,
         int v, const char *name)
{
  const struct qk_network_value *x = value_of (w, v);
  char big[32], text[64], shape[120];

  csource_upper (w->name, big);
  qk_shape_print (&x->shape, shape, sizeof shape);
  text_add (t, "\n/* %s %d, \"%s\": %s of %s", what, i, plain (name, text),
            x->q.scale > 0 ? "uint8_t" : "float", shape);
  if (x->q.scale > 0)
    text_add (t, ",\n * the real number (byte - %d) * %.9g, bytes %d to %d",
              x->q.zero_point, (double) x->q.scale, x->q.qmin, x->q.qmax);
  text_add (t, " */\n#define %s_%s%d_SIZE %lld /* bytes */\n", big,
            strcmp (what, "Input") == 0 ? "INPUT" : "OUTPUT", i,
            (long long) csource_bytes (w->net, v));
  if (x->q.scale > 0)
    text_add (t,
              "#define %s_%s%d_ZERO_POINT %d\n"
              "#define %s_%s%d_SCALE %.9gf\n",
              big, strcmp (what, "Input") == 0 ? "INPUT" : "OUTPUT", i,
              x->q.zero_point, big,
              strcmp (what, "Input") == 0 ? "INPUT" : "OUTPUT", i,
              (double) x->q.scale);
}

static void
put_functions (struct text *t, const struct writer *w)
{
  const char *name = w->name;

  text_add (
    t,
    "\n"
    "#ifdef __cplusplus\n"
    "extern \"C\" {\n"
    "#endif\n"
    "\n"
    "/* Run the network on one sample.  ARENA has the size and alignment "
    "above\n"
    " * and keeps nothing from one call to the next; IN and OUT point to the\n"
    " * inputs and outputs.  Several threads may run it, with an arena each. "
    "*/\n"
    "void %s_run (void *arena, const void *const *in, void *const *out);\n"
    "\n"
    "/* Run LAYER alone, 1 the first one; those before it must have run.  "
    "The\n"
    " * result is what it computes, %s_layer_size (LAYER) bytes. */\n"
    "const void *%s_run_layer (void *arena, const void *const *in,\n"
    "                          void *const *out, int layer);\n"
    "uint32_t %s_layer_size (int layer);\n",
    name, name, name, name);
  if (w->net->n_vectors > 0)
    text_add (
      t,
      "\n"
      "/* Run the test vectors of %s_test.c; 0, or the first layer that\n"
      " * computes other bytes than qatkit's reference. */\n"
      "int %s_selftest (void *arena);\n",
      name, name);
  text_add (t, "\n"
               "#ifdef __cplusplus\n"
               "}\n"
               "#endif\n");
}

static void
put_header (struct text *t, const struct writer *w)
{
  const struct qk_network *net = w->net;
  char big[32];

  csource_upper (w->name, big);
  text_add (t,
            "/* %s.h: an int8 network.  Written by qatkit %s; do not edit.\n",
            w->name, PACKAGE_VERSION);
  if (*net->checksum != '\0')
    text_add (t, " * Made of a model with the checksum %s.\n", net->checksum);
  put_licence (t);
  put_layer_list (w, t);
  text_add (t,
            " */\n"
            "#ifndef QATKIT_%s_H\n"
            "#define QATKIT_%s_H\n"
            "\n"
            "#include <stdint.h>\n"
            "\n"
            "#define %s_ARENA_SIZE %lld /* bytes */\n"
            "#define %s_ARENA_ALIGN %d\n"
            "#define %s_LAYERS %d\n"
            "#define %s_INPUTS %d\n"
            "#define %s_OUTPUTS %d\n",
            big, big, big, (long long) (w->plan.arena > 0 ? w->plan.arena : 1),
            big, PLACE_ALIGNMENT, big, net->n_nodes, big, net->n_inputs, big,
            net->n_outputs);
  for (int i = 0; i < net->n_inputs; i++)
    put_end (t, w, "Input", i, net->input[i],
             value_of (w, net->input[i])->name);
  for (int i = 0; i < net->n_outputs; i++)
    put_end (t, w, "Output", i, net->output[i].value, net->output[i].name);
  put_functions (t, w);
  text_add (t, "\n#endif /* QATKIT_%s_H */\n", big);
}

static void
put_section (struct text *t, const struct writer *w)
{
  char big[32];

  csource_upper (w->name, big);
  text_add (t,
            "\n/* Where constant arrays go: an attribute of the compiler. */\n"
            "#ifndef %s_SECTION\n"
            "#define %s_SECTION\n"
            "#endif\n",
            big, big);
}

/* Outputs that no layer writes in place: inputs, constants, others again. */
static void
put_copies (struct text *t, const struct writer *w)
{
  char from[48];

  for (int i = 0; i < w->net->n_outputs; i++) {
    const int v = w->net->output[i].value;
    const struct spot *s = &w->plan.spot[v];

    if (s->where != IN_OUTPUT || s->index != i)
      text_add (t, "  memcpy (out[%d], %s, %lld);\n", i,
                csource_address (w, v, from),
                (long long) csource_bytes (w->net, v));
  }
}

static void
put_sizes (struct text *t, const struct writer *w)
{
  text_add (t,
            "\n"
            "uint32_t\n"
            "%s_layer_size (int layer)\n"
            "{\n"
            "  static const uint32_t size[] = {\n"
            "    0",
            w->name);
  for (int i = 0; i < w->net->n_nodes; i++)
    text_add (t, "%s%" PRId64, i % 8 == 7 ? ",\n    " : ", ",
              csource_bytes (w->net, w->net->node[i]->out));
  text_add (t,
            "\n  };\n\n"
            "  return layer >= 1 && layer <= %d ? size[layer] : 0;\n"
            "}\n",
            w->net->n_nodes);
}

static void
put_source (struct text *t, const struct writer *w)
{
  text_add (t,
            "/* %s.c: an int8 network.  Written by qatkit %s; do not edit.\n"
            " * See %s.h.\n",
            w->name, PACKAGE_VERSION, w->name);
  put_licence (t);
  text_add (t, " */\n#include \"%s.h\"\n", w->name);
  csource_kernels (t, w->needed, w->integer);
  text_add (t, "\n/* ---- the network ---------------------------------------"
               "-------------------- */\n");
  if (w->split) {
    text_add (t, "\n");
    text_join (t, &w->head);
  } else {
    put_section (t, w);
    text_join (t, &w->data);
  }
  text_join (t, &w->parts);
  text_add (t,
            "\n"
            "const void *\n"
            "%s_run_layer (void *memory, const void *const *in, void *const "
            "*out,\n"
            "  int layer)\n"
            "{\n"
            "  uint8_t *const arena = (uint8_t *) memory;\n"
            "\n"
            "  (void) arena, (void) in, (void) out;\n"
            "  switch (layer) {\n",
            w->name);
  text_join (t, &w->steps);
  text_add (t,
            "  default:\n"
            "    return 0;\n"
            "  }\n"
            "}\n"
            "\n"
            "void\n"
            "%s_run (void *arena, const void *const *in, void *const *out)\n"
            "{\n"
            "  int layer;\n"
            "\n"
            "  for (layer = 1; layer <= %d; layer++)\n"
            "    (void) %s_run_layer (arena, in, out, layer);\n",
            w->name, w->net->n_nodes, w->name);
  put_copies (t, w);
  text_add (t, "}\n");
  put_sizes (t, w);
}

static void
put_weights (struct text *t, const struct writer *w)
{
  text_add (t,
            "/* %s_weights.c: the constants of %s.c.  Written by qatkit %s; "
            "do not edit.\n",
            w->name, w->name, PACKAGE_VERSION);
  put_licence (t);
  text_add (t, " */\n#include \"%s.h\"\n", w->name);
  put_section (t, w);
  text_add (t, "\n");
  text_join (t, &w->head);
  text_join (t, &w->data);
}

/* ---- test vectors ------------------------------------------------------------- */

/* FNV-1a, as the self-test computes it. */
static uint32_t
checksum (const uint8_t *x, int64_t n)
{
  uint32_t sum = 2166136261u;

  for (int64_t i = 0; i < n; i++)
    sum = (sum ^ x[i]) * 16777619u;
  return sum;
}

static void
put_sums (struct text *t, const struct writer *w)
{
  const struct qk_network *net = w->net;

  text_add (t,
            "\n/* Of what each layer computes. */\n"
            "static const uint32_t sums[%d][%d] = {\n",
            net->n_vectors, net->n_nodes);
  for (int s = 0; s < net->n_vectors; s++) {
    text_add (t, "%s  {", s > 0 ? ",\n" : "");
    for (int i = 0; i < net->n_nodes; i++) {
      const int v = net->node[i]->out;
      const int64_t size = csource_bytes (net, v);

      text_add (
        t, "%s0x%" PRIx32,
        i == 0       ? " "
        : i % 6 == 0 ? ",\n    "
                     : ", ",
        checksum ((const uint8_t *) net->value[v]->vectors + s * size, size));
    }
    text_add (t, " }");
  }
  text_add (t, "\n};\n");
}

static void
put_ends (struct text *t, const struct writer *w)
{
  const struct qk_network *net = w->net;

  for (int i = 0; i < net->n_inputs; i++) {
    const int64_t size = csource_bytes (net, net->input[i]) * net->n_vectors;

    text_add (t, "\nstatic const uint8_t input%d[%lld] = {\n", i,
              (long long) size);
    text_uint8 (t, net->value[net->input[i]]->vectors, size);
    text_add (t, "};\n");
  }
  text_add (t, "\n");
  for (int i = 0; i < net->n_outputs; i++)
    text_add (t, "static uint8_t output%d[%lld];\n", i,
              (long long) csource_bytes (net, net->output[i].value));
}

static void
put_test (struct text *t, const struct writer *w)
{
  const struct qk_network *net = w->net;

  text_add (
    t,
    "/* %s_test.c: test vectors of %s.c.  Written by qatkit %s; do not "
    "edit.\n",
    w->name, w->name, PACKAGE_VERSION);
  put_licence (t);
  text_add (t, " */\n#include \"%s.h\"\n", w->name);
  put_ends (t, w);
  put_sums (t, w);
  text_add (t,
            "\n"
            "/* FNV-1a */\n"
            "static uint32_t\n"
            "checksum (const uint8_t *x, uint32_t n)\n"
            "{\n"
            "  uint32_t sum = 2166136261u, i;\n"
            "\n"
            "  for (i = 0; i < n; i++)\n"
            "    sum = (sum ^ x[i]) * 16777619u;\n"
            "  return sum;\n"
            "}\n"
            "\n"
            "int\n"
            "%s_selftest (void *arena)\n"
            "{\n"
            "  const void *in[%d];\n"
            "  void *out[%d];\n"
            "  int sample, layer;\n"
            "\n",
            w->name, net->n_inputs, net->n_outputs);
  for (int i = 0; i < net->n_outputs; i++)
    text_add (t, "  out[%d] = output%d;\n", i, i);
  text_add (t, "  for (sample = 0; sample < %d; sample++) {\n",
            net->n_vectors);
  for (int i = 0; i < net->n_inputs; i++)
    text_add (t, "    in[%d] = input%d + %lld * sample;\n", i, i,
              (long long) csource_bytes (net, net->input[i]));
  text_add (t,
            "    for (layer = 1; layer <= %d; layer++) {\n"
            "      const void *y = %s_run_layer (arena, in, out, layer);\n"
            "\n"
            "      if (checksum ((const uint8_t *) y, %s_layer_size (layer))\n"
            "          != sums[sample][layer - 1])\n"
            "        return layer;\n"
            "    }\n"
            "  }\n"
            "  return 0;\n"
            "}\n",
            net->n_nodes, w->name, w->name);
}

/* ---- the whole ---------------------------------------------------------------------- */

static int
check_prefix (const char *name)
{
  size_t i;

  for (i = 0; isalnum ((unsigned char) name[i]) || name[i] == '_'; i++)
    ;
  if (i == 0 || name[i] != 0 || i > 20 || isdigit ((unsigned char) name[0]))
    return qk_error (
      -EINVAL,
      "csource: prefix is '%s', expected the begin of a name in "
      "C of at most 20 letters, digits and underscores",
      name);
  return 0;
}

static int
hand_over (const struct writer *w, const char *ending, struct text *t,
           qk_format_put *put, void *cookie)
{
  char name[64];

  snprintf (name, sizeof name, "%s%s", w->name, ending);
  return t->error < 0 ? t->error : put (cookie, name, t->at, t->length);
}

/* All texts first, then all files. */
static int
put_files (struct writer *w, qk_format_put *put, void *cookie)
{
  struct text header = { 0 }, source = { 0 }, weights = { 0 }, test = { 0 };
  int r;

  put_header (&header, w);
  put_source (&source, w);
  if (w->split)
    put_weights (&weights, w);
  if (w->net->n_vectors > 0)
    put_test (&test, w);
  r = hand_over (w, ".h", &header, put, cookie);
  if (r == 0)
    r = hand_over (w, ".c", &source, put, cookie);
  if (r == 0 && w->split)
    r = hand_over (w, "_weights.c", &weights, put, cookie);
  if (r == 0 && w->net->n_vectors > 0)
    r = hand_over (w, "_test.c", &test, put, cookie);
  text_clear (&header);
  text_clear (&source);
  text_clear (&weights);
  text_clear (&test);
  return r;
}

static void
say_facts (const struct writer *w, qk_format_fact *say, void *cookie)
{
  char text[64];

  for (int i = 0; i < w->net->n_nodes; i++) {
    snprintf (text, sizeof text, "flash=%" PRId64 " arena=%" PRId64,
              w->layer_flash[i], plan_live (&w->plan, i));
    say (cookie, w->net->node[i]->name, text);
  }
  snprintf (text, sizeof text, "flash=%" PRId64 " arena=%" PRId64,
            w->total_flash, w->plan.arena);
  say (cookie, NULL, text);
}

static int
start (struct writer *w, const struct qk_config *cfg,
       const struct qk_network *net)
{
  *w = (struct writer){ .net = net };
  w->name = qk_config_string (cfg, "prefix");
  w->split = qk_config_bool (cfg, "split");
  w->integer = !qk_config_bool (cfg, "float");
  w->layer_flash = calloc ((size_t) net->n_nodes + 1, sizeof *w->layer_flash);
  return w->layer_flash == NULL ? qk_oom ("csource") : 0;
}

static void
clear (struct writer *w)
{
  plan_clear (&w->plan);
  text_clear (&w->data);
  text_clear (&w->head);
  text_clear (&w->parts);
  text_clear (&w->steps);
  free (w->layer_flash);
}

int
csource_facts (const struct qk_config *cfg, const struct qk_network *net,
               qk_format_fact *say, void *cookie)
{
  struct writer w;
  int r = start (&w, cfg, net);

  if (r == 0 && (r = put_all (&w)) == 0)
    say_facts (&w, say, cookie);
  clear (&w);
  return r;
}

int
csource_write (const struct qk_config *cfg, const struct qk_network *net,
               qk_format_put *put, void *cookie)
{
  struct writer w;
  int r = start (&w, cfg, net);

  if (r == 0 && (r = check_prefix (w.name)) == 0 && (r = put_all (&w)) == 0)
    r = put_files (&w, put, cookie);
  clear (&w);
  return r;
}
