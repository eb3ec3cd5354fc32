/*
 * Counts, in a process and all that it starts, the calls that a program makes: loaded before libc (LD_PRELOAD), it stands between the two.
 * The counters are words of the file named by COUNT_CALLS_FILE, in the order of `names` in targets.rs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MALLOC, CALLOC, REALLOC, MEMALIGN, ALIGNED_ALLOC, POSIX_MEMALIGN, VALLOC, PVALLOC, FREE,
    MMAP, MUNMAP, MREMAP, MADVISE, MPROTECT, BRK, COUNTERS
};

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t), *__libc_pvalloc(size_t);
void __libc_free(void *);

static unsigned long unopened[2 * COUNTERS], *counters;

static void count(int which)
{
    unsigned long *table = __atomic_load_n(&counters, __ATOMIC_ACQUIRE);
    if (!table) {
        const char *path = getenv("COUNT_CALLS_FILE");
        int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        table = unopened;
        if (file >= 0) {
            table = (void *)syscall(SYS_mmap, NULL, sizeof unopened, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            close(file);
        }
        __atomic_store_n(&counters, table, __ATOMIC_RELEASE);
    }
    __atomic_fetch_add(&table[which], 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) { count(MALLOC); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(CALLOC); return __libc_calloc(number, size); }
void *realloc(void *block, size_t size) { count(REALLOC); return __libc_realloc(block, size); }
void *memalign(size_t align, size_t size) { count(MEMALIGN); return __libc_memalign(align, size); }
void *aligned_alloc(size_t align, size_t size) { count(ALIGNED_ALLOC); return __libc_memalign(align, size); }
void *valloc(size_t size) { count(VALLOC); return __libc_valloc(size); }
void *pvalloc(size_t size) { count(PVALLOC); return __libc_pvalloc(size); }
void free(void *block) { count(FREE); __libc_free(block); }

int posix_memalign(void **block, size_t align, size_t size)
{
    count(POSIX_MEMALIGN);
    if (align % sizeof(void *) || (align & (align - 1)) || !align) return EINVAL;
    void *made = __libc_memalign(align, size);
    if (made) *block = made;
    return made ? 0 : ENOMEM;
}

/* A system call, counted, and counted again behind the others when it fails. */
static long counted(int which, long result)
{
    count(which);
    if (result == -1) count(COUNTERS + which);
    return result;
}

void *mmap(void *at, size_t length, int prot, int flags, int file, off_t offset)
{
    return (void *)counted(MMAP, syscall(SYS_mmap, at, length, prot, flags, file, offset));
}

void *mremap(void *at, size_t length, size_t wanted, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
    va_end(more);
    return (void *)counted(MREMAP, syscall(SYS_mremap, at, length, wanted, flags, target));
}

int munmap(void *at, size_t length) { return counted(MUNMAP, syscall(SYS_munmap, at, length)); }
int madvise(void *at, size_t length, int advice) { return counted(MADVISE, syscall(SYS_madvise, at, length, advice)); }
int mprotect(void *at, size_t length, int prot) { return counted(MPROTECT, syscall(SYS_mprotect, at, length, prot)); }

int brk(void *wanted)
{
    if (syscall(SYS_brk, wanted) == (long)wanted) return counted(BRK, 0);
    errno = ENOMEM;
    return counted(BRK, -1);
}
