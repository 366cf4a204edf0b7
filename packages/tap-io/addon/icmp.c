/*
 * A socket for ICMP echo, opened inside a namespace and connected to the host that is asked: raw where that is allowed, else
 * a ping socket (net.ipv4.ping_group_range), for which the kernel chooses the identifier. What is in the messages is
 * TypeScript's business.
 */
#include "tun-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void open_here(void *arg) {
  struct icmp_request *q = arg;
  const int family = q->family == 6 ? AF_INET6 : AF_INET;
  const int protocol = q->family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  const int kind = SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fd = socket(family, SOCK_RAW | kind, protocol);
  q->raw = fd >= 0;
  if (fd < 0 && (errno == EPERM || errno == EACCES)) {
    fd = socket(family, SOCK_DGRAM | kind, protocol);
    if (fd < 0) errno = EPERM;
  }
  if (fd < 0) {
    q->outcome = (struct outcome){STEP_SOCKET, errno};
    return;
  }
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } to;
  memset(&to, 0, sizeof to);
  socklen_t size;
  if (q->device[0] != 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, q->device, (socklen_t)strlen(q->device)) != 0) {
    q->outcome = (struct outcome){STEP_BINDTODEVICE, errno};
    close(fd);
    return;
  }
  if (q->family == 6) {
    size = sizeof to.v6;
    to.v6.sin6_family = AF_INET6;
    memcpy(&to.v6.sin6_addr, q->address, 16);
    if (q->device[0] != 0) to.v6.sin6_scope_id = if_nametoindex(q->device);
  } else {
    size = sizeof to.v4;
    to.v4.sin_family = AF_INET;
    memcpy(&to.v4.sin_addr, q->address, 4);
  }
  if (connect(fd, &to.any, size) != 0) {
    q->outcome = (struct outcome){STEP_CONNECT, errno};
    close(fd);
    return;
  }
  q->fd = fd;
}

void icmp_open(struct icmp_request *q) {
  int ns = -1;
  q->fd = -1;
  if (q->netns != NULL && (ns = open(q->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
    q->outcome = (struct outcome){STEP_NETNS_OPEN, errno};
    return;
  }
  int error = in_netns(ns, open_here, q);
  if (error != 0) q->outcome = (struct outcome){STEP_NETNS_ENTER, error};
  if (ns >= 0) close(ns);
}
