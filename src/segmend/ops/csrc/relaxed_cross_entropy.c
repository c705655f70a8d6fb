/* Relaxed cross-entropy (VPLR eq. 4 and 5); see relaxed_cross_entropy.py for the contract. */

#include "clones.h"
#include "softmax.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    long classes, height, width, radius, void_id;
} Shape;

/* One word of the classes in the windows around a strip's pixels, a bit each. `columns` holds, for each column from
 * `first - radius` on, the classes in it; those outside the image hold none. */
static CLONES void window_word(uint64_t *restrict set, uint64_t *restrict columns, const int64_t *restrict target,
                               Shape s, long word, long y, long first, long count) {
    long r = s.radius, low = 64 * word, high = s.classes < low + 64 ? s.classes : low + 64;
    long top = y < r ? 0 : y - r, bottom = y + r < s.height ? y + r : s.height - 1;
    long left = first < r ? 0 : first - r, right = first + count + r < s.width ? first + count + r : s.width;
    memset(columns, 0, (count + 2 * r) * sizeof *columns);
    for (long v = top; v <= bottom; v++) {
        const int64_t *restrict row = target + v * s.width;
        uint64_t *restrict to = columns + r - first;
        for (long x = left; x < right; x++) {
            int64_t label = row[x];
            uint64_t bit = (uint64_t)1 << (label & 63);
            to[x] |= label >= low && label < high && label != s.void_id ? bit : 0;
        }
    }
    for (long i = 0; i < count; i++) set[i] = 0;
    for (long d = 0; d <= 2 * r; d++)
        for (long i = 0; i < count; i++) set[i] |= columns[i + d];
}

/* The classes in the window around each pixel of a strip: `words` words of STRIP pixels. Returns 1 where a label is
 * no class. */
static int window_sets(uint64_t *sets, uint64_t *columns, const int64_t *target, const uint8_t *strict, Shape s,
                       long y, long first, long count) {
    long words = (s.classes + 63) / 64;
    for (long w = 0; w < words; w++)
        window_word(sets + w * STRIP, columns, target, s, w, y, first, count);
    for (long i = 0; i < count; i++) {
        int64_t own = target[y * s.width + first + i];
        if (own == s.void_id) continue;
        if (own < 0 || own >= s.classes) return 1;
        if (strict && strict[own])
            for (long w = 0; w < words; w++) sets[w * STRIP + i] = own / 64 == w ? (uint64_t)1 << (own % 64) : 0;
    }
    return 0;
}

/* Exponentials of a strip's logits below their maximum, and their sums over all classes and over the sets. */
static CLONES void exponentials(float *restrict e, float *restrict all, float *restrict chosen,
                                const uint64_t *restrict sets, const float *restrict logits, long plane,
                                long classes, long count) {
    float most[STRIP];
    for (long i = 0; i < count; i++) most[i] = logits[i], all[i] = chosen[i] = 0;
    for (long c = 1; c < classes; c++)
        for (long i = 0; i < count; i++) {
            float x = logits[c * plane + i];
            most[i] = x > most[i] ? x : most[i];
        }
    for (long c = 0; c < classes; c++) {
        const uint64_t *restrict set = sets + c / 64 * STRIP;
        uint64_t bit = (uint64_t)1 << (c % 64);
        for (long i = 0; i < count; i++) {
            float value = exp_below(logits[c * plane + i] - most[i]);
            e[c * STRIP + i] = value;
            all[i] += value;
            chosen[i] += set[i] & bit ? value : 0;
        }
    }
}

/* The sum of exponentials over one pixel's set, below its own maximum `most`: for pixels whose classes have so small
 * probabilities that `chosen` has lost its precision. */
static float far_below(const float *logits, const uint64_t *sets, long plane, long classes, float *most) {
    float sum = 0;
    *most = -INFINITY;
    for (long c = 0; c < classes; c++)
        if (sets[c / 64 * STRIP] >> (c % 64) & 1 && logits[c * plane] > *most) *most = logits[c * plane];
    for (long c = 0; c < classes; c++)
        if (sets[c / 64 * STRIP] >> (c % 64) & 1) sum += expf(logits[c * plane] - *most);
    return sum;
}

static float highest(const float *logits, long plane, long classes) {
    float most = logits[0];
    for (long c = 1; c < classes; c++) most = logits[c * plane] > most ? logits[c * plane] : most;
    return most;
}

#define LOST 1e-30f

/* A strip of pixels: logits and labels of its first one, the sets around its pixels, and the exponentials with their
 * sums. */
typedef struct {
    const float *logits;
    const int64_t *target;
    uint64_t *sets, *columns;
    float *e, all[STRIP], chosen[STRIP];
    long plane, count;
} Strip;

static void strip_loss(const Strip *strip, Shape s, float *loss) {
    for (long i = 0; i < strip->count; i++) {
        if (strip->target[i] == s.void_id)
            loss[i] = 0;
        else if (strip->chosen[i] > LOST)
            loss[i] = logf(strip->all[i] / strip->chosen[i]);
        else {
            const float *logits = strip->logits + i;
            float most, sum = far_below(logits, strip->sets + i, strip->plane, s.classes, &most);
            loss[i] = highest(logits, strip->plane, s.classes) + logf(strip->all[i]) - most - logf(sum);
        }
    }
}

static CLONES void gradients(float *restrict grad, const float *restrict e, const float *restrict all,
                             const float *restrict chosen, const uint64_t *restrict sets, long plane, long classes,
                             long count) {
    for (long c = 0; c < classes; c++) {
        const uint64_t *restrict set = sets + c / 64 * STRIP;
        uint64_t bit = (uint64_t)1 << (c % 64);
        for (long i = 0; i < count; i++)
            grad[c * plane + i] = e[c * STRIP + i] * (all[i] - (set[i] & bit ? chosen[i] : 0));
    }
}

/* Softmax over all classes minus softmax over the set, times `scale`. */
static void strip_gradient(Strip *strip, Shape s, const float *scale, float *grad) {
    float *all = strip->all, *chosen = strip->chosen;
    uint8_t lost[STRIP];
    for (long i = 0; i < strip->count; i++) {
        float weight = strip->target[i] == s.void_id ? 0 : scale[i];
        lost[i] = weight != 0 && chosen[i] <= LOST;
        all[i] = weight / all[i];
        chosen[i] = weight == 0 || lost[i] ? 0 : weight / chosen[i];
    }
    gradients(grad, strip->e, all, chosen, strip->sets, strip->plane, s.classes, strip->count);
    for (long i = 0; i < strip->count; i++)
        if (lost[i]) {
            const float *logits = strip->logits + i;
            float most, sum = far_below(logits, strip->sets + i, strip->plane, s.classes, &most);
            for (long c = 0; c < s.classes; c++)
                if (strip->sets[c / 64 * STRIP + i] >> (c % 64) & 1)
                    grad[c * strip->plane + i] -= scale[i] * expf(logits[c * strip->plane] - most) / sum;
        }
}

/* Losses of rows `first` to `last` of one image; or, where `grad` is given, the gradient for the logits of
 * the losses times `scale`. */
static int rows(const float *logits, const int64_t *target, const uint8_t *strict, float *loss, const float *scale,
                float *grad, long first, long last, Shape s) {
    Strip strip = {.plane = s.height * s.width};
    strip.e = malloc(s.classes * STRIP * sizeof *strip.e);
    strip.sets = malloc((s.classes + 63) / 64 * STRIP * sizeof *strip.sets);
    strip.columns = malloc((STRIP + 2 * s.radius) * sizeof *strip.columns);
    int failed = !strip.e || !strip.sets || !strip.columns ? NO_MEMORY : 0;
    for (long y = first; y < last && !failed; y++)
        for (long x = 0; x < s.width && !failed; x += STRIP) {
            long at = y * s.width + x;
            strip.logits = logits + at, strip.target = target + at;
            strip.count = s.width - x < STRIP ? s.width - x : STRIP;
            if (window_sets(strip.sets, strip.columns, target, strict, s, y, x, strip.count)) failed = OUT_OF_RANGE;
            exponentials(strip.e, strip.all, strip.chosen, strip.sets, strip.logits, strip.plane, s.classes, strip.count);
            if (grad)
                strip_gradient(&strip, s, scale + at, grad + at);
            else
                strip_loss(&strip, s, loss + at);
        }
    free(strip.e), free(strip.sets), free(strip.columns);
    return failed;
}

/* Loss of rows `first` to `last` of one image; 0 where the target is void. */
int segmend_relaxed_loss_f32(const float *logits, const int64_t *target, const uint8_t *strict, float *loss,
                             long first, long last, long classes, long height, long width, long radius,
                             long void_id) {
    Shape s = {classes, height, width, radius, void_id};
    return rows(logits, target, strict, loss, NULL, NULL, first, last, s);
}

/* Gradient of the same rows' losses, each times `scale`, for the logits. */
int segmend_relaxed_grad_f32(const float *logits, const int64_t *target, const uint8_t *strict, const float *scale,
                             float *grad, long first, long last, long classes, long height, long width, long radius,
                             long void_id) {
    Shape s = {classes, height, width, radius, void_id};
    return rows(logits, target, strict, NULL, scale, grad, first, last, s);
}
