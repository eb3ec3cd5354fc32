// Blocks of 5000 to 5999 bytes, which nothing else asks for, by every call that all C libraries have, in forms that mean the same in all of them.
// It says what it did: "allocations N releases M resized R aligned A".
// expect: malloc=1000 aligned_alloc=1000 memalign=1000 posix_memalign=1000 calloc=1000 realloc=2000 free=6000
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>
#include "check.h"

int main(void)
{
    for (size_t size = 5000; size < 6000; size++) {
        void *blocks[] = {malloc(size), calloc(1, size), aligned_alloc(256, size), memalign(512, size), NULL};
        need(posix_memalign(&blocks[4], 128, size) == 0);
        need((blocks[0] = realloc(blocks[0], size + 2000)));
        need((blocks[1] = reallocarray(blocks[1], size, 2)));
        for (int i = 0; i < 5; i++) {
            need(blocks[i]);
            free(blocks[i]);
        }
        free(NULL);
    }
    say("allocations 5000 releases 3000 resized 2000 aligned 3000\n");
    return 0;
}
