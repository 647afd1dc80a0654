/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* search.h: the range of a histogram that quantizes with the least error. */
#ifndef QK_HISTOGRAM_SEARCH_H
#define QK_HISTOGRAM_SEARCH_H

#include <stddef.h>

/* HIST counts the values in BINS equal parts of MIN..MAX.  Narrow that range
 * to the one whose LEVELS quantization steps give the least L2 error, as
 * PyTorch's HistogramObserver does.  SCRATCH: 2 * BINS floats. */
void histogram_search (const float *hist, int bins, float min, float max,
                       int levels, float *scratch, float *new_min,
                       float *new_max);

#endif /* QK_HISTOGRAM_SEARCH_H */
