/*
 * Setting up interfaces inside a network namespace: keys below /proc/sys/net, which are those of the namespace of the thread that
 * opens them, and messages to rtnetlink, which src/rtnetlink.ts makes. One visit does all for a host, where `ip` would be a
 * process for each line.
 */
#include "tun-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sends a message and waits for what the kernel says of it: 0 or an errno. */
static int tell(int netlink, const struct nlmsghdr *message) {
  if (send(netlink, message, message->nlmsg_len, 0) < 0) return errno;
  union {
    struct nlmsghdr header;
    char bytes[1024];
  } answer;
  ssize_t n;
  do n = recv(netlink, &answer, sizeof answer, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.header.nlmsg_type != NLMSG_ERROR) return EPROTO;
  return -((const struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
}

/* Writes lines "path=value"; a key that this kernel does not have is left out. */
static int write_keys(char *lines) {
  for (char *line = lines, *rest; *line != 0; line = rest) {
    rest = strchr(line, '\n');
    if (rest == NULL) return EINVAL;
    *rest++ = 0;
    char *value = strchr(line, '=');
    if (value == NULL || strncmp(line, "/proc/sys/net/", 14) != 0) return EINVAL;
    *value++ = 0;
    const int file = open(line, O_WRONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) continue;
    if (file < 0) return errno;
    const ssize_t n = write(file, value, strlen(value));
    const int error = n < 0 ? errno : 0;
    close(file);
    if (error != 0) return error;
  }
  return 0;
}

static void configure_here(void *arg) {
  struct configure_request *q = arg;
  q->error = write_keys(q->keys);
  if (q->error != 0 || q->size == 0) return;
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) {
    q->error = errno;
    return;
  }
  q->done = 0;
  for (size_t at = 0; at < q->size; q->done++) {
    struct nlmsghdr header;
    if (q->size - at < sizeof header) q->error = EINVAL;
    else {
      memcpy(&header, q->messages + at, sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > q->size - at || header.nlmsg_len % NLMSG_ALIGNTO != 0) {
        q->error = EINVAL;
      } else q->error = tell(netlink, (const struct nlmsghdr *)(q->messages + at));
    }
    if (q->error != 0) break;
    at += header.nlmsg_len;
  }
  close(netlink);
}

static void find_here(void *arg) {
  struct find_request *q = arg;
  const int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq ifr = {0};
  memcpy(ifr.ifr_name, q->device, IFNAMSIZ);
  if (sock < 0 || ioctl(sock, SIOCGIFINDEX, &ifr) != 0) q->index = -errno;
  else q->index = ifr.ifr_ifindex;
  if (sock >= 0) close(sock);
}

static int in_netns_at(const char *path, void (*work)(void *), void *arg) {
  const int ns = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (ns < 0) return errno;
  const int error = in_netns(ns, work, arg);
  close(ns);
  return error;
}

int interface_index(const char *netns, const char device[IFNAMSIZ]) {
  struct find_request q = {.index = 0};
  memcpy(q.device, device, IFNAMSIZ);
  const int error = in_netns_at(netns, find_here, &q);
  return error != 0 ? -error : q.index;
}

void configure(struct configure_request *q) {
  q->done = -1;
  q->error = 0;
  const int error = in_netns_at(q->netns, configure_here, q);
  if (error != 0) q->error = error;
}
