// Memory that becomes resident without a fault: 100 pages by MAP_POPULATE, 10 pages by mlock.
// expect: own-mmap=2 populated-pages=110
#define _GNU_SOURCE
#include <sys/mman.h>
#include "check.h"

int main(void)
{
    char *p = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    char *locked = mmap(NULL, 10 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED && locked != MAP_FAILED);
    need(mlock(locked, 10 * PAGE) == 0);
    touch(p, 100, 1);
    touch(locked, 10, 1);
    return 0;
}
