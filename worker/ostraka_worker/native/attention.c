/* Twins of kernels/rope.py, kernels/cache.py and kernels/attention.py. Products are fp32 multiplications and additions of integers
 * below 2^24, hence exact in any order; the bounds stand in attention.py. */
#include "common.h"

/* Integers below 2^24: fused or not, the same sum. */
#ifdef __FMA__
#define MULTIPLY_ADD(a, b, c) __builtin_fmaf(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) ((c) + (a) * (b))
#endif

#define ROWS 4 /* queries that share a pass over the cache */

/* Turns the first `turned` heads of each row, quantizes all, and writes keys and values into the cache.
 *
 * x [T][heads + 2·kv][D] is overwritten; queries come out as integers in fp32 [T][heads][D] with scales [T][heads]. */
EXPORT int oe_turn_and_cache(float *x, const float *cos_, const float *sin_, int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim,
                             float floor_, float *queries, float *query_scales, int8_t *keys, int8_t *values, float *key_scales,
                             float *value_scales, float *value_peaks, int64_t capacity, int64_t position) {
    int64_t half = dim / 2, all = heads + 2 * kv_heads;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t h = 0; h < all; h++) {
            float *row = x + (t * all + h) * dim;
            if (h < heads + kv_heads) {
                const float *c = cos_ + t * half, *s = sin_ + t * half;
                for (int64_t i = 0; i < half; i++) {
                    float left = row[i], right = row[half + i];
                    float a = left * c[i], b = right * s[i], d = right * c[i], e = left * s[i];
                    row[i] = a - b;
                    row[half + i] = d + e;
                }
            }
            int32_t bits = peak_bits(row, dim);
            if (bits >= INFINITY_BITS)
                return NOT_FINITE;
            float largest = larger(from_bits(bits), floor_);
            float factor = 127.0f / largest, scale = largest / 127.0f;
            int64_t at = position + t;
            if (h < heads) {
                float *to = queries + (t * heads + h) * dim;
                for (int64_t i = 0; i < dim; i++)
                    to[i] = rintf(row[i] * factor);
                query_scales[t * heads + h] = scale;
            } else if (h < heads + kv_heads) {
                int8_t *to = keys + (h - heads) * dim * capacity + at;
                for (int64_t i = 0; i < dim; i++)
                    to[i * capacity] = (int8_t)(int32_t)rintf(row[i] * factor);
                key_scales[(h - heads) * capacity + at] = scale;
            } else {
                int64_t kv = h - heads - kv_heads;
                quantize_into(row, dim, factor, values + (kv * capacity + at) * dim);
                value_scales[kv * capacity + at] = scale;
                float before = at ? value_peaks[kv * capacity + at - 1] : 0.0f;
                value_peaks[kv * capacity + at] = larger(before, scale);
            }
        }
    return OK;
}

/* acc[r][l] += a[r] · b[l] for 64 lanes. */
INLINE void add_outer(float acc[ROWS][64], int count, const float *a, const int8_t *b) {
    float wide[64];
    for (int l = 0; l < 64; l++)
        wide[l] = (float)b[l];
    for (int r = 0; r < count; r++)
        for (int l = 0; l < 64; l++)
            acc[r][l] = MULTIPLY_ADD(a[r], wide[l], acc[r][l]);
}

/* Scores of `count` queries over positions [first, n): sums of q · k, exact. Lanes past n are computed from whatever the cache holds
 * there and dropped; where those would leave the cache, one position at a time. */
INLINE void scores_of(const float *const *q, int count, const int8_t *keys, int64_t capacity, int64_t dim, int64_t first, int64_t n,
                      float *const *s) {
    int64_t at = first;
    for (; at < n && at + 64 <= capacity; at += 64) {
        int64_t width = n - at < 64 ? n - at : 64;
        float acc[ROWS][64] = {{0}};
        for (int64_t d = 0; d < dim; d++) {
            float a[ROWS];
            for (int r = 0; r < count; r++)
                a[r] = q[r][d];
            add_outer(acc, count, a, keys + d * capacity + at);
        }
        for (int r = 0; r < count; r++)
            memcpy(s[r] + at, acc[r], (size_t)width * 4);
    }
    for (; at < n; at++)
        for (int r = 0; r < count; r++) {
            float sum = 0;
            for (int64_t d = 0; d < dim; d++)
                sum += q[r][d] * (float)keys[d * capacity + at];
            s[r][at] = sum;
        }
}

/* Scores to fixed-point probabilities, in place, for positions [first, n); zeros in [n, stop). */
INLINE void probabilities(float *s, int64_t first, int64_t n, int64_t stop, float factor, const float *key_scales,
                          const float *value_scales, float value_peak, const float *powers) {
    float top = -3e38f;
    for (int64_t i = first; i < n; i++) {
        float scaled = s[i] * factor;
        s[i] = scaled * key_scales[i];
    }
    /* Integers of the same order, since a float maximum does not vectorize. */
    const int32_t *bits = (const int32_t *)s;
    int32_t best = INT32_MIN;
    for (int64_t i = first; i < n; i++) {
        int32_t key = bits[i] ^ ((bits[i] >> 31) & 0x7fffffff);
        best = key > best ? key : best;
    }
    top = from_bits(best ^ ((best >> 31) & 0x7fffffff));
    int64_t total = 0;
    for (int64_t i = first; i < n; i++) {
        float t = s[i] - top;
        t = t > -24.0f ? t : -24.0f;
        s[i] = rintf(exp2_poly(t, powers));
        total += (int64_t)(int32_t)s[i];
    }
    float unit = (float)(65536.0 / ((double)total * (double)value_peak));
    for (int64_t i = first; i < n; i++) {
        float weighed = s[i] * value_scales[i];
        s[i] = rintf(weighed * unit);
    }
    for (int64_t i = n; i < stop; i++)
        s[i] = 0.0f;
}

/* y[r][d] = Σ_t p[r][t] · v[t][d] over positions [first, n). */
INLINE void mix_of(float *const *p, int count, const int8_t *values, int64_t dim, int64_t first, int64_t n, float *const *y) {
    int64_t base = 0;
    for (; base + 64 <= dim; base += 64) {
        float acc[ROWS][64] = {{0}};
        for (int64_t t = first; t < n; t++) {
            float a[ROWS];
            for (int r = 0; r < count; r++)
                a[r] = p[r][t];
            add_outer(acc, count, a, values + t * dim + base);
        }
        for (int r = 0; r < count; r++)
            memcpy(y[r] + base, acc[r], 64 * 4);
    }
    for (int r = 0; base < dim && r < count; r++) {
        for (int64_t d = base; d < dim; d++)
            y[r][d] = 0;
        for (int64_t t = first; t < n; t++)
            for (int64_t d = base; d < dim; d++)
                y[r][d] += p[r][t] * (float)values[t * dim + d];
    }
}

/* The same with `count` known to the compiler. */
static void scores(const float *const *q, int count, const int8_t *keys, int64_t capacity, int64_t dim, int64_t first, int64_t n,
                   float *const *s) {
    switch (count) {
    case 1: scores_of(q, 1, keys, capacity, dim, first, n, s); break;
    case 2: scores_of(q, 2, keys, capacity, dim, first, n, s); break;
    case 3: scores_of(q, 3, keys, capacity, dim, first, n, s); break;
    default: scores_of(q, ROWS, keys, capacity, dim, first, n, s);
    }
}

static void mix(float *const *p, int count, const int8_t *values, int64_t dim, int64_t first, int64_t n, float *const *y) {
    switch (count) {
    case 1: mix_of(p, 1, values, dim, first, n, y); break;
    case 2: mix_of(p, 2, values, dim, first, n, y); break;
    case 3: mix_of(p, 3, values, dim, first, n, y); break;
    default: mix_of(p, ROWS, values, dim, first, n, y);
    }
}

/* Queries of positions `position` … over the cache; y [T][heads · D]. `window` 0: all of the past, else that many positions. */
EXPORT int oe_attend(const float *queries, const float *query_scales, const int8_t *keys, const int8_t *values, const float *key_scales,
                     const float *value_scales, const float *value_peaks, float *y, int64_t rows, int64_t heads, int64_t kv_heads,
                     int64_t dim, int64_t capacity, int64_t position, int64_t window, float log2_e_by_root, const float *powers,
                     int threads) {
    int64_t group = heads / kv_heads, most = position + rows;
    const float zero = ZERO;
    int status = OK;
    /* A unit of work is one key head and the queries of one of its tiles; tiles run over (row, head of the group). */
    int64_t per_head = rows * group, tiles = (per_head + ROWS - 1) / ROWS;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4) if (threads > 1)
    for (int64_t unit = 0; unit < kv_heads * tiles; unit++) {
        int64_t kv = unit / tiles, start = (unit % tiles) * ROWS;
        int count = per_head - start < ROWS ? (int)(per_head - start) : ROWS;
        float *scratch = malloc((size_t)(ROWS * most) * sizeof(float));
        if (!scratch) {
#pragma omp atomic write
            status = NO_MEMORY;
            continue;
        }
        const float *q[ROWS];
        float *s[ROWS], *to[ROWS];
        int64_t from[ROWS], upto[ROWS], first = most, last = 0;
        for (int r = 0; r < count; r++) {
            int64_t t = (start + r) / group, h = kv * group + (start + r) % group;
            q[r] = queries + (t * heads + h) * dim;
            to[r] = y + (t * heads + h) * dim;
            s[r] = scratch + r * most;
            upto[r] = position + t + 1;
            from[r] = window > 0 && upto[r] > window ? upto[r] - window : 0;
            first = from[r] < first ? from[r] : first;
            last = upto[r] > last ? upto[r] : last;
        }
        const int8_t *k = keys + kv * dim * capacity, *v = values + kv * capacity * dim;
        const float *vs = value_scales + kv * capacity, *vp = value_peaks + kv * capacity;
        scores(q, count, k, capacity, dim, first, last, s);
        for (int r = 0; r < count; r++) {
            int64_t t = (start + r) / group, h = kv * group + (start + r) % group;
            float factor = query_scales[t * heads + h] * log2_e_by_root;
            for (int64_t i = first; i < from[r]; i++)
                s[r][i] = 0.0f;
            probabilities(s[r], from[r], upto[r], last, factor, key_scales + kv * capacity, vs, vp[position + t], powers);
        }
        mix(s, count, v, dim, first, last, to);
        for (int r = 0; r < count; r++) {
            float unit_ = vp[position + (start + r) / group] * (float)(1.0 / 65536.0);
            for (int64_t i = 0; i < dim; i++) {
                float sum = to[r][i] + zero; /* no -0.0 */
                to[r][i] = sum * unit_;
            }
        }
        free(scratch);
    }
    return status;
}
