/* The least that probes on malloc and free can cost: three of them, where heapcast has its own, with programs that do nothing.
 *
 * Attaches to a running process, says "ready", and stays until it is killed. MALLOC and FREE are the bytes from the function's
 * beginning to the probe, as `heapcast doctor --pid` prints them. The functions are taken from the C library that this program runs
 * on itself.
 *
 * usage: floor PID MALLOC FREE
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct place {
    char path[512];
    uint64_t offset;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The file that an address is mapped from, and where in it. */
static struct place place_of(uint64_t address)
{
    struct place place = { "", 0 };
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset;
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %511s", &start, &end, &offset, place.path) == 4 && start <= address && address < end) {
            place.offset = address - start + offset;
            fclose(maps);
            return place;
        }
    }
    die("/proc/self/maps");
    return place;
}

static int empty_program(void)
{
    struct bpf_insn program[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_KPROBE;
    attributes.insns = (uintptr_t)program;
    attributes.insn_cnt = 2;
    attributes.license = (uintptr_t) "GPL";
    int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
    if (loaded < 0)
        die("bpf");
    return loaded;
}

static void probe(int pid, struct place place, int at_return)
{
    int type = -1;
    FILE *told = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
    if (!told || fscanf(told, "%d", &type) != 1)
        die("uprobe/type");
    fclose(told);
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.size = sizeof attributes;
    attributes.type = type;
    attributes.config = at_return;
    attributes.uprobe_path = (uintptr_t)place.path;
    attributes.probe_offset = place.offset;
    int event = syscall(SYS_perf_event_open, &attributes, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (event < 0)
        die("perf_event_open");
    if (ioctl(event, PERF_EVENT_IOC_SET_BPF, empty_program()) || ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
        die("ioctl");
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: floor PID MALLOC FREE\n");
        return 2;
    }
    int pid = atoi(argv[1]);
    struct place in_malloc = place_of((uintptr_t)malloc + atol(argv[2]));
    probe(pid, in_malloc, 0);
    probe(pid, in_malloc, 1);
    probe(pid, place_of((uintptr_t)free + atol(argv[3])), 0);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
