// Memory system calls that fail: mmap of a pipe (ENODEV), munmap at an odd address (EINVAL), mprotect and madvise of a hole (ENOMEM),
// mremap of a hole (EFAULT), brk beyond the address space (the break stays). One pair of mmap and munmap makes the hole.
// expect: own-mmap=2 failed-mmap=1 own-munmap=2 failed-munmap=1 own-mprotect=1 failed-mprotect=1
// expect: own-madvise=1 failed-madvise=1 own-mremap=1 failed-mremap=1 own-brk=1 failed-brk=1
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include "check.h"

#define fails(call, error) need((long)(call) == -1 && errno == (error))

int main(void)
{
    int ends[2];
    need(pipe(ends) == 0);
    char *hole = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(hole != MAP_FAILED && munmap(hole, 4 * PAGE) == 0);
    fails(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
    fails(munmap((void *)1, PAGE), EINVAL);
    fails(mprotect(hole, PAGE, PROT_READ), ENOMEM);
    fails(madvise(hole, PAGE, MADV_DONTNEED), ENOMEM);
    fails(mremap(hole, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    fails(brk((void *)0x7ffffffff000), ENOMEM);
    return 0;
}
