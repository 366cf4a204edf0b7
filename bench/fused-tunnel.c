/*
 * The floor in C of tunnel-in-memory.ts: the same frames into VXLAN and out again in one hand-fused loop - outer header with its
 * checksum and a source port of the flow's hash in front, then what came is looked at, its VNI looked up, and the header taken
 * off; counters. No ports, links, ECN, ledger, offloads or several holders. What making the frames costs is measured, too, and
 * taken off. Prints nanoseconds per frame, the median of blocks.
 *
 *     cc -O2 -o fused-tunnel fused-tunnel.c && ./fused-tunnel SIZE MILLISECONDS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS 64
#define FLOWS 1024
#define BLOCK 65536
#define OUTER 50
#define VNIS 1024

struct vni {
	uint32_t key, network;
};

static uint8_t headers[FLOWS][44], outer[OUTER];
static uint8_t *arena;
static uint32_t off[ROWS], len[ROWS], size, base, next, id;
static struct vni vnis[VNIS];
static uint64_t frames, bytes;

static uint16_t swap(uint32_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}

static uint32_t word(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static uint16_t half(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return v;
}

static uint32_t home(uint32_t key)
{
	return (key * 0x9e3779b1u >> 17) & (VNIS - 1);
}

static void make(void)
{
	for (uint32_t i = 0; i < ROWS; i++) {
		memcpy(arena + off[i], headers[next], 44);
		len[i] = size;
		next = (next + 1) & (FLOWS - 1);
	}
}

static void wrap(void)
{
	for (uint32_t i = 0; i < ROWS; i++) {
		uint8_t *in = arena + off[i], *o = in - OUTER;
		if (word(in + 12) << 8 != 0x45000800u || (half(in + 20) & 0xff3f) != 0)
			continue;
		uint32_t a = word(in + 26), b = word(in + 30);
		uint16_t p = half(in + 34), q = half(in + 36);
		uint32_t sum = a + b, ports = (uint32_t)(p + q) << 13 ^ (p ^ q) ^ in[23];
		uint32_t h = (sum ^ sum >> 15) * 0x9e3779b1u ^ (a ^ b) * 0x85ebca6bu ^ ports * 0xc2b2ae35u;
		h = (h ^ h >> 15) * 0x846ca68bu;
		uint16_t total = swap(len[i] + OUTER - 14), udp = swap(len[i] + OUTER - 34);
		uint16_t port = swap(32768 + ((h >> 16) * 28231 >> 16)), number = swap(++id & 0xffff);
		uint32_t s = base + total + number;
		s = (s & 0xffff) + (s >> 16);
		uint16_t check = ~((s & 0xffff) + (s >> 16));
		memcpy(o, outer, OUTER);
		memcpy(o + 16, &total, 2);
		memcpy(o + 18, &number, 2);
		memcpy(o + 24, &check, 2);
		memcpy(o + 34, &port, 2);
		memcpy(o + 38, &udp, 2);
		off[i] -= OUTER;
		len[i] += OUTER;
	}
}

static void unwrap(void)
{
	for (uint32_t i = 0; i < ROWS; i++) {
		const uint8_t *o = arena + off[i];
		uint32_t n = len[i];
		if (n < 64 || word(o + 12) << 8 != 0x45000800u || (word(o + 20) & 0xff00ff3f) != 0x11000000)
			continue;
		if (swap(half(o + 16)) != n - 14 || word(o + 30) != word(outer + 30))
			continue;
		if (half(o + 36) != half(outer + 36) || swap(half(o + 38)) != n - 34 || word(o + 42) != 8)
			continue;
		uint32_t key = word(o + 46), slot = home(key);
		while (vnis[slot].network != 0 && vnis[slot].key != key)
			slot = (slot + 1) & (VNIS - 1);
		if (vnis[slot].network == 0)
			continue;
		frames++;
		bytes += n;
		off[i] += OUTER;
		len[i] -= OUTER;
	}
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

/* Nanoseconds of a block, with the tunnel or without. */
static double block(int tunnel)
{
	double t = now_ns();
	for (uint32_t done = 0; done < BLOCK; done += ROWS) {
		make();
		if (tunnel) {
			wrap();
			unwrap();
		}
	}
	return now_ns() - t;
}

int main(int argc, char **argv)
{
	size = argc > 1 ? atoi(argv[1]) : 64;
	double budget = (argc > 2 ? atof(argv[2]) : 1000) * 1e6;

	for (uint32_t i = 0; i < FLOWS; i++) {
		uint8_t hi = i >> 8, lo = i;
		uint8_t h[44] = {2, 0, 0x5e, 1, hi, lo, 2, 0, 0x5e, 0, hi, lo, 8, 0, 0x45, 0, (size - 14) >> 8, size - 14,
				 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, hi, lo, 10, 1, hi, lo, 0x27, 0x10 + (i & 7),
				 0x1f, 0x90, (size - 34) >> 8, size - 34};
		memcpy(headers[i], h, 44);
	}
	static const uint8_t ip[] = {8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
				     0, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x10, 0, 0};
	memcpy(outer + 12, ip, sizeof ip);
	for (uint32_t i = 14; i < 34; i += 2)
		base += half(outer + i);
	vnis[home(word(outer + 46))] = (struct vni){word(outer + 46), 1};

	size_t stride = (((130 + size + 63) / 64) | 1) * 64;
	arena = calloc(ROWS, stride);
	for (uint32_t i = 0; i < ROWS; i++)
		off[i] = i * stride + 130;

	static double with[100000], without[100000];
	uint32_t blocks = 0, warm = 20;
	for (double start = now_ns(); blocks < 100000 && (blocks < 5 || now_ns() - start < budget);) {
		double made = block(0), done = block(1);
		if (warm > 0) {
			warm--;
			continue;
		}
		without[blocks] = made / BLOCK;
		with[blocks++] = done / BLOCK;
	}
	qsort(with, blocks, sizeof *with, ascending);
	qsort(without, blocks, sizeof *without, ascending);
	if (frames != (uint64_t)(blocks + 20) * BLOCK)
		return 1;
	printf("{\"ns\":%.2f,\"blocks\":%u,\"bytes\":%llu}\n", with[blocks / 2] - without[blocks / 2], blocks,
	       (unsigned long long)bytes);
	return 0;
}
