/* Decoding one token: all that lies between two attentions, as one function a layer. Compiled by compiled.py.

   One row times a matrix is a stream of the matrix through the processor: it is as fast as memory is if reading, widening
   and multiplying keep up, and if memory is read in one go from beginning to end. */

#include <math.h>
#include <stdint.h>
#include <string.h>

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
    matrix out, gate_up, down;
    norm mlp_norm;
    matrix qkv; /* of the next layer, as are the norms below */
    norm attention_norm, q_norm, k_norm;
} layer;

/* Sixteen numbers at once, in memory at any address. */
typedef float floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t words __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));

#define AT(type, p) (*(const type *)(p))
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

static inline float total(floats x) {
    float sum = 0;
    for (int j = 0; j < 16; j++) sum += x[j];
    return sum;
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

/* A row of bytes times whole numbers: the processor multiplies and adds those two at a time. */
static inline float dot_byte(const int8_t *restrict w, const int16_t *restrict x, int64_t k) {
    int32_t sum = 0;
    for (int64_t j = 0; j < k; j += LINE) __builtin_prefetch(w + j + AHEAD);
    for (int64_t j = 0; j < k; j++) sum += (int32_t)x[j] * (int32_t)w[j];
    return sum;
}

/* x as whole numbers times what is returned; as large as they may be so that k products with bytes fit 32 bits. */
static float whole_numbers(const float *x, int16_t *whole, int64_t k) {
    float most = 1e-30f, limit = floorf(2147480000.0f / 127 / k);
    limit = limit > 32767 ? 32767 : limit;
    for (int64_t j = 0; j < k; j++) most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
    for (int64_t j = 0; j < k; j++) whole[j] = (int16_t)floorf(x[j] * (limit / most) + 0.5f);
    return most / limit;
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

/* Number i of the product. For int8: x is whole * unit; for int4: sums are those of each 32 numbers of x. */
static inline float row(const matrix *m, int64_t i, const float *x, const int16_t *whole, float unit,
                        const float *sums) {
    int64_t k = m->columns;
    float y;
    switch (m->kind) {
    case 0: y = dot_float((const float *)m->data + i * k, x, k); break;
    case 1: y = dot_half((const uint16_t *)m->data + i * k, x, k); break;
    case 2: y = dot_byte((const int8_t *)m->data + i * k, whole, k) * unit * m->scale[i]; break;
    default:
        y = dot_nibble((const uint8_t *)m->data + i * k / 2, m->scale + i * k / 32,
                       m->middle + i * k / 32, x, sums, k / 32);
    }
    return m->bias ? y + m->bias[i] : y;
}

static void group_sums(const float *x, float *sums, int64_t groups) {
    for (int64_t g = 0; g < groups; g++) {
        float total = 0;
        for (int j = 0; j < 32; j++) total += x[32 * g + j];
        sums[g] = total;
    }
}

/* Called by all threads of a team, each of which computes its rows; all have arrived when it returns. */
static void multiply(const matrix *m, const float *x, float *y) {
    int64_t k = m->columns;
    int16_t whole[m->kind == 2 ? k : 1];
    float sums[m->kind == 3 ? k / 32 : 1], unit = m->kind == 2 ? whole_numbers(x, whole, k) : 0;
    if (m->kind == 3) group_sums(x, sums, k / 32);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < m->rows; i++) y[i] = row(m, i, x, whole, unit, sums);
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

/* By all threads of a team, with all of `between`. */
static void pass(const layer *l, float *h, const float *o, const float *cosine, const float *sine, float *qkv,
                 float *scratch) {
    float *mixed = scratch, *fed = scratch + l->hidden, *both = fed + l->hidden, *active = both + 2 * l->inner;
    float own[l->hidden], normed[l->hidden]; /* each thread's: cheaper than waiting for one to do it */
    multiply(&l->out, o, mixed);
    for (int64_t j = 0; j < l->hidden; j++) own[j] = h[j] + mixed[j];
    normalise(&l->mlp_norm, own, normed, l->hidden);
    multiply(&l->gate_up, normed, both);
#pragma omp for simd schedule(static)
    for (int64_t j = 0; j < l->inner; j++) active[j] = both[j] / (1 + exponential(-both[j])) * both[l->inner + j];
    multiply(&l->down, active, fed);
    for (int64_t j = 0; j < l->hidden; j++) own[j] += fed[j];
    normalise(&l->attention_norm, own, normed, l->hidden);
    multiply(&l->qkv, normed, qkv);
#pragma omp master
    memcpy(h, own, sizeof own);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < l->heads + l->kv_heads; i++) {
        const norm *n = i < l->heads ? &l->q_norm : &l->k_norm;
        float *head = qkv + i * l->head_dim;
        if (n->gain) normalise(n, head, head, l->head_dim);
        turn(head, cosine, sine, l->head_dim);
    }
}

/* h (hidden) and the attended heads o of one layer -> h after that layer, and the next layer's queries, keys, values.
   qkv: (heads + 2 * kv_heads, head_dim). scratch: 2 * hidden + 3 * inner floats. */
void between(const layer *l, float *h, const float *o, const float *cosine, const float *sine, float *qkv,
             float *scratch, int threads) {
#pragma omp parallel num_threads(threads)
    pass(l, h, o, cosine, sine, qkv, scratch);
}

/* By all threads of a team: store k and v as token n, then each head's attention to tokens 0..n. keys, values:
   (kv_heads, room, head_dim). */
static void attend(const layer *l, float *keys, float *values, int64_t room, int64_t n, const float *qkv, float *o) {
    int64_t width = l->head_dim, shared = l->heads / l->kv_heads;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < l->kv_heads; i++) {
        float *k = keys + i * room * width, *v = values + i * room * width, weights[n + 1];
        memcpy(k + n * width, qkv + (l->heads + i) * width, width * sizeof(float));
        memcpy(v + n * width, qkv + (l->heads + l->kv_heads + i) * width, width * sizeof(float));
        for (int64_t head = i * shared; head < (i + 1) * shared; head++) {
            float *out = o + head * width, most = -INFINITY, sum = 0, scale = 1 / sqrtf(width);
            for (int64_t t = 0; t <= n; t++) {
                weights[t] = dot_float(k + t * width, qkv + head * width, width) * scale;
                most = weights[t] > most ? weights[t] : most;
            }
#pragma omp simd reduction(+ : sum)
            for (int64_t t = 0; t <= n; t++) sum += weights[t] = exponential(weights[t] - most);
            for (int64_t j = 0; j < width; j++) out[j] = 0;
            for (int64_t t = 0; t <= n; t++)
#pragma omp simd
                for (int64_t j = 0; j < width; j++) out[j] += weights[t] * v[t * width + j];
            for (int64_t j = 0; j < width; j++) out[j] /= sum;
        }
    }
}

/* All layers of a token whose cache is a buffer a layer: stores is keys, values of the first layer, of the second, ...
   On entry qkv is the first layer's. scratch: heads * head_dim more than for `between`. */
void token(const layer *ls, int64_t layers, float *const *stores, int64_t room, int64_t n, float *h, float *qkv,
           const float *cosine, const float *sine, float *scratch, int threads) {
    float *o = scratch + 2 * ls->hidden + 3 * ls->inner;
#pragma omp parallel num_threads(threads)
    for (int64_t i = 0; i < layers; i++) {
        attend(ls + i, stores[2 * i], stores[2 * i + 1], room, n, qkv, o);
        pass(ls + i, h, o, cosine, sine, qkv, scratch);
    }
}

/* h (hidden) -> logits (rows of m). normed: hidden floats of scratch. */
void scores(const norm *n, const matrix *m, const float *h, float *logits, float *normed, int threads) {
    normalise(n, h, normed, m->columns);
#pragma omp parallel num_threads(threads)
    multiply(m, normed, logits);
}
