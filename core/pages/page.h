/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* page.h: the HTML pages, as built in (build-aux/embed). */
#ifndef QK_PAGES_PAGE_H
#define QK_PAGES_PAGE_H

/* analysis.html and tuning.html, with @CHART@ and @DATA@ for what is put in. */
extern const char qk_page_analysis[];
extern const char qk_page_tuning[];
/* Chart.js; "" where configure did not find it. */
extern const char qk_page_chart[];

#endif /* QK_PAGES_PAGE_H */
