// Kernels over one tile of products, row-major, rows x columns, rows * columns below 2^32.
//
// Element (i, j) is the pair (first_row + i, first_column + j). A criterion decides which pairs are kept:
// (c >= above or c <= below) and rank(c) >= floor. Comparisons with NaN are false, so that NaN is never kept.
// The arithmetic of each __device__ function has its twin on the CPU in twin.rs; both compile without fused
// multiply-add, so that they give the same bits.

#define WARP 32u
#define ALL_LANES 0xffffffffu
#define BINS 4096u
#define NEAR_ONE 0.999

#define RANK_MAGNITUDE 0
#define RANK_HIGHEST 1
#define RANK_LOWEST 2

struct Tile {
    unsigned int rows;
    unsigned int columns;
    unsigned int first_row;
    unsigned int first_column;
    // Not 0: only pairs whose row is below their column.
    unsigned int triangle;
};

struct Criterion {
    double above;
    double below;
    double floor;
    unsigned int rank;
};

struct Pair {
    unsigned int row;
    unsigned int column;
    double value;
};

// NaN stays NaN: fmin and fmax would replace it.
__device__ inline double clamped(double c) {
    return c > 1.0 ? 1.0 : (c < -1.0 ? -1.0 : c);
}

__device__ inline double rank_of(double c, unsigned int rank) {
    return rank == RANK_MAGNITUDE ? fabs(c) : (rank == RANK_HIGHEST ? c : -c);
}

// `slack` widens the criterion.
__device__ inline bool keeps(const Criterion& wanted, double c, double slack) {
    return (c >= wanted.above - slack || c <= wanted.below + slack) && rank_of(c, wanted.rank) >= wanted.floor - slack;
}

__device__ inline bool in_triangle(const Tile& tile, unsigned int i, unsigned int j) {
    return !tile.triangle || tile.first_row + i < tile.first_column + j;
}

// Products near 1 again, from the distance of the two unit vectors: cancellation does not touch it, and identical
// rows give exactly 1. A warp works on one element at a time, so that its reads are consecutive. `length` counts
// the periods, `stride` the values from one row to the next.
extern "C" __global__ void refine_f64(double* product, Tile tile, Criterion wanted, double slack, const double* left,
                                      const double* right, unsigned int length, unsigned long long stride) {
    const unsigned int lane = threadIdx.x % WARP;
    const unsigned long long elements = (unsigned long long)tile.rows * tile.columns;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    // All lanes of a warp take part in every turn: `base` is that of the warp's first lane.
    for (unsigned long long base = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x - lane; base < elements; base += step) {
        const unsigned long long element = base + lane;
        unsigned int i = 0, j = 0;
        double c = 0.0;
        bool near = false;
        if (element < elements) {
            i = (unsigned int)element / tile.columns;
            j = (unsigned int)element % tile.columns;
            c = product[element];
            near = fabs(c) > NEAR_ONE && in_triangle(tile, i, j) && keeps(wanted, c, slack);
        }
        const double before = c;
        unsigned int pending = __ballot_sync(ALL_LANES, near);
        while (pending) {
            const int source = __ffs((int)pending) - 1;
            pending &= pending - 1;
            const double* x = left + __shfl_sync(ALL_LANES, i, source) * stride;
            const double* y = right + __shfl_sync(ALL_LANES, j, source) * stride;
            const double sign = __shfl_sync(ALL_LANES, c, source) < 0.0 ? -1.0 : 1.0;
            double sum = 0.0;
            for (unsigned int k = lane; k < length; k += WARP) {
                const double difference = x[k] - sign * y[k];
                sum += difference * difference;
            }
            for (unsigned int other = WARP / 2; other > 0; other /= 2) {
                sum += __shfl_xor_sync(ALL_LANES, sum, (int)other);
            }
            if (lane == (unsigned int)source) {
                c = sign * (1.0 - 0.5 * sum);
            }
        }
        c = clamped(c);
        if (element < elements && c != before && c == c) {
            product[element] = c;
        }
    }
}

// Counts the pairs kept and writes as many of them as `capacity` allows, in no particular order. One atomic
// addition per warp and turn.
template <typename T>
__device__ void select_pairs(const T* product, const Tile& tile, const Criterion& wanted, Pair* kept, unsigned int capacity,
                             unsigned long long* count) {
    const unsigned int lane = threadIdx.x % WARP;
    const unsigned long long elements = (unsigned long long)tile.rows * tile.columns;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long base = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x - lane; base < elements; base += step) {
        const unsigned long long element = base + lane;
        unsigned int i = 0, j = 0;
        double c = 0.0;
        bool keep = false;
        if (element < elements) {
            i = (unsigned int)element / tile.columns;
            j = (unsigned int)element % tile.columns;
            c = clamped((double)product[element]);
            keep = in_triangle(tile, i, j) && keeps(wanted, c, 0.0);
        }
        const unsigned int mask = __ballot_sync(ALL_LANES, keep);
        if (mask == 0) {
            continue;
        }
        unsigned long long first = 0;
        if (lane == 0) {
            first = atomicAdd(count, (unsigned long long)__popc(mask));
        }
        first = __shfl_sync(ALL_LANES, first, 0);
        const unsigned long long place = first + __popc(mask & ((1u << lane) - 1u));
        if (keep && place < capacity) {
            Pair pair;
            pair.row = tile.first_row + i;
            pair.column = tile.first_column + j;
            pair.value = c;
            kept[place] = pair;
        }
    }
}

extern "C" __global__ void select_f64(const double* product, Tile tile, Criterion wanted, Pair* kept, unsigned int capacity,
                                      unsigned long long* count) {
    select_pairs(product, tile, wanted, kept, capacity, count);
}

extern "C" __global__ void select_f32(const float* product, Tile tile, Criterion wanted, Pair* kept, unsigned int capacity,
                                      unsigned long long* count) {
    select_pairs(product, tile, wanted, kept, capacity, count);
}

// Counts the pairs kept by the bin of their rank: bin b holds low + b / scale <= rank, the last one all above.
template <typename T>
__device__ void count_ranks(const T* product, const Tile& tile, const Criterion& wanted, double low, double scale, unsigned int* bins) {
    __shared__ unsigned int counts[BINS];
    for (unsigned int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
        counts[bin] = 0;
    }
    __syncthreads();
    const unsigned long long elements = (unsigned long long)tile.rows * tile.columns;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long element = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; element < elements; element += step) {
        const unsigned int i = (unsigned int)element / tile.columns;
        const unsigned int j = (unsigned int)element % tile.columns;
        const double c = clamped((double)product[element]);
        if (in_triangle(tile, i, j) && keeps(wanted, c, 0.0)) {
            const double place = (rank_of(c, wanted.rank) - low) * scale;
            const unsigned int bin = place >= (double)(BINS - 1) ? BINS - 1 : (place > 0.0 ? (unsigned int)place : 0);
            atomicAdd(&counts[bin], 1u);
        }
    }
    __syncthreads();
    for (unsigned int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
        if (counts[bin] != 0) {
            atomicAdd(&bins[bin], counts[bin]);
        }
    }
}

extern "C" __global__ void histogram_f64(const double* product, Tile tile, Criterion wanted, double low, double scale, unsigned int* bins) {
    count_ranks(product, tile, wanted, low, scale, bins);
}

extern "C" __global__ void histogram_f32(const float* product, Tile tile, Criterion wanted, double low, double scale, unsigned int* bins) {
    count_ranks(product, tile, wanted, low, scale, bins);
}
