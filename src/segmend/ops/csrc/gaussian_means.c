/* Means of values weighted by how near the points are that hold them; see gaussian_means.py for the contract. */

#include "flush.h"
#include "softmax.h"
#include <stdlib.h>
#include <string.h>

#define ASKING 64 /* points that ask together; loops of 16 or fewer would be unrolled, and not vectorised */
#define ASKED 64  /* points that are asked together: their weights stay in the nearest cache */

#define FEW 1e-30f /* what weights sum to where their logarithms are too small for exp */

typedef float Lanes[ASKING];

/* sums += numbers[0] maps[0] + numbers[1] maps[1] + ...; numbers lie `apart`. Four at once: each time the sums come
 * from the cache and go back there. */
INLINE void add_products(float *restrict sums, const Lanes *restrict maps, const float *restrict numbers, long apart,
                         long count) {
    long k = 0;
    for (; k + 4 <= count; k += 4) {
        const float *n = numbers + k * apart, *m = maps[k];
        float first = n[0], second = n[apart], third = n[2 * apart], fourth = n[3 * apart];
        for (int i = 0; i < ASKING; i++)
            sums[i] += (m[i] * first + m[ASKING + i] * second) + (m[2 * ASKING + i] * third + m[3 * ASKING + i] * fourth);
    }
    for (; k < count; k++) {
        float number = numbers[k * apart];
        for (int i = 0; i < ASKING; i++) sums[i] += maps[k][i] * number;
    }
}

/* The logarithms of the weights that a point `[dims + 1]` has for those who ask, `[dims]`, less `most`. */
INLINE void logarithms(float *restrict found, const Lanes *restrict asking, const float *restrict most,
                       const float *restrict point, long dims) {
    for (int i = 0; i < ASKING; i++) found[i] = point[dims] - most[i];
    add_products(found, asking, point, 1, dims);
}

/* The means `sums [channels]` that ASKING points hear of `count` points `asked` that hold `values`. Weights are divided
 * by exp(most). Returns whether that was well chosen: not all weights are next to nothing. */
static CLONES int hear(Lanes *restrict sums, const Lanes *restrict asking, const float *restrict most,
                       const float *restrict asked, const float *restrict values, long count, long dims,
                       long channels) {
    Lanes weights[ASKED], total;
    for (int i = 0; i < ASKING; i++) total[i] = 0;
    memset(sums, 0, channels * sizeof *sums);
    for (long first = 0; first < count; first += ASKED) {
        long here = count - first < ASKED ? count - first : ASKED;
        for (long j = 0; j < here; j++) {
            float *restrict w = weights[j];
            logarithms(w, asking, most, asked + (first + j) * (dims + 1), dims);
            for (int i = 0; i < ASKING; i++) w[i] = exp_below(w[i] < 0 ? w[i] : 0);
            for (int i = 0; i < ASKING; i++) total[i] += w[i];
        }
        for (long c = 0; c < channels; c++)
            add_products(sums[c], (const Lanes *)weights, values + first * channels + c, channels, here);
    }
    for (long c = 0; c < channels; c++)
        for (int i = 0; i < ASKING; i++) sums[c][i] /= total[i];
    int well = 1;
    for (int i = 0; i < ASKING; i++) well &= total[i] > FEW;
    return well;
}

/* The largest logarithm of a weight for each of those who ask. */
static CLONES void largest(float *restrict most, const Lanes *restrict asking, const float *restrict asked, long count,
                           long dims) {
    Lanes found, none = {0};
    for (int i = 0; i < ASKING; i++) most[i] = -INFINITY;
    for (long j = 0; j < count; j++) {
        logarithms(found, asking, none, asked + j * (dims + 1), dims);
        for (int i = 0; i < ASKING; i++) most[i] = found[i] > most[i] ? found[i] : most[i];
    }
}

/* Points `first` to `last` of those `points` that ask, `asking [dims][points]`; `asked [count][dims + 1]` holds minus
 * half of each one's square behind its coordinates, `values` is `[count][channels]`, `out [channels][points]`. */
int segmend_gaussian_means_f32(const float *asking, const float *asked, const float *values, float *out, long first,
                               long last, long points, long count, long dims, long channels) {
    FLUSH_DENORMALS;
    Lanes *asks = calloc(dims + channels, sizeof(Lanes));
    if (!asks) return NO_MEMORY;
    Lanes *sums = asks + dims, most;
    for (long start = first; start < last; start += ASKING) {
        long here = last - start < ASKING ? last - start : ASKING;
        for (long d = 0; d < dims; d++) memcpy(asks + d, asking + d * points + start, here * sizeof(float));
        for (int i = 0; i < ASKING; i++) most[i] = 0;
        for (long d = 0; d < dims; d++)
            for (int i = 0; i < ASKING; i++) most[i] += 0.5f * asks[d][i] * asks[d][i];
        if (!hear(sums, asks, most, asked, values, count, dims, channels)) { /* far from all: rare */
            largest(most, asks, asked, count, dims);
            hear(sums, asks, most, asked, values, count, dims, channels);
        }
        for (long c = 0; c < channels; c++) memcpy(out + c * points + start, sums + c, here * sizeof(float));
    }
    free(asks);
    return 0;
}
