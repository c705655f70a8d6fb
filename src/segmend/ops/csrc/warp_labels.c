/* Label maps moved by displacements: the label with the largest bilinear weight; see warp.py for the contract. */

#include "clones.h"
#include <math.h>
#include <stdint.h>

#define KERNEL(type, name)                                                                                      \
    /* Rows `first` to `last` of one image; dx and dy are planes. Pixels from outside get the id `outside`, or, \
       where it is negative, that of the nearest pixel. */                                                      \
    CLONES int name(const type *restrict labels, const float *restrict dx, const float *restrict dy,           \
                    type *restrict out, long first, long last, long height, long width, long outside) {         \
        for (long y = first; y < last; y++)                                                                    \
            for (long x = 0; x < width; x++) {                                                                  \
                long at = y * width + x;                                                                        \
                float from_x = (float)x - dx[at], from_y = (float)y - dy[at];                                   \
                if (outside >= 0 && !(from_x >= -0.5f && from_y >= -0.5f && from_x <= width - 0.5f &&           \
                                      from_y <= height - 0.5f)) {                                               \
                    out[at] = (type)outside;                                                                    \
                    continue;                                                                                   \
                }                                                                                               \
                from_x = from_x > 0 ? from_x : 0, from_x = from_x < width - 1 ? from_x : width - 1;             \
                from_y = from_y > 0 ? from_y : 0, from_y = from_y < height - 1 ? from_y : height - 1;           \
                long left = (long)from_x, top = (long)from_y;                                                   \
                long right = left + (left + 1 < width), below = top + (top + 1 < height);                       \
                type l[4] = {labels[top * width + left], labels[top * width + right],                           \
                             labels[below * width + left], labels[below * width + right]};                      \
                if (l[0] == l[1] && l[0] == l[2] && l[0] == l[3]) {                                             \
                    out[at] = l[0];                                                                             \
                    continue;                                                                                   \
                }                                                                                               \
                float fx = from_x - left, fy = from_y - top;                                                    \
                float w[4] = {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy};                      \
                type best = 0;                                                                                  \
                float most = -1;                                                                                \
                for (int i = 0; i < 4; i++) {                                                                   \
                    float total = 0;                                                                            \
                    for (int j = 0; j < 4; j++) total += l[j] == l[i] ? w[j] : 0;                               \
                    if (total > most || (total == most && l[i] < best)) most = total, best = l[i];              \
                }                                                                                               \
                out[at] = best;                                                                                 \
            }                                                                                                   \
        return 0;                                                                                               \
    }

KERNEL(uint8_t, segmend_warp_labels_u8)
KERNEL(int32_t, segmend_warp_labels_i32)
