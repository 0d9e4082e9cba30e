/* Shared by the twins. Compiled with -ffp-contract=off: every + - * / stands for one IEEE-754 operation, as in numpy. */
#ifndef OSTRAKA_COMMON_H
#define OSTRAKA_COMMON_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "exact arithmetic must not be compiled with -ffast-math"
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum { OK = 0, NOT_FINITE = 1, NO_MEMORY = 2 };

#define INFINITY_BITS 0x7f800000

/* +0, read through a volatile: x + 0 turns -0.0 into +0.0, and gcc 12 drops the addition where it believes x is never -0.0, wrongly for
 * rint; it also turns (float)(int)rint(x) into rint(x). */
static const volatile float ZERO = 0.0f;

/* Largest magnitude of a row. Compared as integers: magnitudes order like their bits, NaN comes out above infinity. */
INLINE int32_t peak_bits(const float *x, int64_t n) {
    const int32_t *bits = (const int32_t *)x;
    int32_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t size = bits[i] & 0x7fffffff;
        best = size > best ? size : best;
    }
    return best;
}

INLINE float from_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE float larger(float a, float b) { return a > b ? a : b; }

/* rint(x[i] * factor) for results within int8. */
INLINE void quantize_into(const float *x, int64_t n, float factor, int8_t *q) {
    for (int64_t i = 0; i < n; i++)
        q[i] = (int8_t)(int32_t)rintf(x[i] * factor);
}

/* 2^t · c0's scale by a polynomial of degree 4, c[0] the highest coefficient: `scalar.Exp2`, operation by operation. */
INLINE float exp2_poly(float t, const float *c) {
    float whole = rintf(t);
    float fraction = t - whole;
    float power = fraction * c[0];
    power += c[1];
    power *= fraction;
    power += c[2];
    power *= fraction;
    power += c[3];
    power *= fraction;
    power += c[4];
    int32_t bits;
    memcpy(&bits, &power, 4);
    return from_bits((int32_t)((uint32_t)bits + ((uint32_t)(int32_t)whole << 23)));
}

#endif
