/* Decoding one token: all layers as one function, or what lies between two attentions. Compiled by compiled.py.

   One row times a matrix is a stream of the matrix through the processor: it is as fast as memory is if reading, widening
   and multiplying keep up, and if memory is read in order, by each thread in two places at once. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512BW__
#include <immintrin.h>
#endif

typedef struct {
    int64_t kind, rows, columns; /* kind: 0 fp32, 1 bf16, 2 int8, 3 int4 */
    const void *data;            /* (rows, columns); int4: (rows, columns / 32, 16) bytes, number j below j + 16 */
    const float *scale;          /* int8: (rows); int4: (rows, columns / 32) steps */
    const uint16_t *middle;      /* int4: (rows, columns / 32) bf16; a number is (code - 8) * step + middle */
    const float *bias;           /* (rows), or NULL */
} matrix;

typedef struct { /* RMSNorm: x * gain / sqrt(sum(x^2) + eps) */
    const float *gain; /* NULL: there is none */
    float eps;
} norm;

typedef struct {
    int64_t hidden, inner, heads, kv_heads, head_dim; /* inner: rows of gate, and of up */
    norm attention_norm, q_norm, k_norm, mlp_norm;
    matrix qkv, out, gate_up, down;
} layer;

/* Sixteen numbers at once, in memory at any address. */
typedef float floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t words __attribute__((vector_size(64), aligned(4), may_alias));
typedef int16_t shorts __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));

#define AT(type, p) (*(type *)(p))
#define READ_float(p) AT(floats, p)
#define READ_uint16_t(p) ((floats)(__builtin_convertvector(AT(halves, p), words) << 16))
#define FLOATS(unsigned_bytes) __builtin_convertvector(__builtin_convertvector(unsigned_bytes, words), floats)
#define AHEAD 4096 /* bytes that memory is asked for beforehand */
#define LINE 64

static inline float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float total(floats x) { /* by halves: one after the other they would wait sixteen times */
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    eight a[2];
    memcpy(a, &x, sizeof a);
    a[0] += a[1];
    four b[2];
    memcpy(b, a, sizeof b);
    b[0] += b[1];
    return b[0][0] + b[0][1] + (b[0][2] + b[0][3]);
}

/* A row times x, k a multiple of 16. Four sums, so that an addition need not wait for the last one. */
#define DOT(name, type)                                                                           \
    static inline float name(const type *w, const float *x, int64_t k) {                          \
        floats a = {0}, b = {0}, c = {0}, d = {0};                                                \
        int64_t j = 0;                                                                            \
        for (; j + 64 <= k; j += 64) {                                                            \
            for (unsigned at = 0; at < 64 * sizeof *w; at += LINE)                                \
                __builtin_prefetch((const char *)(w + j) + AHEAD + at);                           \
            a += AT(floats, x + j) * READ_##type(w + j);                                          \
            b += AT(floats, x + j + 16) * READ_##type(w + j + 16);                                \
            c += AT(floats, x + j + 32) * READ_##type(w + j + 32);                                \
            d += AT(floats, x + j + 48) * READ_##type(w + j + 48);                                \
        }                                                                                         \
        for (; j < k; j += 16) a += AT(floats, x + j) * READ_##type(w + j);                       \
        return total(a + b + (c + d));                                                            \
    }

DOT(dot_float, float)
DOT(dot_half, uint16_t)

static inline words rounded(floats x) { /* below 2^22: in a sum this large the last bit counts ones */
    floats large = (floats){0} + 0x1.8p23f;
    return (words)(x + large) - (words)large;
}

/* x as whole numbers times what is returned; as large as they may be so that k products with bytes fit 32 bits. */
static float whole_numbers(const float *x, int16_t *whole, int64_t k) {
    int64_t limit = INT32_MAX / 128 / k;
    float most = 1e-30f;
    words sizes = {0};
    for (int64_t j = 0; j < k; j += 16) {
        words size = AT(words, x + j) & INT32_MAX, more = size > sizes; /* positive floats and their bits: one order */
        sizes = (size & more) | (sizes & ~more);
    }
    for (int j = 0; j < 16; j++) most = ((floats)sizes)[j] > most ? ((floats)sizes)[j] : most;
    limit = limit > 32767 ? 32767 : limit;
    for (int64_t j = 0; j < k; j += 16)
        AT(shorts, whole + j) = __builtin_convertvector(rounded(AT(floats, x + j) * (limit / most)), shorts);
    return most / limit;
}

/* A row of bytes times whole numbers: the processor multiplies and adds those two at a time. */
static inline float dot_byte(const int8_t *restrict w, const int16_t *restrict x, int64_t k) {
    int32_t sum = 0;
    int64_t j = 0;
    for (int64_t at = 0; at < k; at += LINE) __builtin_prefetch(w + at + AHEAD);
#ifdef __AVX512BW__ /* what compilers make of the loop below waits for each sum before the next */
    __m512i a = _mm512_setzero_si512(), b = a;
    for (; j + 64 <= k; j += 64) {
        __m512i left = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(w + j)));
        __m512i right = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(w + j + 32)));
        a = _mm512_add_epi32(a, _mm512_madd_epi16(left, _mm512_loadu_si512(x + j)));
        b = _mm512_add_epi32(b, _mm512_madd_epi16(right, _mm512_loadu_si512(x + j + 32)));
    }
    sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
#endif
    for (; j < k; j++) sum += (int32_t)x[j] * (int32_t)w[j];
    return sum;
}

static inline float dot_nibble(const uint8_t *w, const float *step, const uint16_t *middle, const float *x,
                               const float *sums, int64_t groups) {
    floats a = {0};
    float rest = 0;
    for (int64_t g = 0; g < groups; g++, w += 16, x += 32) {
        bytes both = AT(bytes, w);
        __builtin_prefetch(w + AHEAD);
        floats sum = AT(floats, x) * FLOATS(both & 15) + AT(floats, x + 16) * FLOATS(both >> 4);
        a += step[g] * sum;
    }
    for (int64_t g = 0; g < groups; g++) rest += (widen(middle[g]) - 8 * step[g]) * sums[g];
    return rest + total(a);
}

static void group_sums(const float *x, float *sums, int64_t groups) {
    for (int64_t g = 0; g < groups; g++) {
        float total = 0;
        for (int j = 0; j < 32; j++) total += x[32 * g + j];
        sums[g] = total;
    }
}

typedef struct { /* what the rows of a matrix are multiplied by */
    const float *x, *sums; /* sums: for int4, of each 32 numbers of x */
    const int16_t *whole;  /* for int8: x is whole * unit */
    float unit;
} factor;

/* Number i of the product. */
static inline float row(const matrix *m, int64_t i, const factor *by) {
    int64_t k = m->columns;
    float y;
    switch (m->kind) {
    case 0: y = dot_float((const float *)m->data + i * k, by->x, k); break;
    case 1: y = dot_half((const uint16_t *)m->data + i * k, by->x, k); break;
    case 2: y = dot_byte((const int8_t *)m->data + i * k, by->whole, k) * by->unit * m->scale[i]; break;
    default:
        y = dot_nibble((const uint8_t *)m->data + i * k / 2, m->scale + i * k / 32,
                       m->middle + i * k / 32, by->x, by->sums, k / 32);
    }
    return m->bias ? y + m->bias[i] : y;
}

/* The functions below are called by all threads of a team, each of which computes its share; after a product all wait
   for the others. What is short each thread computes for itself: cheaper than waiting for one to do it. */
static void multiply(const matrix *m, const float *x, float *y) {
    int64_t k = m->columns, half = (m->rows + 1) / 2; /* of two places at once memory is read faster */
    int16_t whole[m->kind == 2 ? k : 1];
    float sums[m->kind == 3 ? k / 32 : 1];
    factor by = {x, sums, whole, 0};
    if (m->kind == 2) by.unit = whole_numbers(x, whole, k);
    if (m->kind == 3) group_sums(x, sums, k / 32);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < half; i++) {
        y[i] = row(m, i, &by);
        if (half + i < m->rows) y[half + i] = row(m, half + i, &by);
    }
}

static void normalise(const norm *n, const float *x, float *y, int64_t width) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < width; j++) squares += x[j] * x[j];
    float by = 1 / sqrtf(squares + n->eps);
#pragma omp simd
    for (int64_t j = 0; j < width; j++) y[j] = x[j] * n->gain[j] * by;
}

/* e^x to 1e-7 of itself: 2^n times a polynomial of the rest, so that sixteen are computed at once. */
static inline float exponential(float x) {
    x = x < -87 ? -87 : x > 88 ? 88 : x;
    float n = floorf(x * 1.44269504f + 0.5f), r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1 + r * (1 + r * (0.5f + r * (0.16666667f + r * (0.041666667f + r * (0.0083333333f + r * 0.0013888889f)))));
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

static void turn(float *x, const float *cosine, const float *sine, int64_t width) {
    for (int64_t j = 0, half = width / 2; j < half; j++) {
        float a = x[j], b = x[j + half];
        x[j] = a * cosine[j] + b * sine[j]; /* sine[j] carries the sign */
        x[j + half] = b * cosine[j + half] + a * sine[j + half];
    }
}

/* A head of queries or keys -> normed where the model does that, and turned by its place. */
static void place(const float *head, const norm *n, const float *cosine, const float *sine, float *placed,
                  int64_t width) {
    if (n->gain) normalise(n, head, placed, width);
    else memmove(placed, head, width * sizeof(float));
    turn(placed, cosine, sine, width);
}

/* h (hidden), each thread's own -> qkv (heads + 2 * kv_heads, head_dim), not yet placed. */
static void project(const layer *l, const float *h, float *qkv) {
    float normed[l->hidden];
    normalise(&l->attention_norm, h, normed, l->hidden);
    multiply(&l->qkv, normed, qkv);
}

/* keys, values: (kv_heads, room, head_dim). Stores this token's as number n; o: each head's attention to 0..n. */
static void attend(const layer *l, float *keys, float *values, int64_t room, int64_t n, const float *qkv,
                   const float *cosine, const float *sine, float *o) {
    int64_t width = l->head_dim, shared = l->heads / l->kv_heads;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < l->heads; i++) {
        int64_t store = i / shared;
        float *k = keys + store * room * width, *v = values + store * room * width;
        float query[width], key[width], weights[n + 1], most = -INFINITY, sum = 0, scale = 1 / sqrtf(width);
        const float *value = qkv + (l->heads + l->kv_heads + store) * width;
        place(qkv + i * width, &l->q_norm, cosine, sine, query, width);
        place(qkv + (l->heads + store) * width, &l->k_norm, cosine, sine, key, width);
        if (i % shared == 0) { /* one thread stores; the others that share them have their own copy */
            memcpy(k + n * width, key, width * sizeof(float));
            memcpy(v + n * width, value, width * sizeof(float));
        }
        for (int64_t t = 0; t <= n; t++) {
            weights[t] = dot_float(t < n ? k + t * width : key, query, width) * scale;
            most = weights[t] > most ? weights[t] : most;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t t = 0; t <= n; t++) sum += weights[t] = exponential(weights[t] - most);
        float *out = o + i * width;
        for (int64_t j = 0; j < width; j += 16) {
            floats mean = weights[n] * AT(floats, value + j), other = {0};
            int64_t t = 0;
            for (; t + 2 <= n; t += 2) {
                mean += weights[t] * AT(floats, v + t * width + j);
                other += weights[t + 1] * AT(floats, v + (t + 1) * width + j);
            }
            if (t < n) mean += weights[t] * AT(floats, v + t * width + j);
            AT(floats, out + j) = (mean + other) / sum;
        }
    }
}

/* h and the attended heads o -> h after this layer. scratch: 2 * hidden + 3 * inner floats. */
static void finish(const layer *l, float *h, const float *o, float *scratch) {
    float *mixed = scratch, *fed = mixed + l->hidden, *both = fed + l->hidden, *active = both + 2 * l->inner;
    float normed[l->hidden];
    multiply(&l->out, o, mixed);
    for (int64_t j = 0; j < l->hidden; j++) h[j] += mixed[j];
    normalise(&l->mlp_norm, h, normed, l->hidden);
    multiply(&l->gate_up, normed, both);
#pragma omp for simd schedule(static)
    for (int64_t j = 0; j < l->inner; j++) active[j] = both[j] / (1 + exponential(-both[j])) * both[l->inner + j];
    multiply(&l->down, active, fed);
    for (int64_t j = 0; j < l->hidden; j++) h[j] += fed[j];
}

/* From one attention to the next. h (hidden) and the attended heads o of the layer `done` -> h after that layer, and
   the queries, keys and values of the layer `next`, placed. Before the first layer done is NULL, after the last next. */
void between(const layer *done, const layer *next, float *h, const float *o, const float *cosine, const float *sine,
             float *qkv, float *scratch, int threads) {
    int64_t hidden = done ? done->hidden : next->hidden;
#pragma omp parallel num_threads(threads)
    {
        float own[hidden];
        memcpy(own, h, sizeof own);
        if (done) finish(done, own, o, scratch);
        if (next) {
            project(next, own, qkv);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < next->heads + next->kv_heads; i++) {
                float *head = qkv + i * next->head_dim;
                place(head, i < next->heads ? &next->q_norm : &next->k_norm, cosine, sine, head, next->head_dim);
            }
        }
#pragma omp master
        memcpy(h, own, sizeof own);
    }
}

/* All layers of a token whose cache is a buffer a layer: stores is keys, values of the first layer, of the second, ...
   scratch: 2 * hidden + 3 * inner + 2 * (heads + kv_heads) * head_dim floats. */
void token(const layer *ls, int64_t layers, float *const *stores, int64_t room, int64_t n, float *h,
           const float *cosine, const float *sine, float *scratch, int threads) {
    float *o = scratch + 2 * ls->hidden + 3 * ls->inner, *qkv = o + ls->heads * ls->head_dim;
#pragma omp parallel num_threads(threads)
    {
        float own[ls->hidden];
        memcpy(own, h, sizeof own);
        for (int64_t i = 0; i < layers; i++) {
            project(ls + i, own, qkv);
            attend(ls + i, stores[2 * i], stores[2 * i + 1], room, n, qkv, cosine, sine, o);
            finish(ls + i, own, o, scratch);
        }
#pragma omp master
        memcpy(h, own, sizeof own);
    }
}

/* h (hidden) -> logits (rows of m). normed: hidden floats of scratch. */
void scores(const norm *n, const matrix *m, const float *h, float *logits, float *normed, int threads) {
    normalise(n, h, normed, m->columns);
#pragma omp parallel num_threads(threads)
    multiply(m, normed, logits);
}
