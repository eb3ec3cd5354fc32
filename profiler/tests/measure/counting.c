// A library that counts the calls it gets: in the file LOG, which is named when it is built. Blocks are never used again.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MALLOC, CALLOC, REALLOC, MEMALIGN, FREE, KINDS };
static unsigned long *counts;
static char *next;

static void *block(size_t align, size_t size) {
  if (!next) next = mmap(0, 1ul << 36, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  align = align < 16 ? 16 : align;
  char *at = (char *)(((size_t)next + 16 + align - 1) & -align);
  ((size_t *)at)[-1] = size;
  next = at + size;
  return at;
}

static void count(int kind) {
  if (!counts) {
    int log = open(LOG, O_RDWR | O_CREAT, 0600);
    if (ftruncate(log, 4096)) _exit(1);
    counts = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, log, 0);
  }
  counts[kind]++;
}

void *malloc(size_t size) { count(MALLOC); return block(0, size); }
void *calloc(size_t n, size_t size) { count(CALLOC); return block(0, n * size); }
void free(void *at) { if (at) count(FREE); }

void *realloc(void *old, size_t size) {
  count(REALLOC);
  void *at = block(0, size);
  if (old) memcpy(at, old, ((size_t *)old)[-1] < size ? ((size_t *)old)[-1] : size);
  return at;
}

int posix_memalign(void **at, size_t align, size_t size) { count(MEMALIGN); *at = block(align, size); return 0; }
