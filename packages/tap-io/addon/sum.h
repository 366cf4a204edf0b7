/*
 * The Internet checksum (RFC 1071). A sum is kept in the machine's own byte order, which a ones-complement sum does not mind
 * until the end: `sum_field` gives the two bytes as they go into a header. Pieces that are added one after another begin at
 * even places of what is summed.
 */
#ifndef SUM_H
#define SUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sum_add(uint64_t s, uint64_t word) {
  s += word;
  return s + (s < word);
}

/* Adds the 16-bit words of `n` bytes; an odd last byte counts as a word with a zero behind it. Two sums side by side, so that
 * the carry of one does not wait for the other. */
static inline uint64_t sum_bytes(uint64_t s, const uint8_t *at, size_t n) {
  uint64_t t = 0;
  for (; n >= 32; n -= 32, at += 32) {
    uint64_t w[4];
    memcpy(w, at, 32);
    s = sum_add(s, w[0]);
    t = sum_add(t, w[1]);
    s = sum_add(s, w[2]);
    t = sum_add(t, w[3]);
  }
  s = sum_add(s, t);
  for (; n >= 8; n -= 8, at += 8) {
    uint64_t w;
    memcpy(&w, at, 8);
    s = sum_add(s, w);
  }
  if (n > 0) {
    uint64_t w = 0;
    memcpy(&w, at, n);
    s = sum_add(s, w);
  }
  return s;
}

/* Adds a number that stands in a header big-endian, or would. */
static inline uint64_t sum_number(uint64_t s, uint16_t number) {
  return sum_add(s, htons(number));
}

static inline uint16_t sum_fold(uint64_t s) {
  s = (s & 0xffffffffu) + (s >> 32);
  s = (s & 0xffffffffu) + (s >> 32);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return (uint16_t)s;
}

/* What goes into the field, in network byte order: the complement; of UDP 0xFFFF instead of zero (RFC 768). */
static inline uint16_t sum_field(uint64_t s, int udp) {
  const uint16_t field = (uint16_t)~sum_fold(s);
  return udp && field == 0 ? 0xffff : field;
}

static inline uint16_t get16(const uint8_t *at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

/* Computes the checksum of the IPv4 header at `at` and writes it. */
static inline void sum_ipv4(uint8_t *at) {
  memset(at + 10, 0, 2);
  const uint16_t field = sum_field(sum_bytes(0, at, (size_t)(at[0] & 15) * 4), 0);
  memcpy(at + 10, &field, 2);
}

/* The sum of the pseudo-header of the IP packet at `at`, with `length` bytes from the transport header on (RFC 9293, 3.1;
 * RFC 8200, 8.1). */
static inline uint64_t sum_pseudo(const uint8_t *at, uint8_t protocol, uint32_t length) {
  const uint64_t addresses = at[0] >> 4 == 6 ? sum_bytes(0, at + 8, 32) : sum_bytes(0, at + 12, 8);
  return sum_number(sum_number(sum_number(addresses, protocol), (uint16_t)length), (uint16_t)(length >> 16));
}

#endif
