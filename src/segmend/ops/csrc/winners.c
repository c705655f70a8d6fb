/* The class with the largest value at each pixel; see winners.py for the contract. */

#include "clones.h"
#include <stdint.h>

#define STRIP 512 /* pixels whose largest values stay in the first-level cache while the classes are read */

/* Pixels `first` to `last` of planes that lie `stride` apart. */
CLONES int segmend_winners_f32(const float *restrict map, float *restrict best, int32_t *restrict winner, long first,
                               long last, long classes, long stride) {
    for (long start = first; start < last; start += STRIP) {
        long count = last - start < STRIP ? last - start : STRIP;
        float most[STRIP];
        int32_t index[STRIP];
        for (long i = 0; i < count; i++) most[i] = map[start + i], index[i] = 0;
        for (long c = 1; c < classes; c++) {
            const float *plane = map + c * stride + start;
            for (long i = 0; i < count; i++) {
                int32_t larger = -(int32_t)(plane[i] > most[i]); /* all bits: a branch would become a slow masked store */
                index[i] ^= (index[i] ^ (int32_t)c) & larger;
                most[i] = plane[i] > most[i] ? plane[i] : most[i];
            }
        }
        for (long i = 0; i < count; i++) best[start + i] = most[i], winner[start + i] = index[i];
    }
    return 0;
}
