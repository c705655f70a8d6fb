/* Squared distances between the features of neighbours, and gates of them; see distances.py for the contract. */

#include "clones.h"
#include "softmax.h"
#include <math.h>

/* A neighbour, and the planes of its distances: of three connections, and of one (-1: none). */
typedef struct {
    int dy, dx, three[2], one;
} Neighbour;

static const Neighbour NEIGHBOURS[8] = {
    {-1, -1, {0, 6}, -1}, {0, -1, {1, -1}, 0}, {1, -1, {2, 9}, -1}, {-1, 1, {3, 8}, -1},
    {0, 1, {4, -1}, 1},   {1, 1, {5, 11}, -1}, {-1, 0, {7, -1}, 2}, {1, 0, {10, -1}, 3},
};

/* The planes of a neighbour; returns their number. */
static int planes_of(const Neighbour *n, long connections, long planes[2]) {
    if (connections == 1) return planes[0] = n->one, n->one >= 0;
    planes[0] = n->three[0], planes[1] = n->three[1];
    return 1 + (n->three[1] >= 0);
}

/* Row y of the distances to one neighbour; infinite where it lies outside. */
static CLONES void distances(float *restrict out, const float *restrict features, long channels, long height,
                             long width, long y, int dy, int dx) {
    long start = dx < 0 ? -dx : 0, stop = width - (dx > 0 ? dx : 0);
    for (long x = 0; x < width; x++) out[x] = INFINITY;
    if (y + dy < 0 || y + dy >= height) return;
    for (long x = start; x < stop; x++) out[x] = 0;
    for (long c = 0; c < channels; c++) {
        const float *mine = features + (c * height + y) * width, *other = mine + dy * width + dx;
        for (long x = start; x < stop; x++) {
            float difference = mine[x] - other[x];
            out[x] += difference * difference;
        }
    }
}

/* Row y of one image's distances `[4, connections, height, width]`. */
static void distances_row(const float *features, float *out, long y, long channels, long height, long width,
                          long connections) {
    for (int i = 0; i < 8; i++) {
        long planes[2];
        int count = planes_of(&NEIGHBOURS[i], connections, planes);
        for (int j = 0; j < count; j++) {
            float *row = out + (planes[j] * height + y) * width;
            if (j == 0)
                distances(row, features, channels, height, width, y, NEIGHBOURS[i].dy, NEIGHBOURS[i].dx);
            else
                for (long x = 0; x < width; x++) row[x] = out[(planes[0] * height + y) * width + x];
        }
    }
}

/* Rows `first` to `last` of the distances. */
int segmend_distances_f32(const float *features, float *out, long first, long last, long channels, long height,
                          long width, long connections) {
    for (long y = first; y < last; y++) distances_row(features, out, y, channels, height, width, connections);
    return 0;
}

/* Turns the distances of a row into gates; the planes of the neighbours lie `stride` apart. */
static CLONES void gates_row(float *restrict p, const float *restrict limit, long connections, long stride, long n) {
    if (connections == 1) {
        for (long x = 0; x < n; x++) p[x] = exp_below(-p[x]) * limit[x];
        return;
    }
    float *restrict middle = p + stride, *restrict right = p + 2 * stride;
    for (long x = 0; x < n; x++) {
        float a = exp_below(-p[x]), b = exp_below(-middle[x]), c = exp_below(-right[x]);
        float total = a + b + c, scale = limit[x] / (total > 1 ? total : 1);
        p[x] = a * scale, middle[x] = b * scale, right[x] = c * scale;
    }
}

/* Rows `first` to `last` of one image's gates `[4, connections, height, width]`; `limit` is `[4, height, width]`. */
int segmend_similarity_f32(const float *features, const float *limit, float *out, long first, long last,
                           long channels, long height, long width, long connections) {
    long plane = height * width;
    for (long y = first; y < last; y++) {
        distances_row(features, out, y, channels, height, width, connections);
        for (long d = 0; d < 4; d++)
            gates_row(out + (d * connections * height + y) * width, limit + d * plane + y * width, connections, plane,
                      width);
    }
    return 0;
}

/* Adds one neighbour's part to a row of the features' gradient; `mine` and `back` are the gradients of the distance to
 * the neighbour, and of the distance from the neighbour to here. */
static CLONES void gather(float *restrict grad, const float *restrict features, const float *restrict mine,
                          const float *restrict back, long channels, long height, long width, long y, int dy,
                          int dx) {
    long start = dx < 0 ? -dx : 0, stop = width - (dx > 0 ? dx : 0), there = dy * width + dx;
    for (long c = 0; c < channels; c++) {
        const float *here = features + (c * height + y) * width, *other = here + there;
        float *found = grad + (c * height + y) * width;
        const float *returned = back + there;
        for (long x = start; x < stop; x++) found[x] += 2 * (mine[x] + returned[x]) * (here[x] - other[x]);
    }
}

/* Rows `first` to `last` of the gradient for the features, which starts as zeros. */
int segmend_distances_back_f32(const float *features, const float *grad, float *out, long first, long last,
                               long channels, long height, long width, long connections) {
    for (long y = first; y < last; y++)
        for (int i = 0; i < 8; i++) {
            const Neighbour *n = &NEIGHBOURS[i];
            if (y + n->dy < 0 || y + n->dy >= height) continue;
            long planes[2], returning[2];
            int count = planes_of(n, connections, planes);
            for (int k = 0; k < 8; k++)
                if (NEIGHBOURS[k].dy == -n->dy && NEIGHBOURS[k].dx == -n->dx)
                    planes_of(&NEIGHBOURS[k], connections, returning);
            for (int j = 0; j < count; j++)
                gather(out, features, grad + (planes[j] * height + y) * width,
                       grad + (returning[j] * height + y) * width, channels, height, width, y, n->dy, n->dx);
        }
    return 0;
}
