/* A folder of its own for each test, and what is done with files in it. */
#ifndef HC_TESTS_UNIT_AUTHORITY_FOLDER_H
#define HC_TESTS_UNIT_AUTHORITY_FOLDER_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"

static char folder[64];

static inline int folder_begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/handclasp-authority-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static inline int folder_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int folder_end(void **state)
{
    (void)state;
    if (chdir("/") != 0)
        return -1;
    return nftw(folder, folder_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline mode_t mode_of(const char *name)
{
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_mode & 07777 : 0;
}

static inline bool is_there(const char *name)
{
    struct stat st;
    return lstat(name, &st) == 0;
}

/* The text of a small file; static memory, one call at a time. */
static inline const char *text_of(const char *name)
{
    static char text[10000];
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof(text) - 1, f);
    text[size] = '\0';
    (void)fclose(f);
    return text;
}

#endif
