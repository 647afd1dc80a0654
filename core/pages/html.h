/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* html.h: results as one HTML file that needs nothing else. */
#ifndef QK_PAGES_HTML_H
#define QK_PAGES_HTML_H

#include "qatkit/base.h"

/* Whether Chart.js, which draws the page, is built in. */
bool qk_html_possible (void);

enum qk_page {
  QK_PAGE_ANALYSIS, /* of qk_analysis_json */
  QK_PAGE_TUNING    /* of tune --json */
};

/* Write the page for JSON to PATH, atomically.
 * Whatever names the JSON holds, they stay text.  -ENOTSUP without
 * Chart.js. */
int qk_html_write (enum qk_page page, const char *json, const char *path);

#endif /* QK_PAGES_HTML_H */
