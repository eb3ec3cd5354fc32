// realloc that can grow in place, one that cannot, and two of a block that glibc maps by itself (grown and shrunk by mremap).
// expect: malloc=3 realloc=4 free=3
#include <stdlib.h>
#include "check.h"

int main(void)
{
    char *grown = malloc(1000);
    need(grown && (grown = realloc(grown, 2000)));      /* nothing lies behind it yet */
    char *barrier = malloc(100);
    need(barrier && (grown = realloc(grown, 100000)));  /* the barrier is in the way */
    char *mapped = malloc(1 << 20);
    need(mapped);
    touch(mapped, 256, 1);
    need((mapped = realloc(mapped, 8 << 20)) && mapped[PAGE] == 1);
    need((mapped = realloc(mapped, 512 << 10)) && mapped[PAGE] == 1);
    free(mapped);
    free(barrier);
    free(grown);
    return 0;
}
