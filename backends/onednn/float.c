/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* float.c: matrix products and gradients of convolutions in float, through
 * oneDNN's primitives.
 *
 * Activations are channels last; weights are brought into the order the
 * primitive likes best and back, which costs little beside the product.
 * Primitives are made for each call: oneDNN caches what is dear about them. */
#include "config.h"

#include "onednn.h"

#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

bool
onednn_sgemm (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
              const float *a, int64_t lda, const float *b, int64_t ldb,
              float beta, float *c, int64_t ldc)
{
  return dnnl_sgemm (ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1.0f, a, lda, b,
                     ldb, beta, c, ldc)
         == dnnl_success;
}

/* One primitive and what it takes to run it. */
struct back {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_memory_desc_t x, d, w_any, w_ours;
  dnnl_primitive_attr_t attr;
  dnnl_primitive_desc_t hint, pd;
};

static void
back_close (struct back *b)
{
  if (b->pd)
    dnnl_primitive_desc_destroy (b->pd);
  if (b->hint)
    dnnl_primitive_desc_destroy (b->hint);
  if (b->attr)
    dnnl_primitive_attr_destroy (b->attr);
  if (b->stream)
    dnnl_stream_destroy (b->stream);
  if (b->engine)
    dnnl_engine_destroy (b->engine);
}

static bool
describe (const struct qk_convback *cb, struct back *b)
{
  const int64_t g = cb->groups, kg = cb->k / g, cg = cb->c / g;
  const dnnl_dims_t x = { cb->n, cb->c, cb->h, cb->w };
  const dnnl_dims_t d = { cb->n, cb->k, cb->p, cb->q };
  const dnnl_dims_t w = { kg, cg, cb->r, cb->s };
  const dnnl_dims_t gw = { g, kg, cg, cb->r, cb->s };
  const dnnl_dims_t strides
    = { kg * cb->r * cb->s * cg, cb->r * cb->s * cg, 1, cb->s * cg, cg };
  const bool grouped = g > 1;

  return dnnl_memory_desc_init_by_tag (&b->x, 4, x, dnnl_f32, dnnl_nhwc)
           == dnnl_success
         && dnnl_memory_desc_init_by_tag (&b->d, 4, d, dnnl_f32, dnnl_nhwc)
              == dnnl_success
         && dnnl_memory_desc_init_by_tag (&b->w_any, grouped ? 5 : 4,
                                          grouped ? gw : w, dnnl_f32,
                                          dnnl_format_tag_any)
              == dnnl_success
         && dnnl_memory_desc_init_by_strides (&b->w_ours, grouped ? 5 : 4,
                                              grouped ? gw : w, dnnl_f32,
                                              grouped ? strides : strides + 1)
              == dnnl_success;
}

static bool
back_open (const struct qk_convback *cb, bool weights, struct back *b)
{
  const dnnl_dims_t strides = { cb->stride_h, cb->stride_w };
  const dnnl_dims_t dilates = { cb->dil_h - 1, cb->dil_w - 1 };
  const dnnl_dims_t before = { cb->pad_top, cb->pad_left };
  const dnnl_dims_t after = { cb->pad_bottom, cb->pad_right };
  dnnl_convolution_desc_t fwd, bwd;
  dnnl_status_t st;

  memset (b, 0, sizeof *b);
  if (dnnl_engine_create (&b->engine, dnnl_cpu, 0) != dnnl_success
      || dnnl_stream_create (&b->stream, b->engine, dnnl_stream_default_flags)
           != dnnl_success
      || dnnl_primitive_attr_create (&b->attr) != dnnl_success
      || dnnl_primitive_attr_set_scratchpad_mode (b->attr,
                                                  dnnl_scratchpad_mode_user)
           != dnnl_success
      || !describe (cb, b)
      || dnnl_dilated_convolution_forward_desc_init (
           &fwd, dnnl_forward_training, dnnl_convolution_direct, &b->x,
           &b->w_any, NULL, &b->d, strides, dilates, before, after)
           != dnnl_success
      || dnnl_primitive_desc_create (&b->hint, &fwd, NULL, b->engine, NULL)
           != dnnl_success)
    return false;
  if (weights)
    st = dnnl_dilated_convolution_backward_weights_desc_init (
      &bwd, dnnl_convolution_direct, &b->x, &b->w_any, NULL, &b->d, strides,
      dilates, before, after);
  else
    st = dnnl_dilated_convolution_backward_data_desc_init (
      &bwd, dnnl_convolution_direct, &b->x, &b->w_any, &b->d, strides, dilates,
      before, after);
  return st == dnnl_success
         && dnnl_primitive_desc_create (&b->pd, &bwd, b->attr, b->engine,
                                        b->hint)
              == dnnl_success;
}

static bool
is_fast (const struct qk_convback *cb, bool weights)
{
  struct back b;
  const char *name = NULL;
  bool ok = back_open (cb, weights, &b);

  ok = ok
       && dnnl_primitive_desc_query (b.pd, dnnl_query_impl_info_str, 0, &name)
            == dnnl_success
       && strncmp (name, "jit", 3) == 0;
  back_close (&b);
  return ok;
}

bool
onednn_convback_usable (const struct qk_convback *cb)
{
  return is_fast (cb, false) && is_fast (cb, true);
}

static bool
execute (struct back *b, const_dnnl_primitive_desc_t pd, int n,
         const dnnl_exec_arg_t *args)
{
  dnnl_primitive_t p;
  bool ok;

  if (dnnl_primitive_create (&p, pd) != dnnl_success)
    return false;
  ok = dnnl_primitive_execute (p, b->stream, n, args) == dnnl_success
       && dnnl_stream_wait (b->stream) == dnnl_success;
  dnnl_primitive_destroy (p);
  return ok;
}

static bool
reorder (struct back *b, dnnl_memory_t from, const dnnl_memory_desc_t *from_md,
         dnnl_memory_t to, const dnnl_memory_desc_t *to_md)
{
  const dnnl_exec_arg_t args[]
    = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
  dnnl_primitive_desc_t pd;
  bool ok;

  if (dnnl_reorder_primitive_desc_create (&pd, from_md, b->engine, to_md,
                                          b->engine, NULL)
      != dnnl_success)
    return false;
  ok = execute (b, pd, 2, args);
  dnnl_primitive_desc_destroy (pd);
  return ok;
}

static dnnl_memory_t
wrap (const struct back *b, const dnnl_memory_desc_t *md, const void *data)
{
  dnnl_memory_t m = NULL;

  dnnl_memory_create (&m, md, b->engine, (void *) data);
  return m;
}

/* The weight's descriptor as the primitive wants it. */
static const dnnl_memory_desc_t *
wanted (const struct back *b, bool weights)
{
  return dnnl_primitive_desc_query_md (
    b->pd, weights ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

static size_t
rounded (size_t size)
{
  return (size + 63) & ~(size_t) 63;
}

/* Bytes of scratch of one primitive: the weight in the order it wants, then
 * its own. */
static size_t
scratch_size (const struct back *b, bool weights)
{
  const dnnl_memory_desc_t *w = wanted (b, weights);
  const dnnl_memory_desc_t *own
    = dnnl_primitive_desc_query_md (b->pd, dnnl_query_scratchpad_md, 0);

  return (w ? rounded (dnnl_memory_desc_get_size (w)) : 0)
         + (own ? rounded (dnnl_memory_desc_get_size (own)) : 0);
}

/* With WEIGHTS: dw from X; else dx from W. */
static bool
run (struct back *b, bool weights, const float *d, const float *x,
     const float *w, char *scratch)
{
  const dnnl_memory_desc_t *any = wanted (b, weights);
  const dnnl_memory_desc_t *own
    = dnnl_primitive_desc_query_md (b->pd, dnnl_query_scratchpad_md, 0);
  dnnl_memory_t md = wrap (b, &b->d, d), mx = wrap (b, &b->x, x);
  dnnl_memory_t mw = wrap (b, &b->w_ours, w);
  dnnl_memory_t ma = any ? wrap (b, any, scratch) : NULL;
  dnnl_memory_t ms
    = any && own
        ? wrap (b, own, scratch + rounded (dnnl_memory_desc_get_size (any)))
        : NULL;
  const bool same = any && dnnl_memory_desc_equal (any, &b->w_ours);
  bool ok = md && mx && mw && ma && ms;

  if (ok && !same && !weights)
    ok = reorder (b, mw, &b->w_ours, ma, any);
  if (ok) {
    const dnnl_exec_arg_t args[]
      = { { DNNL_ARG_DIFF_DST, md },
          { weights ? DNNL_ARG_SRC : DNNL_ARG_DIFF_SRC, mx },
          { weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
            same ? mw : ma },
          { DNNL_ARG_SCRATCHPAD, ms } };

    ok = execute (b, b->pd, 4, args);
  }
  if (ok && !same && weights)
    ok = reorder (b, ma, any, mw, &b->w_ours);
  dnnl_memory_destroy (ms);
  dnnl_memory_destroy (ma);
  dnnl_memory_destroy (mw);
  dnnl_memory_destroy (mx);
  dnnl_memory_destroy (md);
  return ok;
}

/* oneDNN takes the number of threads from here, in the calling thread. */
static int
set_threads (int threads)
{
#ifdef _OPENMP
  const int before = omp_get_max_threads ();

  omp_set_num_threads (threads < 1 ? 1 : threads);
  return before;
#else
  return threads;
#endif
}

static bool
gradient (const struct qk_convback *cb, int threads, bool weights,
          const float *d, const float *x, const float *w, void *scratch,
          size_t size)
{
  const int before = set_threads (threads);
  void *more = NULL;
  struct back b;
  bool ok = back_open (cb, weights, &b);

  if (ok && scratch_size (&b, weights) > size) {
    more = aligned_alloc (64, scratch_size (&b, weights));
    scratch = more;
    ok = more != NULL;
  }
  ok = ok && run (&b, weights, d, x, w, scratch);
  back_close (&b);
  free (more);
  set_threads (before);
  return ok;
}

size_t
onednn_convback_scratch (const struct qk_convback *cb, int threads)
{
  const int before = set_threads (threads);
  size_t size = 0;

  for (int weights = 0; weights < 2; weights++) {
    struct back b;

    if (back_open (cb, weights, &b) && scratch_size (&b, weights) > size)
      size = scratch_size (&b, weights);
    back_close (&b);
  }
  set_threads (before);
  return size;
}

bool
onednn_convback_data (const struct qk_convback *cb, int threads,
                      const float *d, const float *w, float *dx, void *scratch,
                      size_t size)
{
  return gradient (cb, threads, false, d, dx, w, scratch, size);
}

bool
onednn_convback_weights (const struct qk_convback *cb, int threads,
                         const float *d, const float *x, float *dw,
                         void *scratch, size_t size)
{
  return gradient (cb, threads, true, d, x, dw, scratch, size);
}
