/*
 * What a super-frame inside UDP is cut into: where its inner headers are, and those of each segment.
 *
 *     | outer headers | VXLAN ... | Ethernet | inner IP | TCP or UDP |        payload        |
 *                     payload                l3         l4           data
 *                     |<------------ headers of a segment ---------->| its part of the payload
 *
 * It takes and refuses what offload/segment.ts does, and makes the same bytes of it.
 */
#include "udp.h"
#include "sum.h"

enum { MOST_SEGMENTS = 1366, MOST_DATAGRAMS = 128 }; /* of a super-frame, as in offload/segment.ts */
enum { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { HOP_BY_HOP = 0, ROUTING = 43, AH = 51, DESTINATION = 60, MAX_HEADERS = 8 };
enum { TCP_SEQ = 4, TCP_FLAGS = 13, TCP_CHECKSUM = 16, UDP_LENGTH = 4, UDP_CHECKSUM = 6 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

/* Walks over the extension headers of the inner IPv6 packet, as `upper` of wire/ipv6.ts does: where the transport header is, or
 * 0 where it is none of `protocol`. `routed`: the pseudo-header has another destination than the header. */
static uint32_t find_upper(const struct outgoing *g, uint32_t l3, uint8_t protocol, bool *routed) {
  const uint8_t *b = g->bytes;
  uint8_t next = b[l3 + 6];
  uint32_t at = l3 + IPV6;
  *routed = false;
  for (uint32_t steps = 0; next == HOP_BY_HOP || next == ROUTING || next == DESTINATION || next == AH; steps++) {
    if (g->length - at < 8) return 0;
    const uint32_t length = next == AH ? (b[at + 1] + 2u) * 4 : (b[at + 1] + 1u) * 8;
    if (steps == MAX_HEADERS || length > g->length - at) return 0;
    if (next == ROUTING) *routed = b[at + 3] != 0;
    next = b[at];
    at += length;
  }
  return next == protocol ? at : 0;
}

/* A length of zero is how a packet says that it is longer than the field can tell. */
bool udp_lay_out(const struct pool *t, uint32_t row, const struct outgoing *g, uint8_t kind, struct inner *in) {
  const uint8_t *b = g->bytes;
  in->l3 = ONCE(t->inner_l3[row]);
  in->l4 = ONCE(t->csum_start[row]);
  in->size = ONCE(t->gso_size[row]);
  in->tcp = kind != GSO_UDP_L4;
  const uint32_t field = in->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  if (in->size == 0 || ONCE(t->outer_l4[row]) != g->l4 || ONCE(t->csum_offset[row]) != field) return false;
  if (in->l3 < g->payload || in->l4 < in->l3 + IPV4 || g->length < in->l4 + (in->tcp ? 20u : 8u)) return false;
  in->v6 = b[in->l3] >> 4 == 6;
  if (in->v6 ? kind == GSO_TCPV4 || in->l4 < in->l3 + IPV6 : kind == GSO_TCPV6 || b[in->l3] >> 4 != 4) return false;
  const uint8_t protocol = in->tcp ? PROTOCOL_TCP : PROTOCOL_UDP, *ip = b + in->l3;
  bool routed = false;
  if (!in->v6 && (in->l3 + (ip[0] & 15) * 4u != in->l4 || (ip[0] & 15) < 5 || ip[9] != protocol)) return false;
  if (!in->v6 && (get16(ip + 6) & 0x3fff) != 0) return false;
  if (in->v6 && find_upper(g, in->l3, protocol, &routed) != in->l4) return false;
  const uint32_t length = get16(ip + (in->v6 ? 4 : 2)), rest = g->length - in->l3 - (in->v6 ? IPV6 : 0);
  if (length != 0 && length != rest) return false;
  const uint32_t datagram = in->tcp ? 0 : get16(b + in->l4 + UDP_LENGTH);
  if (datagram != 0 && datagram != g->length - in->l4) return false;
  in->data = in->l4 + (in->tcp ? (b[in->l4 + 12] >> 4) * 4u : 8u);
  if (in->data < in->l4 + (in->tcp ? 20u : 8u) || in->data > g->length) return false;
  if (g->length - in->data > in->size * (uint32_t)(in->tcp ? MOST_SEGMENTS : MOST_DATAGRAMS)) return false;
  if (!routed) {
    in->base = sum_pseudo(ip, protocol, 0);
    return true;
  }
  /* The address behind the last hop: only the sender's sum of the pseudo-header, length included, tells it. */
  uint16_t partial;
  memcpy(&partial, b + in->l4 + field, 2);
  in->base = sum_number(partial, (uint16_t)~(g->length - in->l4));
  return true;
}

void udp_make_headers(const struct outgoing *g, const struct inner *in, uint8_t *to, uint32_t n, uint32_t at, uint32_t size) {
  const uint32_t head = in->data - g->payload;
  memcpy(to, g->bytes + g->payload, head);
  uint8_t *ip = to + (in->l3 - g->payload), *th = to + (in->l4 - g->payload);
  const uint32_t transport = in->data - in->l4 + size;
  if (in->v6) put16(ip + 4, in->l4 - in->l3 - IPV6 + transport);
  else {
    put16(ip + 2, in->l4 - in->l3 + transport);
    put16(ip + 4, get16(ip + 4) + n);
    sum_ipv4(ip);
  }
  const uint32_t field = in->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  if (in->tcp) {
    put32(th + TCP_SEQ, get32(th + TCP_SEQ) + (at - in->data));
    if (n > 0) th[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    if (at + size < g->length) th[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
  } else put16(th + UDP_LENGTH, transport);
  memset(th + field, 0, 2);
  uint64_t s = sum_number(in->base, (uint16_t)transport);
  s = sum_bytes(s, th, in->data - in->l4);
  s = sum_bytes(s, g->bytes + at, size);
  const uint16_t value = sum_field(s, !in->tcp);
  memcpy(th + field, &value, 2);
}
