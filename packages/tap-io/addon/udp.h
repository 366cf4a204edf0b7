/*
 * The UDP sockets of an underlay port: what udp.c (opening), udp-send.c, udp-cut.c and udp-receive.c
 * share.
 */
#ifndef UDP_H
#define UDP_H

#include "tun-tap.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { UDP_SOCKETS = 64 };      /* of a port at most */
enum { UDP_RECEIVE = 32 };      /* messages that are received in one call */
enum { UDP_LARGEST = 65535 };   /* bytes that a message can bring */
enum { UDP_HEADER_SIZE = 8 };
enum { ETHERNET = 14, IPV4 = 20, IPV6 = 40 };

/* Where a message goes, and with which marks. */
union udp_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct udp_sender;
struct udp_receiver;

struct udp {
  int family; /* 4 or 6 */
  uint16_t port;
  uint32_t scope;
  uint8_t ttl;
  uint32_t inner_mtu;  /* what is longer and undone is a super-frame */
  uint8_t address[16]; /* that the sockets are bound to; zero for any */
  bool named;          /* the first is bound to any, for the sake of groups, and gives its address with each message */
  bool device;         /* they are bound to an interface */
  bool segment, merge;
  enum udp_inside { INSIDE_OTHER, INSIDE_VXLAN, INSIDE_GENEVE } inside;
  int sockets[UDP_SOCKETS]; /* [0] is the handle's, which also receives; the others only send */
  uint32_t count;
  struct udp_sender *sender;
  struct udp_receiver *receiver;
};

/* udp-send.c */
struct udp_sender *udp_sender_new(void);
void udp_sender_free(struct udp_sender *s);

/* udp-cut.c */

/* What is known of a frame's outer headers. */
struct outgoing {
  const uint8_t *bytes;
  uint32_t length, l4, payload; /* offsets in the frame */
  uint8_t tos, ttl;
  uint32_t socket;
};

/* What is known of a super-frame's inner packet; offsets in the frame. */
struct inner {
  uint32_t l3, l4, data, size;
  bool v6, tcp;
  uint64_t base; /* sum of the pseudo-header, but for the length */
};

/* Finds the inner headers of a tunnel super-frame of `kind`; false where metadata and headers do not agree. */
bool udp_lay_out(const struct pool *t, uint32_t row, const struct outgoing *g, uint8_t kind, struct inner *in);
/* Makes the headers of segment `n`, whose payload is [at, at + size) of the frame, at `to`. */
void udp_make_headers(const struct outgoing *g, const struct inner *in, uint8_t *to, uint32_t n, uint32_t at, uint32_t size);

/* udp-receive.c */
struct udp_receiver *udp_receiver_new(void);
void udp_receiver_free(struct udp_receiver *r);

#endif
