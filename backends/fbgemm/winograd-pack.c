/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-pack.c: weights of 3x3 windows, transformed and in the order the
 * kernels read them. */
#include "config.h"

#include "winograd.h"

#include <string.h>

#define MOST_SUM (1 << 25) /* of products */

/* Whether no sum of products of channel W, of COUNT weights, can reach
 * MOST_SUM. */
static bool
is_known (const int8_t *w, int64_t count)
{
  int64_t above = 0, below = 0;

  for (int64_t i = 0; i < count; i++)
    if (w[i] > 0)
      above += w[i];
    else
      below -= w[i];
  return 255 * (above > below ? above : below) < MOST_SUM;
}

bool
fbgemm_winograd_is_exact (const struct qk_op *op, int64_t c)
{
  for (int64_t i = 0; i < op->out_channels; i++)
    if (!is_known (op->weight + i * 9 * c, 9 * c))
      return false;
  return true;
}

enum { CHANNELS = 64 }; /* transformed together */

/* G g, for three numbers of each channel. */
static void
transform3 (const int16_t *const g[3], int16_t *const u[6])
{
  for (int c = 0; c < CHANNELS; c++) {
    const int x = g[0][c], y = g[1][c], z = g[2][c];

    u[0][c] = (int16_t) (6 * x);
    u[1][c] = (int16_t) (-4 * (x + y + z));
    u[2][c] = (int16_t) (-4 * (x - y + z));
    u[3][c] = (int16_t) (x + 2 * y + 4 * z);
    u[4][c] = (int16_t) (x - 2 * y + 4 * z);
    u[5][c] = (int16_t) (12 * z);
  }
}

/* U = G g G^T of N channels, whose weights of tap t are at W + t * PITCH. */
static void
transform_weights (const int8_t *w, int64_t pitch, int64_t n,
                   int16_t u[36][CHANNELS])
{
  int16_t g[9][CHANNELS] = { 0 }, t[6][3][CHANNELS];

  for (int i = 0; i < 9; i++)
    for (int64_t c = 0; c < n; c++)
      g[i][c] = w[i * pitch + c];
  for (int s = 0; s < 3; s++) {
    const int16_t *const from[] = { g[s], g[3 + s], g[6 + s] };
    int16_t *const to[]
      = { t[0][s], t[1][s], t[2][s], t[3][s], t[4][s], t[5][s] };

    transform3 (from, to);
  }
  for (int r = 0; r < 6; r++) {
    const int16_t *const from[] = { t[r][0], t[r][1], t[r][2] };
    int16_t *const to[] = { u[6 * r],     u[6 * r + 1], u[6 * r + 2],
                            u[6 * r + 3], u[6 * r + 4], u[6 * r + 5] };

    transform3 (from, to);
  }
}

/* Channel J of a block of NR, with the weights W, to TO[36][steps][NR][2]. */
static void
pack_channel (const struct fbgemm_kernel *k, const int8_t *w, int j, int nr,
              int16_t *to)
{
  const int64_t steps = k->winograd->steps;
  int16_t u[36][CHANNELS];

  for (int64_t c = 0; c < k->g.c; c += CHANNELS) {
    const int64_t n = k->g.c - c < CHANNELS ? k->g.c - c : CHANNELS;

    transform_weights (w + c, k->g.c, n, u);
    for (int i = 0; i < 36; i++)
      for (int64_t s = 0; s < divide_up (n, 2); s++)
        memcpy (to + ((i * steps + c / 2 + s) * nr + j) * 2, &u[i][2 * s],
                2 * sizeof u[i][0]);
  }
}

int
fbgemm_pack_winograd (struct fbgemm_kernel *k)
{
  struct fbgemm_winograd *w = k->winograd;
  const int lanes = k->kernels.lanes, most = lanes * k->kernels.max_vectors;
  const int64_t width = divide_up (k->g.k, lanes) * lanes;
  const int64_t bytes = 36 * w->steps * 2 * (int64_t) sizeof (int16_t);
  uint8_t *at;

  w->blocks = (int) divide_up (k->g.k, most);
  w->block = qk_alloc ((size_t) w->blocks * sizeof *w->block);
  w->arrays = qk_alloc ((size_t) (width * (bytes + 8) + 128 * w->blocks));
  if (w->block == NULL || w->arrays == NULL)
    return qk_oom ("fbgemm: packed weights");
  at = w->arrays;
  for (int i = 0; i < w->blocks; i++) {
    const int64_t first = (int64_t) i * most;
    const int n = (int) (k->g.k - first < most ? k->g.k - first : most);
    const int vectors = (int) divide_up (n, lanes), nr = vectors * lanes;
    int16_t *u = (int16_t *) (void *) at;
    int32_t *bias = (int32_t *) (void *) (at + nr * bytes);
    float *multiplier
      = (float *) (void *) ((uint8_t *) bias + round64 (4 * nr));

    at = (uint8_t *) multiplier + round64 (4 * nr);
    for (int j = 0; j < n; j++) {
      const int8_t *from = k->op.weight + (first + j) * 9 * k->g.c;

      pack_channel (k, from, j, nr, u);
      bias[j] = fbgemm_folded_bias (&k->op, first + j, from, 9 * k->g.c);
      multiplier[j] = k->op.multiplier[first + j];
    }
    w->block[i]
      = (struct qk_winograd_block){ u, bias, multiplier, n, vectors };
  }
  return 0;
}
