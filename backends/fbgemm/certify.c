/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* certify.c: the proof that sums of products in int16 are exact, and the
 * rearrangement of weights that makes it true.
 *
 * A lane is one channel's half step: two weights.  Its sum over a run of
 * consecutive steps (a chain) is bounded by the weights and the inputs'
 * range.  Longer chains are faster; where a lane's bound breaks, some of its
 * pairs move to extra steps. */
#include "config.h"

#include "fbgemm.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST 16 /* chain */
#define MOST_LANES 128 /* of 64 channels */

static const int chains[] = { 1, 2, 3, 4, 5, 6, 8, 12, LONGEST };

#define CHAINS ((int) (sizeof chains / sizeof chains[0]))

struct fbgemm_range
fbgemm_input_range (const struct qk_op *op)
{
  const struct qk_qparams *q = &op->in_q[0];
  struct fbgemm_range r = { q->qmin, q->qmax };

  r.lo = q->zero_point < r.lo ? q->zero_point : r.lo;
  r.hi = q->zero_point > r.hi ? q->zero_point : r.hi;
  return r;
}

/* Largest and smallest a0 w0 + a1 w1. */
static inline int
pair_top (struct fbgemm_range r, const int8_t *w)
{
  return w[0] * (w[0] > 0 ? r.hi : r.lo) + w[1] * (w[1] > 0 ? r.hi : r.lo);
}

static inline int
pair_low (struct fbgemm_range r, const int8_t *w)
{
  return w[0] * (w[0] > 0 ? r.lo : r.hi) + w[1] * (w[1] > 0 ? r.lo : r.hi);
}

static inline bool
leaves_int16 (int top, int low)
{
  return top > INT16_MAX || low < INT16_MIN;
}

/* Halves of at most 64 give 2 * 64 * 255 < 2^15. */
bool
fbgemm_halve_pair (struct fbgemm_range r, int8_t *w, int8_t *rest)
{
  if (!leaves_int16 (pair_top (r, w), pair_low (r, w)))
    return false;
  for (int i = 0; i < 2; i++) {
    rest[i] = (int8_t) (w[i] - w[i] / 2);
    w[i] = (int8_t) (w[i] / 2);
  }
  return true;
}

/* Bounds of the lanes over a run.  Each pair counts as at least 0 upwards
 * and at most 0 downwards, so that they hold for every part of the run. */
struct bounds {
  int top[MOST_LANES], low[MOST_LANES];
};

static void
add_bounds (struct fbgemm_range r, const int8_t *w, int lanes,
            struct bounds *b)
{
  for (int l = 0; l < lanes; l++) {
    const int top = pair_top (r, w + 2 * l), low = pair_low (r, w + 2 * l);

    b->top[l] += top > 0 ? top : 0;
    b->low[l] += low < 0 ? low : 0;
  }
}

static int
count_broken (const struct bounds *b, int lanes)
{
  int count = 0;

  for (int l = 0; l < lanes; l++)
    count += leaves_int16 (b->top[l], b->low[l]);
  return count;
}

/* About how many steps must leave a run of LENGTH steps: the share by which
 * the worst lane is too large, or one for every broken lane. */
static int64_t
steps_too_many (const struct bounds *b, int lanes, int64_t length)
{
  const int64_t broken = count_broken (b, lanes);
  int64_t worst = 0, share;

  if (broken == 0)
    return 0;
  for (int l = 0; l < lanes; l++) {
    const int high = b->top[l] - INT16_MAX, low = INT16_MIN - b->low[l];

    worst = high > worst ? high : worst;
    worst = low > worst ? low : worst;
  }
  share = (length * worst + INT16_MAX + worst - 1) / (INT16_MAX + worst);
  return share > broken ? share : broken < length ? broken : length;
}

/* About how many extra steps chains of CHAIN steps need. */
static int64_t
guess_extras (struct fbgemm_range r, const int8_t *weight, int64_t steps,
              int lanes, int chain)
{
  int64_t count = 0;

  for (int64_t s = 0; s < steps; s += chain) {
    const int64_t end = s + chain < steps ? s + chain : steps;
    struct bounds b = { { 0 }, { 0 } };

    for (int64_t t = s; t < end; t++)
      add_bounds (r, weight + t * lanes * 2, lanes, &b);
    count += steps_too_many (&b, lanes, end - s);
  }
  return count;
}

/* The chain with the least work: one multiplication a step, one a run, and
 * an extra step costs about as much as four. */
static int
choose_chain (struct fbgemm_range r, const int8_t *weight, int64_t steps,
              int lanes)
{
  int64_t best_cost = INT64_MAX;
  int best = 1;

  for (int i = 0; i < CHAINS; i++) {
    const int c = chains[i];
    const int64_t extras = guess_extras (r, weight, steps, lanes, c);
    const int64_t cost = steps + (steps + c - 1) / c + 4 * extras;

    if (c > 1 && extras > steps / 8)
      break; /* longer ones break more */
    if (cost < best_cost)
      best_cost = cost, best = c;
  }
  return best;
}

struct extras {
  int count, room;
  int32_t *step;
  int8_t *weight;
};

/* A new extra step, all zeros; NULL when out of memory. */
static int8_t *
add_extra (struct extras *e, int lanes, int64_t step)
{
  const size_t bytes = (size_t) lanes * 2;

  if (e->count == e->room) {
    const int room = e->room * 2 + 16;
    int32_t *s = realloc (e->step, (size_t) room * sizeof *s);
    int8_t *w;

    if (s == NULL)
      return NULL;
    e->step = s;
    w = realloc (e->weight, (size_t) room * bytes);
    if (w == NULL)
      return NULL;
    e->weight = w;
    e->room = room;
  }
  e->step[e->count] = (int32_t) step;
  return memset (e->weight + (size_t) e->count++ * bytes, 0, bytes);
}

/* Of the steps FROM .. TO-1 not yet USED, the one whose removal mends most
 * of the lanes broken in B. */
static int64_t
best_step (struct fbgemm_range r, const int8_t *weight, int lanes,
           int64_t from, int64_t to, const bool *used, const struct bounds *b)
{
  int64_t best = -1;
  int most = -1;

  for (int64_t s = from; s < to; s++) {
    struct bounds own = { { 0 }, { 0 } };
    int mended = 0;

    if (used[s - from])
      continue;
    add_bounds (r, weight + s * lanes * 2, lanes, &own);
    for (int l = 0; l < lanes; l++)
      mended += leaves_int16 (b->top[l], b->low[l])
                && !leaves_int16 (b->top[l] - own.top[l],
                                  b->low[l] - own.low[l]);
    if (mended > most)
      most = mended, best = s;
  }
  return best;
}

/* Move the pairs of the lanes broken in B out of step STEP.  A pair that
 * breaks by itself goes in halves; with KEEP one of them stays. */
static int64_t
move_pairs (struct fbgemm_range r, int8_t *w, int lanes, int64_t step,
            const struct bounds *b, bool keep, struct extras *e)
{
  int8_t *first = add_extra (e, lanes, step), *second = NULL;
  int64_t moved = 0;

  if (first == NULL)
    return -ENOMEM;
  for (int l = 0; l < lanes; l++) {
    int8_t half[2] = { 0, 0 };

    if (!leaves_int16 (b->top[l], b->low[l]))
      continue;
    moved++;
    if (fbgemm_halve_pair (r, w + 2 * l, half) && !keep) {
      if (second == NULL) {
        second = add_extra (e, lanes, step);
        if (second == NULL)
          return -ENOMEM;
        first = second - (size_t) lanes * 2;
      }
      memcpy (second + 2 * l, half, 2);
    }
    if (keep) {
      memcpy (first + 2 * l, half, 2);
    } else {
      memcpy (first + 2 * l, w + 2 * l, 2);
      memset (w + 2 * l, 0, 2);
    }
  }
  return moved;
}

/* Mend the run FROM .. TO-1.  Each turn takes a step, and a run without
 * weights breaks no bound, so it ends. */
static int64_t
mend_run (struct fbgemm_range r, int8_t *weight, int lanes, int64_t from,
          int64_t to, struct extras *e)
{
  bool used[LONGEST] = { false };
  int64_t total = 0;

  for (int64_t turn = from; turn < to; turn++) {
    struct bounds b = { { 0 }, { 0 } };
    int64_t s, moved;

    for (int64_t t = from; t < to; t++)
      add_bounds (r, weight + t * lanes * 2, lanes, &b);
    if (count_broken (&b, lanes) == 0)
      break;
    s = best_step (r, weight, lanes, from, to, used, &b);
    used[s - from] = true;
    moved = move_pairs (r, weight + s * lanes * 2, lanes, s, &b,
                        to - from == 1, e);
    if (moved < 0)
      return moved;
    total += moved;
  }
  return total;
}

int64_t
fbgemm_certify (struct fbgemm_range r, struct qk_gemm_block *b,
                int8_t *weight, int64_t steps, int nr)
{
  const int lanes = 2 * nr;
  struct extras e = { 0 };
  int64_t moved = 0;

  b->chain = choose_chain (r, weight, steps, lanes);
  for (int64_t s = 0; s < steps && moved >= 0; s += b->chain) {
    const int64_t end = s + b->chain < steps ? s + b->chain : steps;
    const int64_t m = mend_run (r, weight, lanes, s, end, &e);

    moved = m < 0 ? m : moved + m;
  }
  b->extras = e.count;
  b->extra_step = e.step;
  b->extra = e.weight;
  return moved < 0 ? qk_error (-ENOMEM, "fbgemm: out of memory") : moved;
}
