// A library that breaks down at its hundredth block.
#include <stddef.h>

static char blocks[1 << 20];
static size_t used, calls;

void *malloc(size_t size) {
  if (++calls == 100) *(volatile char *)0 = 1;
  char *at = blocks + used;
  used += (size + 15) & ~(size_t)15;
  return at;
}

void *calloc(size_t n, size_t size) { return malloc(n * size); }
void *realloc(void *old, size_t size) { (void)old; return malloc(size); }
void free(void *at) { (void)at; }
