/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagesize.h: options that are the size of an image, "224" or "224x160". */
#ifndef QATKIT_COMMON_IMAGESIZE_H
#define QATKIT_COMMON_IMAGESIZE_H

#include <qatkit/option.h>

/* OPTION, a QK_OPT_STRING of component WHO: height and width, both in
 * LEAST..MOST, into SIDE.  One number stands for both; *ALONE (may be NULL)
 * says whether it was one.  -EINVAL with the option, where it was given and
 * its text. */
int image_size_read (const char *who, const struct qk_config *cfg,
                     const char *option, int64_t least, int64_t most,
                     int64_t side[2], bool *alone);

#endif /* QATKIT_COMMON_IMAGESIZE_H */
