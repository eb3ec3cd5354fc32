/*
 * Two allocators as the models `brk-only` and `mmap-only` describe them, written from those descriptions: what a program really does on such a one can
 * be measured. BRK or MMAP says which; ASIDE gives the functions other names, so that the library is there and nobody uses it.
 *
 * brk    | size of the chunk below, if free | own size, flags | block …           |  multiples of 16, at least 32
 *        | size of the chunk below, if free | own size, flags | next | previous … |  free: in a list by address
 * mmap   | … length of the mapping, distance to its start | block … |               whole pages
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef ASIDE
#define NAME(name) aside_##name
#else
#define NAME(name) name
#endif

typedef unsigned long word;
#define PAGE 4096UL
#define HEADER 16UL
#define UP(number, unit) (((number) + (unit) - 1) & ~((unit) - 1))
#define MOST (1UL << 46)

static int lock;
static void enter(void) { while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) { } }
static void leave(void) { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }

#ifdef MMAP

struct header { word len, offset; };
static struct header *header_of(void *block) { return (struct header *)block - 1; }
static word usable(void *block) { return header_of(block)->len - header_of(block)->offset; }

static void *block_in(word base, word offset, word len)
{
    *(struct header *)(base + offset - HEADER) = (struct header){ len, offset };
    return (void *)(base + offset);
}

static word map(word len)
{
    void *start = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? 0 : (word)start;
}

static void *allocate(word size, word align, int zeroed)
{
    (void)zeroed;
    if (size > MOST || align > MOST) return NULL;
    if (align < PAGE) {
        word offset = align > HEADER ? align : HEADER, len = UP(size + offset, PAGE), base = map(len);
        return base ? block_in(base, offset, len) : NULL;
    }
    word len = UP(size ? size : 1, PAGE), whole = len + align + PAGE, start = map(whole);
    if (!start) return NULL;
    word base = UP(start + PAGE, align) - PAGE, end = base + PAGE + len;
    if (base > start) munmap((void *)start, base - start);
    if (end < start + whole) munmap((void *)end, start + whole - end);
    return block_in(base, PAGE, PAGE + len);
}

static void release(void *block)
{
    struct header *header = header_of(block);
    munmap((char *)block - header->offset, header->len);
}

static void *resize(void *block, word size)
{
    if (size > MOST) return NULL;
    struct header *header = header_of(block);
    word offset = header->offset, len = UP((size ? size : 1) + offset, PAGE);
    if (len == header->len) return block;
    char *start = mremap((char *)block - offset, header->len, len, MREMAP_MAYMOVE);
    return start == MAP_FAILED ? NULL : block_in((word)start, offset, len);
}

#else

#define SMALLEST 32UL
#define THRESHOLD (128UL << 10)
#define PAD (128UL << 10)
#define BELOW_FREE 1UL
#define FREE 2UL

struct chunk { word below, size; struct chunk *next, *previous; };
static struct chunk *first;
static word base, top, end, used;

static struct chunk *at(word address) { return (struct chunk *)address; }
static word size_of(word chunk) { return at(chunk)->size & ~15UL; }
static word usable(void *block) { return size_of((word)block - HEADER) - HEADER; }
static word move_break(word to) { return (word)syscall(SYS_brk, to); }

/* A chunk that is taken; the one behind it learns so. */
static void take(word start, word stop)
{
    at(start)->size = (stop - start) | (at(start)->size & BELOW_FREE);
    at(stop)->size &= ~BELOW_FREE;
}

static void out_of_list(word chunk)
{
    struct chunk *it = at(chunk);
    if (it->previous) it->previous->next = it->next; else first = it->next;
    if (it->next) it->next->previous = it->previous;
}

static void into_list(word start, word stop)
{
    struct chunk *it = at(start), *before = NULL, *after = first;
    while (after && after < it) before = after, after = after->next;
    *it = (struct chunk){ it->below, (stop - start) | FREE, after, before };
    if (before) before->next = it; else first = it;
    if (after) after->previous = it;
    at(stop)->below = stop - start;
    at(stop)->size |= BELOW_FREE;
}

static void top_at(word address, word flags)
{
    top = address;
    at(top)->size = flags;
}

static int grow(word need)
{
    if (!end) {
        end = move_break(0);
        base = top = used = UP(end, 16UL);
    }
    word least = top + need + SMALLEST;
    if (least <= end) return 1;
    for (word target = UP(least + PAD, PAGE);; target = UP(least, PAGE)) {
        if (move_break(target) == target) return (end = target, 1);
        if (target == UP(least, PAGE)) return 0;
    }
}

/* A taken chunk of at least `need` bytes. */
static word cut(word need)
{
    struct chunk *it = first;
    while (it && size_of((word)it) < need) it = it->next;
    if (it) {
        word start = (word)it, stop = start + size_of(start), taken = stop - start - need < SMALLEST ? stop : start + need;
        out_of_list(start);
        if (taken == stop) return (take(start, stop), start);
        at(start)->size = taken - start;
        at(taken)->size = 0;
        into_list(taken, stop);
        return start;
    }
    if (!grow(need)) return 0;
    word start = top, flags = start == base ? 0 : at(start)->size & BELOW_FREE;
    at(start)->size = need | flags;
    top_at(start + need, 0);
    return start;
}

static void trim(void)
{
    if (end - top <= THRESHOLD) return;
    word target = UP(top + SMALLEST + PAD, PAGE);
    if (target >= end || move_break(target) != target) return;
    end = target;
    if (used > target) used = target;
}

static void give(word start, word stop)
{
    if (at(start)->size & BELOW_FREE) {
        start -= at(start)->below;
        out_of_list(start);
    }
    if (stop < top && at(stop)->size & FREE) {
        word next = stop;
        stop += size_of(next);
        out_of_list(next);
    }
    if (stop < top) return into_list(start, stop);
    top_at(start, 0);
    trim();
}

static word aligned(word need, word align)
{
    word start = cut(need + align + SMALLEST);
    if (!start) return 0;
    word stop = start + size_of(start), from = UP(start + HEADER, align) - HEADER;
    if (stop > used) used = stop;
    if (from > start) {
        if (from - start < SMALLEST) from += align;
        at(from)->size = stop - from;
        give(start, from);
    }
    if (stop - (from + need) < SMALLEST) return from;
    at(from)->size = need | (at(from)->size & BELOW_FREE);
    at(from + need)->size = 0;
    give(from + need, stop);
    return from;
}

static void *allocate(word size, word align, int zeroed)
{
    if (size > MOST || align > MOST) return NULL;
    word need = UP(size, 16UL) + HEADER;
    if (need < SMALLEST) need = SMALLEST;
    word start = align <= 16 ? cut(need) : aligned(need, align);
    if (!start) return NULL;
    word block = start + HEADER, stop = start + size_of(start), dirty = used < stop ? used : stop;
    dirty = dirty > block ? dirty - block : 0;
    if (zeroed) memset((void *)block, 0, dirty < size ? dirty : size);
    if (stop > used) used = stop;
    return (void *)block;
}

static void release(void *block)
{
    word start = (word)block - HEADER;
    give(start, start + size_of(start));
}

/* Where it is, if what follows allows. */
static int stretch(word start, word need)
{
    word stop = start + size_of(start), wanted = start + need, flags = at(start)->size & BELOW_FREE;
    if (wanted > stop && stop == top) {
        if (wanted + SMALLEST > end && !grow(wanted - stop)) return 0;
        top_at(wanted, 0);
        at(start)->size = need | flags;
        return 1;
    }
    if (wanted > stop) {
        if (!(at(stop)->size & FREE) || stop + size_of(stop) < wanted) return 0;
        word next = stop;
        stop += size_of(next);
        out_of_list(next);
        at(stop)->size &= ~BELOW_FREE;
    }
    if (stop - wanted < SMALLEST) return (at(start)->size = (stop - start) | flags, 1);
    at(start)->size = need | flags;
    at(wanted)->size = 0;
    give(wanted, stop);
    return 1;
}

static void *resize(void *block, word size)
{
    if (size > MOST) return NULL;
    word start = (word)block - HEADER, need = UP(size, 16UL) + HEADER, old = usable(block);
    if (need < SMALLEST) need = SMALLEST;
    if (stretch(start, need)) {
        if (start + size_of(start) > used) used = start + size_of(start);
        return block;
    }
    void *copy = allocate(size, 0, 0);
    if (!copy) return NULL;
    memcpy(copy, block, old < size ? old : size);
    release(block);
    return copy;
}

#endif

static void *asked(word size, word align, int zeroed)
{
    enter();
    void *block = allocate(size, align, zeroed);
    leave();
    if (!block) errno = ENOMEM;
    return block;
}

void *NAME(malloc)(size_t size) { return asked(size, 0, 0); }
void *NAME(calloc)(size_t count, size_t size) { return size && count > MOST / size ? NULL : asked(count * size, 0, 1); }
void *NAME(memalign)(size_t align, size_t size) { return asked(size, align, 0); }
void *NAME(aligned_alloc)(size_t align, size_t size) { return asked(size, align, 0); }
void *NAME(valloc)(size_t size) { return asked(size, PAGE, 0); }
void *NAME(pvalloc)(size_t size) { return asked(UP(size, PAGE), PAGE, 0); }
size_t NAME(malloc_usable_size)(void *block) { return block ? usable(block) : 0; }

int NAME(posix_memalign)(void **block, size_t align, size_t size)
{
    void *got = asked(size, align, 0);
    if (got) *block = got;
    return got ? 0 : ENOMEM;
}

void NAME(free)(void *block)
{
    if (!block) return;
    enter();
    release(block);
    leave();
}

void *NAME(realloc)(void *block, size_t size)
{
    if (!block) return asked(size, 0, 0);
    if (!size) return (NAME(free)(block), NULL);
    enter();
    void *got = resize(block, size);
    leave();
    return got;
}
