// A library that has no malloc.
int harmless(void) { return 0; }
