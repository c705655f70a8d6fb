/* One binary with variants for several instruction sets. */
#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx512f", "avx2,fma", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

/* Return codes of the functions; 0 is success. */
enum { NO_MEMORY = 1, OUT_OF_RANGE = 2 };
