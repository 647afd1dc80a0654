/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checksum.h: CRC-32 (that of zlib) of named tensors and metadata. */
#ifndef QK_IO_CHECKSUM_H
#define QK_IO_CHECKSUM_H

#include "qatkit/format.h"

/* Start with CRC 0 and pass it on.  Numbers count little endian, names with
 * their closing NUL, so that files mean the same on every machine. */
uint32_t qk_checksum_text (uint32_t crc, const char *text);
/* Name, dtype, shape and data. */
uint32_t qk_checksum_entry (uint32_t crc, const struct qk_format_entry *e);

/* Of all ENTRIES, in the order of their names whatever order they are given
 * in, and of META in the order given.  -ENOMEM only. */
int qk_checksum_entries (const struct qk_format_entry *entries, int64_t n,
                         const struct qk_format_meta *meta, int n_meta,
                         uint32_t *crc);

#endif /* QK_IO_CHECKSUM_H */
