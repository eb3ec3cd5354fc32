// Every form of operator new and delete, with sizes of 5000 to 5999 bytes that nothing else asks for; a size of SIZE_MAX / 2 that is refused
// and caught, in the middle of it. It counts what it does and says so at its end: "allocations N releases M aligned A refused R", and then how
// many of the allocations each form that throws made.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <new>

static unsigned long allocations, releases, aligned_ones, refused, each_throwing;
static volatile std::size_t huge = SIZE_MAX / 2;
static const std::align_val_t wide{256};

static void *use(void *block)
{
    *static_cast<volatile char *>(block) = 1;
    allocations++;
    return block;
}

static void plain(std::size_t size)
{
    operator delete(use(operator new(size)));
    operator delete[](use(operator new[](size)));
    operator delete(use(operator new(size, std::nothrow)), std::nothrow);
    operator delete[](use(operator new[](size, std::nothrow)), std::nothrow);
    operator delete(use(operator new(size)), size);
    operator delete[](use(operator new[](size)), size);
    operator delete(nullptr);
    releases += 6;
}

static void aligned(std::size_t size)
{
    operator delete(use(operator new(size, wide)), wide);
    operator delete[](use(operator new[](size, wide)), wide);
    operator delete(use(operator new(size, wide, std::nothrow)), wide, std::nothrow);
    operator delete[](use(operator new[](size, wide, std::nothrow)), wide, std::nothrow);
    operator delete(use(operator new(size, wide)), size, wide);
    operator delete[](use(operator new[](size, wide)), size, wide);
    aligned_ones += 6;
    each_throwing += 2;
    releases += 6;
}

static void refuse()
{
    try {
        operator delete(operator new(huge));
    } catch (const std::bad_alloc &) {
        refused++;
    }
    try {
        operator delete[](operator new[](huge));
    } catch (const std::bad_alloc &) {
        refused++;
    }
    try {
        operator delete(operator new(huge, wide), wide);
    } catch (const std::bad_alloc &) {
        refused++;
    }
    try {
        operator delete[](operator new[](huge, wide), wide);
    } catch (const std::bad_alloc &) {
        refused++;
    }
    if (!operator new(huge, std::nothrow)) refused++;
    if (!operator new[](huge, wide, std::nothrow)) refused++;
}

int main(int argc, char **)
{
    for (std::size_t size = 5000; size < 6000; size++) {
        plain(size);
        aligned(size);
        if (argc > 1 && size == 5500) refuse();
    }
    std::printf("allocations %lu releases %lu aligned %lu refused %lu\n", allocations, releases, aligned_ones, refused);
    for (const char *name : {"_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t"}) std::printf("%s %lu\n", name, each_throwing);
    return 0;
}
