/*
 * A TAP or TUN device: made or attached, set up, moved.
 *
 *   open /dev/net/tun -> TUNSETIFF -> TUNSETVNETHDRSZ -> TUNSETOFFLOAD -> MAC, MTU, queue -> up -> persistent?
 *
 * All of it happens inside the wanted namespace, and a step that fails closes the descriptor, with which a device that is not
 * persistent vanishes. Afterwards the device is known by its descriptor alone: TUNGETIFF says what it is called by now, and
 * TUNGETDEVNETNS (Linux 5.2) in which namespace it lives, so that a device that was moved or renamed is still found.
 */
#include "tun-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of newer kernels than the headers may be. */
#define L2L3_TUN_F_USO4 0x20
#define L2L3_TUN_F_USO6 0x40
#define L2L3_TUN_F_UDP_TUNNEL_GSO 0x80
#define L2L3_TUN_F_UDP_TUNNEL_GSO_CSUM 0x100

static struct outcome failed(enum step step, int error) {
  return (struct outcome){.step = step, .error = error};
}

static const struct outcome fine = {STEP_NONE, 0};

/* Sets the size of the virtio-net header, and the largest set of offloads that the kernel accepts with it. A header of 24
 * bytes has room for what Linux 6.17 says of tunnels; an older kernel accepts any size, and refuses those offloads. One of 12
 * bytes is what it does without, and one of 10 what it has from the start. */
static struct outcome set_header(int fd, bool tunnels, struct device_request *q) {
  static const uint32_t tunnel = L2L3_TUN_F_UDP_TUNNEL_GSO | L2L3_TUN_F_UDP_TUNNEL_GSO_CSUM;
  static const uint32_t sets[] = {
      TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | L2L3_TUN_F_USO4 | L2L3_TUN_F_USO6,
      TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
      TUN_F_CSUM | TUN_F_TSO4,
      TUN_F_CSUM,
  };
  int size = 24;
  q->header = 24;
  q->offloads = sets[0] | tunnel;
  if (tunnels && ioctl(fd, TUNSETVNETHDRSZ, &size) == 0 && ioctl(fd, TUNSETOFFLOAD, (unsigned long)q->offloads) == 0) {
    return fine;
  }
  size = 12;
  q->header = 12;
  if (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
    size = 10;
    q->header = 10;
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0 && errno != EINVAL && errno != ENOTTY) return failed(STEP_VNETHDRSZ, errno);
  }
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    q->offloads = sets[i];
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)q->offloads) == 0) return fine;
  }
  q->offloads = 0;
  return fine;
}

static struct outcome set_mac(int fd, const uint8_t mac[MAC_SIZE]) {
  struct ifreq ifr = {0};
  ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(ifr.ifr_hwaddr.sa_data, mac, MAC_SIZE);
  return ioctl(fd, SIOCSIFHWADDR, &ifr) == 0 ? fine : failed(STEP_MAC, errno);
}

static struct outcome set_mtu(int sock, const char *name, int mtu) {
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, name, IFNAMSIZ);
  ifr.ifr_mtu = mtu;
  return ioctl(sock, SIOCSIFMTU, &ifr) == 0 ? fine : failed(STEP_MTU, errno);
}

static struct outcome set_queue_length(int sock, const char *name, int length) {
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, name, IFNAMSIZ);
  ifr.ifr_qlen = length;
  return ioctl(sock, SIOCSIFTXQLEN, &ifr) == 0 ? fine : failed(STEP_QUEUE_LENGTH, errno);
}

static struct outcome set_up(int sock, const char *name, bool up) {
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, name, IFNAMSIZ);
  if (ioctl(sock, SIOCGIFFLAGS, &ifr) != 0) return failed(STEP_UP, errno);
  short flags = ifr.ifr_flags;
  ifr.ifr_flags = up ? (short)(flags | IFF_UP) : (short)(flags & ~IFF_UP);
  if (ifr.ifr_flags == flags) return fine;
  return ioctl(sock, SIOCSIFFLAGS, &ifr) == 0 ? fine : failed(STEP_UP, errno);
}

static int any_socket(void) {
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* device ioctls work on every kind of socket */
}

static struct outcome attach(struct device_request *q, int fd) {
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, q->name, IFNAMSIZ);
  ifr.ifr_flags = (short)((q->tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI | (q->vnet ? IFF_VNET_HDR : 0) |
                          (q->multi_queue ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd, TUNSETIFF, &ifr) != 0) return failed(STEP_TUNSETIFF, errno);
  memcpy(q->name, ifr.ifr_name, IFNAMSIZ);
  q->name[IFNAMSIZ - 1] = 0;

  if (q->vnet) {
    const struct outcome header = set_header(fd, q->tunnels, q);
    if (header.error != 0) return header;
  } else if (ioctl(fd, TUNSETOFFLOAD, 0UL) != 0) { /* who attached a persistent device before us may have left some on */
    return failed(STEP_OFFLOAD, errno);
  }

  struct outcome o = fine;
  if (q->set_mac) o = set_mac(fd, q->mac);
  if (o.error == 0 && (q->mtu > 0 || q->queue_length > 0 || q->up)) {
    int sock = any_socket();
    if (sock < 0) return failed(STEP_SOCKET, errno);
    if (q->mtu > 0) o = set_mtu(sock, q->name, q->mtu);
    if (o.error == 0 && q->queue_length > 0) o = set_queue_length(sock, q->name, q->queue_length);
    if (o.error == 0 && q->up) o = set_up(sock, q->name, true);
    close(sock);
  }
  if (o.error == 0 && q->persist >= 0) o = device_set_persist(fd, q->persist != 0);
  return o;
}

static void open_here(void *arg) {
  struct device_request *q = arg;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    q->outcome = failed(STEP_TUN_OPEN, errno);
    return;
  }
  q->outcome = attach(q, fd);
  if (q->outcome.error != 0) close(fd);
  else q->fd = fd;
}

void device_open(struct device_request *q) {
  int ns = -1;
  q->fd = -1;
  if (q->netns != NULL && (ns = open(q->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
    q->outcome = failed(STEP_NETNS_OPEN, errno);
    return;
  }
  int error = in_netns(ns, open_here, q);
  if (error != 0) q->outcome = failed(STEP_NETNS_ENTER, error);
  if (ns >= 0) close(ns);
}

/* ---- A device that is open: found by its descriptor ---- */

struct visit_device {
  struct outcome (*work)(int sock, const char *name, void *arg);
  char name[IFNAMSIZ];
  void *arg;
  struct outcome outcome;
};

static void visit_device(void *arg) {
  struct visit_device *v = arg;
  int sock = any_socket();
  if (sock < 0) {
    v->outcome = failed(STEP_SOCKET, errno);
    return;
  }
  v->outcome = v->work(sock, v->name, v->arg);
  close(sock);
}

static struct outcome at_device(int fd, struct outcome (*work)(int, const char *, void *), void *arg) {
  struct visit_device v = {.work = work, .arg = arg};
  struct ifreq ifr = {0};
  if (ioctl(fd, TUNGETIFF, &ifr) != 0) return failed(STEP_INFO, errno);
  memcpy(v.name, ifr.ifr_name, IFNAMSIZ);
  v.name[IFNAMSIZ - 1] = 0;
  int ns = ioctl(fd, TUNGETDEVNETNS); /* before Linux 5.2: not known, so look for it here */
  int error = in_netns(ns, visit_device, &v);
  if (ns >= 0) close(ns);
  return error == 0 ? v.outcome : failed(STEP_NETNS_ENTER, error);
}

static struct outcome read_info(int sock, const char *name, void *arg) {
  struct device_info *info = arg;
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, name, IFNAMSIZ);
  if (ioctl(sock, SIOCGIFINDEX, &ifr) != 0) return failed(STEP_INFO, errno);
  info->index = ifr.ifr_ifindex;
  if (ioctl(sock, SIOCGIFMTU, &ifr) != 0) return failed(STEP_INFO, errno);
  info->mtu = ifr.ifr_mtu;
  if (ioctl(sock, SIOCGIFTXQLEN, &ifr) != 0) return failed(STEP_INFO, errno);
  info->queue_length = ifr.ifr_qlen;
  if (ioctl(sock, SIOCGIFFLAGS, &ifr) != 0) return failed(STEP_INFO, errno);
  info->up = (ifr.ifr_flags & IFF_UP) != 0;
  if (ioctl(sock, SIOCGIFHWADDR, &ifr) != 0) return failed(STEP_INFO, errno);
  memcpy(info->mac, ifr.ifr_hwaddr.sa_data, MAC_SIZE);
  return fine;
}

struct outcome device_info(int fd, struct device_info *info) {
  struct ifreq ifr = {0};
  if (ioctl(fd, TUNGETIFF, &ifr) != 0) return failed(STEP_INFO, errno);
  memcpy(info->name, ifr.ifr_name, IFNAMSIZ);
  info->name[IFNAMSIZ - 1] = 0;
  info->tun_flags = (uint16_t)ifr.ifr_flags;
  return at_device(fd, read_info, info);
}

struct outcome device_set_mac(int fd, const uint8_t mac[MAC_SIZE]) {
  return set_mac(fd, mac);
}

static struct outcome set_mtu_work(int sock, const char *name, void *arg) {
  return set_mtu(sock, name, *(int *)arg);
}

struct outcome device_set_mtu(int fd, int mtu) {
  return at_device(fd, set_mtu_work, &mtu);
}

static struct outcome set_up_work(int sock, const char *name, void *arg) {
  return set_up(sock, name, *(bool *)arg);
}

struct outcome device_set_up(int fd, bool up) {
  return at_device(fd, set_up_work, &up);
}

struct outcome device_set_persist(int fd, bool persist) {
  return ioctl(fd, TUNSETPERSIST, persist ? 1UL : 0UL) == 0 ? fine : failed(STEP_PERSIST, errno);
}

/* RTM_NEWLINK with IFLA_NET_NS_FD: rtnetlink's way to move a device. */
static struct outcome move_work(int sock, const char *name, void *arg) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr attribute;
    int32_t ns;
  } message = {
      .header = {.nlmsg_len = sizeof message, .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
      .attribute = {.rta_len = RTA_LENGTH(sizeof(int32_t)), .rta_type = IFLA_NET_NS_FD},
      .ns = *(int *)arg,
  };
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, name, IFNAMSIZ);
  if (ioctl(sock, SIOCGIFINDEX, &ifr) != 0) return failed(STEP_MOVE, errno);
  message.link.ifi_index = ifr.ifr_ifindex;

  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) return failed(STEP_SOCKET, errno);
  union {
    struct nlmsghdr header;
    char bytes[1024];
  } answer;
  struct outcome o = fine;
  if (send(netlink, &message, sizeof message, 0) < 0) {
    o = failed(STEP_MOVE, errno);
  } else {
    ssize_t n;
    do n = recv(netlink, &answer, sizeof answer, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) o = failed(STEP_MOVE, errno);
    else if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.header.nlmsg_type != NLMSG_ERROR) {
      o = failed(STEP_MOVE, EPROTO);
    } else {
      int error = ((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
      if (error != 0) o = failed(STEP_MOVE, -error);
    }
  }
  close(netlink);
  return o;
}

struct outcome device_move(int fd, const char *netns) {
  int ns = open(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (ns < 0) return failed(STEP_NETNS_OPEN, errno);
  struct outcome o = at_device(fd, move_work, &ns);
  close(ns);
  return o;
}

int device_check(int fd) {
  struct ifreq ifr = {0};
  return ioctl(fd, TUNGETIFF, &ifr) == 0 ? 0 : errno;
}
