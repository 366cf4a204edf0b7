/*
 * The floor in C: the same frames and tables as switch-in-memory.ts, in one hand-fused loop - write the addresses, learn,
 * look up, count, queue. No ports, links, VLANs, ledger or limits. Its hash is the switch's, too: a cheaper one would put addresses
 * in sequence, as these are, into slots of their own, and never look further, as no table does that takes any address. Prints
 * nanoseconds per frame, the median of blocks.
 *
 *     cc -O2 -o fused fused.c && ./fused SIZE MACS PORTS MILLISECONDS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING 256
#define BLOCK 65536

struct entry {
	uint32_t lo, hi, port, heard;
};

static struct entry *table;
static uint32_t shift, mask, salt;

/* A key's home slot, as the switch has it (fdb.ts). */
static inline uint32_t home(uint32_t hi, uint32_t lo)
{
	uint32_t h = ((lo ^ salt) * 0x9e3779b1u) ^ (hi * 0x85ebca6bu);
	h = (h ^ (h >> 16)) * 0x7feb352du;
	return ((h ^ (h >> 15)) * 0x846ca68bu) >> shift;
}

static struct entry *find(uint32_t hi, uint32_t lo)
{
	uint32_t slot = home(hi, lo);
	for (;;) {
		struct entry *e = &table[slot];
		if (e->port == 0 || (e->lo == lo && e->hi == hi))
			return e;
		slot = (slot + 1) & mask;
	}
}

static uint32_t seed = 1;
static uint32_t below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint32_t size = argc > 1 ? atoi(argv[1]) : 64, macs = argc > 2 ? atoi(argv[2]) : 1024;
	uint32_t ports = argc > 3 ? atoi(argv[3]) : 4;
	double budget = (argc > 4 ? atof(argv[4]) : 1000) * 1e6;

	uint32_t bits = 0;
	while ((1u << bits) < (macs < 8192 ? 8192 : macs) * 2)
		bits++;
	salt = home(0, 0x5bd1e995);
	shift = 32 - bits;
	mask = (1u << bits) - 1;
	table = calloc((size_t)1 << bits, sizeof *table);

	/* Every MAC sends, in random order, to a random MAC behind another port; MAC i lives on port i % ports. */
	uint32_t senders = macs < 4096 ? 4096 : macs;
	uint32_t *order = malloc(senders * sizeof *order);
	for (uint32_t i = 0; i < senders; i++)
		order[i] = i % macs;
	for (uint32_t i = senders - 1; i > 0; i--) {
		uint32_t j = below(i + 1), t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	uint8_t(**headers)[12] = malloc(ports * sizeof *headers);
	uint32_t *count = calloc(ports, sizeof *count), *next = calloc(ports, sizeof *next);
	for (uint32_t p = 0; p < ports; p++)
		headers[p] = malloc(senders * 12);
	for (uint32_t i = 0; i < senders; i++) {
		uint32_t src = order[i], p = src % ports, dst = below(macs);
		while (dst % ports == p)
			dst = below(macs);
		uint8_t h[12] = {2, 0, 0x5e, dst >> 16, dst >> 8, dst, 2, 0, 0x5e, src >> 16, src >> 8, src};
		memcpy(headers[p][count[p]++], h, 12);
	}

	size_t stride = (((130 + size + 63) / 64) | 1) * 64;
	uint8_t *arena = calloc(ports * RING, stride);
	uint32_t *off = malloc(ports * RING * sizeof *off), *len = malloc(ports * RING * sizeof *len);
	for (uint32_t i = 0; i < ports * RING; i++) {
		off[i] = i * stride + 130;
		len[i] = size;
	}
	double *counts = calloc(ports * 8, sizeof *counts);
	uint32_t(*out)[64] = calloc(ports, sizeof *out), *queued = calloc(ports, sizeof *queued);

	static double ns[100000];
	uint32_t blocks = 0, warm = 20;
	for (double start = now_ns(); blocks < 100000 && (blocks < 5 || now_ns() - start < budget);) {
		double t = now_ns();
		for (uint32_t done = 0; done < BLOCK; done += ports * 64) {
			for (uint32_t p = 0; p < ports; p++) {
				for (uint32_t i = 0; i < 64; i++) {
					uint32_t f = p * RING + ((done + i) & (RING - 1));
					uint8_t *frame = arena + off[f];
					memcpy(frame, headers[p][next[p]], 12);
					if (++next[p] == count[p])
						next[p] = 0;
					uint16_t dst_hi, src_hi;
					uint32_t dst_lo, src_lo;
					memcpy(&dst_hi, frame, 2);
					memcpy(&dst_lo, frame + 2, 4);
					memcpy(&src_hi, frame + 6, 2);
					memcpy(&src_lo, frame + 8, 4);
					struct entry *src = find(src_hi, src_lo);
					*src = (struct entry){src_lo, src_hi, p + 1, 1};
					uint32_t to = find(dst_hi, dst_lo)->port;
					if (to == 0)
						continue;
					to--;
					counts[to * 8]++;
					counts[to * 8 + 1] += len[f];
					out[to][queued[to]] = f;
					queued[to] = (queued[to] + 1) & 63;
				}
			}
		}
		double took = (now_ns() - t) / BLOCK;
		if (warm > 0)
			warm--;
		else
			ns[blocks++] = took;
	}
	qsort(ns, blocks, sizeof *ns, ascending);
	double sum = 0;
	for (uint32_t p = 0; p < ports; p++)
		sum += counts[p * 8];
	printf("{\"ns\":%.2f,\"blocks\":%u,\"forwarded\":%.0f}\n", ns[blocks / 2], blocks, sum);
	return 0;
}
