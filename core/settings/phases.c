/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* phases.c: numbers of bits that change in the course of QAT: which epochs have
 * which. */
#include "config.h"

#include <string.h>

#include "settings/settings.h"

/* How many numbers the longest list of bits in [qconfig] has.  What they are is
 * checked where they are taken, node by node. */
static int
longest_list (const struct qk_ini *ini, int *longest)
{
  *longest = 1;
  for (size_t i = 0; i < qk_ini_sections (ini); i++)
    for (size_t j = 0; qk_settings_is_qconfig (qk_ini_section (ini, i))
                       && j < qk_ini_keys (ini, i);
         j++) {
      const struct qk_ini_key k = qk_ini_key (ini, i, j);
      int n = 1;

      if (strcmp (k.key, "weight.bits") != 0
          && strcmp (k.key, "activation.bits") != 0)
        continue;
      for (const char *c = k.value; *c != 0; c++)
        n += *c == ',';
      if (n > QK_MOST_PHASES)
        return qk_error (
          -EINVAL, "%s: [%s] %s: has %d numbers, expected at most %d", k.where,
          qk_ini_section (ini, i), k.key, n, QK_MOST_PHASES);
      *longest = n > *longest ? n : *longest;
    }
  return 0;
}

/* How long phases are, from [qat] bits_epochs. */
static int
take_lengths (struct qk_settings *settings, const float *epochs, int n)
{
  if (n != settings->n_phases - 1)
    return qk_error (-EINVAL,
                     "has %d numbers, expected %d, one less than the longest "
                     "list of bits in [qconfig]",
                     n, settings->n_phases - 1);
  for (int i = 0; i < n; i++) {
    const int64_t whole = (int64_t) epochs[i];

    if (epochs[i] > (float) whole)
      return qk_error (-EINVAL, "expected whole numbers of epochs, got %g",
                       (double) epochs[i]);
    settings->phase_begin[i + 1] = settings->phase_begin[i] + whole;
  }
  return 0;
}

int
qk_settings_take_phases (struct qk_settings *settings)
{
  const struct qk_config *qat = settings->qat;
  const int64_t epochs = qk_config_int (qat, "epochs");
  float length[QK_MOST_PHASES];
  const int n = qk_config_floats (qat, "bits_epochs", length, QK_MOST_PHASES);
  int r = longest_list (settings->ini, &settings->n_phases);
  const int last = settings->n_phases - 1;
  int64_t before; /* epochs, before the last phase at least */

  if (r < 0)
    return r;
  if (n > 0 && (r = take_lengths (settings, length, n)) < 0)
    return qk_settings_key_error (r, qat, "qat", "bits_epochs");
  for (int i = 1; n == 0 && i <= last; i++)
    settings->phase_begin[i] = i * epochs / settings->n_phases;
  before = n > 0 ? settings->phase_begin[last] : last;
  /* without QAT the last numbers count alone */
  if (epochs > 0 && epochs <= before)
    return qk_settings_key_error (
      qk_error (-EINVAL,
                "%lld epochs, expected more than the %lld before the last of "
                "%d numbers of bits in [qconfig]",
                (long long) epochs, (long long) before, settings->n_phases),
      qat, "qat", "epochs");
  return 0;
}

int
qk_settings_phase (const struct qk_settings *settings, int64_t epoch)
{
  int phase = settings->n_phases - 1;

  while (phase > 0 && epoch < settings->phase_begin[phase])
    phase--;
  return phase;
}
