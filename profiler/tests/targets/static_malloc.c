// A static program: its allocator is in the program itself.
// flags: -static
// libc itself allocates before main, where the loader would do that in other programs.
// expect: realloc=100 free=1100
// expect-at-least: malloc=1000 calloc=100
#include <stdlib.h>
#include "check.h"

int main(void)
{
    for (int i = 0; i < 1000; i++) {
        void *block = malloc(16 + i);
        need(block);
        if (i % 10 == 0) need((block = realloc(block, 2000)));
        free(block);
    }
    for (int i = 0; i < 100; i++) {
        void *block = calloc(10, 10);
        need(block);
        free(block);
    }
    return 0;
}
