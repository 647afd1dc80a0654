/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* html.h: an analysis as one HTML file that needs nothing else. */
#ifndef QK_REPORT_HTML_H
#define QK_REPORT_HTML_H

#include "qatkit/base.h"

/* Whether Chart.js, which draws the page, is built in. */
bool qk_html_possible (void);

/* Write the page for JSON (as of qk_analysis_json) to PATH, atomically.
 * Whatever names the JSON holds, they stay text.  -ENOTSUP without
 * Chart.js. */
int qk_html_write (const char *json, const char *path);

#endif /* QK_REPORT_HTML_H */
