/* FLUSH_DENORMALS; at the start of a function: numbers below the smallest normal one count as 0 until it returns.
 *
 * Values that are propagated along gates near 0 decay to such numbers, with which arithmetic is many times slower. */
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#define FLUSH_DENORMALS unsigned denormals __attribute__((cleanup(flush_end))) = flush_begin()
static inline unsigned flush_begin(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* results, and operands */
    return before;
}
static inline void flush_end(unsigned *before) { _mm_setcsr(*before); }
#else
#define FLUSH_DENORMALS (void)0
#endif
