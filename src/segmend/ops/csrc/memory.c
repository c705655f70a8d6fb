/* Requests large pages for memory that has not been used yet: results of tens of megabytes are mapped anew each time,
 * and a page fault for each 4 KiB of them costs more than the computation. A refusal is ignored. */

#if defined(__linux__)
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>
#endif

int segmend_expect_u8(void *start, long bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t first = ((uintptr_t)start + 4095) & ~(uintptr_t)4095, last = ((uintptr_t)start + bytes) & ~(uintptr_t)4095;
    if (last > first) madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
    return 0;
}
