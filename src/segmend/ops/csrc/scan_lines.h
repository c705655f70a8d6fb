/* Scans over planes of H x W, contiguous; see scan.py for the contract.
 *
 * Along a direction every line depends on the line before it, but the pixels of a line do not depend on each other:
 * the inner loops run along a line and vectorise. Down and up, lines are rows. Right and left, lines are
 * columns: strips of columns are transposed into a buffer that stays in the cache, scanned there, and
 * transposed back; planes that share their gates are transposed whole, a few at a time (one at a time for gradients),
 * for both directions at once.
 *
 * Gates are three planes (of neighbours i - 1, i, i + 1 of the line before), or one (i).
 */

#define STRIP 16   /* columns of a strip */
#define TALL 64    /* rows of a tile that is transposed: its lines stay in the first-level cache */
#define TOGETHER 4 /* planes that are transposed and scanned together */

/* Planes of x, out (and gradients) lie height * width apart, and so do the gate planes of neighbours. */
typedef struct {
    long height, width, neighbours;
} NAME(Shape);

/* h = x + sum_k p_k (h_before_k - x): eq. 9 with the terms of x gathered. Neighbours outside the image are left out. */
INLINE void NAME(line)(real *restrict h, const real *restrict x, const real *restrict before,
                       const real *restrict p, long stride, long neighbours, long n) {
    if (neighbours == 1) {
        for (long i = 0; i < n; i++) h[i] = x[i] + p[i] * (before[i] - x[i]);
        return;
    }
    const real *restrict pl = p, *restrict pm = p + stride, *restrict pr = p + 2 * stride;
    h[0] = x[0] + pm[0] * (before[0] - x[0]);
    if (n == 1) return;
    h[0] += pr[0] * (before[1] - x[0]);
    for (long i = 1; i < n - 1; i++)
        h[i] = x[i] + pl[i] * (before[i - 1] - x[i]) + pm[i] * (before[i] - x[i]) +
               pr[i] * (before[i + 1] - x[i]);
    h[n - 1] = x[n - 1] + pl[n - 1] * (before[n - 2] - x[n - 1]) + pm[n - 1] * (before[n - 1] - x[n - 1]);
}

INLINE void NAME(fold)(real *restrict out, const real *restrict h, long n, int how) {
    if (how == SUM)
        for (long i = 0; i < n; i++) out[i] += h[i];
    else
        for (long i = 0; i < n; i++) out[i] = out[i] > h[i] ? out[i] : h[i];
}

typedef real NAME(Eight) __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* dst[c][r] = src[r][c] for a block of 8 x 8: three rounds that interleave rows i and i + 4. */
INLINE void NAME(turn)(real *restrict dst, long to, const real *restrict src, long from) {
#ifdef SHUFFLES
    NAME(Eight) a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = *(const NAME(Eight) *)(src + i * from);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            b[2 * i] = __builtin_shufflevector(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
            b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
        }
        for (int i = 0; i < 8; i++) a[i] = b[i];
    }
    for (int i = 0; i < 8; i++) *(NAME(Eight) *)(dst + i * to) = a[i];
#else
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) dst[j * to + i] = src[i * from + j];
#endif
}

/* dst[c][r] = src[r][c] for r < rows, c < columns. */
INLINE void NAME(transpose)(real *restrict dst, long to, const real *restrict src, long from, long rows,
                            long columns) {
    long whole_rows = rows & ~7L, whole_columns = columns & ~7L;
    for (long r = 0; r < whole_rows; r += 8)
        for (long c = 0; c < whole_columns; c += 8) NAME(turn)(dst + c * to + r, to, src + r * from + c, from);
    for (long r = 0; r < rows; r++)
        for (long c = r < whole_rows ? whole_columns : 0; c < columns; c++) dst[c * to + r] = src[r * from + c];
}

/* Down (or up): rows of `planes` planes that share their gates, line by line of all, so that a line of gates is read
 * once; folded into out, or stored. `spare` holds two rows a plane. */
static CLONES void NAME(rows)(const real *x, const real *gates, real *out, long planes, NAME(Shape) s, int up,
                       int how, real *spare) {
    long n = s.width, plane = s.height * s.width;
    for (long t = 0; t < s.height; t++) {
        long at = (up ? s.height - 1 - t : t) * n, last = at + (up ? n : -n);
        for (long c = 0; c < planes; c++) {
            const real *own = x + c * plane + at;
            real *lines = spare + 2 * c * n, *to = out + c * plane;
            real *h = how == STORE ? to + at : lines + (t & 1) * n;
            const real *before = how == STORE ? to + last : lines + (~t & 1) * n;
            if (t == 0)
                memcpy(h, own, n * sizeof(real));
            else
                NAME(line)(h, own, before, gates + at, plane, s.neighbours, n);
            if (how != STORE) NAME(fold)(to + at, h, n, how);
        }
    }
}

/* Right (or left) over `planes` planes that share their gates: strips of columns, each transposed. */
static CLONES void NAME(columns)(const real *x, const real *gates, real *out, long planes, NAME(Shape) s, int left,
                          int how, real *spare) {
    long n = s.height, plane = s.height * s.width, part = STRIP * n;
    real *gate_strip = spare, *x_strip = gate_strip + s.neighbours * part, *h_strip = x_strip + part;
    real *carried = h_strip + part; /* the last column of each plane */
    long strips = (s.width + STRIP - 1) / STRIP;
    for (long k = 0; k < strips; k++) {
        long first = (left ? strips - 1 - k : k) * STRIP;
        long count = s.width - first < STRIP ? s.width - first : STRIP;
        for (long j = 0; j < s.neighbours; j++)
            NAME(transpose)(gate_strip + j * part, n, gates + j * plane + first, s.width, n, count);
        for (long c = 0; c < planes; c++) {
            real *last = carried + c * n;
            NAME(transpose)(x_strip, n, x + c * plane + first, s.width, n, count);
            const real *before = last;
            for (long t = 0; t < count; t++) {
                long column = left ? count - 1 - t : t;
                real *h = h_strip + column * n;
                if (k == 0 && t == 0)
                    memcpy(h, x_strip + column * n, n * sizeof(real));
                else
                    NAME(line)(h, x_strip + column * n, before, gate_strip + column * n, part, s.neighbours, n);
                before = h;
            }
            memcpy(last, before, n * sizeof(real));
            real *to = out + c * plane + first;
            for (long r = 0; r < n; r += STRIP) {
                long high = n - r < STRIP ? n - r : STRIP;
                real block[STRIP][STRIP];
                NAME(transpose)(block[0], STRIP, h_strip + r, n, count, high);
                for (long i = 0; i < high; i++) {
                    if (how == STORE)
                        memcpy(to + (r + i) * s.width, block[i], count * sizeof(real));
                    else
                        NAME(fold)(to + (r + i) * s.width, block[i], count, how);
                }
            }
        }
    }
}

/* One direction (0 right, 1 left, 2 down, 3 up) over `planes` planes; the gates of planes lie `stride` apart (0: they are
 * shared). */
static void NAME(one)(const real *x, const real *gates, real *out, long planes, long stride, NAME(Shape) s,
                      int direction, int how, real *spare) {
    long plane = s.height * s.width;
    if (direction >= 2)
        for (long c = 0; c < planes; c++)
            NAME(rows)(x + c * plane, gates + c * stride, out + c * plane, 1, s, direction == 3, how, spare);
    else if (stride == 0)
        NAME(columns)(x, gates, out, planes, s, direction == 1, how, spare);
    else
        for (long c = 0; c < planes; c++)
            NAME(columns)(x + c * plane, gates + c * stride, out + c * plane, 1, s, direction == 1, how, spare);
}

static long NAME(spare_size)(long planes, NAME(Shape) s) {
    long strips = (s.neighbours + 2) * STRIP * s.height + planes * s.height;
    return strips > 2 * s.width ? strips : 2 * s.width;
}

/* scan over one image's planes. Returns 0, or NO_MEMORY. */
int NAME(segmend_scan)(const real *x, const real *gates, real *out, long planes, long stride, long height,
                              long width, long neighbours, int direction) {
    FLUSH_DENORMALS;
    NAME(Shape) s = {height, width, neighbours};
    real *spare = malloc(NAME(spare_size)(planes, s) * sizeof(real));
    if (!spare) return NO_MEMORY;
    NAME(one)(x, gates, out, planes, stride, s, direction, STORE, spare);
    free(spare);
    return 0;
}

/* Transposes a whole plane, tile by tile: dst is `width` rows of `height`. */
static CLONES void NAME(turned)(real *restrict dst, const real *restrict src, NAME(Shape) s) {
    for (long r = 0; r < s.height; r += TALL) {
        long high = s.height - r < TALL ? s.height - r : TALL;
        for (long c = 0; c < s.width; c += STRIP) {
            long count = s.width - c < STRIP ? s.width - c : STRIP;
            NAME(transpose)(dst + c * s.height + r, s.height, src + r * s.width + c, s.width, high, count);
        }
    }
}

/* Folds a transposed plane into one that is not. */
static CLONES void NAME(fold_turned)(real *restrict out, const real *restrict turned, NAME(Shape) s, int how) {
    for (long r = 0; r < s.height; r += STRIP) {
        long high = s.height - r < STRIP ? s.height - r : STRIP;
        for (long c = 0; c < s.width; c += STRIP) {
            long count = s.width - c < STRIP ? s.width - c : STRIP;
            real block[STRIP][STRIP];
            NAME(transpose)(block[0], STRIP, turned + c * s.height + r, s.height, count, high);
            for (long i = 0; i < high; i++) NAME(fold)(out + (r + i) * s.width + c, block[i], count, how);
        }
    }
}

/* The four directions of planes that share their gates: each plane is transposed once for right and left, which then
 * are down and up. */
static int NAME(shared4)(const real *x, const real *gates, real *out, long planes, long turn, NAME(Shape) s,
                         int how) {
    long plane = s.height * s.width, k = s.neighbours;
    long lines = 2 * (TOGETHER * s.height > planes * s.width ? TOGETHER * s.height : planes * s.width);
    real *spare = malloc(((2 * k + 2 * TOGETHER) * plane + lines) * sizeof(real));
    if (!spare) return NO_MEMORY;
    NAME(Shape) side = {s.width, s.height, k};
    real *gates_turned = spare, *x_turned = spare + 2 * k * plane, *out_turned = x_turned + TOGETHER * plane;
    real *own = out_turned + TOGETHER * plane;
    NAME(rows)(x, gates + 2 * turn, out, planes, s, 0, STORE, own);
    NAME(rows)(x, gates + 3 * turn, out, planes, s, 1, how, own);
    for (long d = 0; d < 2; d++)
        for (long j = 0; j < k; j++)
            NAME(turned)(gates_turned + (d * k + j) * plane, gates + d * turn + j * plane, s);
    for (long first = 0; first < planes; first += TOGETHER) {
        long count = planes - first < TOGETHER ? planes - first : TOGETHER;
        for (long c = 0; c < count; c++) NAME(turned)(x_turned + c * plane, x + (first + c) * plane, s);
        NAME(rows)(x_turned, gates_turned, out_turned, count, side, 0, STORE, own);
        NAME(rows)(x_turned, gates_turned + k * plane, out_turned, count, side, 1, how, own);
        for (long c = 0; c < count; c++) NAME(fold_turned)(out + (first + c) * plane, out_turned + c * plane, s, how);
    }
    free(spare);
    return 0;
}

/* Maximum over the four directions, or their sum; the gates of directions lie `turn` apart. */
int NAME(segmend_scan4)(const real *x, const real *gates, real *out, long planes, long stride, long turn,
                               long height, long width, long neighbours, int sum) {
    int how = sum ? SUM : MAXIMUM;
    FLUSH_DENORMALS;
    NAME(Shape) s = {height, width, neighbours};
    if (stride == 0) return NAME(shared4)(x, gates, out, planes, turn, s, how);
    long plane = height * width;
    real *spare = malloc(NAME(spare_size)(1, s) * sizeof(real));
    if (!spare) return NO_MEMORY;
    for (long c = 0; c < planes; c++)
        for (int d = 0; d < 4; d++) {
            int direction = (d + 2) % 4; /* down first: it stores, the others fold */
            NAME(one)(x + c * plane, gates + c * stride + direction * turn, out + c * plane, 1, stride, s, direction,
                      d > 0 ? how : STORE, spare);
        }
    free(spare);
    return 0;
}

/* The adjoint of a downward scan of one plane: grad is of h, dx and dgates are added to. */
static CLONES void NAME(rows_back)(const real *restrict x, const real *restrict gates, const real *restrict h,
                            const real *restrict grad, real *restrict dx, real *restrict dgates, long height,
                            long n, long neighbours, int up, real *restrict spare) {
    long plane = height * n;
    real *restrict total = spare, *restrict carried = spare + n;
    memset(carried, 0, n * sizeof(real));
    for (long t = height - 1; t >= 0; t--) {
        long at = (up ? height - 1 - t : t) * n, before = at + (up ? n : -n);
        for (long i = 0; i < n; i++) total[i] = grad[at + i] + carried[i];
        if (t == 0) {
            for (long i = 0; i < n; i++) dx[at + i] += total[i];
            return;
        }
        const real *hb = h + before, *xr = x + at;
        real *d = dx + at;
        if (neighbours == 1) {
            const real *pm = gates + at;
            real *dm = dgates + at;
            for (long i = 0; i < n; i++) {
                dm[i] += total[i] * (hb[i] - xr[i]);
                d[i] += total[i] * (1 - pm[i]);
                carried[i] = total[i] * pm[i];
            }
            continue;
        }
        const real *pl = gates + at, *pm = pl + plane, *pr = pm + plane;
        real *dl = dgates + at, *dm = dl + plane, *dr = dm + plane;
        for (long i = 0; i < n; i++) {
            dm[i] += total[i] * (hb[i] - xr[i]);
            d[i] += total[i] * (1 - pm[i]);
            carried[i] = total[i] * pm[i];
        }
        for (long i = 1; i < n; i++) {
            dl[i] += total[i] * (hb[i - 1] - xr[i]);
            d[i] -= total[i] * pl[i];
        }
        for (long i = 0; i + 1 < n; i++) {
            dr[i] += total[i] * (hb[i + 1] - xr[i]);
            d[i] -= total[i] * pr[i];
            carried[i] += total[i + 1] * pl[i + 1];
        }
        for (long i = 1; i < n; i++) carried[i] += total[i - 1] * pr[i - 1];
    }
}

/* The adjoint of a scan of one plane in any direction. `spare` holds `back_size` numbers. */
static void NAME(one_back)(const real *x, const real *gates, const real *h, const real *grad, real *dx,
                           real *dgates, NAME(Shape) s, int direction, real *spare) {
    long plane = s.height * s.width, k = s.neighbours;
    if (direction >= 2) {
        NAME(rows_back)(x, gates, h, grad, dx, dgates, s.height, s.width, k, direction == 3, spare);
        return;
    }
    real *turned_x = spare, *turned_h = spare + plane, *turned_grad = spare + 2 * plane;
    real *turned_dx = spare + 3 * plane, *turned_gates = spare + 4 * plane, *turned_dgates = spare + (4 + k) * plane;
    real *rows = spare + (4 + 2 * k) * plane;
    const real *from[3] = {x, h, grad};
    for (long c = 0; c < s.width; c += STRIP) {
        long count = s.width - c < STRIP ? s.width - c : STRIP;
        for (int j = 0; j < 3; j++)
            NAME(transpose)(spare + j * plane + c * s.height, s.height, from[j] + c, s.width, s.height, count);
        for (long j = 0; j < k; j++)
            NAME(transpose)(turned_gates + j * plane + c * s.height, s.height, gates + j * plane + c, s.width,
                            s.height, count);
    }
    memset(turned_dx, 0, plane * sizeof(real));
    memset(turned_dgates, 0, k * plane * sizeof(real));
    NAME(rows_back)(turned_x, turned_gates, turned_h, turned_grad, turned_dx, turned_dgates, s.width, s.height, k,
                    direction == 1, rows);
    for (long j = -1; j < k; j++) {
        const real *turned = j < 0 ? turned_dx : turned_dgates + j * plane;
        NAME(fold_turned)(j < 0 ? dx : dgates + j * plane, turned, s, SUM);
    }
}

static long NAME(back_size)(NAME(Shape) s) {
    return (4 + 2 * s.neighbours) * s.height * s.width + 2 * (s.height > s.width ? s.height : s.width);
}

/* Gradients of segmend_scan, added to dx and dgates. */
int NAME(segmend_scan_back)(const real *x, const real *gates, const real *grad, real *dx, real *dgates,
                                   long planes, long stride, long height, long width, long neighbours,
                                   int direction) {
    FLUSH_DENORMALS;
    NAME(Shape) s = {height, width, neighbours};
    long plane = height * width;
    real *spare = malloc((plane + NAME(back_size)(s) + NAME(spare_size)(1, s)) * sizeof(real));
    if (!spare) return NO_MEMORY;
    real *h = spare, *work = spare + plane;
    for (long c = 0; c < planes; c++) {
        NAME(one)(x + c * plane, gates + c * stride, h, 1, stride, s, direction, STORE, work);
        NAME(one_back)(x + c * plane, gates + c * stride, h, grad + c * plane, dx + c * plane, dgates + c * stride, s,
                       direction, work);
    }
    free(spare);
    return 0;
}

/* The gradient where direction d is the first that is largest, else 0. */
static CLONES void NAME(won)(real *restrict share, const real *restrict grad, const real *restrict h, int d,
                             long plane) {
    const real *own = h + d * plane;
    for (long i = 0; i < plane; i++) {
        int wins = 1;
        for (int e = 0; e < 4; e++) wins &= e < d ? own[i] > h[e * plane + i] : own[i] >= h[e * plane + i];
        share[i] = wins ? grad[i] : 0;
    }
}

/* Gradients of shared4, added to dx and dgates. Gates, and at last their gradients, are transposed once. */
static int NAME(shared4_back)(const real *x, const real *gates, const real *grad, real *dx, real *dgates,
                              long planes, long turn, NAME(Shape) s, int sum) {
    long plane = s.height * s.width, k = s.neighbours;
    long lines = 2 * (s.height > s.width ? s.height : s.width);
    real *spare = malloc(((10 + 4 * k) * plane + lines) * sizeof(real));
    if (!spare) return NO_MEMORY;
    NAME(Shape) side = {s.width, s.height, k};
    real *h = spare, *share = h + 4 * plane;
    real *x_turned = share + plane, *h_turned = x_turned + plane, *share_turned = h_turned + 2 * plane;
    real *dx_turned = share_turned + plane, *gates_turned = dx_turned + plane;
    real *dgates_turned = gates_turned + 2 * k * plane, *own = dgates_turned + 2 * k * plane;
    memset(dgates_turned, 0, 2 * k * plane * sizeof(real));
    for (long d = 0; d < 2; d++)
        for (long j = 0; j < k; j++)
            NAME(turned)(gates_turned + (d * k + j) * plane, gates + d * turn + j * plane, s);
    for (long c = 0; c < planes; c++) {
        const real *from = x + c * plane, *down = grad + c * plane;
        NAME(turned)(x_turned, from, s);
        memset(dx_turned, 0, plane * sizeof(real));
        if (sum) NAME(turned)(share_turned, down, s);
        for (long d = 0; d < 2; d++) {
            NAME(rows)(x_turned, gates_turned + d * k * plane, h_turned + d * plane, 1, side, d == 1, STORE, own);
            if (!sum) NAME(turned)(h + d * plane, h_turned + d * plane, side);
            NAME(rows)(from, gates + (2 + d) * turn, h + (2 + d) * plane, 1, s, d == 1, STORE, own);
        }
        for (int d = 0; d < 4; d++) {
            if (!sum) NAME(won)(share, down, h, d, plane);
            if (d < 2) {
                if (!sum) NAME(turned)(share_turned, share, s);
                NAME(rows_back)(x_turned, gates_turned + d * k * plane, h_turned + d * plane, share_turned, dx_turned,
                                dgates_turned + d * k * plane, s.width, s.height, k, d == 1, own);
            } else {
                NAME(rows_back)(from, gates + d * turn, h + d * plane, sum ? down : share, dx + c * plane,
                                dgates + d * turn, s.height, s.width, k, d == 3, own);
            }
        }
        NAME(fold_turned)(dx + c * plane, dx_turned, s, SUM);
    }
    for (long d = 0; d < 2; d++)
        for (long j = 0; j < k; j++)
            NAME(fold_turned)(dgates + d * turn + j * plane, dgates_turned + (d * k + j) * plane, s, SUM);
    free(spare);
    return 0;
}

/* Gradients of segmend_scan4, added to dx and dgates: a maximum's go to the first direction that is largest. */
int NAME(segmend_scan4_back)(const real *x, const real *gates, const real *grad, real *dx, real *dgates,
                                    long planes, long stride, long turn, long height, long width,
                                    long neighbours, int sum) {
    FLUSH_DENORMALS;
    NAME(Shape) s = {height, width, neighbours};
    if (stride == 0) return NAME(shared4_back)(x, gates, grad, dx, dgates, planes, turn, s, sum);
    long plane = height * width;
    real *spare = malloc((5 * plane + NAME(back_size)(s) + NAME(spare_size)(1, s)) * sizeof(real));
    if (!spare) return NO_MEMORY;
    real *h = spare, *share = spare + 4 * plane, *work = spare + 5 * plane;
    for (long c = 0; c < planes; c++) {
        const real *from = grad + c * plane;
        for (int d = 0; d < 4; d++)
            NAME(one)(x + c * plane, gates + c * stride + d * turn, h + d * plane, 1, stride, s, d, STORE, work);
        for (int d = 0; d < 4; d++) {
            if (!sum) NAME(won)(share, from, h, d, plane);
            NAME(one_back)(x + c * plane, gates + c * stride + d * turn, h + d * plane, sum ? from : share,
                           dx + c * plane, dgates + c * stride + d * turn, s, d, work);
        }
    }
    free(spare);
    return 0;
}
