/* Sums over blobs of softmax and log-softmax, and their gradient; see blobs.py for the contract. */

#include "clones.h"
#include "softmax.h"
#include <stdlib.h>
#include <string.h>

/* Softmax of a strip's logits, and the logarithms of what it was divided by. */
static CLONES void softmax(float *restrict p, float *restrict most, float *restrict log_total,
                           const float *restrict logits, long plane, long classes, long count) {
    float total[STRIP];
    for (long i = 0; i < count; i++) most[i] = logits[i], total[i] = 0;
    for (long c = 1; c < classes; c++)
        for (long i = 0; i < count; i++) {
            float x = logits[c * plane + i];
            most[i] = x > most[i] ? x : most[i];
        }
    for (long c = 0; c < classes; c++)
        for (long i = 0; i < count; i++) {
            float e = exp_below(logits[c * plane + i] - most[i]);
            p[c * STRIP + i] = e;
            total[i] += e;
        }
    for (long i = 0; i < count; i++) log_total[i] = logf(total[i]), total[i] = 1 / total[i];
    for (long c = 0; c < classes; c++)
        for (long i = 0; i < count; i++) p[c * STRIP + i] *= total[i];
}

/* Adds a run of pixels of one blob to its sums `[2, classes]`. */
static CLONES void add_run(double *restrict sums, const float *restrict p, const float *restrict most,
                           const float *restrict log_total, const float *restrict logits, long plane, long classes,
                           long count) {
    for (long c = 0; c < classes; c++) {
        float share = 0, log_p = 0;
        for (long i = 0; i < count; i++) {
            share += p[c * STRIP + i];
            log_p += logits[c * plane + i] - most[i] - log_total[i];
        }
        sums[c] += share;
        sums[classes + c] += log_p;
    }
}

/* Length of the run of one blob that starts a strip. */
static long run_of(const int64_t *ids, long count) {
    long length = 1;
    while (length < count && ids[length] == ids[0]) length++;
    return length;
}

/* The logits' gradient over a run; `weights` are the gradients of the blob's sums `[2, classes]`. */
static CLONES void run_gradient(float *restrict grad, const float *restrict p, const float *restrict weights,
                                long plane, long classes, long count) {
    float total[STRIP];
    for (long i = 0; i < count; i++) total[i] = 0;
    for (long c = 0; c < classes; c++)
        for (long i = 0; i < count; i++) total[i] += weights[c] * p[c * STRIP + i] + weights[classes + c];
    for (long c = 0; c < classes; c++)
        for (long i = 0; i < count; i++) {
            float share = p[c * STRIP + i];
            grad[c * plane + i] = weights[c] * share + weights[classes + c] - share * total[i];
        }
}

/* Rows `first` to `last` of one image, run by run: added to `sums`, or, where `grad` is given, its part of it. */
static int rows(const float *logits, const int64_t *ids, double *sums, const float *weights, float *grad, long first,
                long last, long classes, long height, long width) {
    long plane = height * width;
    float *p = malloc(classes * STRIP * sizeof *p), most[STRIP], log_total[STRIP];
    if (!p) return NO_MEMORY;
    for (long at = first * width; at < last * width; at += STRIP) {
        long count = last * width - at < STRIP ? last * width - at : STRIP;
        softmax(p, most, log_total, logits + at, plane, classes, count);
        for (long i = 0, run; i < count; i += run) {
            run = run_of(ids + at + i, count - i);
            long blob = ids[at + i] * 2 * classes;
            if (blob < 0) continue;
            if (grad)
                run_gradient(grad + at + i, p + i, weights + blob, plane, classes, run);
            else
                add_run(sums + blob, p + i, most + i, log_total + i, logits + at + i, plane, classes, run);
        }
    }
    free(p);
    return 0;
}

/* Adds rows of one image to the sums of its blobs, `[blobs, 2, classes]`. */
int segmend_blob_sums_f32(const float *logits, const int64_t *ids, double *sums, long first, long last,
                          long classes, long height, long width) {
    return rows(logits, ids, sums, NULL, NULL, first, last, classes, height, width);
}

/* The same rows of the logits' gradient, which starts as zeros. */
int segmend_blob_sums_back_f32(const float *logits, const int64_t *ids, const float *weights, float *grad,
                               long first, long last, long classes, long height, long width) {
    return rows(logits, ids, NULL, weights, grad, first, last, classes, height, width);
}
