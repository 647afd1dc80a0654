/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-u8s8.h: template of qk_grouped_u8s8: include a vector header, define
 * GROUPED_NAME, and v_dot or GROUPED_WORDS, then include this.
 *
 * Sixteen bytes of a pixel are spread over a vector, and each lane picks those
 * of its own group, so that no product is with another group's weights.
 * With GROUPED_WORDS (no VNNI) it picks two and widens them by that, since
 * places that are not picked become 0: then no sum leaves its type. */
#include "int8gemm/kernels.h"

#ifdef GROUPED_WORDS
#define GROUPED_DOT(acc, a, w) v_add32 (acc, v_madd16 (a, w))
#else
#define GROUPED_DOT(acc, a, w) v_dot (acc, a, w)
#endif

/* Pixels that are computed together; a narrower loop does the rest. */
#define GROUPED_MANY 8
#define GROUPED_FEW 4

/* Four vectors of sums as bytes, LANES of each. */
INLINE vi
grouped_pack (vi acc[4], const struct qk_grouped_block *b,
              const struct qk_output *o)
{
  const vf m = vf_load (b->multiplier);
  vi r;

  UNROLL
  for (int i = 0; i < 4; i++)
    acc[i] = v_round (vf_mul (v_float (acc[i]), m));
  r = v_narrow4_ordered (acc[0], acc[1], acc[2], acc[3],
                         v_set16 (o->zero_point));
  return v_min_u8 (v_max_u8 (r, v_set8 (o->lo)), v_set8 (o->hi));
}

/* Block B of COUNT pixels from Q on, of which N are there. */
INLINE void
grouped_pixels (const struct qk_grouped_row *w,
                const struct qk_grouped_block *b, int64_t q, const int count,
                int64_t n, const struct qk_output *o, uint8_t *out)
{
  const int8_t *weight = b->weight;
  const int pieces = w->pieces;
  vi acc[GROUPED_MANY];

  UNROLL
  for (int i = 0; i < count; i++)
    acc[i] = v_load (b->bias);
  for (int r = 0; r < w->kernel_h; r++)
    for (int s = 0; s < w->kernel_w; s++) {
      const uint8_t *const *at
        = w->at + r * w->columns + q * w->stride + (int64_t) s * w->dilation;

      for (int j = 0; j < pieces; j++, weight += BLOCK) {
        const vi own = v_load (weight), index = v_load (b->index + j * BLOCK);

        UNROLL
        for (int i = 0; i < count; i++)
          acc[i] = GROUPED_DOT (
            acc[i],
            v_pick (v_spread16 (at[(i < n ? i : 0) * w->stride] + b->from),
                    index),
            own);
      }
    }
  UNROLL
  for (int i = 0; i < count; i += 4) {
    const vi y = grouped_pack (acc + i, b, o);

    UNROLL
    for (int k = 0; k < 4; k++)
      if (i + k < n)
        v_store_quarter (out + (q + i + k) * o->pitch, y, k, b->n);
  }
}

QK_GROUPED_U8S8 (GROUPED_NAME)
{
  for (int i = 0; i < w->blocks; i++) {
    const struct qk_grouped_block *b = &w->block[i];
    uint8_t *to = out + b->first;
    int64_t q = 0;

    for (; q + GROUPED_MANY <= w->q; q += GROUPED_MANY)
      grouped_pixels (w, b, q, GROUPED_MANY, GROUPED_MANY, o, to);
    for (; q + GROUPED_FEW <= w->q; q += GROUPED_FEW)
      grouped_pixels (w, b, q, GROUPED_FEW, GROUPED_FEW, o, to);
    if (q < w->q)
      grouped_pixels (w, b, q, GROUPED_FEW, w->q - q, o, to);
  }
}
