/*
 * UDP sockets as an underlay for tunnels, for which nobody needs to be root.
 *
 *     socket 0     bound to the tunnel's port: receives, and sends
 *     socket 1..   bound to any port, deaf: they send, so that flows differ in their source port
 *
 * A socket that is bound to an address of the host hears no group. Where both are wanted, socket 0 is bound to any address and
 * has a filter that takes what is for its own one and for the groups; what it sends names the address.
 *
 * What the kernel can do beyond one datagram a call is tried when they are opened: UDP_SEGMENT (Linux 4.18) sends a row of
 * datagrams as one message, UDP_GRO (5.0) gives rows that came as one. A socket without checksums cannot send rows.
 */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* The largest buffer that is allowed: beyond net.core.rmem_max for root only. */
static void set_buffer(int fd, int force, int plain, int size) {
  if (!set_int(fd, SOL_SOCKET, force, size)) set_int(fd, SOL_SOCKET, plain, size);
}

static bool join(int fd, const struct udp_request *q, const uint8_t *group, int index) {
  if (q->family == 4) {
    struct ip_mreqn m = {.imr_ifindex = index};
    memcpy(&m.imr_multiaddr, group, 4);
    memcpy(&m.imr_address, q->address, 4);
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) == 0;
  }
  struct ipv6_mreq m = {.ipv6mr_interface = (unsigned)index};
  memcpy(&m.ipv6mr_multiaddr, group, 16);
  return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m) == 0;
}

/* Sets what both kinds of sockets need. */
static struct outcome prepare(int fd, const struct udp_request *q, int index) {
  const bool v6 = q->family == 6;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (v6 && !set_int(fd, level, IPV6_V6ONLY, 1)) return (struct outcome){STEP_SOCKET, errno};
  if (q->device[0] != 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, q->device, (socklen_t)strlen(q->device)) != 0) {
    return (struct outcome){STEP_BINDTODEVICE, errno};
  }
  const int discover = q->dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT; /* IPV6_... have the same numbers */
  set_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, discover);
  set_int(fd, level, v6 ? IPV6_UNICAST_HOPS : IP_TTL, q->ttl);
  set_int(fd, level, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, q->ttl);
  set_int(fd, level, v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, 0);
  if (index != 0 && v6) set_int(fd, level, IPV6_MULTICAST_IF, index);
  if (index != 0 && !v6) {
    struct ip_mreqn m = {.imr_ifindex = index};
    setsockopt(fd, level, IP_MULTICAST_IF, &m, sizeof m);
  }
  if (!q->checksum) set_int(fd, v6 ? IPPROTO_UDP : SOL_SOCKET, v6 ? UDP_NO_CHECK6_TX : SO_NO_CHECK, 1);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, q->buffer);
  return (struct outcome){STEP_NONE, 0};
}

/* What the socket that receives needs beyond that. */
static struct outcome prepare_receiver(int fd, struct udp_request *q, int index) {
  const bool v6 = q->family == 6;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  set_int(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
  set_int(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
  set_int(fd, level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
  if (v6 && q->zero_checksum) set_int(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, q->buffer);
  q->gro = q->gro && set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
  for (uint32_t i = 0; i < q->groups; i++) {
    if (!join(fd, q, q->group + 16 * i, index)) return (struct outcome){STEP_GROUP, errno};
  }
  return (struct outcome){STEP_NONE, 0};
}

/* Makes a socket deaf: a filter that takes nothing. */
static bool deafen(int fd) {
  struct sock_filter none = {.code = BPF_RET | BPF_K, .k = 0};
  struct sock_fprog program = {.len = 1, .filter = &none};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

/* Lets a socket hear only what is for its address and its groups: the destination, `words` of the IP header, is compared with
 * each; one that differs goes on to the next, and behind the last one is nothing. */
static bool hear_only(int fd, const struct udp_request *q) {
  enum { MOST = 64 };
  struct sock_filter f[9 * (MOST + 1) + 1];
  const uint32_t words = q->family == 6 ? 4 : 1, at = q->family == 6 ? 24 : 16;
  uint16_t n = 0;
  if (q->groups > MOST) return errno = E2BIG, false;
  for (uint32_t i = 0; i <= q->groups; i++) {
    const uint8_t *address = i == 0 ? q->address : q->group + 16 * (i - 1);
    for (uint32_t k = 0; k < words; k++) {
      uint32_t word;
      memcpy(&word, address + 4 * k, 4);
      f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + at + 4 * k);
      f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(word), 0, (uint8_t)(2 * (words - k) - 1));
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
  }
  f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {.len = n, .filter = f};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

static void fill_address(union udp_address *a, const struct udp_request *q, uint16_t port, int index, socklen_t *size) {
  memset(a, 0, sizeof *a);
  if (q->family == 6) {
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, q->address, 16);
    if (q->address[0] == 0xfe && (q->address[1] & 0xc0) == 0x80) a->v6.sin6_scope_id = (uint32_t)index;
    *size = sizeof a->v6;
  } else {
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons(port);
    memcpy(&a->v4.sin_addr, q->address, 4);
    *size = sizeof a->v4;
  }
}

/* Whether the sockets may be bound to the address: asked by binding one, that is given up again. */
static bool is_ours(struct udp_request *q, int index) {
  union udp_address a;
  socklen_t size;
  const int fd = socket(q->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  fill_address(&a, q, 0, index, &size);
  const bool bound = bind(fd, &a.any, size) == 0;
  const int error = errno;
  close(fd);
  errno = error;
  return bound;
}

static struct outcome open_one(struct udp_request *q, uint32_t i, int index) {
  union udp_address a;
  socklen_t size;
  const int fd = socket(q->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return (struct outcome){STEP_SOCKET, errno};
  q->udp->sockets[i] = fd;
  q->udp->count = i + 1;
  struct outcome o = prepare(fd, q, index);
  if (o.error != 0) return o;
  if (i > 0 && !deafen(fd)) return (struct outcome){STEP_SOCKET, errno};
  fill_address(&a, q, i == 0 ? q->port : 0, index, &size);
  if (i == 0 && q->udp->named) {
    if (!is_ours(q, index)) return (struct outcome){STEP_BIND, errno};
    if (!hear_only(fd, q)) return (struct outcome){STEP_GROUP, errno};
    if (q->family == 6) memset(&a.v6.sin6_addr, 0, 16);
    else a.v4.sin_addr.s_addr = INADDR_ANY;
  }
  if (bind(fd, &a.any, size) != 0) return (struct outcome){STEP_BIND, errno};
  if (i == 0) o = prepare_receiver(fd, q, index);
  if (o.error != 0) return o;
  if (getsockname(fd, &a.any, &size) != 0) return (struct outcome){STEP_BIND, errno};
  q->ports[i] = ntohs(q->family == 6 ? a.v6.sin6_port : a.v4.sin_port);
  return o;
}

static void open_here(void *arg) {
  struct udp_request *q = arg;
  const int index = q->device[0] != 0 ? (int)if_nametoindex(q->device) : 0;
  if (q->device[0] != 0 && index == 0) {
    q->outcome = (struct outcome){STEP_BINDTODEVICE, ENODEV};
    return;
  }
  static const uint8_t any[16];
  q->udp->scope = (uint32_t)index;
  q->udp->named = q->groups > 0 && memcmp(q->address, any, 16) != 0;
  for (uint32_t i = 0; i < q->count && q->outcome.error == 0; i++) q->outcome = open_one(q, i, index);
  if (q->outcome.error != 0) return;
  q->segment = q->segment && q->checksum && set_int(q->udp->sockets[0], IPPROTO_UDP, UDP_SEGMENT, 0);
}

void udp_open(struct udp_request *q) {
  int ns = -1;
  q->outcome = (struct outcome){STEP_NONE, 0};
  struct udp *u = q->udp = calloc(1, sizeof *u);
  if (u == NULL || (u->sender = udp_sender_new()) == NULL || (u->receiver = udp_receiver_new()) == NULL) {
    q->outcome = (struct outcome){STEP_MEMORY, ENOMEM};
  } else if (q->netns != NULL && (ns = open(q->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
    q->outcome = (struct outcome){STEP_NETNS_OPEN, errno};
  } else {
    const int error = in_netns(ns, open_here, q);
    if (error != 0) q->outcome = (struct outcome){STEP_NETNS_ENTER, error};
  }
  if (ns >= 0) close(ns);
  if (q->outcome.error != 0) {
    udp_free(u, true);
    q->udp = NULL;
    return;
  }
  u->family = q->family;
  u->port = q->ports[0];
  u->ttl = (uint8_t)q->ttl;
  u->inner_mtu = (uint32_t)q->inner_mtu;
  memcpy(u->address, q->address, 16);
  u->device = q->device[0] != 0;
  u->segment = q->segment;
  u->merge = q->merge && q->gro;
  u->inside = q->inside == 1 ? INSIDE_VXLAN : q->inside == 2 ? INSIDE_GENEVE : INSIDE_OTHER;
  q->merge = u->merge;
  q->fd = u->sockets[0];
}

/* A socket that is bound to an interface knows its number, and the kernel the name of that, while there is one. */
int udp_check(const struct handle *h) {
  char name[IFNAMSIZ];
  socklen_t size = sizeof name;
  if (!h->udp->device || getsockopt(h->fd, SOL_SOCKET, SO_BINDTODEVICE, name, &size) == 0) return 0;
  return errno;
}

void udp_free(struct udp *u, bool all) {
  if (u == NULL) return;
  for (uint32_t i = all ? 0 : 1; i < u->count; i++) close(u->sockets[i]);
  udp_sender_free(u->sender);
  udp_receiver_free(u->receiver);
  free(u);
}
