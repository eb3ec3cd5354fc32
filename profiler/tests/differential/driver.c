// Runs a script of operations under the real allocator and tells, for each one, what it gave and what it asked of the kernel.
//
//   driver SCRIPT RESULT
//
// Nothing here disturbs the heap: no stdio, every buffer is mapped before the first operation. System calls of libc are seen by syscall user
// dispatch: while an operation runs, the kernel sends SIGSYS for each call made from outside of the section `own_calls`; the handler writes
// it down and makes it. So every call is known together with the operation that caused it. Exit code 77: this kernel cannot do that.
//
// SCRIPT and RESULT are arrays of the structures below in the machine's own format; RESULT is a header, results, calls, a byte for each heap page.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

// musl's malloc_usable_size reads the end of the block, which may make a page resident: it is asked where `free` and `realloc` read the same.
#ifdef __GLIBC__
enum { USABLE_AT_ONCE = 1 };
#else
enum { USABLE_AT_ONCE = 0 };
static void *pvalloc(size_t size) { (void)size; return NULL; }
static int malloc_trim(size_t pad) { (void)pad; return 0; }
static int mallopt(int parameter, int value) { (void)parameter, (void)value; return 0; }
#endif

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

enum { MALLOC, CALLOC, REALLOC, MEMALIGN, POSIX_MEMALIGN, ALIGNED_ALLOC, VALLOC, PVALLOC, FREE, SBRK, TRIM, OPTION, FILL, BLOCK, SPAWN, EXIT };
enum { THREADS = 64, STACK = 256 << 10, SLOTS = 1 << 16, PAGE = 4096, UNABLE = 77 };
enum { SEEN = 1, UNSEEN = 0 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

struct operation { uint32_t call, thread; int64_t slot, size, align; };
struct result { uint64_t pointer, usable, faults, calls; };
struct system_call { int64_t number, arguments[4], answer; };
struct header { uint64_t operations, calls, heap, end, pages, exact; };

static const struct operation *script;
static struct result *results;
static struct system_call *calls;
static struct header head;
static size_t room;
static void **slots;
// The operation that filled a slot.
static size_t *fillers;
static char *stacks;
static pthread_t threads[THREADS];
// One for each thread, 0 is main: whether its system calls are seen. Not thread-local: a TLS segment would change what libc allocates.
static volatile char seen[THREADS];
static volatile uint32_t turn;
static volatile size_t current;

long own_call(long number, long a, long b, long c, long d, long e, long f);
void own_return(void);
extern char __start_own_calls[], __stop_own_calls[];
__asm__(".pushsection own_calls,\"ax\",@progbits\n"
        ".globl own_call\nown_call:\n"
        "mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsi\nmov %rcx,%rdx\nmov %r8,%r10\nmov %r9,%r8\nmov 8(%rsp),%r9\nsyscall\nret\n"
        ".globl own_return\nown_return:\nmov $15,%eax\nsyscall\n"
        // The kernel looks at the address behind the instruction, which must lie inside as well.
        "nop\n.popsection\n");

#define OWN(number, a, b, c, d) own_call(number, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static void stop(int code) {
    OWN(SYS_exit_group, code, 0, 0, 0);
}

static size_t here(void) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0), base = (uintptr_t)stacks;
    return frame - base < (uintptr_t)THREADS * STACK ? (frame - base) / STACK : 0;
}

static void on_call(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *from = context;
    greg_t *r = from->uc_mcontext.gregs;
    long number = r[REG_RAX];
    if (number == SYS_clone || number == SYS_clone3 || number == SYS_exit) {
        // Cannot be made from a handler: made again from where it came, and nothing of this operation is seen from then on.
        seen[here()] = UNSEEN;
        r[REG_RIP] -= 2;
        return;
    }
    long answer = own_call(number, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
    r[REG_RAX] = answer;
    if (number == SYS_rt_sigprocmask) {
        // The end of this handler would undo it. While SIGSYS is blocked, nothing may be seen.
        OWN(SYS_rt_sigprocmask, SIG_BLOCK, 0, &from->uc_sigmask, 8);
        if (sigismember(&from->uc_sigmask, SIGSYS)) seen[here()] = UNSEEN;
    }
    switch (number) {
    case SYS_brk: case SYS_mmap: case SYS_munmap: case SYS_mremap: case SYS_madvise: case SYS_mprotect:
        // What becomes of a thread's stack is no matter of the heap.
        if ((uintptr_t)r[REG_RDI] - (uintptr_t)stacks < (uintptr_t)THREADS * STACK) break;
        if (head.calls == room) stop(3);
        calls[head.calls++] = (struct system_call){number, {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10]}, answer};
        results[current].calls++;
    }
}

static void see_calls(size_t thread) {
    seen[thread] = UNSEEN;
    if (OWN(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, __start_own_calls, __stop_own_calls - __start_own_calls) == -EINVAL) stop(UNABLE);
    if (own_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, (long)__start_own_calls, __stop_own_calls - __start_own_calls, (long)&seen[thread], 0)) stop(UNABLE);
}

static uint64_t faults(void) {
    struct rusage usage;
    OWN(SYS_getrusage, RUSAGE_SELF, &usage, 0, 0);
    return usage.ru_minflt;
}

static void *get(const struct operation *op) {
    void *block = NULL;
    size_t size = op->size, align = op->align;
    switch (op->call) {
    case MALLOC: return malloc(size);
    case CALLOC: return calloc(1, size);
    case REALLOC: return realloc(slots[op->slot], size);
    case MEMALIGN: return memalign(align, size);
    case POSIX_MEMALIGN: return posix_memalign(&block, align, size) ? NULL : block;
    case ALIGNED_ALLOC: return aligned_alloc(align, size);
    case VALLOC: return valloc(size);
    case PVALLOC: return pvalloc(size);
    }
    return NULL;
}

static void block_the_break(void) {
    long end = (OWN(SYS_brk, 0, 0, 0, 0) + PAGE - 1) & -PAGE;
    own_call(SYS_mmap, end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void *body(void *argument);

static void start(size_t thread) {
    pthread_attr_t how;
    pthread_attr_init(&how);
    pthread_attr_setstack(&how, stacks + thread * STACK, STACK);
    if (pthread_create(&threads[thread], &how, body, (void *)thread)) stop(4);
}

static void ask_usable(size_t slot) {
    if (slots[slot]) results[fillers[slot]].usable = malloc_usable_size(slots[slot]);
}

static void fill(size_t slot) {
    char *block = slots[slot];
    if (!block) return;
    if (USABLE_AT_ONCE) {
        memset(block, 0xab, malloc_usable_size(block));
        return;
    }
    // What musl finds in a slot in the last bytes of each 16 decides where its blocks begin: those stay as they are.
    size_t size = script[fillers[slot]].size;
    for (size_t at = 0; at < size; at += 16) memset(block + at, 0xab, size - at < 7 ? size - at : 7);
}

static void perform(size_t at, size_t thread) {
    const struct operation *op = &script[at];
    struct result *result = &results[at];
    if (!USABLE_AT_ONCE && op->call <= PVALLOC && op->call != REALLOC) ask_usable(op->slot);
    uint64_t before = faults();
    seen[thread] = SEEN;
    if (!USABLE_AT_ONCE && (op->call == FREE || op->call == REALLOC)) ask_usable(op->slot);
    switch (op->call) {
    case FREE: free(slots[op->slot]); slots[op->slot] = NULL; break;
    case SBRK: result->pointer = (uint64_t)sbrk(op->size); break;
    case TRIM: result->pointer = malloc_trim(op->size); break;
    case OPTION: result->pointer = mallopt(op->slot, op->size); break;
    case FILL: fill(op->slot); break;
    case BLOCK: block_the_break(); break;
    case SPAWN: start(op->slot); break;
    default:
        result->pointer = (uint64_t)get(op);
        // A block that could not be resized is still there.
        if (result->pointer || op->call != REALLOC || op->size == 0) slots[op->slot] = (void *)result->pointer;
    }
    seen[thread] = UNSEEN;
    result->faults = faults() - before;
    if (op->call <= PVALLOC && result->pointer) {
        fillers[op->slot] = at;
        if (USABLE_AT_ONCE) ask_usable(op->slot);
    }
}

static void wait_for(uint32_t mine) {
    for (uint32_t now; (now = turn) != mine;) OWN(SYS_futex, &turn, FUTEX_WAIT, now, 0);
}

static void hand_over(uint32_t to) {
    turn = to;
    OWN(SYS_futex, &turn, FUTEX_WAKE, THREADS, 0);
}

static void *body(void *argument) {
    size_t thread = (size_t)argument;
    see_calls(thread);
    for (;;) {
        hand_over(0);
        wait_for(thread);
        if (script[current].call == EXIT) break;
        perform(current, thread);
    }
    // What libc gives back for a thread that ends belongs to this operation.
    seen[thread] = SEEN;
    return NULL;
}

static void end(size_t thread) {
    uint64_t before = faults();
    hand_over(thread);
    seen[0] = SEEN;
    pthread_join(threads[thread], NULL);
    seen[0] = UNSEEN;
    turn = 0;
    results[current].faults = faults() - before;
}

static void run(void) {
    for (current = 0; current < head.operations; current++) {
        const struct operation *op = &script[current];
        if (op->thread >= THREADS || op->slot >= (op->call == SPAWN ? THREADS : SLOTS)) stop(8);
        if (op->call == EXIT) {
            end(op->thread);
        } else if (op->thread != 0) {
            hand_over(op->thread);
            wait_for(0);
        } else {
            // A new thread hands the turn back when it is ready.
            if (op->call == SPAWN) turn = op->slot;
            perform(current, 0);
            wait_for(0);
        }
    }
}

static void *map(size_t size) {
    long mapped = own_call(SYS_mmap, 0, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapped < 0 && mapped > -PAGE) stop(5);
    return (void *)mapped;
}

// 0 absent, 1 the shared zero page, 2 a page of its own.
static void look_at_heap(unsigned char *states) {
    int file = open("/proc/self/pagemap", O_RDONLY);
    for (uint64_t page = 0; page < head.pages; page++) {
        uint64_t entry = 0;
        if (pread(file, &entry, 8, (head.heap / PAGE + page) * 8) != 8) stop(6);
        states[page] = entry >> 63 ? (entry >> 56 & 1 ? 2 : 1) : 0;
    }
}

static void put(int file, const void *from, size_t size) {
    for (ssize_t done; size; from = (const char *)from + done, size -= done)
        if ((done = write(file, from, size)) <= 0) stop(7);
}

int main(int count, char **arguments) {
    int file = count == 3 ? open(arguments[1], O_RDONLY) : -1;
    if (file < 0) return 2;
    size_t size = lseek(file, 0, SEEK_END);
    // Otherwise the kernel would put pages together whenever it likes, and the number of faults would be its own.
    if (OWN(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0)) return 2;
    // Pages of the program and of libc become resident now, so that only memory of the heap faults later.
    head.exact = mlockall(MCL_CURRENT) == 0 && munlockall() == 0;
    head.operations = size / sizeof(struct operation);
    room = 4 * head.operations + (1 << 18);
    struct operation *operations = map(size);
    if (pread(file, operations, size, 0) != (ssize_t)size) return 2;
    script = operations;
    results = map(head.operations * sizeof *results);
    calls = map(room * sizeof *calls);
    slots = map(SLOTS * sizeof *slots);
    fillers = map(SLOTS * sizeof *fillers);
    stacks = map((size_t)THREADS * STACK);
    head.heap = OWN(SYS_brk, 0, 0, 0, 0);
    struct { void (*handler)(int, siginfo_t *, void *); unsigned long flags; void (*restorer)(void); unsigned long mask; } action = {
        on_call, SA_SIGINFO | SA_NODEFER | 0x04000000, own_return, 0};
    if (OWN(SYS_rt_sigaction, SIGSYS, &action, 0, 8)) return 2;
    see_calls(0);
    seen[0] = SEEN;
    getppid(); // The first signal makes its part of the stack resident.
    seen[0] = UNSEEN;
    run();
    for (size_t slot = 0; !USABLE_AT_ONCE && slot < SLOTS; slot++) ask_usable(slot);
    head.end = OWN(SYS_brk, 0, 0, 0, 0);
    head.pages = (head.end + PAGE - 1) / PAGE - head.heap / PAGE;
    unsigned char *states = map(head.pages);
    look_at_heap(states);
    int out = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    put(out, &head, sizeof head);
    put(out, results, head.operations * sizeof *results);
    put(out, calls, head.calls * sizeof *calls);
    put(out, states, head.pages);
    stop(0);
}
