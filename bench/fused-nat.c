/*
 * The floor in C: the same frames and flows as nat-in-memory.ts and the same tables as the NAT's (conntrack/record.ts), in one
 * hand-fused loop - write what makes the flow, hash it, find it by an index of words and records of a cache line, compare, rewrite
 * addresses and ports, both checksums by what a flow adds to them (RFC 1624), renew, count, queue. Slots of the index are asked for
 * 64 frames ahead, then records, by prefetch instructions, which neither JavaScript nor WebAssembly has. No ports, links, policies,
 * fragments, states of TCP, ledger or limits. Prints nanoseconds per frame, the median of blocks.
 *
 *     cc -O2 -o fused-nat fused-nat.c && ./fused-nat FLOWS MILLISECONDS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING 256
#define STAGE 64
#define BLOCK 65536
#define FAST 0x30 /* of the state: nothing changes but the time */

/* As conntrack/record.ts has it. */
struct flow {
	uint32_t tuple[2][4]; /* source, destination, ports, kind; of the answers likewise */
	uint32_t delta, expires, timeout, state;
	uint32_t counts[4];
};

static uint32_t *slots, shift, mask, who_bits;
static struct flow *flows;

static uint32_t hash_of(const uint32_t *t)
{
	uint32_t h = (t[0] << 16 | t[0] >> 16) * 0x9e3779b1u + (t[1] << 16 | t[1] >> 16) * 0x85ebca6bu +
		     t[2] * 0xc2b2ae35u + ((t[2] >> 16) ^ t[3]) * 0x27d4eb2fu;
	return (h ^ h >> 15) * 0x2c1b3c6du;
}

static void place(const uint32_t *tuple, uint32_t who)
{
	uint32_t h = hash_of(tuple), at = h >> shift;
	while (slots[at] != 0)
		at = (at + 1) & mask;
	slots[at] = h << who_bits | (who + 1);
}

/* The flow and direction of a hash, or of a tuple that has it. */
static inline uint32_t search(uint32_t h, const uint32_t *tuple)
{
	for (uint32_t at = h >> shift;; at = (at + 1) & mask) {
		uint32_t who = (slots[at] ^ h << who_bits) - 1;
		if (slots[at] == 0)
			return 0;
		if ((who + 1) >> who_bits == 0 && (tuple == NULL || memcmp(flows[who >> 1].tuple[who & 1], tuple, 16) == 0))
			return who;
	}
}

static uint32_t fold(uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	return (s & 0xffff) + (s >> 16);
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

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

/* Zeros that begin at a page. */
static void *pages(size_t n)
{
	size_t whole = (n + 4095) / 4096 * 4096;
	return memset(aligned_alloc(4096, whole), 0, whole);
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? atoi(argv[1]) : 1024;
	double budget = (argc > 2 ? atof(argv[2]) : 1000) * 1e6;

	uint32_t bits = 0;
	while (1u << bits < n * 4)
		bits++;
	shift = 32 - bits;
	mask = (1u << bits) - 1;
	while (1u << who_bits < n * 2 + 1)
		who_bits++;
	slots = pages(sizeof *slots << bits);
	flows = pages(n * sizeof *flows);

	/* The words of all packets - three of addresses and ports, one of each checksum - in random order. */
	uint32_t(*list)[5] = malloc(n * sizeof *list), *order = malloc(n * sizeof *order);
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = below(i + 1), t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t client = 0x0a000000 + i * 7u % 65521 + 1, server = 0xc6336400 + (i & 63);
		uint32_t port = 1024 + (i >> 6) % 64000, outside = __builtin_bswap32(0xcb007101);
		struct flow *f = &flows[i];
		uint32_t src = __builtin_bswap32(client), dst = __builtin_bswap32(server);
		/* An outside port that no other flow to this server has. */
		uint16_t sport = __builtin_bswap16(port), fresh = __builtin_bswap16(1024 + (i >> 6)), dport = __builtin_bswap16(53);
		f->tuple[0][0] = src, f->tuple[0][1] = dst, f->tuple[0][2] = sport | (uint32_t)dport << 16, f->tuple[0][3] = 17;
		f->tuple[1][0] = dst, f->tuple[1][1] = outside, f->tuple[1][2] = dport | (uint32_t)fresh << 16, f->tuple[1][3] = 17;
		uint32_t a = fold((~src & 0xffff) + (~src >> 16) + (outside & 0xffff) + (outside >> 16));
		f->delta = a | fold(a + (~sport & 0xffff) + fresh) << 16;
		f->timeout = 3600000, f->state = FAST;
		f->expires = f->timeout;
		place(f->tuple[0], i << 1);
		place(f->tuple[1], i << 1 | 1);
		uint32_t *w = list[order[i]];
		w[0] = 0x1140u, w[1] = src, w[2] = dst, w[3] = f->tuple[0][2], w[4] = 0x34120000u;
	}

	size_t stride = (((130 + 64 + 63) / 64) | 1) * 64;
	uint8_t *arena = calloc(RING, stride);
	uint32_t off[RING], len[RING], queue[STAGE], next = 0, sent = 0;
	for (uint32_t i = 0; i < RING; i++) {
		off[i] = i * stride + 130;
		len[i] = 64;
		static const uint8_t head[24] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17};
		memcpy(arena + off[i], head, sizeof head);
		arena[off[i] + 39] = 30;
	}
	uint32_t hashes[STAGE], owners[STAGE];
	static double ns[100000];
	uint32_t blocks = 0, warm = 20;
	for (double start = now_ns(); blocks < 100000 && (blocks < 5 || now_ns() - start < budget);) {
		double t = now_ns();
		uint32_t ms = (uint32_t)(t / 1e6) & 0xffff;
		for (uint32_t done = 0; done < BLOCK; done += STAGE) {
			uint32_t first = done & (RING - 1);
			for (uint32_t i = 0; i < STAGE; i++) {
				uint8_t *frame = arena + off[first + i];
				const uint32_t *w = list[next];
				memcpy(frame + 22, &w[0], 4);
				memcpy(frame + 26, &w[1], 4);
				memcpy(frame + 30, &w[2], 4);
				memcpy(frame + 34, &w[3], 4);
				memcpy(frame + 38, &(uint32_t){w[4] | 0x1e00}, 4);
				if (++next == n)
					next = 0;
			}
			for (uint32_t i = 0; i < STAGE; i++) {
				uint8_t *frame = arena + off[first + i];
				uint32_t tuple[4] = {get32(frame + 26), get32(frame + 30), get32(frame + 34), frame[23]};
				uint32_t h = hashes[i] = hash_of(tuple);
				__builtin_prefetch(&slots[h >> shift]);
			}
			for (uint32_t i = 0; i < STAGE; i++) {
				owners[i] = search(hashes[i], NULL);
				__builtin_prefetch(&flows[owners[i] >> 1], 1);
			}
			for (uint32_t i = 0; i < STAGE; i++) {
				uint32_t f = first + i;
				uint8_t *frame = arena + off[f];
				uint32_t total = frame[16] << 8 | frame[17], who = owners[i];
				uint32_t tuple[4] = {get32(frame + 26), get32(frame + 30), get32(frame + 34), frame[23]};
				/* Few hashes are alike in what the index knows of them. */
				if (memcmp(flows[who >> 1].tuple[who & 1], tuple, 16) != 0)
					who = search(hashes[i], tuple);
				struct flow *flow = &flows[who >> 1];
				uint32_t direction = who & 1, *other = flow->tuple[direction ^ 1];
				if (len[f] < total + 14 || frame[12] != 8 || frame[14] != 0x45 || !(flow->state & FAST) ||
				    (int32_t)(flow->expires - ms) <= 0)
					continue;
				uint32_t delta = flow->delta ^ -direction, turned = other[2];
				uint32_t word = get32(frame + 22);
				uint32_t s = (~word >> 16) + (delta & 0xffff);
				word = (word & 0xffff) | ~(s + (s >> 16)) << 16;
				memcpy(frame + 22, &word, 4);
				memcpy(frame + 26, &other[1], 4);
				memcpy(frame + 30, &other[0], 4);
				turned = turned << 16 | turned >> 16;
				memcpy(frame + 34, &turned, 4);
				word = get32(frame + 38);
				if (word >> 16 != 0) {
					s = (~word >> 16) + (delta >> 16);
					uint32_t sum = ~(s + (s >> 16)) << 16;
					word = (word & 0xffff) | (sum == 0 ? 0xffff0000 : sum);
					memcpy(frame + 38, &word, 4);
				}
				flow->expires = ms + flow->timeout;
				flow->counts[direction * 2]++;
				flow->counts[direction * 2 + 1] += total;
				queue[sent++ & (STAGE - 1)] = f;
			}
		}
		double took = (now_ns() - t) / BLOCK;
		if (warm > 0)
			warm--;
		else
			ns[blocks++] = took;
	}
	qsort(ns, blocks, sizeof *ns, ascending);
	printf("{\"ns\":%.2f,\"blocks\":%u,\"sent\":%u,\"last\":%u}\n", ns[blocks / 2], blocks, sent, queue[0]);
	return 0;
}
