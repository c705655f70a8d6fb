/* Means of values with Gaussian weights of the distances between points; see gaussian_means.py for the contract. */

#include "flush.h"
#include "softmax.h"
#include <stdlib.h>
#include <string.h>

#define QUERIES 64 /* queries of a block; loops of 16 or fewer would be unrolled, and not vectorised */
#define KEYS 64    /* keys of a block: their weights stay in the first-level cache */

#define TOO_SMALL 1e-30f /* sums of weights from here on down have lost their precision in exp */

typedef float Lanes[QUERIES];

/* sums += numbers[0] maps[0] + numbers[1] maps[1] + ...; numbers lie `stride` apart. Four at once: the sums are read
 * and written a quarter as often. */
INLINE void add_products(float *restrict sums, const Lanes *restrict maps, const float *restrict numbers, long stride,
                         long count) {
    long k = 0;
    for (; k + 4 <= count; k += 4) {
        const float *n = numbers + k * stride, *m = maps[k];
        float first = n[0], second = n[stride], third = n[2 * stride], fourth = n[3 * stride];
        for (int i = 0; i < QUERIES; i++)
            sums[i] += (m[i] * first + m[QUERIES + i] * second) + (m[2 * QUERIES + i] * third + m[3 * QUERIES + i] * fourth);
    }
    for (; k < count; k++) {
        float number = numbers[k * stride];
        for (int i = 0; i < QUERIES; i++) sums[i] += maps[k][i] * number;
    }
}

/* The logarithms of the weights of one key `point [dims + 1]` for the queries `[dims]`, minus `offset`. */
INLINE void logarithms(float *restrict found, const Lanes *restrict queries, const float *restrict offset,
                       const float *restrict point, long dims) {
    for (int i = 0; i < QUERIES; i++) found[i] = point[dims] - offset[i];
    add_products(found, queries, point, 1, dims);
}

/* The means `sums [channels]` of the `values` of `count` keys, for a block of queries. Weights are divided by
 * exp(offset). Returns 0 where this leaves a query whose weights are all too small. */
static CLONES int weighted_means(Lanes *restrict sums, const Lanes *restrict queries, const float *restrict offset,
                       const float *restrict keys, const float *restrict values, long count, long dims,
                       long channels) {
    Lanes weights[KEYS], total;
    for (int i = 0; i < QUERIES; i++) total[i] = 0;
    memset(sums, 0, channels * sizeof *sums);
    for (long first = 0; first < count; first += KEYS) {
        long here = count - first < KEYS ? count - first : KEYS;
        for (long j = 0; j < here; j++) {
            float *restrict w = weights[j];
            logarithms(w, queries, offset, keys + (first + j) * (dims + 1), dims);
            for (int i = 0; i < QUERIES; i++) w[i] = exp_below(w[i] < 0 ? w[i] : 0);
            for (int i = 0; i < QUERIES; i++) total[i] += w[i];
        }
        for (long c = 0; c < channels; c++)
            add_products(sums[c], (const Lanes *)weights, values + first * channels + c, channels, here);
    }
    for (long c = 0; c < channels; c++)
        for (int i = 0; i < QUERIES; i++) sums[c][i] /= total[i];
    int reliable = 1;
    for (int i = 0; i < QUERIES; i++) reliable &= total[i] > TOO_SMALL;
    return reliable;
}

/* The largest logarithm of a weight for each query. */
static CLONES void largest(float *restrict offset, const Lanes *restrict queries, const float *restrict keys, long count,
                           long dims) {
    Lanes found, none = {0};
    for (int i = 0; i < QUERIES; i++) offset[i] = -INFINITY;
    for (long j = 0; j < count; j++) {
        logarithms(found, queries, none, keys + j * (dims + 1), dims);
        for (int i = 0; i < QUERIES; i++) offset[i] = found[i] > offset[i] ? found[i] : offset[i];
    }
}

/* Queries `first` to `last` of `queries [dims][points]`; `keys [count][dims + 1]` holds the coordinates of each key, then
 * minus half of its squared norm; `values` is `[count][channels]`, `out [channels][points]`. */
int segmend_gaussian_means_f32(const float *queries, const float *keys, const float *values, float *out, long first,
                               long last, long points, long count, long dims, long channels) {
    FLUSH_DENORMALS;
    Lanes *block = calloc(dims + channels, sizeof(Lanes));
    if (!block) return NO_MEMORY;
    Lanes *sums = block + dims, offset;
    for (long start = first; start < last; start += QUERIES) {
        long here = last - start < QUERIES ? last - start : QUERIES;
        for (long d = 0; d < dims; d++) memcpy(block + d, queries + d * points + start, here * sizeof(float));
        for (int i = 0; i < QUERIES; i++) offset[i] = 0;
        for (long d = 0; d < dims; d++)
            for (int i = 0; i < QUERIES; i++) offset[i] += 0.5f * block[d][i] * block[d][i];
        if (!weighted_means(sums, block, offset, keys, values, count, dims, channels)) { /* far from all: rare */
            largest(offset, block, keys, count, dims);
            weighted_means(sums, block, offset, keys, values, count, dims, channels);
        }
        for (long c = 0; c < channels; c++) memcpy(out + c * points + start, sums + c, here * sizeof(float));
    }
    free(block);
    return 0;
}
