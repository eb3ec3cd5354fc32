// Writes every 4th of 1000 mapped pages and every 8th page of a malloc'ed block of 1000 pages, without huge pages: 250 + 125.
// The block's first page is written by the allocator itself (its header), too, and counted among these.
// expect: malloc=1 free=1 own-mmap=1 own-munmap=1 touched-pages=375
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "check.h"

int main(void)
{
    need(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    char *p = mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    touch(p, 1000, 4);
    char *block = malloc(1000 * PAGE);
    need(block);
    touch(block, 1000, 8);
    free(block);
    need(munmap(p, 1000 * PAGE) == 0);
    return 0;
}
