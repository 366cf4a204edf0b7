/*
 * Frames leave by UDP sockets. A frame is Ethernet, outer IP, UDP and payload; what is sent is the payload, to the address and
 * port, and with the TOS and TTL, that the outer headers name. The source port picks the socket.
 *
 *     frame            message
 *     plain            one datagram, straight from the arena
 *     the next ones    appended to the message while they go the same way and are as long: a row by UDP_SEGMENT
 *     checksum left    its headers are copied aside and completed there
 *     super-frame      rows of up to 64 segments: for each its headers (udp-cut.c), aside, and its part of the payload in the arena
 *
 *     message   [ headers 1 | payload 1 | headers 2 | payload 2 | ... ]     scatter list: aside, arena, aside, arena
 *
 * The arena is only read. Messages of a socket leave in their order, by sendmmsg(). A row that the kernel refuses - a
 * segment is longer than the path's MTU, say, and must be fragmented - is sent again one datagram at a time, and each frame
 * has the status of its own ones. A super-frame of which any segment could not leave is one that has not left.
 */
#include "udp.h"
#include "sum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { FRAMES = 1024, MESSAGES = 128, PARTS = 4096, ASIDE = 256 * 1024 };
enum { UDP_MOST = 65507 };                     /* bytes of a datagram */
enum { ROW_SEGMENTS = 64, ROW_BYTES = 65000 }; /* of one message; Linux before 6.9 takes 64 segments */
enum { PROTOCOL_UDP = 17, UDP_LENGTH = 4, UDP_CHECKSUM = 6 };

struct message {
  union udp_address to;
  uint32_t socket;
  uint32_t first, parts; /* of the scatter list */
  uint32_t bytes, segments;
  uint16_t segment; /* bytes of each but the last */
  uint8_t tos, ttl;
  bool open; /* another datagram may be appended */
  int status;
};

struct udp_sender {
  struct message messages[MESSAGES];
  struct iovec parts[PARTS];
  uint16_t owner[PARTS]; /* number of the frame in the call that each part is of */
  uint32_t made, used, aside_used;
  /* By the frame's number in the call: its first message, and the number behind its last. */
  uint32_t from[FRAMES], upto[FRAMES];
  uint32_t settled, frames; /* those in [settled, frames) are not settled yet */
  uint8_t aside[ASIDE];
};

struct udp_sender *udp_sender_new(void) {
  return calloc(1, sizeof(struct udp_sender));
}

void udp_sender_free(struct udp_sender *s) {
  free(s);
}

/* ---- Sending ---- */

union control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(uint16_t)) + 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static size_t put_control(char *to, int level, int type, const void *value, size_t size) {
  struct cmsghdr *c = (struct cmsghdr *)to;
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(c), value, size);
  return CMSG_SPACE(size);
}

/* Names the address that a message is from, of a socket that is bound to any. */
static size_t put_source(const struct udp *u, char *to) {
  if (u->family == 6) {
    struct in6_pktinfo from = {.ipi6_ifindex = u->scope};
    memcpy(&from.ipi6_addr, u->address, 16);
    return put_control(to, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof from);
  }
  struct in_pktinfo from = {0};
  memcpy(&from.ipi_spec_dst, u->address, 4);
  return put_control(to, IPPROTO_IP, IP_PKTINFO, &from, sizeof from);
}

/* What is not the socket's own setting goes with the message. */
static void fill_header(const struct udp *u, struct message *m, struct msghdr *h, union control *c, struct iovec *parts, size_t n,
                        bool row) {
  const bool v6 = u->family == 6;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP, tos = m->tos, ttl = m->ttl;
  size_t used = 0;
  if (row) used += put_control(c->bytes, IPPROTO_UDP, UDP_SEGMENT, &m->segment, sizeof m->segment);
  if (tos != 0) used += put_control(c->bytes + used, level, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos);
  if (ttl != u->ttl) used += put_control(c->bytes + used, level, v6 ? IPV6_HOPLIMIT : IP_TTL, &ttl, sizeof ttl);
  if (u->named && m->socket == 0) used += put_source(u, c->bytes + used);
  *h = (struct msghdr){
      .msg_name = &m->to,
      .msg_namelen = v6 ? sizeof m->to.v6 : sizeof m->to.v4,
      .msg_iov = parts,
      .msg_iovlen = n,
      .msg_control = used != 0 ? c->bytes : NULL,
      .msg_controllen = used,
  };
}

static bool is_full(int error) {
  return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/* Sends the datagrams of a refused row by themselves, and notes what became of the frames that they are of; an errno where the
 * socket is full, which the rest suffers, or 0. */
static int send_singly(const struct udp *u, struct udp_sender *s, struct message *m, int32_t *status) {
  int over = 0;
  uint32_t part = m->first;
  const uint32_t end = m->first + m->parts;
  while (part < end) {
    const uint32_t from = part;
    size_t bytes = 0;
    while (part < end && bytes < m->segment) bytes += s->parts[part++].iov_len;
    if (over == 0) {
      struct msghdr h;
      union control c;
      fill_header(u, m, &h, &c, s->parts + from, part - from, false);
      ssize_t n;
      do n = sendmsg(u->sockets[m->socket], &h, MSG_NOSIGNAL);
      while (n < 0 && errno == EINTR);
      if (n >= 0) continue;
      if (is_full(errno)) over = errno;
      else status[s->owner[from]] = errno;
    }
    if (over != 0) status[s->owner[from]] = over;
  }
  return over;
}

/* Sends the messages of one socket, in their order; a full one ends them all. */
static void send_socket(const struct udp *u, struct udp_sender *s, uint32_t socket, int32_t *status) {
  struct mmsghdr headers[MESSAGES];
  union control controls[MESSAGES];
  uint32_t which[MESSAGES];
  uint32_t n = 0, done = 0;
  int over = 0;
  for (uint32_t i = 0; i < s->made; i++) {
    struct message *m = &s->messages[i];
    if (m->socket != socket) continue;
    fill_header(u, m, &headers[n].msg_hdr, &controls[n], s->parts + m->first, m->parts, m->segments > 1);
    which[n++] = i;
  }
  while (done < n && over == 0) {
    const int sent = sendmmsg(u->sockets[socket], headers + done, n - done, MSG_NOSIGNAL);
    if (sent > 0) {
      done += (uint32_t)sent;
      continue;
    }
    if (errno == EINTR) continue;
    struct message *m = &s->messages[which[done++]];
    m->status = errno;
    if (is_full(m->status)) over = m->status;
    else if (m->segments > 1) {
      m->status = 0;
      over = send_singly(u, s, m, status);
    }
  }
  for (; done < n; done++) s->messages[which[done]].status = over;
}

/* Sends everything that was made, and notes for each frame what became of its messages. */
static void flush(struct handle *h, struct udp_sender *s) {
  const struct udp *u = h->udp;
  int32_t *status = h->pool.result + RESULT_STATUS;
  bool has[UDP_SOCKETS] = {0};
  for (uint32_t i = 0; i < s->made; i++) has[s->messages[i].socket] = true;
  for (uint32_t i = 0; i < u->count; i++) {
    if (has[i]) send_socket(u, s, i, status);
  }
  for (; s->settled < s->frames; s->settled++) {
    if (status[s->settled] != 0) continue; /* refused before it was sent, or known by itself */
    for (uint32_t m = s->from[s->settled]; m < s->upto[s->settled]; m++) {
      if (s->messages[m].status != 0) status[s->settled] = s->messages[m].status;
    }
  }
  s->made = s->used = s->aside_used = 0;
}

/* Sends what was made so far where there is no room for so much more of frame number `frame`. What became of the messages
 * that this frame had is kept in its status. */
static void make_room(struct handle *h, uint32_t frame, uint32_t parts, uint32_t aside) {
  struct udp_sender *s = h->udp->sender;
  if (s->made < MESSAGES && s->used + parts <= PARTS && s->aside_used + aside <= ASIDE) return;
  s->upto[frame] = s->made;
  s->frames = frame + 1;
  flush(h, s);
  s->settled = frame;
  s->from[frame] = 0;
}

/* ---- Making messages ---- */

static struct message *new_message(struct udp_sender *s, const struct udp *u, const struct outgoing *g) {
  struct message *m = &s->messages[s->made++];
  memset(m, 0, sizeof *m);
  const uint8_t *ip = g->bytes + ETHERNET;
  if (u->family == 6) {
    m->to.v6.sin6_family = AF_INET6;
    memcpy(&m->to.v6.sin6_port, g->bytes + g->l4 + 2, 2);
    memcpy(&m->to.v6.sin6_addr, ip + 24, 16);
    if (ip[24] == 0xfe || ip[24] == 0xff) m->to.v6.sin6_scope_id = u->scope;
  } else {
    m->to.v4.sin_family = AF_INET;
    memcpy(&m->to.v4.sin_port, g->bytes + g->l4 + 2, 2);
    memcpy(&m->to.v4.sin_addr, ip + 16, 4);
  }
  m->socket = g->socket;
  m->tos = g->tos;
  m->ttl = g->ttl;
  m->first = s->used;
  return m;
}

static bool same_way(const struct udp *u, const struct message *m, const struct outgoing *g) {
  const uint8_t *ip = g->bytes + ETHERNET;
  if (m->socket != g->socket || m->tos != g->tos || m->ttl != g->ttl) return false;
  if (u->family == 6) {
    return memcmp(&m->to.v6.sin6_port, g->bytes + g->l4 + 2, 2) == 0 && memcmp(&m->to.v6.sin6_addr, ip + 24, 16) == 0;
  }
  return memcmp(&m->to.v4.sin_port, g->bytes + g->l4 + 2, 2) == 0 && memcmp(&m->to.v4.sin_addr, ip + 16, 4) == 0;
}

static void add_part(struct udp_sender *s, struct message *m, uint32_t frame, const uint8_t *at, size_t length) {
  s->owner[s->used] = (uint16_t)frame;
  s->parts[s->used++] = (struct iovec){(void *)at, length};
  m->parts++;
  m->bytes += (uint32_t)length;
}

/* The message that a datagram of `length` bytes goes into: the last one, or a new one. */
static struct message *message_for(struct udp_sender *s, const struct udp *u, const struct outgoing *g, uint32_t frame,
                                   uint32_t length) {
  if (u->segment && s->made > 0) {
    struct message *m = &s->messages[s->made - 1];
    const bool fits = length <= m->segment && m->bytes + length <= ROW_BYTES && m->segments < ROW_SEGMENTS;
    if (m->open && length > 0 && fits && same_way(u, m, g)) {
      m->segments++;
      m->open = length == m->segment;
      if (s->from[frame] == s->made) s->from[frame]--;
      return m;
    }
  }
  struct message *m = new_message(s, u, g);
  m->segments = 1;
  m->segment = (uint16_t)length;
  m->open = length > 0;
  return m;
}

/* A datagram, [at, end) of the frame, that is complete as it stands. */
static void add_datagram(struct handle *h, const struct outgoing *g, uint32_t frame, uint32_t at, uint32_t end) {
  struct udp_sender *s = h->udp->sender;
  make_room(h, frame, 1, 0);
  add_part(s, message_for(s, h->udp, g, frame, end - at), frame, g->bytes + at, end - at);
}

/* A frame whose checksum is missing: summed from `start`, it goes to `field`. */
static void add_completed(struct handle *h, const struct outgoing *g, uint32_t frame, uint32_t start, uint32_t field) {
  struct udp_sender *s = h->udp->sender;
  const uint32_t head = field + 2 - g->payload, length = g->length - g->payload;
  make_room(h, frame, 2, head + 8);
  struct message *m = message_for(s, h->udp, g, frame, length);
  uint8_t *aside = s->aside + s->aside_used;
  s->aside_used += (head + 7) & ~7u;
  memcpy(aside, g->bytes + g->payload, head);
  const uint16_t value = sum_field(sum_bytes(0, g->bytes + start, g->length - start), field - start == UDP_CHECKSUM);
  memcpy(aside + head - 2, &value, 2);
  add_part(s, m, frame, aside, head);
  if (length > head) add_part(s, m, frame, g->bytes + g->payload + head, length - head);
}

/* A super-frame: rows of segments, or messages of one. What does not fit any more is for after a flush. */
static void add_super(struct handle *h, const struct outgoing *g, const struct inner *in, uint32_t frame) {
  const struct udp *u = h->udp;
  struct udp_sender *s = u->sender;
  const uint32_t head = in->data - g->payload, aside = (head + 7) & ~7u, segment = head + in->size;
  const uint32_t fit = ROW_BYTES / segment;
  const uint32_t row = !u->segment || fit < 2 ? 1 : fit < ROW_SEGMENTS ? fit : ROW_SEGMENTS;
  struct message *m = NULL;
  uint32_t n = 0;
  for (uint32_t at = in->data; at < g->length || n == 0; at += in->size, n++) {
    const uint32_t size = g->length - at < in->size ? g->length - at : in->size;
    if (m == NULL || m->segments == row) {
      make_room(h, frame, 2 * row, row * aside);
      m = new_message(s, u, g);
      m->segment = (uint16_t)segment;
    }
    uint8_t *to = s->aside + s->aside_used;
    s->aside_used += aside;
    udp_make_headers(g, in, to, n, at, size);
    add_part(s, m, frame, to, head);
    if (size > 0) add_part(s, m, frame, g->bytes + at, size);
    m->segments++;
  }
}

/* ---- Frames ---- */

/* Looks at a frame's outer headers; 0, or a status. */
static int look(const struct udp *u, struct outgoing *g) {
  const uint8_t *b = g->bytes, *ip = b + ETHERNET;
  const uint32_t n = g->length;
  if (n < ETHERNET) return STATUS_RUNT;
  if (get16(b + 12) != (u->family == 6 ? 0x86dd : 0x0800)) return STATUS_NOT_IP;
  if (u->family == 6) {
    if (n < ETHERNET + IPV6 + UDP_HEADER_SIZE || ip[0] >> 4 != 6) return STATUS_MALFORMED;
    if (ip[6] == 44) return STATUS_FRAGMENT;
    if (ip[6] != PROTOCOL_UDP) return STATUS_MALFORMED;
    g->l4 = ETHERNET + IPV6;
    g->tos = (uint8_t)(get16(ip) >> 4);
    g->ttl = ip[7];
  } else {
    const uint32_t header = (ip[0] & 15) * 4u;
    if (n < ETHERNET + IPV4 || ip[0] >> 4 != 4 || header < IPV4) return STATUS_MALFORMED;
    if ((get16(ip + 6) & 0x3fff) != 0) return STATUS_FRAGMENT;
    if (ip[9] != PROTOCOL_UDP || n < ETHERNET + header + UDP_HEADER_SIZE) return STATUS_MALFORMED;
    g->l4 = ETHERNET + header;
    g->tos = ip[1];
    g->ttl = ip[8];
  }
  const uint32_t length = get16(b + g->l4 + UDP_LENGTH);
  if (length != 0 && (length < UDP_HEADER_SIZE || length > n - g->l4)) return STATUS_MALFORMED;
  if (length != 0) g->length = g->l4 + length; /* what is behind is padding */
  if (get16(b + g->l4 + 2) == 0 || g->ttl == 0) return STATUS_MALFORMED;
  g->payload = g->l4 + UDP_HEADER_SIZE;
  g->socket = get16(b + g->l4) % u->count;
  return 0;
}

/* Makes messages of a frame whose outer headers are known, as its offload metadata says; 0, or a status. */
static int add_payload(struct handle *h, const struct outgoing *g, uint32_t row, uint32_t frame) {
  const struct pool *t = &h->pool;
  const uint8_t flags = ONCE(t->flags[row]), type = ONCE(t->gso_type[row]), kind = type & (uint8_t)~(GSO_ECN | GSO_TUNNEL);
  const uint32_t start = ONCE(t->csum_start[row]), field = start + ONCE(t->csum_offset[row]);
  const bool partial = (flags & NEEDS_CSUM) != 0;
  /* The outer checksum is the socket's business. */
  const bool outer = start == g->l4 && field == g->l4 + UDP_CHECKSUM;
  if (type == GSO_NONE) {
    if (g->length - g->payload > UDP_MOST) return EMSGSIZE;
    if (!partial || outer) add_datagram(h, g, frame, g->payload, g->length);
    else if (start < g->payload || field + 2 > g->length) return STATUS_BAD_OFFLOAD;
    else add_completed(h, g, frame, start, field);
    return 0;
  }
  const uint32_t size = ONCE(t->gso_size[row]);
  if (!partial || size == 0) return STATUS_BAD_OFFLOAD;
  if (type == GSO_UDP_L4) { /* a super-frame that is not inside a tunnel: a row of datagrams as it is */
    if (!outer || g->length - g->payload > size * 128) return STATUS_BAD_OFFLOAD;
    for (uint32_t at = g->payload; at < g->length; at += size) {
      add_datagram(h, g, frame, at, g->length - at < size ? g->length : at + size);
    }
    return 0;
  }
  struct inner in;
  if ((type & GSO_TUNNEL) != (h->udp->family == 6 ? GSO_TUNNEL_V6 : GSO_TUNNEL_V4)) return STATUS_BAD_OFFLOAD;
  if (kind != GSO_TCPV4 && kind != GSO_TCPV6 && kind != GSO_UDP_L4) return STATUS_BAD_OFFLOAD;
  if (!udp_lay_out(t, row, g, kind, &in)) return STATUS_BAD_OFFLOAD;
  if (in.data - g->payload + in.size > ROW_BYTES) return EMSGSIZE;
  add_super(h, g, &in, frame);
  return 0;
}

static int add_frame(struct handle *h, uint32_t row, uint32_t frame) {
  const struct pool *t = &h->pool;
  struct udp_sender *s = h->udp->sender;
  const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
  if (row >= t->frames) return STATUS_OUTSIDE;
  const uint64_t start = ONCE(t->off[row]), length = ONCE(t->len[row]);
  if (start < slot || start > end || length > end - start) return STATUS_OUTSIDE;
  struct outgoing g = {.bytes = t->bytes + start, .length = (uint32_t)length};
  int status = look(h->udp, &g);
  if (status != 0) return status;

  s->from[frame] = s->made;
  status = add_payload(h, &g, row, frame);
  s->upto[frame] = s->made;
  return status;
}

/* Sends the frames whose rows stand in `rows`; see frames_write. */
uint32_t udp_write(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  struct udp_sender *s = h->udp->sender;
  int32_t *status = t->result + RESULT_STATUS;
  uint32_t sent = 0;
  if (count > t->capacity) count = t->capacity;
  for (uint32_t i = FRAMES; i < count; i++) status[i] = EAGAIN;
  if (count > FRAMES) count = FRAMES;
  s->made = s->used = s->aside_used = s->settled = s->frames = 0;
  for (uint32_t i = 0; i < count; i++) {
    status[i] = 0;
    s->from[i] = s->upto[i] = 0;
    const int error = add_frame(h, ONCE(t->rows[i]), i);
    if (error != 0) status[i] = error;
    s->frames = i + 1;
  }
  flush(h, s);
  bool failed = false;
  for (uint32_t i = 0; i < count; i++) {
    sent += status[i] == 0;
    failed |= status[i] > 0 && !is_full(status[i]);
  }
  t->result[RESULT_ERROR] = failed ? udp_check(h) : 0;
  return sent;
}
