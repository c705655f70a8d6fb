/* Labels moved by displacements and decided by a vote around the source; see vote.py for the contract. */

#include "clones.h"
#include <math.h>
#include <stdint.h>

enum { MOST = 15 * 15, COLOURS = 3 };

static inline long nearest(long at, long size) { return at < 0 ? 0 : at >= size ? size - 1 : at; }

/* Mean squared difference of the patches of `radius` around a target and a source pixel, summed over the colours. */
static inline float patch_difference(const float *restrict target, const float *restrict source, long y, long x,
                                     long from_y, long from_x, long height, long width, long radius) {
    float sum = 0;
    for (long i = -radius; i <= radius; i++) {
        long row = nearest(y + i, height) * width, from_row = nearest(from_y + i, height) * width;
        for (long j = -radius; j <= radius; j++) {
            const float *a = target + COLOURS * (row + nearest(x + j, width));
            const float *b = source + COLOURS * (from_row + nearest(from_x + j, width));
            for (long c = 0; c < COLOURS; c++) sum += (a[c] - b[c]) * (a[c] - b[c]);
        }
    }
    return sum / (float)((2 * radius + 1) * (2 * radius + 1));
}

#define KERNEL(type, name)                                                                                      \
    /* Rows `first` to `last` of one image. `target` and `source` are [H, W, 3]; `scales` holds the standard */ \
    /* deviations of colour differences and of distances, and the least weight of a colour. */                \
    CLONES int name(const type *restrict labels, const float *restrict dx, const float *restrict dy,           \
                    const float *restrict target, const float *restrict source, const float *restrict scales,  \
                    type *restrict out, float *restrict share, long first, long last, long height, long width, \
                    long radius, long patch, long void_id) {                                                    \
        if (2 * radius + 1 > 15) return OUT_OF_RANGE;                                                           \
        float colour = -1 / (2 * scales[0] * scales[0]), distance = -1 / (2 * scales[1] * scales[1]);           \
        float least = scales[2];                                                                                \
        for (long y = first; y < last; y++)                                                                     \
            for (long x = 0; x < width; x++) {                                                                  \
                long at = y * width + x;                                                                        \
                float from_x = (float)x - dx[at], from_y = (float)y - dy[at];                                   \
                out[at] = (type)void_id;                                                                        \
                share[at] = 0;                                                                                  \
                if (!(from_x >= -0.5f && from_y >= -0.5f && from_x <= width - 0.5f && from_y <= height - 0.5f)) \
                    continue;                                                                                   \
                long near_x = nearest((long)floorf(from_x + 0.5f), width);                                      \
                long near_y = nearest((long)floorf(from_y + 0.5f), height);                                     \
                long top = nearest(near_y - radius, height), below = nearest(near_y + radius, height);          \
                long left = nearest(near_x - radius, width), right = nearest(near_x + radius, width);           \
                type one = labels[near_y * width + near_x];                                                     \
                int alike = 1;                                                                                  \
                for (long i = top; i <= below && alike; i++) {                                                  \
                    int different = 0;                                                                          \
                    for (long j = left; j <= right; j++) different |= labels[i * width + j] != one;             \
                    alike = !different;                                                                         \
                }                                                                                               \
                if (alike) {                                                                                    \
                    out[at] = one;                                                                              \
                    share[at] = one != (type)void_id;                                                           \
                    continue;                                                                                   \
                }                                                                                               \
                type ids[MOST];                                                                                 \
                float votes[MOST], total = 0;                                                                   \
                int found = 0;                                                                                  \
                for (long i = top; i <= below; i++)                                                             \
                    for (long j = left; j <= right; j++) {                                                      \
                        type id = labels[i * width + j];                                                        \
                        if (id == (type)void_id) continue;                                                      \
                        float away = (j - from_x) * (j - from_x) + (i - from_y) * (i - from_y);                 \
                        float unlike = patch_difference(target, source, y, x, i, j, height, width, patch);      \
                        float weight = expf(away * distance) * (expf(unlike * colour) + least);                 \
                        int k = 0;                                                                              \
                        while (k < found && ids[k] != id) k++;                                                  \
                        if (k == found) ids[found] = id, votes[found++] = 0;                                    \
                        votes[k] += weight;                                                                     \
                        total += weight;                                                                        \
                    }                                                                                           \
                float most = 0;                                                                                 \
                for (int k = 0; k < found; k++)                                                                 \
                    if (votes[k] > most || (votes[k] == most && most > 0 && ids[k] < out[at]))                  \
                        most = votes[k], out[at] = ids[k];                                                      \
                if (most > 0) share[at] = most / total;                                                         \
            }                                                                                                   \
        return 0;                                                                                               \
    }

KERNEL(uint8_t, segmend_vote_labels_u8)
KERNEL(int32_t, segmend_vote_labels_i32)
