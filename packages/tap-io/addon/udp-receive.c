/*
 * Frames come from a UDP socket. A message is a datagram, or, with UDP_GRO, a train: several datagrams of one flow, all as long
 * as the first but for the last. They are received into a buffer of our own and from there become frames:
 *
 *     one datagram      one frame                outer Ethernet, IP and UDP headers are made again from what the kernel tells:
 *     a train           a frame each             addresses, ports, TOS, TTL. MAC addresses are zero. An IPv4 packet says that it
 *     a train that is   one tunnel super-frame   has no UDP checksum; of an IPv6 packet, which needs one, it is left to be done.
 *     one flow inside
 *
 * Merging a train is what GRO of a kernel's VXLAN does: the inner packets must follow one another, differ in nothing but what
 * is cut, and have right checksums, each of which is computed: nobody may trust the merged one else. What does not fit into
 * the rows that were offered waits in the buffer for the next call.
 */
#include "udp.h"
#include "sum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IN_TCP = 6, IN_UDP = 17 };
enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20, CWR = 0x80 };
enum { CONTROL = 256, MOST_REFUSED = 64 };
enum { GENEVE_FIXED = 8, VXLAN_HEADER = 8 };

struct udp_receiver {
  struct mmsghdr headers[UDP_RECEIVE];
  struct iovec parts[UDP_RECEIVE];
  union udp_address from[UDP_RECEIVE];
  char control[UDP_RECEIVE][CONTROL] __attribute__((aligned(8)));
  uint32_t messages, next; /* those in [next, messages) wait */
  uint32_t at;             /* bytes of message `next` that were given out */
  uint8_t bytes[UDP_RECEIVE][UDP_LARGEST + 1];
};

struct udp_receiver *udp_receiver_new(void) {
  return calloc(1, sizeof(struct udp_receiver));
}

void udp_receiver_free(struct udp_receiver *r) {
  free(r);
}

/* A message, and what the kernel says of it. */
struct message {
  const uint8_t *bytes;
  uint32_t length, segment; /* segment: bytes of each datagram of a train */
  const union udp_address *from;
  uint8_t to[16];
  uint8_t tos, ttl;
  bool cut; /* it was longer */
};

/* Receives up to `count` messages; how many, or -errno. */
static int receive(struct handle *h, uint32_t count) {
  struct udp_receiver *r = h->udp->receiver;
  if (count > UDP_RECEIVE) count = UDP_RECEIVE;
  for (uint32_t i = 0; i < count; i++) {
    r->parts[i] = (struct iovec){r->bytes[i], UDP_LARGEST};
    r->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &r->from[i],
        .msg_namelen = sizeof r->from[i],
        .msg_iov = &r->parts[i],
        .msg_iovlen = 1,
        .msg_control = r->control[i],
        .msg_controllen = CONTROL,
    };
  }
  int n;
  do n = recvmmsg(h->fd, r->headers, count, MSG_DONTWAIT, NULL);
  while (n < 0 && errno == EINTR);
  r->next = r->at = 0;
  r->messages = n > 0 ? (uint32_t)n : 0;
  return n < 0 ? -errno : n;
}

static void look(const struct udp *u, struct udp_receiver *r, uint32_t i, struct message *m) {
  struct msghdr *h = &r->headers[i].msg_hdr;
  *m = (struct message){.bytes = r->bytes[i], .length = r->headers[i].msg_len, .from = &r->from[i], .ttl = u->ttl};
  m->cut = (h->msg_flags & MSG_TRUNC) != 0;
  memcpy(m->to, u->address, 16);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
    const void *data = CMSG_DATA(c);
    int number = 0;
    if (c->cmsg_len >= CMSG_LEN(sizeof number)) memcpy(&number, data, sizeof number);
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) m->segment = number > 0 ? (uint32_t)number : 0;
    else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) m->ttl = (uint8_t)number;
    else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) m->tos = *(const uint8_t *)data;
    else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      memcpy(m->to, (const char *)data + offsetof(struct in_pktinfo, ipi_addr), 4);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) m->ttl = (uint8_t)number;
    else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) m->tos = (uint8_t)number;
    else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      memcpy(m->to, (const char *)data + offsetof(struct in6_pktinfo, ipi6_addr), 16);
    }
  }
  if (m->segment == 0 || m->segment > m->length) m->segment = m->length;
}

static uint32_t outer_length(const struct udp *u) {
  return ETHERNET + (u->family == 6 ? IPV6 : IPV4) + UDP_HEADER_SIZE;
}

/* Makes the outer headers in front of `payload` bytes. */
static void put_outer(const struct udp *u, const struct message *m, uint8_t *b, uint32_t payload) {
  uint8_t *ip = b + ETHERNET;
  const uint32_t datagram = UDP_HEADER_SIZE + payload;
  memset(b, 0, outer_length(u));
  if (u->family == 6) {
    put16(b + 12, 0x86dd);
    put32(ip, 6u << 28 | (uint32_t)m->tos << 20);
    put16(ip + 4, datagram);
    ip[6] = IN_UDP;
    ip[7] = m->ttl;
    memcpy(ip + 8, &m->from->v6.sin6_addr, 16);
    memcpy(ip + 24, m->to, 16);
  } else {
    put16(b + 12, 0x0800);
    ip[0] = 0x45;
    ip[1] = m->tos;
    put16(ip + 2, IPV4 + datagram);
    ip[8] = m->ttl;
    ip[9] = IN_UDP;
    memcpy(ip + 12, &m->from->v4.sin_addr, 4);
    memcpy(ip + 16, m->to, 4);
    sum_ipv4(ip);
  }
  uint8_t *th = b + outer_length(u) - UDP_HEADER_SIZE;
  memcpy(th, u->family == 6 ? &m->from->v6.sin6_port : &m->from->v4.sin_port, 2);
  put16(th + 2, u->port);
  put16(th + 4, datagram);
  if (u->family == 6) {
    const uint16_t partial = sum_fold(sum_pseudo(ip, IN_UDP, datagram));
    memcpy(th + 6, &partial, 2);
  }
}

/* Where the row's frame goes and how long it may be; NULL where its columns point outside its slot. */
static uint8_t *row_bytes(const struct pool *t, uint32_t row, uint32_t *limit) {
  if (row >= t->frames) return NULL;
  const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride, start = ONCE(t->off[row]);
  if (start < slot || start >= end) return NULL;
  *limit = (uint32_t)(end - start < t->frame_size ? end - start : t->frame_size);
  return t->bytes + start;
}

/* ---- What is inside ---- */

/* Where the inner headers are: offsets in a datagram, in each of a train. */
struct inside {
  uint32_t l3, l4, data;
  bool v6, tcp;
};

/* Finds the inner headers of a datagram: TCP or UDP in IP without options. */
static bool find_inside(const struct udp *u, const uint8_t *b, uint32_t n, struct inside *in) {
  uint32_t l2;
  if (n < VXLAN_HEADER) return false;
  if (u->inside == INSIDE_VXLAN) {
    if (b[0] != 0x08) return false;
    l2 = VXLAN_HEADER;
  } else if (u->inside == INSIDE_GENEVE) {
    if ((b[0] & 0xc0) != 0 || (b[1] & 0x80) != 0 || get16(b + 2) != 0x6558) return false;
    l2 = GENEVE_FIXED + (b[0] & 0x3f) * 4u;
  } else return false;
  in->l3 = l2 + ETHERNET;
  if (n < in->l3 + IPV4) return false;
  uint8_t protocol;
  const uint16_t type = get16(b + in->l3 - 2);
  if (type == 0x0800 && b[in->l3] == 0x45) {
    in->v6 = false;
    in->l4 = in->l3 + IPV4;
    protocol = b[in->l3 + 9];
    if ((get16(b + in->l3 + 6) & 0xbfff) != 0) return false; /* fragments, and the reserved bit */
  } else if (type == 0x86dd && b[in->l3] >> 4 == 6 && n >= in->l3 + IPV6) {
    in->v6 = true;
    in->l4 = in->l3 + IPV6;
    protocol = b[in->l3 + 6];
  } else return false;
  in->tcp = protocol == IN_TCP;
  if (!in->tcp && protocol != IN_UDP) return false;
  if (n < in->l4 + (in->tcp ? 20u : 8u)) return false;
  in->data = in->l4 + (in->tcp ? (b[in->l4 + 12] >> 4) * 4u : 8u);
  return in->data >= in->l4 + (in->tcp ? 20u : 8u) && in->data <= n;
}

/* ---- Datagrams ---- */

/*
 * Finds a checksum that the inner sender has left undone: a kernel's tunnel at the other end of a veth does, and a socket is not
 * told. The field then holds the sum of the pseudo-header; where it does and the packet as a whole does not sum up, it is taken
 * for that. The packet is read only where the field says so: one in 65,536 of those that are complete.
 */
static bool inner_undone(const struct udp *u, const uint8_t *b, uint32_t n, struct inside *in) {
  if (!find_inside(u, b, n, in)) return false;
  const uint8_t *ip = b + in->l3, *th = b + in->l4;
  const uint32_t transport = in->v6 ? get16(ip + 4) : get16(ip + 2) - (uint32_t)IPV4;
  if (transport != n - in->l4) return false;
  const uint64_t pseudo = sum_pseudo(ip, in->tcp ? IN_TCP : IN_UDP, transport);
  uint16_t field;
  memcpy(&field, th + (in->tcp ? 16 : 6), 2);
  return field == sum_fold(pseudo) && sum_fold(sum_bytes(pseudo, th, transport)) != 0xffff;
}

/* Fills a row with one datagram; false where it is several, and nobody can tell which. */
static bool put_datagram(struct handle *h, const struct message *m, uint32_t row, uint8_t *b, const uint8_t *from, uint32_t n) {
  const struct udp *u = h->udp;
  struct pool *t = &h->pool;
  const uint32_t outer = outer_length(u), outer_l4 = outer - UDP_HEADER_SIZE;
  struct inside in;
  put_outer(u, m, b, n);
  memcpy(b + outer, from, n);
  t->len[row] = outer + n;
  t->gso_type[row] = GSO_NONE;
  t->flags[row] = u->family == 6 ? NEEDS_CSUM : 0;
  t->csum_start[row] = (uint16_t)outer_l4;
  t->csum_offset[row] = 6;
  if (!inner_undone(u, b + outer, n, &in)) return true;
  const uint32_t start = outer + in.l4, offset = in.tcp ? 16 : 6, packet = n - in.l3;
  if (packet > u->inner_mtu && in.data - in.l3 < u->inner_mtu) {
    /* And a super-frame of which nobody has told. TCP does not mind where it is cut; datagrams cannot be found again. */
    if (!in.tcp) return false;
    t->gso_type[row] = (u->family == 6 ? GSO_TUNNEL_V6 : GSO_TUNNEL_V4) | (in.v6 ? GSO_TCPV6 : GSO_TCPV4);
    t->gso_size[row] = (uint16_t)(u->inner_mtu - (in.data - in.l3));
    t->hdr_len[row] = (uint16_t)(outer + in.data);
    t->outer_l4[row] = (uint16_t)outer_l4;
    t->inner_l3[row] = (uint16_t)(outer + in.l3);
    t->flags[row] = NEEDS_CSUM | (u->family == 6 ? TUNNEL_CSUM : 0);
  } else t->flags[row] = NEEDS_CSUM;
  t->csum_start[row] = (uint16_t)start;
  t->csum_offset[row] = (uint16_t)offset;
  if (u->family == 4 || t->gso_type[row] != GSO_NONE) return true;
  /* Two cannot be left undone. That of the outer header is known: what the inner one covers sums up to the complement of its
   * field (local checksum offload). */
  uint16_t field;
  memcpy(&field, b + start + offset, 2);
  const uint16_t value = sum_field(sum_add(sum_bytes(0, b + outer_l4, start - outer_l4), (uint16_t)~field), 1);
  memcpy(b + outer_l4 + 6, &value, 2);
  return true;
}

/* ---- Merging ---- */

/* Whether datagram `i`, of `n` bytes, is the inner packet that cutting would make there, and its checksum right. `b` is the
 * datagram, `first` the first of the train, `at` the place of its payload in the stream of the first. */
static bool follows(const struct inside *in, const uint8_t *first, const uint8_t *b, uint32_t n, uint32_t i, uint32_t at, bool last) {
  if (n <= in->data) return false;
  /* Up to the inner IP header, and in it, but for length, id and checksum. */
  if (memcmp(b, first, in->l3 + 2) != 0) return false;
  const uint8_t *ip = b + in->l3, *ip0 = first + in->l3, *th = b + in->l4, *th0 = first + in->l4;
  const uint32_t transport = n - in->l4;
  if (in->v6) {
    if (get16(ip + 4) != transport || memcmp(ip + 2, ip0 + 2, 2) != 0 || memcmp(ip + 6, ip0 + 6, 34) != 0) return false;
  } else {
    const uint16_t id = (uint16_t)(get16(ip + 4) - get16(ip0 + 4));
    if (get16(ip + 2) != IPV4 + transport || memcmp(ip + 6, ip0 + 6, 4) != 0 || memcmp(ip + 12, ip0 + 12, 8) != 0) return false;
    /* An id counts up, or says nothing: DF is set and it stays (RFC 6864). */
    if (id != (uint16_t)i && !(id == 0 && (ip[6] & 0x40))) return false;
    if (sum_fold(sum_bytes(0, ip, IPV4)) != 0xffff) return false;
  }
  if (in->tcp) {
    if (memcmp(th, th0, 4) != 0 || get32(th + 4) != get32(th0 + 4) + at) return false;
    if (memcmp(th + 8, th0 + 8, 5) != 0 || memcmp(th + 14, th0 + 14, 2) != 0) return false; /* ack, offset; window */
    if (memcmp(th + 18, th0 + 18, in->data - in->l4 - 18) != 0) return false;               /* urgent pointer, options */
    const uint8_t may = last ? FIN | PSH : 0;
    if ((th[13] & ~may) != (th0[13] & ~(FIN | PSH)) || !(th[13] & ACK) || (th[13] & (SYN | RST | URG | CWR))) return false;
  } else if (memcmp(th, th0, 4) != 0 || get16(th + 4) != transport || (th[6] | th[7]) == 0) return false;
  return sum_fold(sum_bytes(sum_pseudo(ip, in->tcp ? IN_TCP : IN_UDP, transport), th, transport)) == 0xffff;
}

/* Fills a row with a whole train as one super-frame; false, and nothing done, where it is not one flow that is unbroken. */
static bool put_train(struct handle *h, const struct message *m, uint32_t row, uint8_t *b, uint32_t limit) {
  const struct udp *u = h->udp;
  struct pool *t = &h->pool;
  struct inside in;
  const uint32_t outer = outer_length(u), segment = m->segment, n = m->length;
  const uint32_t count = (n + segment - 1) / segment;
  if (count < 2 || !find_inside(u, m->bytes, segment, &in)) return false;
  const uint32_t step = segment - in.data, whole = n - (count - 1) * in.data;
  if (count > (in.tcp ? 1366u : 128u) || outer + whole > limit || outer + whole - ETHERNET > 65535) return false;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t at = i * segment, length = n - at < segment ? n - at : segment;
    if (!follows(&in, m->bytes, m->bytes + at, length, i, i * step, i == count - 1)) return false;
  }
  put_outer(u, m, b, whole);
  uint8_t *to = b + outer;
  memcpy(to, m->bytes, segment);
  to += segment;
  for (uint32_t i = 1; i < count; i++) {
    const uint32_t at = i * segment + in.data, end = n - i * segment < segment ? n : (i + 1) * segment;
    memcpy(to, m->bytes + at, end - at);
    to += end - at;
  }
  uint8_t *ip = b + outer + in.l3, *th = b + outer + in.l4;
  const uint32_t transport = whole - in.l4;
  if (in.v6) put16(ip + 4, transport);
  else {
    put16(ip + 2, IPV4 + transport);
    sum_ipv4(ip);
  }
  if (in.tcp) th[13] |= m->bytes[(count - 1) * segment + in.l4 + 13] & (FIN | PSH);
  else put16(th + 4, transport);
  const uint32_t field = in.tcp ? 16 : 6;
  const uint16_t partial = sum_fold(sum_pseudo(ip, in.tcp ? IN_TCP : IN_UDP, transport));
  memcpy(th + field, &partial, 2);
  t->len[row] = outer + whole;
  t->flags[row] = NEEDS_CSUM | (u->family == 6 ? TUNNEL_CSUM : 0);
  t->gso_type[row] = (uint8_t)((u->family == 6 ? GSO_TUNNEL_V6 : GSO_TUNNEL_V4) |
                               (!in.tcp ? GSO_UDP_L4 : in.v6 ? GSO_TCPV6 : GSO_TCPV4));
  t->gso_size[row] = (uint16_t)step;
  t->hdr_len[row] = (uint16_t)(outer + in.data);
  t->csum_start[row] = (uint16_t)(outer + in.l4);
  t->csum_offset[row] = (uint16_t)field;
  t->outer_l4[row] = (uint16_t)(outer - UDP_HEADER_SIZE);
  t->inner_l3[row] = (uint16_t)(outer + in.l3);
  return true;
}

/* ---- Frames ---- */

struct tally {
  uint32_t oversize, longest;
  int error;
};

/* Receives more once nothing waits; whether something waits now. An error of the socket that it had to tell once, such as an
 * ICMP message that came for it, is none of the port's. */
static bool refill(struct handle *h, uint32_t count, struct tally *tally) {
  struct udp_receiver *r = h->udp->receiver;
  if (r->next < r->messages) return true;
  for (int tries = 0; tries < 8; tries++) {
    const int n = receive(h, count);
    if (n > 0) return true;
    if (n == 0 || n == -EAGAIN) return false;
    if (n == -EBADF || n == -ENOTSOCK) {
      tally->error = -n;
      return false;
    }
  }
  return false;
}

/* Fills the rows that stand in `rows`; see frames_read. */
uint32_t udp_read(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  const struct udp *u = h->udp;
  struct udp_receiver *r = u->receiver;
  struct tally tally = {0};
  uint32_t done = 0, refills = 0;
  if (count > t->capacity) count = t->capacity;
  /* What waits in the buffer is nothing that wakes anybody: a call that fills no row does not leave it there. */
  while (done < count && (tally.oversize < MOST_REFUSED || r->next < r->messages)) {
    if (r->next == r->messages && refills++ > 0 && r->messages < UDP_RECEIVE) break; /* it had no more */
    if (!refill(h, count - done, &tally)) break;
    struct message m;
    uint32_t limit = 0;
    const uint32_t row = ONCE(t->rows[done]);
    uint8_t *b = row_bytes(t, row, &limit);
    if (b == NULL) {
      tally.error = EFAULT;
      break;
    }
    look(u, r, r->next, &m);
    bool taken = true;
    if (u->merge && r->at == 0 && m.length > m.segment && put_train(h, &m, row, b, limit)) r->at = m.length;
    else {
      const uint32_t rest = m.length - r->at, n = rest < m.segment ? rest : m.segment;
      taken = outer_length(u) + n <= limit && !m.cut && put_datagram(h, &m, row, b, m.bytes + r->at, n);
      r->at += n;
    }
    if (r->at >= m.length) {
      r->next++;
      r->at = 0;
    }
    if (!taken) {
      tally.oversize++;
      continue;
    }
    if (t->len[row] > tally.longest) tally.longest = t->len[row];
    done++;
  }
  t->result[RESULT_ERROR] = tally.error;
  t->result[RESULT_OVERSIZE] = (int32_t)tally.oversize;
  t->result[RESULT_RUNT] = t->result[RESULT_BAD_OFFLOAD] = 0;
  t->result[RESULT_LONGEST] = (int32_t)tally.longest;
  return done;
}

/* Forgets `count` datagrams, for which there is no row, and what is then left in the buffer; gives how many. */
uint32_t udp_discard(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  struct udp_receiver *r = h->udp->receiver;
  struct tally tally = {0};
  uint32_t done = 0;
  if (count > t->capacity) count = t->capacity;
  while (r->next < r->messages || (done < count && refill(h, count - done, &tally))) {
    struct message m;
    look(h->udp, r, r->next, &m);
    do {
      r->at += m.segment;
      done++;
    } while (r->at < m.length);
    r->next++;
    r->at = 0;
  }
  t->result[RESULT_ERROR] = tally.error;
  t->result[RESULT_OVERSIZE] = t->result[RESULT_RUNT] = t->result[RESULT_BAD_OFFLOAD] = t->result[RESULT_LONGEST] = 0;
  return done;
}
