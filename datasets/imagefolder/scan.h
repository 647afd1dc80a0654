/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scan.h: finding the images below a folder of class folders. */
#ifndef QATKIT_IMAGEFOLDER_SCAN_H
#define QATKIT_IMAGEFOLDER_SCAN_H

#include <time.h>

#include <qatkit/base.h>

struct scan_item {
  char *path; /* below the class folder */
  int32_t label;
};

/* A folder that was looked through, and when it was last changed. */
struct scan_place {
  char *path; /* below root, "" for root itself */
  struct timespec changed;
};

/* Endings of names that are counted apart. */
#define SCAN_ENDINGS 4

struct scan {
  char *root;
  int classes;
  char **names; /* of the class folders, in byte order */
  int64_t count;
  struct scan_item *items; /* by class, then as PyTorch's ImageFolder */
  int64_t capacity;
  int64_t n_folders, folders_room;
  struct scan_place *folder;
  /* files that are no images: how many, and of which endings */
  int64_t left_out;
  struct {
    char text[12];
    int64_t count;
  } ending[SCAN_ENDINGS];
};

/* The only class of a folder whose images have none. */
#define SCAN_NO_CLASS "."

/* Names of the class folders of ROOT and, if WITH_IMAGES, of all images
 * in and below them, of each class the first LIMIT (0: all).  Unless CLASSES,
 * all images below ROOT are of SCAN_NO_CLASS.  S starts
 * zeroed; scan_free, also after an error.  A folder that is missing or
 * unreadable, a root without class folders and a class without images are
 * errors that name it.  Links are followed, a link to a folder above itself
 * is ignored with a warning, as is a link to nothing.  Files that are no
 * images are counted, and told in a warning. */
int scan_folder (struct scan *s, struct qk_context *ctx, const char *root,
                 bool classes, bool with_images, int64_t limit);
void scan_free (struct scan *s);
/* Keep the first LIMIT images of each class; 0: all. */
void scan_limit (struct scan *s, int64_t limit);
/* The warning about files left out. */
void scan_tell (const struct scan *s, struct qk_context *ctx);

/* Add a class, an image, an ending of files left out: 1, or an error. */
int scan_add_class (struct scan *s, const char *name);
int scan_add_image (struct scan *s, const char *path, int32_t label);
int scan_add_ending (struct scan *s, const char *text, int64_t count);

#endif /* QATKIT_IMAGEFOLDER_SCAN_H */
