/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* classfiles.h: the files in a folder of class folders, one level deep, in the
 * order of their names' bytes. */
#ifndef QK_CLASSFILES_H
#define QK_CLASSFILES_H

#include <qatkit/base.h>

struct classfile {
  char *path; /* CLASS/FILE */
  int32_t label;
};

struct classfiles {
  char *root;
  int64_t classes;
  char **name; /* of the class folders */
  int64_t count, capacity;
  struct classfile *file;
};

/* The files of ROOT whose names end in ENDING (".wav", any case); hidden ones
 * are left out, links are followed.  A folder that is missing, has no class
 * folders, or a class without files are errors that name it.  F is to be
 * cleared, also after an error. */
int classfiles_read (struct classfiles *f, const char *root,
                     const char *ending);
void classfiles_clear (struct classfiles *f);

/* Keep the files that belong to the SHARE held out, or (not HELD) the others:
 * by their paths.  -EINVAL where none is left. */
int classfiles_keep (struct classfiles *f, double share, bool held);

#endif /* QK_CLASSFILES_H */
