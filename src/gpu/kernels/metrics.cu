// Metrics of each row of a panel of raw values, one thread per row, sequential in time. NaN marks a missing value.
// The twin on the CPU is twin.rs; both compile without fused multiply-add, so that they give the same bits.

struct SeriesMetrics {
    unsigned long long count;
    double sum;
    double mean;
    double m2;
    double min;
    double max;
    double max_drawdown;
};

// A sum with the digits lost by its additions kept apart (Knuth's two-sum).
struct Compensated {
    double sum;
    double lost;
};

__device__ inline bool is_finite(double x) {
    return x - x == 0.0;
}

__device__ inline void add(Compensated& to, double x) {
    const double sum = to.sum + x;
    const double added = sum - to.sum;
    to.lost += (to.sum - (sum - added)) + (x - added);
    to.sum = sum;
}

__device__ inline double value(const Compensated& of) {
    return is_finite(of.lost) ? of.sum + of.lost : of.sum;
}

// The difference, with the digits that both sums have in common removed before rounding.
__device__ inline double minus(const Compensated& a, const Compensated& b) {
    const double lost = a.lost - b.lost;
    return (a.sum - b.sum) + (is_finite(lost) ? lost : 0.0);
}

// `rows` of `length` values each lie `stride` values apart; `metrics` has one entry per row.
extern "C" __global__ void series_metrics(const double* panel, unsigned int rows, unsigned int length, unsigned long long stride,
                                          SeriesMetrics* metrics) {
    const unsigned long long row = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) {
        return;
    }
    const double* values = panel + row * stride;
    const double missing = __longlong_as_double(0x7ff8000000000000LL);
    unsigned long long count = 0;
    Compensated sum = {0.0, 0.0};
    Compensated high = {0.0, 0.0};
    double min = missing, max = missing, deepest = 0.0;
    for (unsigned int t = 0; t < length; t++) {
        const double x = values[t];
        if (x != x) {
            continue;
        }
        min = count == 0 || x < min ? x : min;
        max = count == 0 || x > max ? x : max;
        count++;
        add(sum, x);
        if (minus(sum, high) > 0.0) {
            high = sum;
        }
        const double depth = minus(sum, high);
        // A depth that is no number stays: the curve has left the finite numbers.
        deepest = depth < deepest || depth != depth ? depth : deepest;
    }
    SeriesMetrics result = {count, missing, missing, missing, min, max, missing};
    if (count > 0) {
        const double n = (double)count;
        result.sum = value(sum);
        result.mean = min == max ? min : result.sum / n;
        result.max_drawdown = deepest;
        Compensated squares = {0.0, 0.0};
        double deviations = 0.0;
        for (unsigned int t = 0; t < length; t++) {
            const double x = values[t];
            if (x != x) {
                continue;
            }
            const double deviation = x - result.mean;
            deviations += deviation;
            add(squares, deviation * deviation);
        }
        // The second pass also takes out what the rounding of the mean has added.
        const double m2 = value(squares) - deviations * deviations / n;
        result.m2 = min == max ? 0.0 : (m2 < 0.0 ? 0.0 : m2);
    }
    metrics[row] = result;
}
