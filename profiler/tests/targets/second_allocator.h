// For programs that take blocks from an allocator beside libc's.
#include "check.h"

#include <dlfcn.h>
#include <stddef.h>

// Takes 1000 blocks of 5000 to 5999 bytes from the library's own malloc, and gives each back at once. Status 3 where the library could not be opened.
static inline int take_blocks_from(void *library)
{
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
