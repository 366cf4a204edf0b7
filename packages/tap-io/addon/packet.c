/*
 * A packet socket on an interface that exists: a veth, a NIC. Frames are received straight into the arena and sent straight
 * from it, a batch a system call, each behind a virtio-net header (PACKET_VNET_HDR): a checksum that the sender has left undone
 * is known by nothing else.
 *
 *   read    slot: ...| 4 | virtio-net header (10) | frame ...           recvmmsg(), and what the kernel says beside the frame:
 *                                                                        the VLAN tag that it has taken out is put back in,
 *                                                                        for which the MAC addresses move 4 bytes ahead
 *
 * Measured on a veth, 64 and 1,500 bytes, in the thread that receives: recvmmsg() 0.9-1.2 us a frame, a ring of TPACKET_V2
 * 1.1-1.5 (with room for super-frames in its slots 1.9-3.2), one of TPACKET_V3 0.1-0.3, because the sender's core does its
 * work; but that gives frames out by the block, up to a millisecond late. A ring for sending takes 1.6-2.0 us a frame,
 * sendmmsg() 1.5. So there is no ring here.
 *
 * What leaves by the interface is not seen: PACKET_IGNORE_OUTGOING, Linux 4.20, of which a fanout group has one of its own,
 * Linux 5.12. What comes all the same is sorted out here.
 */
#include "tun-tap.h"
#include "sum.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

enum { MESSAGES = 64, TAG = 4, VNET = PACKET_HEADER, MOST_REFUSED = 64 };
enum { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

static struct outcome failed(enum step step) {
  return (struct outcome){step, errno};
}

static bool set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* A group has the flags of whoever was its first: an older kernel, or one made by somebody else, is without. */
static bool join(int fd, int fanout) {
  const int flags = PACKET_FANOUT_FLAG_IGNORE_OUTGOING << 16;
  return set_int(fd, SOL_PACKET, PACKET_FANOUT, fanout | flags) || set_int(fd, SOL_PACKET, PACKET_FANOUT, fanout);
}

static struct outcome prepare(int fd, struct packet_request *q) {
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, q->device, IFNAMSIZ);
  if (ioctl(fd, SIOCGIFINDEX, &ifr) != 0) return failed(STEP_BINDTODEVICE);
  q->index = ifr.ifr_ifindex;
  if (ioctl(fd, SIOCGIFHWADDR, &ifr) != 0) return failed(STEP_BINDTODEVICE);
  const unsigned short type = ifr.ifr_hwaddr.sa_family;
  if (type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK) return (struct outcome){STEP_BINDTODEVICE, EPFNOSUPPORT};
  memcpy(q->mac, ifr.ifr_hwaddr.sa_data, MAC_SIZE);
  set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  if (!set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) return failed(STEP_VNETHDRSZ);
  if (!set_int(fd, SOL_PACKET, PACKET_AUXDATA, 1)) return failed(STEP_PACKET);
  if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, q->buffer)) set_int(fd, SOL_SOCKET, SO_RCVBUF, q->buffer);
  if (!set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, q->buffer)) set_int(fd, SOL_SOCKET, SO_SNDBUF, q->buffer);
  struct packet_mreq m = {.mr_ifindex = q->index, .mr_type = PACKET_MR_PROMISC};
  if (q->promiscuous && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m) != 0) return failed(STEP_PACKET);
  struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = q->index};
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) return failed(STEP_BIND);
  if (q->fanout >= 0 && !join(fd, q->fanout)) return failed(STEP_FANOUT);
  return (struct outcome){STEP_NONE, 0};
}

static void open_here(void *arg) {
  struct packet_request *q = arg;
  /* Of no protocol yet: it receives nothing before it is bound to its interface. */
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    q->outcome = failed(STEP_PACKET);
    return;
  }
  q->outcome = prepare(fd, q);
  if (q->outcome.error != 0) close(fd);
  else q->fd = fd;
}

void packet_open(struct packet_request *q) {
  int ns = -1;
  q->fd = -1;
  if (q->netns != NULL && (ns = open(q->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
    q->outcome = failed(STEP_NETNS_OPEN);
    return;
  }
  const int error = in_netns(ns, open_here, q);
  if (error != 0) q->outcome = (struct outcome){STEP_NETNS_ENTER, error};
  if (ns >= 0) close(ns);
}

/* A socket whose interface is gone is bound to number -1. */
int packet_check(int fd) {
  struct sockaddr_ll a = {0};
  socklen_t size = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &size) != 0) return errno;
  return a.sll_ifindex <= 0 ? ENODEV : 0;
}

/* ---- Receiving ---- */

/* Puts the tag back in front of the EtherType. The columns are those of the frame without. */
static bool put_tag(struct pool *t, uint32_t row, uint16_t tpid, uint16_t tci) {
  const uint64_t slot = (uint64_t)row * t->stride;
  if (t->off[row] < slot + TAG || t->len[row] + TAG > t->frame_size) return false;
  uint8_t *at = t->bytes + (t->off[row] -= TAG);
  t->len[row] += TAG;
  memmove(at, at + TAG, 12);
  put16(at + 12, tpid);
  put16(at + 14, tci);
  if (((t->flags[row] & NEEDS_CSUM) | t->gso_type[row]) == 0) return true;
  t->csum_start[row] += TAG;
  t->hdr_len[row] += TAG;
  t->outer_l4[row] += TAG;
  t->inner_l3[row] += TAG;
  return true;
}

/*
 * A packet socket says of a tunnel super-frame what its inner packet is and not that it is inside: UDP where its checksum is
 * not the one to be filled in. The inner IP header is in front of the transport header that is, with a length that reaches to
 * the end. Where it is not, the columns stay as they came, and contradict the frame: whoever cuts it will say so.
 */
static void find_tunnel(struct pool *t, uint32_t row) {
  const uint8_t *b = t->bytes + t->off[row], kind = t->gso_type[row] & (uint8_t)~GSO_ECN;
  const uint32_t n = t->len[row], l4 = t->csum_start[row];
  uint32_t l3 = ETHERNET_HEADER, outer;
  while (n >= l3 + TAG && (get16(b + l3 - 2) == 0x8100 || get16(b + l3 - 2) == 0x88a8)) l3 += TAG;
  if (n < l3 + 48 || l4 > n) return;
  const bool v6 = b[l3] >> 4 == 6;
  if ((v6 ? b[l3 + 6] : b[l3 + 9]) != PROTOCOL_UDP) return;
  outer = l3 + (v6 ? 40 : (b[l3] & 15) * 4u);
  if (l4 < outer + 8 + 20) return; /* the outer packet is what it speaks of */
  const uint8_t protocol = kind == GSO_UDP_L4 ? PROTOCOL_UDP : PROTOCOL_TCP;
  const bool inner4 = kind != GSO_TCPV6 && b[l4 - 20] == 0x45 && b[l4 - 11] == protocol && get16(b + l4 - 18) == n - l4 + 20;
  const bool inner6 = kind != GSO_TCPV4 && l4 >= outer + 48 && b[l4 - 40] >> 4 == 6 && b[l4 - 34] == protocol &&
                      get16(b + l4 - 36) == n - l4;
  if (!inner4 && !inner6) return;
  t->gso_type[row] |= v6 ? GSO_TUNNEL_V6 : GSO_TUNNEL_V4;
  t->outer_l4[row] = (uint16_t)outer;
  t->inner_l3[row] = (uint16_t)(l4 - (inner4 ? 20 : 40));
  if (get16(b + outer + 6) != 0) t->flags[row] |= TUNNEL_CSUM;
}

union control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

static bool restore_tag(struct pool *t, uint32_t row, struct msghdr *h) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
    struct tpacket_auxdata a;
    if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || c->cmsg_len < CMSG_LEN(sizeof a)) continue;
    memcpy(&a, CMSG_DATA(c), sizeof a);
    if (a.tp_status & TP_STATUS_VLAN_VALID) {
      return put_tag(t, row, a.tp_status & TP_STATUS_VLAN_TPID_VALID ? a.tp_vlan_tpid : ETH_P_8021Q, a.tp_vlan_tci);
    }
  }
  return true;
}

/* What one call of recvmmsg() needs. */
struct receiving {
  struct mmsghdr headers[MESSAGES];
  struct iovec parts[MESSAGES];
  union control controls[MESSAGES];
  struct sockaddr_ll from[MESSAGES];
};

/* Offers rows `from` to `from + n` of `rows`; how many could be: their columns must point into their slots. */
static uint32_t offer(const struct handle *h, struct receiving *r, uint32_t from, uint32_t n) {
  const struct pool *t = &h->pool;
  if (n > MESSAGES) n = MESSAGES;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t row = ONCE(t->rows[from + i]);
    if (row >= t->frames) return i;
    const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride, start = ONCE(t->off[row]);
    if (start < slot + h->header || start >= end) return i;
    const uint64_t room = end - start, limit = room < t->frame_size ? room : t->frame_size;
    r->parts[i] = (struct iovec){t->bytes + start - h->header, limit + h->header};
    r->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &r->from[i],
        .msg_namelen = sizeof r->from[i],
        .msg_iov = &r->parts[i],
        .msg_iovlen = 1,
        .msg_control = r->controls[i].bytes,
        .msg_controllen = sizeof r->controls[i].bytes,
    };
  }
  return n;
}

/* Fills the rows that stand in `rows`; see frames_read. Rows whose frame was refused are put behind those that are filled. */
uint32_t packet_read(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  struct receiving r;
  uint32_t done = 0, oversize = 0, runt = 0, untold = 0, longest = 0, refused = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count && refused < MOST_REFUSED) {
    const uint32_t asked = offer(h, &r, done, count - done);
    if (asked == 0) {
      error = EFAULT;
      break;
    }
    const int n = recvmmsg(h->fd, r.headers, asked, MSG_DONTWAIT, NULL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL) {
      /* A super-frame of a kind that the header has no word for, such as a guest's UFO: the kernel has thrown it away. */
      untold++, refused++;
      continue;
    }
    if (n < 0) {
      /* Said once when the interface goes down, or for good. */
      if (errno != EAGAIN) error = packet_check(h->fd);
      break;
    }
    const uint32_t first = done;
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
      const uint32_t row = (uint32_t)((r.parts[i].iov_base - (void *)t->bytes + h->header) / t->stride);
      const uint32_t length = r.headers[i].msg_len;
      bool taken = false;
      if (r.from[i].sll_pkttype == PACKET_OUTGOING) refused++;
      else if (r.headers[i].msg_hdr.msg_flags & MSG_TRUNC) oversize++, refused++;
      else if (length < h->header + ETHERNET_HEADER) runt++, refused++;
      else {
        t->off[row] = (uint32_t)((uint8_t *)r.parts[i].iov_base - t->bytes) + h->header;
        t->len[row] = length - h->header;
        fill_columns(t, row, r.parts[i].iov_base, h->header);
        if (t->gso_type[row] != GSO_NONE && (t->flags[row] & NEEDS_CSUM)) find_tunnel(t, row);
        taken = restore_tag(t, row, &r.headers[i].msg_hdr);
        if (!taken) oversize++, refused++;
      }
      if (!taken) continue;
      if (t->len[row] > longest) longest = t->len[row];
      t->rows[first + i] = t->rows[done];
      t->rows[done++] = row;
    }
    if ((uint32_t)n < asked) break;
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = (int32_t)oversize;
  t->result[RESULT_RUNT] = (int32_t)runt;
  t->result[RESULT_BAD_OFFLOAD] = (int32_t)untold;
  t->result[RESULT_LONGEST] = (int32_t)longest;
  return done;
}

/* Reads and forgets up to `count` frames, for which there is no row; gives how many. */
uint32_t packet_discard(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  uint8_t scrap[VNET + 64];
  uint32_t done = 0, ours = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count && ours < MOST_REFUSED) {
    struct sockaddr_ll from = {0};
    socklen_t size = sizeof from;
    const ssize_t n = recvfrom(h->fd, scrap, sizeof scrap, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    if (n >= 0 && from.sll_pkttype == PACKET_OUTGOING) ours++;
    else if (n >= 0 || errno == EINVAL) done++;
    else if (errno != EINTR) {
      if (errno != EAGAIN) error = packet_check(h->fd);
      break;
    }
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = t->result[RESULT_RUNT] = t->result[RESULT_BAD_OFFLOAD] = t->result[RESULT_LONGEST] = 0;
  return done;
}

/* ---- Sending ---- */

struct sending {
  struct mmsghdr headers[MESSAGES];
  struct iovec parts[MESSAGES][2];
  struct virtio_header vnet[MESSAGES];
  uint32_t frames[MESSAGES]; /* numbers in the call */
};

/* Looks at a frame and makes message `n` of it; 0, or a status. */
static int make_message(const struct handle *h, struct sending *s, uint32_t n, uint32_t row) {
  const struct pool *t = &h->pool;
  if (row >= t->frames) return STATUS_OUTSIDE;
  const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
  const uint64_t start = ONCE(t->off[row]), length = ONCE(t->len[row]);
  if (start < slot || start > end || length > end - start) return STATUS_OUTSIDE;
  if (length < ETHERNET_HEADER) return STATUS_RUNT;
  if (!make_header(h, row, (uint32_t)length, &s->vnet[n])) return STATUS_BAD_OFFLOAD;
  s->parts[n][0] = (struct iovec){&s->vnet[n], h->header};
  s->parts[n][1] = (struct iovec){t->bytes + start, length};
  s->headers[n].msg_hdr = (struct msghdr){.msg_iov = s->parts[n], .msg_iovlen = 2};
  return 0;
}

/* Sends `n` messages; gives an errno that the rest suffers too, or 0. */
static int send_messages(const struct handle *h, struct sending *s, uint32_t n, int over) {
  int32_t *status = h->pool.result + RESULT_STATUS;
  uint32_t done = 0;
  while (done < n && over == 0) {
    const int sent = sendmmsg(h->fd, s->headers + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      done += (uint32_t)sent;
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    status[s->frames[done++]] = error;
    if (error == EAGAIN || error == ENETDOWN || error == EBADF) over = error;
    else if (error == ENXIO || error == ENODEV) over = status[s->frames[done - 1]] = ENODEV;
  }
  for (; done < n; done++) status[s->frames[done]] = over;
  return over;
}

/* Sends the frames whose rows stand in `rows`; see frames_write. */
uint32_t packet_write(struct handle *h, uint32_t count) {
  struct pool *t = &h->pool;
  int32_t *status = t->result + RESULT_STATUS;
  struct sending s;
  uint32_t n = 0, sent = 0;
  int over = 0;
  if (count > t->capacity) count = t->capacity;
  for (uint32_t i = 0; i < count; i++) {
    status[i] = make_message(h, &s, n, ONCE(t->rows[i]));
    if (status[i] != 0) continue;
    s.frames[n++] = i;
    if (n < MESSAGES) continue;
    over = send_messages(h, &s, n, over);
    n = 0;
  }
  if (n > 0) over = send_messages(h, &s, n, over);
  for (uint32_t i = 0; i < count; i++) sent += status[i] == 0;
  t->result[RESULT_ERROR] = over;
  return sent;
}
