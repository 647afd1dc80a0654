/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inline.c: nodes that call a function of the file (IR version 8) become that
 * function's nodes, as the exporters of PyTorch 2 write modules.
 * https://github.com/onnx/onnx/blob/main/docs/IR.md#functions
 *
 * A node of the function keeps its name behind the call's, "CALL/NODE", and so
 * do the tensors that are neither inputs nor outputs of the function. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inline.h"

#define NAME "%.200s"

/* What calls of calls may make of a small file. */
#define MAX_NODES 10000
#define MAX_BYTES ((size_t) 1 << 28)
/* Of these every name of a node is looked up one by one. */
#define MAX_FUNCTIONS 4000
#define MAX_ENDS 4000 /* inputs and outputs of one */

struct inliner {
  const struct onnxfile *f;
  size_t n, room, bytes;
  size_t made; /* copies of nodes, calls of functions without any included */
  Onnx__NodeProto **node;
};

/* One call of FN by NODE, whose name is NAME. */
struct call {
  const Onnx__FunctionProto *fn;
  const Onnx__NodeProto *node;
  const char *name;
};

static const char *
text (const char *s)
{
  return s != NULL ? s : "";
}

/* The function that P calls; NULL: it is an operator. */
static const Onnx__FunctionProto *
called (const struct onnxfile *f, const Onnx__NodeProto *p)
{
  const char *domain = text (p->domain), *op = text (p->op_type);

  for (size_t i = 0; *domain != '\0' && i < f->model->n_functions; i++) {
    const Onnx__FunctionProto *fn = f->model->functions[i];

    if (strcmp (text (fn->name), op) == 0
        && strcmp (text (fn->domain), domain) == 0)
      return fn;
  }
  return NULL;
}

static int
too_large (const struct inliner *in)
{
  return qk_error (
    -EBADMSG,
    "%s: its functions, each put in the place of its calls, are "
    "more than %d nodes or %zu MiB",
    in->f->path, MAX_NODES, MAX_BYTES >> 20);
}

static int
copy (struct inliner *in, const ProtobufCMessage *message,
      ProtobufCMessage **out)
{
  const size_t size = protobuf_c_message_get_packed_size (message);
  uint8_t *packed;

  if (size > MAX_BYTES - in->bytes)
    return too_large (in);
  if ((packed = malloc (size + 1)) == NULL)
    return qk_oom ("%s", in->f->path);
  in->bytes += size;
  protobuf_c_message_pack (message, packed);
  *out = protobuf_c_message_unpack (message->descriptor, NULL, size, packed);
  free (packed);
  return *out == NULL ? qk_oom ("%s", in->f->path) : 0;
}

static int
append (struct inliner *in, Onnx__NodeProto *p)
{
  if (in->n == in->room) {
    const size_t room = 2 * in->room + 16;
    Onnx__NodeProto **more = realloc (in->node, room * sizeof *more);

    if (more == NULL) {
      onnx__node_proto__free_unpacked (p, NULL);
      return qk_oom ("%s", in->f->path);
    }
    in->node = more;
    in->room = room;
  }
  in->node[in->n++] = p;
  return 0;
}

/* *NAME, of a function's tensor, becomes that of the graph's. */
static int
rename_tensor (const struct inliner *in, const struct call *c, char **name)
{
  const Onnx__FunctionProto *fn = c->fn;
  const char *outer = NULL;
  char *made;
  size_t i;

  if (*text (*name) == '\0')
    return 0;
  for (i = 0; outer == NULL && i < fn->n_input; i++)
    if (strcmp (fn->input[i], *name) == 0)
      outer = i < c->node->n_input ? c->node->input[i] : "";
  for (i = 0; outer == NULL && i < fn->n_output; i++)
    if (strcmp (fn->output[i], *name) == 0 && i < c->node->n_output
        && *c->node->output[i] != '\0')
      outer = c->node->output[i];
  if (outer != NULL)
    made = strdup (outer);
  else if (asprintf (&made, "%s/%s", c->name, *name) < 0)
    made = NULL;
  if (made == NULL)
    return qk_oom ("%s", in->f->path);
  free (*name);
  *name = made;
  return 0;
}

/* Attributes of P that refer to the call's become these, or go where it has
 * none such. */
static int
pass_attributes (struct inliner *in, const struct call *c, Onnx__NodeProto *p)
{
  size_t i, k, kept = 0;
  int r = 0;

  for (i = 0; i < p->n_attribute; i++) {
    Onnx__AttributeProto *a = p->attribute[i];
    const Onnx__AttributeProto *given = NULL;
    const char *from = text (a->ref_attr_name);
    ProtobufCMessage *made;

    if (*from == '\0') {
      p->attribute[kept++] = a;
      continue;
    }
    for (k = 0; given == NULL && k < c->node->n_attribute; k++)
      if (strcmp (text (c->node->attribute[k]->name), from) == 0)
        given = c->node->attribute[k];
    if (given != NULL && r == 0 && (r = copy (in, &given->base, &made)) == 0) {
      Onnx__AttributeProto *b = (Onnx__AttributeProto *) (void *) made;
      char *name = b->name;

      b->name = a->name;
      a->name = name;
      p->attribute[kept++] = b;
    }
    onnx__attribute_proto__free_unpacked (a, NULL);
  }
  p->n_attribute = kept;
  return r;
}

/* P, a copy of node NUMBER of the function, as a node of the graph. */
static int
adapt (struct inliner *in, const struct call *c, Onnx__NodeProto *p,
       size_t number)
{
  char *name;
  size_t i;
  int r = pass_attributes (in, c, p);

  for (i = 0; r == 0 && i < p->n_input; i++)
    r = rename_tensor (in, c, &p->input[i]);
  for (i = 0; r == 0 && i < p->n_output; i++)
    r = rename_tensor (in, c, &p->output[i]);
  if (r < 0)
    return r;
  if ((*text (p->name) != '\0'
         ? asprintf (&name, "%s/%s", c->name, p->name)
         : asprintf (&name, "%s/%s_%zu", c->name, text (p->op_type), number))
      < 0)
    return qk_oom ("%s", in->f->path);
  if (p->name != NULL && p->name != protobuf_c_empty_string)
    free (p->name);
  p->name = name;
  return strlen (name) <= ONNXFILE_MAX_NAME
           ? 0
           : qk_error (-EBADMSG,
                       "%s: the name of a node of function '" NAME
                       "' is longer than %d bytes with those of its calls",
                       in->f->path, text (c->fn->name), ONNXFILE_MAX_NAME);
}

static int put_node (struct inliner *in, Onnx__NodeProto *p, size_t number,
                     int depth);

static int
expand (struct inliner *in, const Onnx__FunctionProto *fn,
        const Onnx__NodeProto *node, size_t number, int depth)
{
  char buf[64];
  struct call c = { fn, node, text (node->name) };

  if (depth >= ONNXFILE_MAX_DEPTH)
    return qk_error (-EBADMSG,
                     "%s: function '" NAME "' calls itself, or calls are "
                     "nested more than %d deep",
                     in->f->path, text (fn->name), ONNXFILE_MAX_DEPTH);
  if (node->n_input > fn->n_input || node->n_output > fn->n_output)
    return qk_error (-EBADMSG,
                     "%s: node '" NAME "' calls function '" NAME
                     "' with %zu inputs and %zu outputs, expected at most %zu "
                     "and %zu",
                     in->f->path, c.name, text (fn->name), node->n_input,
                     node->n_output, fn->n_input, fn->n_output);
  if (*c.name == '\0') {
    snprintf (buf, sizeof buf, "call_%zu", number);
    c.name = buf;
  }
  for (size_t i = 0; i < fn->n_node; i++) {
    ProtobufCMessage *made;
    Onnx__NodeProto *p;
    int r;

    if (++in->made > MAX_NODES)
      return too_large (in);
    if ((r = copy (in, &fn->node[i]->base, &made)) < 0)
      return r;
    p = (Onnx__NodeProto *) (void *) made;
    if ((r = adapt (in, &c, p, i)) < 0) {
      onnx__node_proto__free_unpacked (p, NULL);
      return r;
    }
    if ((r = put_node (in, p, i, depth + 1)) < 0)
      return r;
  }
  return 0;
}

/* P, which belongs to IN from now on, or what it calls. */
static int
put_node (struct inliner *in, Onnx__NodeProto *p, size_t number, int depth)
{
  const Onnx__FunctionProto *fn = called (in->f, p);
  int r;

  if (fn == NULL)
    return append (in, p);
  r = expand (in, fn, p, number, depth);
  onnx__node_proto__free_unpacked (p, NULL);
  return r;
}

/* Its size, and that its operators have the versions that the model says. */
static int
check_function (const struct onnxfile *f, const Onnx__FunctionProto *fn)
{
  if (fn->n_input + fn->n_output > MAX_ENDS)
    return qk_error (-ENOTSUP,
                     "%s: function '" NAME "' has %zu inputs and %zu outputs, "
                     "expected %d at most",
                     f->path, text (fn->name), fn->n_input, fn->n_output,
                     MAX_ENDS);
  for (size_t i = 0; i < fn->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *o = fn->opset_import[i];

    if (*text (o->domain) == '\0' && o->version != f->opset)
      return qk_error (-ENOTSUP,
                       "%s: function '" NAME "' is written in opset %lld, "
                       "expected that of the model, %lld",
                       f->path, text (fn->name), (long long) o->version,
                       (long long) f->opset);
  }
  return 0;
}

int
onnxfile_inline (struct onnxfile *f)
{
  Onnx__GraphProto *g = f->model->graph;
  struct inliner in = { .f = f };
  size_t i;
  int r = 0;

  if (f->model->n_functions == 0)
    return 0;
  if (f->model->n_functions > MAX_FUNCTIONS)
    return qk_error (-ENOTSUP, "%s: has %zu functions, expected %d at most",
                     f->path, f->model->n_functions, MAX_FUNCTIONS);
  for (i = 0; r == 0 && i < f->model->n_functions; i++)
    r = check_function (f, f->model->functions[i]);
  for (i = 0; i < g->n_node; i++) {
    Onnx__NodeProto *p = g->node[i];

    g->node[i] = NULL;
    if (r == 0)
      r = put_node (&in, p, i, 0);
    else
      onnx__node_proto__free_unpacked (p, NULL);
  }
  free (g->node);
  g->node = in.node;
  g->n_node = in.n;
  return r;
}
