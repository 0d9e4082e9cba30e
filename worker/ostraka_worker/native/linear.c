/* Twin of kernels/linear.py: quantize rows, integer products, outliers, scales, in one call.
 *
 * Weights are packed [N/16][K/4][16][4] int8: 64 bytes hold four inputs of sixteen outputs. All sums are int32 or int64, hence
 * exact in any order; they are rounded once when they become fp32.
 *
 * VNNI multiplies unsigned by signed bytes, so activations go in as q + 128 and 128 · Σw is taken off again. Both wrap modulo
 * 2^32 and the true sum fits int32 for K <= 2^17, so nothing is lost. (vpdpbusd does not saturate; vpdpbusds would.)
 */
#include "common.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES 16
#define TILE 8

typedef struct {
    int64_t count;
    int32_t *column;
    int32_t *value;
} Outliers;

EXPORT void oe_pack(const int8_t *weight, int64_t n, int64_t k, int8_t *packed, int32_t *row_sums) {
    int64_t quads = (k + 3) / 4, blocks = (n + LANES - 1) / LANES;
    memset(packed, 0, (size_t)(blocks * quads * 64));
    for (int64_t r = 0; r < n; r++) {
        int32_t sum = 0;
        int8_t *block = packed + (r / LANES) * quads * 64 + (r % LANES) * 4;
        for (int64_t c = 0; c < k; c++) {
            block[(c / 4) * 64 + c % 4] = weight[r * k + c];
            sum += weight[r * k + c];
        }
        row_sums[r] = sum;
    }
    for (int64_t r = n; r < blocks * LANES; r++)
        row_sums[r] = 0;
}

/* One row to int8 (stored as `bias` + q) and its outliers. Returns NOT_FINITE, or OK. */
static int quantize_row(const float *x, int64_t k, double square_unit, double ceiling, float floor_, uint8_t *q, uint8_t bias,
                        float *scale, float *outlier_scale, Outliers *out) {
    int32_t bits = peak_bits(x, k);
    if (bits >= INFINITY_BITS)
        return NOT_FINITE;
    float largest = larger(from_bits(bits), floor_);
    float factor = 127.0f / largest;
    int64_t squares = 0;
    for (int64_t at = 0; at < k; at += 65536) { /* 127² · 65536 < 2^31 */
        int64_t stop = at + 65536 < k ? at + 65536 : k;
        int32_t part = 0;
        for (int64_t i = at; i < stop; i++) {
            int32_t value = (int32_t)rintf(x[i] * factor);
            part += value * value;
            q[i] = (uint8_t)(value + bias);
        }
        squares += part;
    }
    double limit = sqrt((double)squares * square_unit);
    limit *= (double)largest;
    limit = limit < ceiling ? limit : ceiling;
    limit = limit > (double)floor_ ? limit : (double)floor_;
    float threshold = (float)limit;
    out->count = 0;
    *scale = largest / 127.0f;
    *outlier_scale = largest / 16256.0f;
    if (largest < threshold)
        return OK;
    float rest = 0;
    for (int64_t at = 0; at < k; at += 64) { /* outliers are rare: look for a block that has one, then at its entries */
        int64_t stop = at + 64 < k ? at + 64 : k;
        int32_t peak = peak_bits(x + at, stop - at);
        float block = from_bits(peak);
        if (block < threshold) {
            rest = larger(rest, block);
            continue;
        }
        for (int64_t i = at; i < stop; i++) {
            float size = fabsf(x[i]);
            if (size >= threshold) {
                out->column[out->count] = (int32_t)i;
                out->value[out->count++] = (int32_t)rintf(x[i] / *outlier_scale);
            } else
                rest = larger(rest, size);
        }
    }
    rest = larger(rest, floor_);
    factor = 127.0f / rest;
    /* Zeroed outliers are written last, so the loop above stays one the compiler can vectorize. Their products here may leave
     * int8, which is of no consequence: they are overwritten. Clamped, since float to int conversion is undefined far out. */
    for (int64_t i = 0; i < k; i++) {
        float value = rintf(x[i] * factor);
        value = value < 127.0f ? value : 127.0f;
        value = value > -127.0f ? value : -127.0f;
        q[i] = (uint8_t)((int32_t)value + bias);
    }
    for (int64_t o = 0; o < out->count; o++)
        q[out->column[o]] = bias;
    *scale = rest / 127.0f;
    return OK;
}

/* One column of sixteen outputs: byte `place` of sixteen little-endian quads, sign-extended. Shifts, since they vectorize. */
INLINE void column_of(const int8_t *quads, int place, int32_t *lanes) {
    uint32_t words[LANES];
    memcpy(words, quads, sizeof words);
    int up = 24 - 8 * place;
    for (int l = 0; l < LANES; l++)
        lanes[l] = (int32_t)(words[l] << up) >> 24;
}

/* Sums of any number of outliers for sixteen outputs, exact, rounded once. */
static void many_outliers(const int8_t *block, const Outliers *out, float *extra) {
    int64_t sums[LANES] = {0};
    for (int64_t o = 0; o < out->count; o++) {
        int32_t lanes[LANES];
        column_of(block + (int64_t)(out->column[o] / 4) * 64, out->column[o] % 4, lanes);
        for (int l = 0; l < LANES; l++)
            sums[l] += (int64_t)out->value[o] * lanes[l];
    }
    for (int l = 0; l < LANES; l++)
        extra[l] = (float)sums[l];
}

/* The last step for sixteen outputs of a row: (sum · scale + outlier sum · outlier scale) · weight scale, rounded at every sign. */
#if defined(__AVX512F__)
INLINE void scale_out(const int32_t *sums, float scale, const Outliers *out, float outlier_scale, const int8_t *block,
                      const float *weight_scale, float *y, int width) {
    __m512 result = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums)), _mm512_set1_ps(scale));
    if (out->count) {
        __m512 extra;
        if (out->count <= 1024) { /* 127 · 128 · 127 · 1024 < 2^31 */
            __m512i total = _mm512_setzero_si512();
            for (int64_t o = 0; o < out->count; o++) {
                __m512i words = _mm512_loadu_si512(block + (int64_t)(out->column[o] / 4) * 64);
                __m512i lanes = _mm512_srai_epi32(_mm512_sllv_epi32(words, _mm512_set1_epi32(24 - 8 * (out->column[o] % 4))), 24);
                total = _mm512_add_epi32(total, _mm512_mullo_epi32(lanes, _mm512_set1_epi32(out->value[o])));
            }
            extra = _mm512_cvtepi32_ps(total);
        } else {
            float many[LANES];
            many_outliers(block, out, many);
            extra = _mm512_loadu_ps(many);
        }
        result = _mm512_add_ps(result, _mm512_mul_ps(extra, _mm512_set1_ps(outlier_scale)));
    }
    __mmask16 mask = (__mmask16)((1u << width) - 1);
    _mm512_mask_storeu_ps(y, mask, _mm512_mul_ps(result, _mm512_maskz_loadu_ps(mask, weight_scale)));
}
#else
INLINE void scale_out(const int32_t *sums, float scale, const Outliers *out, float outlier_scale, const int8_t *block,
                      const float *weight_scale, float *y, int width) {
    float result[LANES], extra[LANES];
    for (int l = 0; l < LANES; l++)
        result[l] = (float)sums[l] * scale;
    if (out->count) {
        many_outliers(block, out, extra);
        for (int l = 0; l < LANES; l++)
            result[l] += extra[l] * outlier_scale;
    }
    for (int l = 0; l < width; l++)
        y[l] = result[l] * weight_scale[l];
}
#endif

/* `count` rows (<= TILE) times `blocks_here` (1 or 2) blocks of sixteen outputs, into sums [count][2][16]. */
#if defined(__AVX512VNNI__)
#define BIAS 128
INLINE void tile_of(const uint8_t *q, int64_t stride, const int8_t *w, int64_t quads, const int32_t *row_sums, int count, int blocks_here,
                    int32_t sums[TILE][2][LANES]) {
    __m512i acc[TILE][2];
    for (int t = 0; t < count; t++)
        for (int b = 0; b < blocks_here; b++)
            acc[t][b] = _mm512_setzero_si512();
    for (int64_t k = 0; k < quads; k++) {
        __m512i w0 = _mm512_loadu_si512(w + k * 64);
        __m512i w1 = blocks_here > 1 ? _mm512_loadu_si512(w + (quads + k) * 64) : w0;
        for (int t = 0; t < count; t++) {
            int32_t four;
            memcpy(&four, q + t * stride + k * 4, 4);
            __m512i x = _mm512_set1_epi32(four);
            acc[t][0] = _mm512_dpbusd_epi32(acc[t][0], x, w0);
            if (blocks_here > 1)
                acc[t][1] = _mm512_dpbusd_epi32(acc[t][1], x, w1);
        }
    }
    for (int b = 0; b < blocks_here; b++) {
        __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(row_sums + b * LANES), 7);
        for (int t = 0; t < count; t++)
            _mm512_storeu_si512(sums[t][b], _mm512_sub_epi32(acc[t][b], offset));
    }
}
#elif defined(__AVX2__)
#define BIAS 0
/* Bytes are widened to int16 and multiplied with vpmaddwd, whose pair sums fit int32: exact without VNNI. */
INLINE void tile_of(const uint8_t *q, int64_t stride, const int8_t *w, int64_t quads, const int32_t *row_sums, int count, int blocks_here,
                    int32_t sums[TILE][2][LANES]) {
    (void)row_sums;
    for (int b = 0; b < blocks_here; b++)
        for (int half = 0; half < 2; half++) {
            const int8_t *base = w + b * quads * 64 + half * 32;
            __m256i acc[TILE][2];
            for (int t = 0; t < count; t++)
                acc[t][0] = acc[t][1] = _mm256_setzero_si256();
            for (int64_t k = 0; k < quads; k++) {
                __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(base + k * 64)));
                __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(base + k * 64 + 16)));
                for (int t = 0; t < count; t++) {
                    int32_t four;
                    memcpy(&four, q + t * stride + k * 4, 4);
                    __m256i x = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
                    acc[t][0] = _mm256_add_epi32(acc[t][0], _mm256_madd_epi16(x, w0));
                    acc[t][1] = _mm256_add_epi32(acc[t][1], _mm256_madd_epi16(x, w1));
                }
            }
            for (int t = 0; t < count; t++) { /* neighbours belong together */
                __m256i joined = _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[t][0], acc[t][1]), 0xd8);
                _mm256_storeu_si256((__m256i *)(sums[t][b] + half * 8), joined);
            }
        }
}
#else
#define BIAS 0
INLINE void tile_of(const uint8_t *q, int64_t stride, const int8_t *w, int64_t quads, const int32_t *row_sums, int count, int blocks_here,
                    int32_t sums[TILE][2][LANES]) {
    (void)row_sums;
    for (int b = 0; b < blocks_here; b++)
        for (int t = 0; t < count; t++) {
            int32_t acc[LANES] = {0};
            for (int64_t k = 0; k < quads; k++) {
                const int8_t *x = (const int8_t *)q + t * stride + k * 4;
                const int8_t *block = w + (b * quads + k) * 64;
                for (int l = 0; l < LANES; l++)
                    acc[l] += x[0] * block[4 * l] + x[1] * block[4 * l + 1] + x[2] * block[4 * l + 2] + x[3] * block[4 * l + 3];
            }
            memcpy(sums[t][b], acc, sizeof acc);
        }
}
#endif

static void tile(const uint8_t *q, int64_t stride, const int8_t *w, int64_t quads, const int32_t *row_sums, int count, int blocks_here,
                 int32_t sums[TILE][2][LANES]) {
#define CASE(c)                                                                                                              \
    case c:                                                                                                                  \
        if (blocks_here > 1)                                                                                                 \
            tile_of(q, stride, w, quads, row_sums, c, 2, sums);                                                              \
        else                                                                                                                 \
            tile_of(q, stride, w, quads, row_sums, c, 1, sums);                                                              \
        break;
    switch (count) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
    }
}

/* y [T, N] = x [T, K] · Wᵀ as kernels.linear.Linear says. `threads` share the outputs. */
EXPORT int oe_linear(const float *x, const int8_t *packed, const int32_t *row_sums, const float *weight_scale, float *y, int64_t rows,
                     int64_t n, int64_t k, double square_unit, double ceiling, float floor_, int threads) {
    int64_t quads = (k + 3) / 4, stride = quads * 4, blocks = (n + LANES - 1) / LANES;
    uint8_t *q = malloc((size_t)(rows * stride));
    float *scales = malloc((size_t)rows * 2 * sizeof(float));
    Outliers *outliers = malloc((size_t)rows * sizeof(Outliers));
    int32_t *found = malloc((size_t)(rows * k) * 2 * sizeof(int32_t));
    int status = q && scales && outliers && found ? OK : NO_MEMORY;
    int64_t used = 0; /* lists stand one after the other: memory that is never touched costs nothing */
    for (int64_t t = 0; t < rows && status == OK; t++) {
        outliers[t].column = found + used;
        outliers[t].value = found + rows * k + used;
        memset(q + t * stride + k, BIAS, (size_t)(stride - k));
        status = quantize_row(x + t * k, k, square_unit, ceiling, floor_, q + t * stride, BIAS, scales + t, scales + rows + t, outliers + t);
        used += outliers[t].count;
    }
    if (status == OK) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t b = 0; b < blocks; b += 2) {
            int here = b + 1 < blocks ? 2 : 1;
            const int8_t *w = packed + b * quads * 64;
            for (int64_t t0 = 0; t0 < rows; t0 += TILE) {
                int count = rows - t0 < TILE ? (int)(rows - t0) : TILE;
                int32_t sums[TILE][2][LANES];
                tile(q + t0 * stride, stride, w, quads, row_sums + b * LANES, count, here, sums);
                for (int p = 0; p < here; p++) {
                    int64_t first = (b + p) * LANES;
                    int width = n - first < LANES ? (int)(n - first) : LANES;
                    for (int t = 0; t < count; t++)
                        scale_out(sums[t][p], scales[t0 + t], outliers + t0 + t, scales[rows + t0 + t], w + p * quads * 64,
                                  weight_scale + first, y + (t0 + t) * n + first, width);
                }
            }
        }
    }
    free(q);
    free(scales);
    free(outliers);
    free(found);
    return status;
}

/* The integer sums alone, int8 [T, K] -> int32 [T, N]: what other layers than oe_linear's build on. */
EXPORT int oe_multiply(const int8_t *rows_in, const int8_t *packed, const int32_t *row_sums, int32_t *y, int64_t rows, int64_t n, int64_t k,
                       int threads) {
    int64_t quads = (k + 3) / 4, stride = quads * 4, blocks = (n + LANES - 1) / LANES;
    uint8_t *q = malloc((size_t)(rows * stride) + 1);
    if (!q)
        return NO_MEMORY;
    for (int64_t t = 0; t < rows; t++) {
        for (int64_t i = 0; i < k; i++)
            q[t * stride + i] = (uint8_t)(rows_in[t * k + i] + BIAS);
        memset(q + t * stride + k, BIAS, (size_t)(stride - k));
    }
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t b = 0; b < blocks; b += 2) {
        int here = b + 1 < blocks ? 2 : 1;
        for (int64_t t0 = 0; t0 < rows; t0 += TILE) {
            int count = rows - t0 < TILE ? (int)(rows - t0) : TILE;
            int32_t sums[TILE][2][LANES];
            tile(q + t0 * stride, stride, packed + b * quads * 64, quads, row_sums + b * LANES, count, here, sums);
            for (int t = 0; t < count; t++)
                for (int p = 0; p < here; p++) {
                    int64_t first = (b + p) * LANES;
                    int width = n - first < LANES ? (int)(n - first) : LANES;
                    memcpy(y + (t0 + t) * n + first, sums[t][p], (size_t)width * 4);
                }
        }
    }
    free(q);
    return OK;
}

/* Only some columns: int32 values [T, C] times those columns of the weight, rounded once to fp32 [T, N]. */
EXPORT int oe_multiply_columns(const int32_t *columns, const int32_t *values, const int8_t *packed, float *y, int64_t rows, int64_t n,
                               int64_t k, int64_t count) {
    int64_t quads = (k + 3) / 4, blocks = (n + LANES - 1) / LANES;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = b * LANES;
        int width = n - first < LANES ? (int)(n - first) : LANES;
        for (int64_t t = 0; t < rows; t++) {
            int64_t sums[LANES] = {0};
            for (int64_t c = 0; c < count; c++) {
                int32_t lanes[LANES];
                column_of(packed + (b * quads + columns[c] / 4) * 64, columns[c] % 4, lanes);
                for (int l = 0; l < LANES; l++)
                    sums[l] += (int64_t)values[t * count + c] * lanes[l];
            }
            for (int l = 0; l < width; l++)
                y[t * n + first + l] = (float)sums[l];
        }
    }
    return OK;
}
