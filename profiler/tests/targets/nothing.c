// Does nothing: what is recorded of it is the loader's and libc's, and is subtracted where a program's own calls are counted.
// expect: processes=1
int main(void)
{
    return 0;
}
