// Opens the library named by its argument, a second allocator, and takes 1000 blocks from it. libc itself allocates while it opens a library.
// Ends with status 3 where there is no such library.
// args: libjemalloc.so.2
// expect-at-least: malloc=1000 free=1000
#include "check.h"
#include "second_allocator.h"

int main(int argc, char **argv)
{
    need(argc == 2);
    return take_blocks_from(dlopen(argv[1], RTLD_NOW | RTLD_LOCAL));
}
