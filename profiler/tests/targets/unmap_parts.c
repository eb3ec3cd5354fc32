// One mapping of 16 written pages, unmapped in parts: 4 pages at the head, 4 at the tail, 2 in the middle, then the two rests in one call.
// expect: own-mmap=1 own-munmap=4 touched-pages=16
#define _GNU_SOURCE
#include <sys/mman.h>
#include "check.h"

int main(void)
{
    char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    touch(p, 16, 1);
    need(munmap(p, 4 * PAGE) == 0);
    need(munmap(p + 12 * PAGE, 4 * PAGE) == 0);
    need(munmap(p + 7 * PAGE, 2 * PAGE) == 0);
    need(munmap(p + 4 * PAGE, 8 * PAGE) == 0);
    return 0;
}
