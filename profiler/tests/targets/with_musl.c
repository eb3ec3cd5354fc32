// Blocks of 5000 to 5999 bytes, which nothing else asks for, by the calls that musl has. "allocations N releases M resized R".
// expect: malloc=1000 aligned_alloc=1000 calloc=1000 realloc=1000 free=3000
#include <stdlib.h>
#include "check.h"

int main(void)
{
    for (size_t size = 5000; size < 6000; size++) {
        void *block = malloc(size), *zeroed = calloc(1, size), *aligned = aligned_alloc(256, size);
        need(block && zeroed && aligned);
        need((block = realloc(block, size + 1000)));
        free(block);
        free(zeroed);
        free(aligned);
    }
    say("allocations 3000 releases 2000 resized 1000\n");
    return 0;
}
