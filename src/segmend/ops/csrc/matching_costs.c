/* How unlike two images are at small offsets, at half the resolution; see matching_costs.py for the contract. */

#include "clones.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline long nearest(long at, long size) { return at < 0 ? 0 : at >= size ? size - 1 : at; }

/* Mean absolute difference over the channels of a row of the target and a row of the source, `right` pixels on. */
INLINE void differences(const float *restrict target, const float *restrict source, long right, long channels,
                        long plane, long width, float *restrict out) {
    long first = right < 0 ? -right : 0, last = right > 0 ? width - right : width;
    if (first > width) first = width;
    if (last < first) last = first;
    memset(out, 0, width * sizeof(float));
    for (long c = 0; c < channels; c++, target += plane, source += plane) {
        for (long x = 0; x < first; x++) out[x] += fabsf(target[x] - source[0]);
        for (long x = first; x < last; x++) out[x] += fabsf(target[x] - source[x + right]);
        for (long x = last; x < width; x++) out[x] += fabsf(target[x] - source[width - 1]);
    }
}

/* Out rows `first` to `last` of one image for all offsets. `target` and `source` are [C, H, W], `out` is
   [(2 radius + 1)^2, half_height, half_width]. */
CLONES int segmend_matching_costs_f32(const float *restrict target, const float *restrict source,
                                      float *restrict out, long first, long last, long channels, long height,
                                      long width, long radius) {
    long side = 2 * radius + 1, half_width = (width + 1) / 2, half_plane = (height + 1) / 2 * half_width;
    /* A row of differences with two more at either end, and the last four rows of each offset, blurred along x. */
    float *row = malloc((width + 4 + side * side * 4 * half_width) * sizeof(float));
    if (!row) return NO_MEMORY;
    float *difference = row + 2, *lines = row + width + 4;
    float scale = 1.0f / (36 * channels);
    for (long line = 2 * first - 1; line <= 2 * last; line++) {
        long y = nearest(line, height);
        for (long k = 0; k < side * side; k++) {
            long down = nearest(y + k / side - radius, height);
            differences(target + y * width, source + down * width, k % side - radius, channels, height * width,
                        width, difference);
            difference[-1] = difference[0];
            difference[width] = difference[width + 1] = difference[width - 1];
            float *restrict blurred = lines + (4 * k + (line & 3)) * half_width;
            for (long x = 0; x < half_width; x++)
                blurred[x] = difference[2 * x - 1] + 2 * (difference[2 * x] + difference[2 * x + 1]) +
                             difference[2 * x + 2];
            long y2 = line / 2 - 1; /* the row of `out` that this line completes */
            if (line & 1 || y2 < first) continue;
            const float *a = lines + (4 * k + ((line - 3) & 3)) * half_width;
            const float *b = lines + (4 * k + ((line - 2) & 3)) * half_width;
            const float *c = lines + (4 * k + ((line - 1) & 3)) * half_width;
            float *restrict to = out + k * half_plane + y2 * half_width;
            for (long x = 0; x < half_width; x++) to[x] = (a[x] + 2 * (b[x] + c[x]) + blurred[x]) * scale;
        }
    }
    free(row);
    return 0;
}
