/* Twins of kernels/norm.py and kernels/scalar.py: same operations, same order, one pass over memory. */
#include "common.h"

/* kernels.norm.RmsNorm. The sum of squares of grid integers is exact below 2^53 in any order, so lanes may add apart. */
EXPORT int oe_rms_norm(const float *x, const float *weight, float *y, int64_t rows, int64_t width, float steps,
                       float floor_, double divisor, double eps) {
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        int32_t bits = peak_bits(x, width);
        if (bits >= INFINITY_BITS)
            return NOT_FINITE;
        float largest = larger(from_bits(bits), floor_);
        float factor = steps / largest;
        double lanes[16] = {0};
        int64_t i = 0;
        for (; i + 16 <= width; i += 16)
            for (int l = 0; l < 16; l++) {
                double grid = (double)rintf(x[i + l] * factor);
                lanes[l] += grid * grid;
            }
        double sum = 0;
        for (; i < width; i++) {
            double grid = (double)rintf(x[i] * factor);
            sum += grid * grid;
        }
        for (int l = 0; l < 16; l++)
            sum += lanes[l];
        double mean = (double)largest;
        mean *= mean;
        mean /= divisor;
        mean *= sum;
        mean += eps;
        float inverse = (float)(1.0 / sqrt(mean));
        for (int64_t j = 0; j < width; j++) {
            float scaled = x[j] * inverse;
            y[j] = scaled * weight[j];
        }
    }
    return OK;
}

/* silu(gate) * up for rows [gate | up]; kernels.scalar.silu. */
EXPORT int oe_silu_mul(const float *gate_up, float *y, int64_t rows, int64_t width, float minus_log2_e, float most,
                       const float *powers) {
    for (int64_t r = 0; r < rows; r++, gate_up += 2 * width, y += width) {
        const float *gate = gate_up, *up = gate_up + width;
        for (int64_t i = 0; i < width; i++) {
            float t = gate[i] * minus_log2_e;
            t = t < most ? t : most;
            t = t > -most ? t : -most;
            float divided = gate[i] / (exp2_poly(t, powers) + 1.0f);
            y[i] = divided * up[i];
        }
    }
    return OK;
}
