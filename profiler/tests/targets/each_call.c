// Every call of the malloc family in every form that succeeds or fails, ten rounds.
// reallocarray ends in realloc and counts as one. An allocator without pvalloc is given the argument "no-pvalloc".
// expect: malloc=40 calloc=30 realloc=70 memalign=10 aligned_alloc=10 posix_memalign=20 valloc=10 pvalloc=10 free=110
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include "check.h"

static volatile size_t huge = SIZE_MAX / 2;

static void round_of_calls(int with_pvalloc)
{
    void *p = malloc(100);                      /* malloc 1 */
    need((p = realloc(p, 200)));                /* realloc 1: grows */
    need((p = realloc(p, 50)));                 /* realloc 2: shrinks */
    need((p = realloc(p, 1 << 20)));            /* realloc 3: moves */
    need((p = reallocarray(p, 1000, 8)));       /* realloc 4 */
    free(p);                                    /* free 1 */
    need((p = calloc(10, 10))); free(p);        /* calloc 1, free 2 */
    need((p = calloc(0, 8))); free(p);          /* calloc 2, free 3 */
    need((p = malloc(0))); free(p);             /* malloc 2, free 4 */
    need((p = memalign(64, 100))); free(p);     /* memalign 1, free 5 */
    need((p = aligned_alloc(64, 128))); free(p);            /* aligned_alloc 1, free 6 */
    need(posix_memalign(&p, 64, 100) == 0); free(p);        /* posix_memalign 1, free 7 */
    need(posix_memalign(&p, 3, 100) == EINVAL);             /* posix_memalign 2: fails */
    need((p = valloc(100))); free(p);           /* valloc 1, free 8 */
    p = with_pvalloc ? pvalloc(100) : NULL;     /* pvalloc 1 */
    free(p);                                    /* free 9 */
    free(NULL);                                 /* free 10 */
    need((p = realloc(NULL, 100)));             /* realloc 5 */
    need(!realloc(p, 0));                       /* realloc 6: releases */
    need(!malloc(huge));                        /* malloc 3: fails */
    need(!calloc(huge, 3));                     /* calloc 3: fails */
    need((p = malloc(100)));                    /* malloc 4 */
    need(!realloc(p, huge));                    /* realloc 7: fails, the block stays */
    free(p);                                    /* free 11 */
}

int main(int argc, char **argv)
{
    for (int round = 0; round < 10; round++) round_of_calls(argc < 2 || strcmp(argv[1], "no-pvalloc") != 0);
    return 0;
}
