// The program runs itself twice as "child" (7 blocks each): by posix_spawn, and by fork and exec. It allocates 3 blocks of its own.
// expect: malloc=17 free=17 processes=3 execs=2
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "check.h"

extern char **environ;

static void blocks(int number)
{
    void *held[7];
    for (int i = 0; i < number; i++) need((held[i] = malloc(1000)));
    for (int i = 0; i < number; i++) free(held[i]);
}

static void await(pid_t child)
{
    int status;
    need(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
    char self[] = "/proc/self/exe", *arguments[] = {argv[0], "child", NULL};
    pid_t child;
    blocks(argc > 1 ? 7 : 3);
    if (argc > 1) return 0;
    need(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0);
    await(child);
    need((child = fork()) >= 0);
    if (child == 0) {
        execv(self, arguments);
        _exit(9);
    }
    await(child);
    return 0;
}
