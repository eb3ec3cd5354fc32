// Opens the library named by its argument, a second allocator, and takes 1000 blocks from it. libc itself allocates while it opens a library.
// Ends with status 3 where there is no such library.
// args: libjemalloc.so.2
// expect-at-least: malloc=1000 free=1000
#include <dlfcn.h>
#include <stddef.h>
#include "check.h"

int main(int argc, char **argv)
{
    need(argc == 2);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        say(dlerror());
        return 3;
    }
    void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(library, "malloc");
    void (*release)(void *) = (void (*)(void *))dlsym(library, "free");
    need(allocate && release);
    for (int i = 0; i < 1000; i++) {
        void *block = allocate(5000 + i);
        need(block);
        release(block);
    }
    return 0;
}
