/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagesize.c: options that are the size of an image, "224" or "224x160". */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "imagesize.h"

/* The number at *S, which moves behind it; false where there is none of
 * LEAST..MOST. */
static bool
read_side (const char **s, int64_t least, int64_t most, int64_t *out)
{
  char *end;

  if (!isdigit ((unsigned char) **s))
    return false;
  errno = 0;
  *out = (int64_t) strtoimax (*s, &end, 10);
  *s = end;
  return errno == 0 && *out >= least && *out <= most;
}

int
image_size_read (const char *who, const struct qk_config *cfg,
                 const char *option, int64_t least, int64_t most,
                 int64_t side[2], bool *alone)
{
  const char *text = qk_config_string (cfg, option), *s = text;
  bool fine = read_side (&s, least, most, &side[0]);

  side[1] = side[0];
  if (alone)
    *alone = *s == '\0';
  if (fine && *s == 'x') {
    s++;
    fine = read_side (&s, least, most, &side[1]);
  }
  if (fine && *s == '\0')
    return 0;
  return qk_error (-EINVAL,
                   "%s: %s (%s): expected HEIGHTxWIDTH, or one number for "
                   "both, each in %lld..%lld, got '%.60s'",
                   who, option, qk_config_where (cfg, option),
                   (long long) least, (long long) most, text);
}
