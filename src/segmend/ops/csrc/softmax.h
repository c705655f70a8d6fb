/* For kernels over logits `[classes, height, width]`: strips of pixels, and their exponentials. */
#pragma once

#include "clones.h"
#include <math.h>
#include <stdint.h>

#define STRIP 256 /* pixels that are processed together: their exponentials stay in the cache */

/* exp(x) for x <= 0, to float32's precision; plain arithmetic, so that it vectorises. */
INLINE float exp_below(float x) {
    x = x < -87.0f ? -87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union {
        int32_t bits;
        float value;
    } scale = {((int32_t)n + 127) << 23};
    return p * scale.value;
}

