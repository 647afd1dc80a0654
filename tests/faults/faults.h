/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* faults.h: a library to be preloaded that makes a program's surroundings
 * fail.  What shall fail is in the environment:
 *
 *   QATKIT_FAULT_KILL=N      SIGKILL at the N-th operation on files
 *   QATKIT_FAULT_FULL=N      from the N-th on, the disk is full
 *   QATKIT_FAULT_FILES=FILE  at the end, write the number of operations there
 *   QATKIT_FAULT_MALLOC=FILE the first allocation from a place not in FILE
 *                            fails; the place is added to it
 *   QATKIT_FAULT_SHARE=K/N   of all places only every N-th, from the K-th
 *   QATKIT_FAULT_LIVE=FILE   at the end, add the places of blocks that were
 *                            never freed to FILE, one a line
 *
 * An operation is a call that opens a file to write, writes, flushes, renames
 * or removes one, or makes a folder.  A place is a chain of callers; places
 * within libraries that end the program when memory is out are left alone. */
#ifndef QK_FAULTS_H
#define QK_FAULTS_H

#include <stddef.h>
#include <stdint.h>

/* At load and at exit. */
void faults_files_start (void);
void faults_files_end (void);
void faults_memory_start (void);
void faults_memory_end (void);

/* The next definition of a symbol, after this library's. */
void *faults_next (const char *symbol);

/* A number from the environment; 0 if there is none. */
long faults_number (const char *name);

#endif
