/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.c: the functions that what is written may need: the files of
 * kernels/, which the build makes arrays of lines of. */
#include "config.h"

#include "csource.h"

#include "kernel-lines.h"

#define REAL (1ull << KERNEL_REAL)

#define REPLACED 5

struct row {
  const char *const *lines;
  uint64_t needs;
  const char *from[REPLACED], *to[REPLACED]; /* what is put in place of what */
};

#define BIT(kernel) (1ull << KERNEL_##kernel)
#define BLOCKS                                                                \
  (BIT (WEIGHTED) | BIT (WEIGHTED_VECTORS) | BIT (WEIGHTED_PAIRS)             \
   | BIT (WEIGHTED_HALVES) | BIT (WEIGHTED_WORDS))

static const struct row rows[KERNELS] = {
  [KERNEL_BASE] = { lines_base, 0, { 0 }, { 0 } },
  [KERNEL_WIDE] = { lines_wide, REAL, { 0 }, { 0 } },
  [KERNEL_LOGARITHM] = { lines_logarithm, BIT (WIDE), { 0 }, { 0 } },
  [KERNEL_EXPONENTIAL] = { lines_exponential, REAL, { 0 }, { 0 } },
  [KERNEL_WEIGHTED] = { lines_weighted, REAL, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_VECTORS] = { lines_weighted_vectors, 0, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_PAIRS] = { lines_weighted_pairs, 0, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_HALVES] = { lines_weighted_halves, 0, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_WORDS] = { lines_weighted_words, 0, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_PIXELS] = { lines_weighted_pixels, BLOCKS, { 0 }, { 0 } },
  [KERNEL_WEIGHTED_REAL] = { lines_weighted_real, BLOCKS, { 0 }, { 0 } },
  [KERNEL_ROWS] = { lines_rows, BIT (WEIGHTED_PIXELS), { 0 }, { 0 } },
  [KERNEL_ROWS_REAL] = { lines_rows_real, BIT (WEIGHTED_REAL), { 0 }, { 0 } },
  [KERNEL_WINDOW] = { lines_window, 0, { 0 }, { 0 } },
  [KERNEL_COLUMN] = { lines_column, BIT (WINDOW), { 0 }, { 0 } },
  [KERNEL_COLUMN_TRANSPOSED]
  = { lines_column_transposed, BIT (WINDOW), { 0 }, { 0 } },
  [KERNEL_CONV] = { lines_conv,
                    BIT (WEIGHTED_PIXELS) | BIT (COLUMN),
                    { "@conv@", "@column@" },
                    { "conv", "column" } },
  [KERNEL_CONV_REAL] = { lines_conv_real,
                         BIT (WEIGHTED_REAL) | BIT (COLUMN),
                         { "@conv@", "@column@" },
                         { "conv_real", "column" } },
  [KERNEL_TRANSPOSED] = { lines_conv,
                          BIT (WEIGHTED_PIXELS) | BIT (COLUMN_TRANSPOSED),
                          { "@conv@", "@column@" },
                          { "conv_transposed", "column_transposed" } },
  [KERNEL_TRANSPOSED_REAL]
  = { lines_conv_real,
      BIT (WEIGHTED_REAL) | BIT (COLUMN_TRANSPOSED),
      { "@conv@", "@column@" },
      { "conv_transposed_real", "column_transposed" } },
  [KERNEL_DEPTHWISE] = { lines_depthwise, REAL | BIT (WINDOW), { 0 }, { 0 } },
  [KERNEL_DEPTHWISE_ANY]
  = { lines_depthwise_any, BIT (DEPTHWISE), { 0 }, { 0 } },
  [KERNEL_DEPTHWISE_3_CHANNELS]
  = { lines_depthwise3_channels, BIT (DEPTHWISE), { 0 }, { 0 } },
  [KERNEL_DEPTHWISE_3]
  = { lines_depthwise3, BIT (DEPTHWISE_3_CHANNELS), { 0 }, { 0 } },
  [KERNEL_TAPS] = { lines_pools, BIT (WINDOW), { 0 }, { 0 } },
  [KERNEL_MAXPOOL] = { lines_maxpool, BIT (TAPS), { 0 }, { 0 } },
  [KERNEL_AVGPOOL] = { lines_avgpool, REAL | BIT (TAPS), { 0 }, { 0 } },
  [KERNEL_TABLE] = { lines_table, 0, { 0 }, { 0 } },
  [KERNEL_JOINED] = { lines_joined, 0, { 0 }, { 0 } },
  [KERNEL_JOINED_TABLE] = { lines_joined_table, 0, { 0 }, { 0 } },
  [KERNEL_CLAMP] = { lines_clamp, 0, { 0 }, { 0 } },
  [KERNEL_QUANTIZE] = { lines_quantize, REAL, { 0 }, { 0 } },
  [KERNEL_DEQUANTIZE] = { lines_dequantize, REAL, { 0 }, { 0 } },
  [KERNEL_PRELU] = { lines_prelu, REAL, { 0 }, { 0 } },
  [KERNEL_PLACE] = { lines_walk, 0, { 0 }, { 0 } },
  [KERNEL_BINARY] = { lines_binary, REAL | BIT (PLACE), { 0 }, { 0 } },
#define FUNCTION(which, name, start, quick, text)                             \
  [KERNEL_ADD + which] = { lines_function,                                    \
                           BIT (BINARY),                                      \
                           { "@name@", "@start@", "@quick@", "@function@" },  \
                           { name, start, quick, text } }
/* Steps in float move a sum by less than 2^-11, the products of integers by
 * less than 2^-12: what is not within 2^-9 of the middle of two integers needs
 * no such steps. */
#define START(sign)                                                           \
  "  const uint32_t times_a = (uint32_t) l->times_a;\n"                       \
  "  const uint32_t times_b = (uint32_t) " sign "l->times_b;\n"               \
  "  const uint32_t base = (uint32_t) l->half - (uint32_t) l->za * times_a\n" \
  "                        - (uint32_t) l->zb * times_b;\n"
#define QUICK                                                                 \
  "      const int32_t t = (int32_t) (base + from_a[j * step_a] * times_a\n"  \
  "                                   + from_b[j * step_b] * times_b);\n\n"   \
  "      if ((uint32_t) t << 12 > 0x1000000u) {\n"                            \
  "        y[j] = onto (t >> 20, l->zp, l->lo, l->hi);\n"                     \
  "        continue;\n      }\n"
  FUNCTION (QK_ADD, "add", START (""), QUICK, "real_add (u, v)"),
  FUNCTION (QK_SUB, "subtract", START ("-"), QUICK,
            "real_add (u, real_minus (v))"),
  FUNCTION (QK_MUL, "multiply", "", "", "real_mul (u, v)"),
  FUNCTION (QK_DIV, "divide", "", "", "real_div (u, v)"),
  FUNCTION (QK_MAX, "larger", "", "", "real_above (u, v) ? u : v"),
  FUNCTION (QK_MIN, "smaller", "", "", "real_above (v, u) ? u : v"),
  [KERNEL_REDUCE] = { lines_reduce, BIT (PLACE), { 0 }, { 0 } },
  [KERNEL_MEAN + QK_MEAN]
  = { lines_mean,
      REAL | BIT (REDUCE),
      { "@name@", "@scale@", "@result@" },
      { "mean", "",
        "rounded (real_div (real_int (sum), real_int (l->each))) + l->zp" } },
  [KERNEL_MEAN + QK_SUM] = { lines_mean,
                             REAL | BIT (REDUCE),
                             { "@name@", "@scale@", "@result@" },
                             { "sum",
                               "  const struct scale s = scale_of "
                               "(l->multiplier, l->zp, 1);\n",
                               "scaled (sum, &s)" } },
  [KERNEL_MEAN + QK_LARGEST] = { lines_extreme,
                                 BIT (REDUCE),
                                 { "@name@", "@start@", "@than@" },
                                 { "largest", "l->lo", ">" } },
  [KERNEL_MEAN + QK_SMALLEST] = { lines_extreme,
                                  BIT (REDUCE),
                                  { "@name@", "@start@", "@than@" },
                                  { "smallest", "l->hi", "<" } },
  [KERNEL_MOVED] = { lines_moved, 0, { 0 }, { 0 } },
  [KERNEL_TRANSPOSE] = { lines_transposed, BIT (PLACE), { 0 }, { 0 } },
  [KERNEL_RESIZE] = { lines_resize, REAL, { 0 }, { 0 } },
  [KERNEL_MATMUL] = { lines_matmul, REAL | BIT (PLACE), { 0 }, { 0 } },
#define SOFTMAX(kernel, wants, name, type, log, share, put)                   \
  [kernel] = { lines_softmax,                                                 \
               REAL | (wants),                                                \
               { "@name@", "@type@", "@log@", "@share@", "@put@" },           \
               { name, type, log, share, put } }
#define BYTE                                                                  \
  "y[at] = onto (rounded (real_mul (share, real_of (inverse))), zp, lo, hi)"
#define SHARE "real_div (real_int (term[most - x[at]]), real_sum (sum))"
#define LOG "real_ln (real_mul (real_sum (sum), real_of (0x30800000u)))"
#define LOG_SHARE                                                             \
  "real_minus (real_add (real_mul (real_int (most - x[at]), "                 \
  "real_of (scale)), log))"
  SOFTMAX (KERNEL_SOFTMAX, 0, "softmax", "uint8_t", "real_int (0)", SHARE,
           BYTE),
  SOFTMAX (KERNEL_SOFTMAX_REAL, 0, "softmax_real", "void", "real_int (0)",
           SHARE, "real_store (y, at, share)"),
  SOFTMAX (KERNEL_LOG_SOFTMAX, BIT (LOGARITHM), "log_softmax", "uint8_t", LOG,
           LOG_SHARE, BYTE),
  SOFTMAX (KERNEL_LOG_SOFTMAX_REAL, BIT (LOGARITHM), "log_softmax_real",
           "void", LOG, LOG_SHARE, "real_store (y, at, share)"),
  [KERNEL_NORM] = { lines_norm, BIT (WIDE), { 0 }, { 0 } },
  [KERNEL_LRN]
  = { lines_lrn, BIT (LOGARITHM) | BIT (EXPONENTIAL), { 0 }, { 0 } },
};

static void
put_lines (struct text *t, const char *const *lines, const struct row *row)
{
  int n = 0;

  while (n < REPLACED && row->from[n] != NULL)
    n++;
  text_add (t, "\n");
  for (; *lines != NULL; lines++)
    text_replaced (t, *lines, row->from, row->to, n);
}

/* Reals of a type the compiler has, where there is a unit for them. */
static void
put_reals (struct text *t, bool integer)
{
  if (!integer) {
    put_lines (t, lines_choice, &rows[KERNEL_BASE]);
    text_add (t, "#ifndef QATKIT_NO_FLOAT\n");
    put_lines (t, lines_real_float, &rows[KERNEL_BASE]);
    text_add (t, "\n#else\n");
  }
  put_lines (t, lines_real_integer, &rows[KERNEL_BASE]);
  if (!integer)
    text_add (t, "\n#endif\n");
}

void
csource_kernels (struct text *t, uint64_t needed, bool integer)
{
  for (int k = KERNELS - 1; k >= 0; k--)
    if (needed >> k & 1)
      needed |= rows[k].needs;
  needed |= BIT (BASE);
  for (int k = 0; k < KERNELS; k++)
    if (!(needed >> k & 1))
      continue;
    else if (k == KERNEL_REAL)
      put_reals (t, integer);
    else
      put_lines (t, rows[k].lines, &rows[k]);
}
