// expect: malloc=101 calloc=100 free=150
// flags: -fno-omit-frame-pointer
//
// All is highest when the last of the cleared blocks is there. Two functions ask for memory, one of them under two callers: what each asks for and keeps is known. They do not end in tail calls.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APART __attribute__((noinline, noipa))

APART void *keeper(size_t size)
{
    char *block = malloc(size);
    memset(block, 1, size);
    return block;
}

APART void *clearing(size_t size)
{
    char *block = calloc(1, size);
    block[0] = 1;
    return block;
}

APART void *through(size_t size)
{
    char *block = keeper(size);
    block[1] = 2;
    return block;
}

int main(void)
{
    void *kept[100];
    for (int i = 0; i < 100; i++) {
        kept[i] = through(5000);
        void *short_lived = clearing(64);
        free(short_lived);
    }
    void *direct = keeper(40);
    for (int i = 0; i < 50; i++)
        free(kept[i]);
    return direct == NULL || kept[60] == NULL;
}
