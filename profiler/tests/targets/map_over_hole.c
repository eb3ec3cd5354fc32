// Fixed mappings over what is there (4 of 12 written pages), and over a hole of 4 pages with one page on either side.
// Of the 12 pages 4 are replaced and written again, then 2 more; the hole's 4 pages are written again too: 12 + 4 + 6 writes to fresh pages.
// expect: own-mmap=3 own-munmap=2 touched-pages=22
#define _GNU_SOURCE
#include <sys/mman.h>
#include "check.h"

static char *map(char *at, int pages, int flags)
{
    char *p = mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    need(p != MAP_FAILED);
    touch(p, pages, 1);
    return p;
}

int main(void)
{
    char *p = map(NULL, 12, 0);
    need(map(p + 1 * PAGE, 4, MAP_FIXED) == p + 1 * PAGE);
    need(p[1 * PAGE + 1] == 0 && p[0] == 1);
    need(munmap(p + 6 * PAGE, 4 * PAGE) == 0);
    need(map(p + 5 * PAGE, 6, MAP_FIXED) == p + 5 * PAGE);
    need(munmap(p, 12 * PAGE) == 0);
    return 0;
}
