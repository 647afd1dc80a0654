/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* certify.c: the proof that sums of products in int16 are exact, and the
 * rearrangement of weights that makes it true.
 *
 * A lane is one channel's half step: two weights.  Inputs are at least 0, so
 * its sum over a run of consecutive steps (a chain), and over any part of
 * it, lies between the largest input times the sum of the negative weights
 * and times that of the positive ones.  Or sums are of distances from the
 * middle input: at most that times the sum of the weights without their signs;
 * then a step's pair has to fit by itself, as it always does where inputs have
 * 7 bits.  Longer chains are faster; where such a sum is too large, what is too
 * much of the largest weights moves to extra steps.  In those every channel
 * picks its own inputs among sixteen, so that one extra step serves many of
 * them. */
#include "config.h"

#include "fbgemm.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LANES 128 /* of 64 channels */
#define WINDOW QK_GEMM_WINDOW

#define LONGEST QK_GEMM_CHAIN

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

int64_t
fbgemm_unsafe_pairs (struct fbgemm_range r, const int8_t *w, int64_t count)
{
  int64_t unsafe = 0;

  for (int64_t i = 0; i < count; i++, w += 2)
    unsafe += pair_top (r, w) > INT16_MAX || pair_low (r, w) < INT16_MIN;
  return unsafe;
}

/* Sums of weights of one sign within the budget are safe. */
static int budget (struct fbgemm_range r);

void
fbgemm_split_middle (struct fbgemm_range r, int8_t *w)
{
  const int over = abs (w[0]) + abs (w[1]) - budget (r);
  int part;

  if (pair_top (r, w) <= INT16_MAX && pair_low (r, w) >= INT16_MIN)
    return;
  part = over < abs (w[1]) ? over : abs (w[1]);
  part = part > 127 ? 127 : part;
  w[3] = (int8_t) (w[1] > 0 ? part : -part);
  w[1] = (int8_t) (w[1] - w[3]);
}

/* Halves of at most 64 give 2 * 64 * 255 < 2^15. */
bool
fbgemm_halve_pair (struct fbgemm_range r, int8_t *w, int8_t *rest)
{
  if (pair_top (r, w) <= INT16_MAX && pair_low (r, w) >= INT16_MIN)
    return false;
  for (int i = 0; i < 2; i++) {
    rest[i] = (int8_t) (w[i] - w[i] / 2);
    w[i] = (int8_t) (w[i] / 2);
  }
  return true;
}

/* ---- sums of the lanes --------------------------------------------------- */

/* What the weights of a sign may add up to in a lane; 128 for 8 bits, a
 * weight by itself always may. */
static int
budget (struct fbgemm_range r)
{
  return r.hi > 0 ? INT16_MAX / r.hi : INT16_MAX;
}

/* What is allowed. */
struct rule {
  int pair;   /* sum of the weights of a sign that a pair may have */
  int chain;  /* the same of a lane's chain; of all its weights, if … */
  int middle; /* … sums are of distances from that input, not 0 */
};

/* Those that are safe for R; how many. */
static int
rules_of (struct fbgemm_range r, struct rule rule[2])
{
  const int pair = budget (r), middle = (r.hi + 1) / 2;

  rule[0] = (struct rule){ pair, pair, 0 };
  if (middle == 0)
    return 1;
  rule[1] = (struct rule){ pair, INT16_MAX / middle, middle };
  return 2;
}

/* Sums of the positive weights of a lane and of the negative ones; all of them
 * in POS where signs do not matter, less what pairs have too much, and how many
 * these are. */
struct sums {
  int16_t pos[MOST_LANES], neg[MOST_LANES], pairs[MOST_LANES];
};

static void
add_sums (struct sums *s, const int8_t *restrict w, int lanes,
          const struct rule *rule)
{
  const bool about = rule->middle > 0;

  for (int l = 0; l < lanes; l++) {
    const int a = w[2 * l], b = w[2 * l + 1];
    const int pos = (a > 0 ? a : 0) + (b > 0 ? b : 0);
    const int neg = pos - a - b;

    s->pos[l] = (int16_t) (s->pos[l] + (about ? pos + neg : pos));
    s->neg[l] = (int16_t) (s->neg[l] + (about ? 0 : neg));
  }
  if (about && rule->pair < 2 * 128)
    for (int l = 0; l < lanes; l++) {
      const int sum = w[2 * l] + w[2 * l + 1];
      const int over = (sum > 0 ? sum : -sum) - rule->pair;

      s->pos[l] = (int16_t) (s->pos[l] - (over > 0 ? over : 0));
      s->pairs[l] = (int16_t) (s->pairs[l] + (over > 0));
    }
}

static bool
all_fit (const struct sums *s, int lanes, int limit)
{
  int most = 0, pairs = 0;

  for (int l = 0; l < lanes; l++) {
    most = s->pos[l] > most ? s->pos[l] : most;
    most = s->neg[l] > most ? s->neg[l] : most;
    pairs |= s->pairs[l];
  }
  return most <= limit && pairs == 0;
}

/* Input of the first of sixteen that an extra step for input K looks at; no
 * more than the row has, if it has as many. */
static int64_t
window_of (int64_t k, int64_t steps)
{
  const int64_t last = 4 * steps - WINDOW, at = k / WINDOW * WINDOW;

  return at < last || last < 0 ? at : last;
}

/* About how many weights a sum of OVER too much costs. */
static inline int
guess_moved (int over)
{
  return over > 0 ? 1 + over / 64 : 0;
}

/* About how many extra steps chains of CHAIN steps need; more than ENOUGH
 * are not counted. */
static int64_t
guess_extras (const int8_t *weight, int64_t steps, int lanes, int chain,
              const struct rule *rule, int64_t enough)
{
  const int limit = rule->chain;
  const int64_t runs = WINDOW / 4 > chain ? WINDOW / 4 / chain : 1;
  int64_t count = 0;

  for (int64_t s = 0; s < steps && count <= enough; s += runs * chain) {
    int moved[MOST_LANES / 2] = { 0 }, most = 0;

    for (int64_t t = s; t < s + runs * chain && t < steps; t += chain) {
      struct sums sum = { { 0 }, { 0 }, { 0 } };

      for (int64_t i = t; i < t + chain && i < steps; i++)
        add_sums (&sum, weight + i * lanes * 2, lanes, rule);
      if (all_fit (&sum, lanes, limit))
        continue;
      for (int l = 0; l < lanes; l++)
        moved[l / 2] += guess_moved (sum.pos[l] - limit)
                        + guess_moved (sum.neg[l] - limit)
                        + (rule->middle > 0 ? sum.pairs[l] : 0);
    }
    for (int n = 0; n < lanes / 2; n++)
      most = moved[n] > most ? moved[n] : most;
    count += (most + 3) / 4;
  }
  return count;
}

/* The chain with the least work, which is *LEAST then: a multiplication for
 * each step, a little more in the smaller tiles of sums from a middle, one and
 * the way to int32 for each run (and from its middle), and nearly three for an
 * extra step.  0: none has less than *LEAST was before. */
static int
choose_chain (const int8_t *weight, int64_t steps, int lanes,
              const struct rule *rule, int64_t *least)
{
  int best = 0;

  for (int c = rule->middle > 0 ? 2 : 1; c <= LONGEST; c++) {
    const int64_t runs = (steps + c - 1) / c;
    const int64_t cost
      = rule->middle > 0 ? 11 * steps + 14 * runs : 10 * steps + 11 * runs;
    const int64_t enough = (*least - cost) / 28;
    int64_t extras;

    if (enough < 0)
      continue;
    extras = guess_extras (weight, steps, lanes, c, rule, enough);
    if (cost + 28 * extras < *least)
      *least = cost + 28 * extras, best = c;
  }
  return best;
}

/* ---- extra steps --------------------------------------------------------- */

struct extras {
  int count, room;
  int first; /* of those that the current run may share */
  int32_t *at;
  int8_t *weight;
  uint8_t *index;
};

/* A new extra step of inputs from AT on, without weights. */
static int
add_extra (struct extras *e, int nr, int64_t at)
{
  const size_t bytes = (size_t) nr * 4;

  if (e->count == e->room) {
    const int room = e->room * 2 + 16;
    int32_t *a = realloc (e->at, (size_t) room * sizeof *a);
    int8_t *w;
    uint8_t *x;

    if (a == NULL)
      return -ENOMEM;
    e->at = a;
    if ((w = realloc (e->weight, (size_t) room * bytes)) == NULL)
      return -ENOMEM;
    e->weight = w;
    if ((x = realloc (e->index, (size_t) room * bytes)) == NULL)
      return -ENOMEM;
    e->index = x;
    e->room = room;
  }
  e->at[e->count] = (int32_t) at;
  memset (e->weight + (size_t) e->count * bytes, 0, bytes);
  memset (e->index + (size_t) e->count * bytes, 0x80, bytes);
  e->count++;
  return 0;
}

/* Whether weight R fits beside the one at W, whose place is free. */
static bool
fits_beside (int other, int r, int limit)
{
  return (other > 0) != (r > 0) || abs (other) + abs (r) <= limit;
}

/* Give R times input K to channel N in an extra step. */
static int
place_extra (struct extras *e, int nr, int64_t steps, int limit, int n,
             int64_t k, int r)
{
  const int64_t at = window_of (k, steps);

  for (int i = e->first; i < e->count; i++) {
    int8_t *w = e->weight + ((size_t) i * (size_t) nr + (size_t) n) * 4;

    for (int j = 0; j < 4; j++)
      if (e->at[i] == at && w[j] == 0 && fits_beside (w[j ^ 1], r, limit)) {
        w[j] = (int8_t) r;
        e->index[((size_t) i * (size_t) nr + (size_t) n) * 4 + (size_t) j]
          = (uint8_t) (k - at);
        return 0;
      }
  }
  if (add_extra (e, nr, at) < 0)
    return -ENOMEM;
  return place_extra (e, nr, steps, limit, n, k, r);
}

/* Where a lane's weight number I of a run from FROM on lies. */
static int64_t
weight_at (int64_t from, int lanes, int l, int i)
{
  return ((from + i / 2) * lanes + l) * 2 + i % 2;
}

/* Move OVER of lane L's weights of sign SIGN (0: either) out of the run FROM ..
 * TO-1.  The largest goes first.  Returns how many weights it touched. */
static int64_t
move_over (int8_t *weight, int lanes, int64_t steps, int64_t from, int64_t to,
           int l, int sign, int over, int pair, struct extras *e)
{
  const int count = (int) (to - from) * 2;
  int64_t moved = 0;

  for (; over > 0; moved++) {
    int best = 0, most = 0, part;
    int64_t k;

    for (int i = 0; i < count; i++) {
      const int w = weight[weight_at (from, lanes, l, i)];
      const int size = sign == 0 ? abs (w) : sign * w;

      if (size > most)
        most = size, best = i;
    }
    part = most < over ? most : over;
    part = part > 127 ? 127 : part;
    if (weight[weight_at (from, lanes, l, best)] < 0)
      part = -part;
    k = (from + best / 2) * 4 + l % 2 * 2 + best % 2;
    if (place_extra (e, lanes / 2, steps, pair, l / 2, k, part) < 0)
      return -ENOMEM;
    weight[weight_at (from, lanes, l, best)]
      = (int8_t) (weight[weight_at (from, lanes, l, best)] - part);
    over -= abs (part);
  }
  return moved;
}

/* Mend the pairs of the run FROM .. TO-1, which no sum with others can make safe. */
static int64_t
mend_pairs (int8_t *weight, int lanes, int64_t steps, int64_t from, int64_t to,
            const struct rule *rule, const struct sums *s, struct extras *e)
{
  int64_t total = 0;

  for (int l = 0; l < lanes; l++)
    for (int64_t t = from; s->pairs[l] > 0 && t < to; t++) {
      const int8_t *w = weight + (t * lanes + l) * 2;
      const int64_t m
        = (w[0] > 0) == (w[1] > 0)
            ? move_over (weight, lanes, steps, t, t + 1, l, 0,
                         abs (w[0]) + abs (w[1]) - rule->pair, rule->pair, e)
            : 0;

      if (m < 0)
        return m;
      total += m;
    }
  return total;
}

/* Mend the run FROM .. TO-1. */
static int64_t
mend_run (int8_t *weight, int lanes, int64_t steps, int64_t from, int64_t to,
          const struct rule *rule, struct extras *e)
{
  const int limit = rule->chain;
  struct sums s = { { 0 }, { 0 }, { 0 } };
  int64_t total = 0;

  for (int64_t t = from; t < to; t++)
    add_sums (&s, weight + t * lanes * 2, lanes, rule);
  if (all_fit (&s, lanes, limit))
    return 0;
  while (e->first < e->count && e->at[e->first] < window_of (4 * from, steps))
    e->first++;
  if (rule->middle > 0
      && (total = mend_pairs (weight, lanes, steps, from, to, rule, &s, e))
           < 0)
    return -ENOMEM;
  for (int l = 0; l < lanes; l++) {
    const int64_t pos
      = move_over (weight, lanes, steps, from, to, l, rule->middle > 0 ? 0 : 1,
                   s.pos[l] - limit, rule->pair, e);
    const int64_t neg = move_over (weight, lanes, steps, from, to, l, -1,
                                   s.neg[l] - limit, rule->pair, e);

    if (pos < 0 || neg < 0)
      return -ENOMEM;
    total += pos + neg;
  }
  return total;
}

/* The middles of a block's whole chains, each of CHAIN steps of LANES lanes, and
 * what they take from the sums, added to BIAS. */
static int16_t *
middles (const int8_t *weight, int64_t steps, int lanes, int chain,
         int64_t middle, int32_t *bias)
{
  const int64_t chains = steps / chain;
  int16_t *out = calloc ((size_t) (chains > 0 ? chains : 1) * (size_t) lanes,
                         sizeof *out);

  for (int64_t i = 0; out != NULL && i < chains; i++)
    for (int l = 0; l < lanes; l++) {
      int64_t sum = 0;

      for (int j = 0; j < 2 * chain; j++)
        sum += weight[weight_at (i * chain, lanes, l, j)];
      out[i * lanes + l] = (int16_t) (uint16_t) (uint64_t) (-middle * sum);
      bias[l / 2] = (int32_t) ((uint32_t) bias[l / 2]
                               + (uint32_t) (uint64_t) (middle * sum));
    }
  return out;
}

int64_t
fbgemm_certify (struct fbgemm_range r, struct qk_gemm_block *b, int8_t *weight,
                int32_t *bias, int64_t steps, int nr)
{
  const int lanes = 2 * nr;
  struct rule rules[2], rule = { 0 };
  const int count = rules_of (r, rules);
  struct extras e = { 0 };
  int64_t least = INT64_MAX, moved = 0;

  for (int i = 0; i < count; i++) {
    const int chain = choose_chain (weight, steps, lanes, &rules[i], &least);

    if (chain > 0)
      rule = rules[i], b->chain = chain;
  }
  for (int64_t s = 0; s < steps && moved >= 0; s += b->chain) {
    const int64_t end = s + b->chain < steps ? s + b->chain : steps;
    const int64_t m = mend_run (weight, lanes, steps, s, end, &rule, &e);

    moved = m < 0 ? m : moved + m;
  }
  b->extras = e.count;
  b->extra_at = e.at;
  b->extra = e.weight;
  b->extra_index = e.index;
  if (moved >= 0 && b->chain > 1 && rule.middle > 0) {
    b->middle = middles (weight, steps, lanes, b->chain, rule.middle, bias);
    moved = b->middle == NULL ? -ENOMEM : moved;
  }
  return moved < 0 ? qk_oom ("fbgemm") : moved;
}
