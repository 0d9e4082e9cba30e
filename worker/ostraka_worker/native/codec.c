/* Twin of the wire format int8-b64-t4 (ostraka/codec/blocks_top4.py): encodes and decodes at once, as every border does. */
#include "common.h"

#define TOP 4
#define BLOCK 64
#define LARGEST_BLOCK 8319008.0f /* 127 · 65504 */

/* The smallest IEEE half that is not below v, for 0 <= v <= 65504. */
INLINE uint16_t half_up(float v) {
    int32_t bits;
    memcpy(&bits, &v, 4);
    if (bits >= 113 << 23) /* normal as a half */
        return (uint16_t)(((bits + 0x1fff) >> 13) - (112 << 10));
    return (uint16_t)(int32_t)ceilf(v * 16777216.0f); /* in units of 2^-24; the product is exact */
}

INLINE float half_to_float(uint16_t h) {
    if (h >= 1 << 10)
        return from_bits(((int32_t)h << 13) + (112 << 23));
    return (float)h * (1.0f / 16777216.0f);
}

/* x [T, H] -> records [T, row_bytes] and what they decode to, y [T, H]. NOT_FINITE where the format may not hold a row: the caller
 * asks the Python twin, which knows the limits and words the error. */
EXPORT int oe_encode_int8_b64_t4(const float *x, uint8_t *records, float *y, int64_t rows, int64_t width, int64_t row_bytes) {
    int64_t blocks = (width + BLOCK - 1) / BLOCK;
    int32_t *sizes = malloc((size_t)(blocks * BLOCK + blocks) * sizeof(int32_t));
    if (!sizes)
        return NO_MEMORY;
    const float zero = ZERO;
    int32_t *peaks = sizes + blocks * BLOCK;
    for (int64_t r = 0; r < rows; r++, x += width, y += width, records += row_bytes) {
        const int32_t *bits = (const int32_t *)x;
        for (int64_t i = 0; i < width; i++)
            sizes[i] = bits[i] & 0x7fffffff;
        for (int64_t i = width; i < blocks * BLOCK; i++)
            sizes[i] = 0;
        for (int64_t b = 0; b < blocks; b++) {
            int32_t best = 0;
            for (int i = 0; i < BLOCK; i++)
                best = sizes[b * BLOCK + i] > best ? sizes[b * BLOCK + i] : best;
            peaks[b] = best;
        }
        int64_t channel[TOP];
        int32_t largest = 0;
        for (int place = 0; place < TOP; place++) { /* the first of equals */
            int64_t block = -1, at;
            for (int64_t b = 0; b < blocks; b++)
                if (block < 0 || peaks[b] > peaks[block])
                    block = b;
            for (at = block * BLOCK; sizes[at] != peaks[block]; at++)
                ;
            if (at >= width) { /* only zeros are left, and the first of them lies in an earlier block that shows 0 too */
                free(sizes);
                return NOT_FINITE;
            }
            if (place == 0)
                largest = sizes[at];
            channel[place] = at;
            sizes[at] = -1;
            int32_t best = 0;
            int found = 0;
            for (int i = 0; i < BLOCK; i++) {
                int32_t size = sizes[block * BLOCK + i];
                found |= size >= 0;
                best = size > best ? size : best;
            }
            peaks[block] = found ? best : -1;
        }
        float peak = 0;
        for (int64_t b = 0; b < blocks; b++)
            peak = larger(peak, peaks[b] > 0 ? from_bits(peaks[b]) : 0.0f);
        if (largest >= INFINITY_BITS || from_bits(largest) > LARGEST_BLOCK || peak > LARGEST_BLOCK) {
            free(sizes);
            return NOT_FINITE;
        }
        float top_scale = larger(from_bits(largest), 0x1p-100f) / 32767.0f;
        uint8_t *codes = records + 16 + 2 * blocks;
        memcpy(records, &top_scale, 4);
        for (int64_t b = 0; b < blocks; b++) {
            uint16_t half = half_up((peaks[b] > 0 ? from_bits(peaks[b]) : 0.0f) / 127.0f);
            memcpy(records + 16 + 2 * b, &half, 2);
            float wide = half_to_float(half), divisor = larger(wide, 0x1p-24f);
            int64_t start = b * BLOCK, stop = start + BLOCK < width ? start + BLOCK : width;
            for (int64_t i = start; i < stop; i++) {
                /* A top channel's quotient may be far outside int8; it is overwritten below, so any value will do. */
                float quotient = sizes[i] < 0 ? 0.0f : x[i];
                quotient = rintf(quotient / divisor) + zero;
                codes[i] = (uint8_t)(int32_t)quotient;
                y[i] = quotient * wide;
            }
        }
        for (int place = 0; place < TOP; place++) {
            int64_t at = channel[place];
            uint16_t index = (uint16_t)at;
            int32_t value = (int32_t)rintf(x[at] / top_scale);
            memcpy(records + 4 + 2 * place, &index, 2);
            records[12 + place] = (uint8_t)(value >> 8);
            codes[at] = (uint8_t)value;
            y[at] = ((float)value + zero) * top_scale;
        }
    }
    free(sizes);
    return OK;
}
